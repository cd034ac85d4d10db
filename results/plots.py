"""Plots of a report: vector graphics with intervals, in colours that the colour-blind can tell apart.

All numbers are those of the report's tables; nothing is computed here.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.cells import CellValue, known
from results.compare import Comparison
from results.report import Report, ReportTable

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
"""Okabe and Ito 2008, and one more; markers tell runs apart as well."""

MARKERS = "osD^vP*X"

STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "svg.hashsalt": "report",  # equal plots give equal files
    "pdf.fonttype": 42,  # fonts as text, not as outlines of type 3
    "figure.constrained_layout.use": True,
}

FileKind = Literal["svg", "pdf"]


@dataclass(frozen=True)
class Plot:
    """A figure: ``name`` is its file's, ``title`` its caption's."""

    name: str
    title: str
    figure: Figure

    def svg(self) -> str:
        """As an SVG document."""
        return self._bytes("svg").decode()

    def save(self, folder: Path, kind: FileKind) -> Path:
        """Write it to a folder; returns the file."""
        path = folder / f"{self.name}.{kind}"
        path.write_bytes(self._bytes(kind))
        return path

    def _bytes(self, kind: FileKind) -> bytes:
        buffer = io.BytesIO()
        with rc_context(STYLE):
            self.figure.savefig(
                buffer, format=kind, metadata={"Date": None} if kind == "svg" else {"CreationDate": None}
            )
        return buffer.getvalue()


def report_plots(report: Report) -> list[Plot]:
    """Every plot that the report has numbers for."""
    plots = []
    for number, table in enumerate(report.tables):
        draw = _drawing(table)
        if draw is not None:
            plots.append(_plot(f"{number:02d}-{table.key}", table.title, draw, table))
    return plots


def comparison_plot(comparison: Comparison) -> Plot:
    """Paired differences of all cells with their intervals, rates and means apart."""
    return _plot("comparison", comparison.title, _draw_forest, comparison.table)


Drawing = Callable[[Figure, ReportTable], None]


def _drawing(table: ReportTable) -> Drawing | None:
    if table.key == "compute":
        drawable = sum(cells[table.columns.index("success")].value is not None for _, cells in table.rows)
        return _draw_pareto if drawable else None
    if table.key == "conduct":
        return None
    if table.key.startswith("ablation_") or table.key == "shift":
        return _draw_forest
    rates = _rate_columns(table)
    if table.key == "chain":
        return _draw_survival
    if len(rates) > 1 and len({len(cells) for _, cells in table.rows}) == 1:
        return _draw_rates
    return None


def _plot(name: str, title: str, draw: Drawing, table: ReportTable) -> Plot:
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.6))
        draw(figure, table)
    return Plot(re.sub(r"[^\w-]", "_", name), title, figure)


def _rate_columns(table: ReportTable) -> list[int]:
    return [i for i in range(len(table.columns)) if all(cells[i].kind == "rate" for _, cells in table.rows)]


def _draw_survival(figure: Figure, table: ReportTable) -> None:
    """Share of chains that got through at least k tasks."""
    axes = figure.subplots()
    _lines(axes, table, [i for i in _rate_columns(table) if table.columns[i].isdigit()])
    axes.set_xlabel("tasks in a row")
    axes.set_ylabel("chains that got so far [%]")
    _finish(figure, axes)


def _draw_rates(figure: Figure, table: ReportTable) -> None:
    """Success per column: over horizons as lines, over families and the like as points."""
    axes = figure.subplots()
    rates = _rate_columns(table)
    horizons = [i for i in rates if re.fullmatch(r"h\d+", table.columns[i])]
    _lines(axes, table, horizons or rates, joined=bool(horizons))
    axes.set_ylabel("success [%]")
    _finish(figure, axes)


def _lines(axes: Axes, table: ReportTable, columns: Sequence[int], joined: bool = True) -> None:
    for number, (name, cells) in enumerate(table.rows):
        # Runs stand a little beside each other, so that their intervals can be seen.
        offset = 0.08 * (number - (len(table.rows) - 1) / 2)
        points = [(place + offset, cells[i]) for place, i in enumerate(columns) if cells[i].value is not None]
        _error_bars(axes, points, number, name, "-" if joined else "none")
    axes.set_xticks(range(len(columns)), [table.columns[i] for i in columns])


def _error_bars(axes: Axes, points: Sequence[tuple[float, CellValue]], number: int, label: str, line: str) -> None:
    values = [100 * float(cell.value or 0) for _, cell in points]
    bounds = [known(cell.interval) for _, cell in points]
    errors = [
        [value - 100 * bound.low if bound else 0.0 for value, bound in zip(values, bounds, strict=True)],
        [100 * bound.high - value if bound else 0.0 for value, bound in zip(values, bounds, strict=True)],
    ]
    axes.errorbar(
        [x for x, _ in points],
        values,
        yerr=[[max(0.0, error) for error in side] for side in errors],
        color=COLOURS[number % len(COLOURS)],
        marker=MARKERS[number % len(MARKERS)],
        linestyle=line,
        markersize=4,
        capsize=2,
        linewidth=1.2,
        label=plain(label),
    )


def _finish(figure: Figure, axes: Axes) -> None:
    axes.set_ylim(-3, 103)
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)  # inside it would cover intervals


def _draw_forest(figure: Figure, table: ReportTable) -> None:
    """Paired differences with their intervals; a zero line. Rates and means have a panel each."""
    entries = [
        (f"{name}: {column}", cell)
        for name, cells in table.rows
        for column, cell in zip(table.columns, cells, strict=True)
        if cell.kind.endswith("difference") and cell.value is not None
    ]
    kinds = [kind for kind in ("rate difference", "mean difference") if any(c.kind == kind for _, c in entries)]
    heights = [sum(cell.kind == kind for _, cell in entries) for kind in kinds]
    figure.set_size_inches(6.4, 1.0 + 0.22 * len(entries) + 0.4 * len(kinds))
    if not kinds:
        return
    panels = figure.subplots(len(kinds), 1, squeeze=False, height_ratios=heights)[:, 0]
    for kind, axes in zip(kinds, panels, strict=True):
        chosen = [(name, cell) for name, cell in entries if cell.kind == kind]
        factor = 100 if kind == "rate difference" else 1
        for place, (_, cell) in enumerate(chosen):
            value, bound = factor * float(cell.value or 0), known(cell.interval)
            if bound is not None:
                axes.plot([factor * bound.low, factor * bound.high], [place, place], color="#555555", linewidth=1.2)
            clear = cell.p_value is not None and cell.p_value < 0.05
            axes.plot(value, place, marker="o", color=COLOURS[0] if clear else "white", markeredgecolor=COLOURS[0])
        axes.axvline(0, color="#888888", linewidth=0.8)
        axes.set_yticks(range(len(chosen)), [plain(name) for name, _ in chosen])
        axes.set_ylim(len(chosen) - 0.5, -0.5)
        unit = "percentage points" if kind == "rate difference" else "difference of means"
        axes.set_xlabel(f"{unit} (filled: p < 0.05 after Holm)")


def _draw_pareto(figure: Figure, table: ReportTable) -> None:
    """Success against agent seconds per decision; efficient runs are ringed."""
    axes = figure.subplots()
    seconds, success = table.columns.index("agent s"), table.columns.index("success")
    efficient = table.columns.index("efficient")
    for number, (name, cells) in enumerate(table.rows):
        cost = cells[seconds].value
        if not isinstance(cost, float) or cells[success].value is None:
            continue
        cost = max(cost, 1e-7)
        _error_bars(axes, [(cost, cells[success])], number, name, "none")
        if cells[efficient].value == "yes":
            rate = 100 * float(cells[success].value or 0)
            axes.plot(cost, rate, "o", markersize=11, markerfacecolor="none", markeredgecolor="#555555")
    axes.set_xscale("log")
    axes.set_xlabel("agent seconds per decision (ringed: efficient)")
    axes.set_ylabel("success [%]")
    _finish(figure, axes)


def plain(label: str) -> str:
    """A label that matplotlib prints as it is, without mathematics, and not too long."""
    short = label if len(label) <= 60 else label[:59] + "…"
    return short.replace("$", r"\$")
