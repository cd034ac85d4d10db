"""Rankings as pages show them: comparable runs, their ranks, cells as texts, and charts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from results.cells import CellValue
from results.leaderboard import charts
from results.leaderboard.ranking import Ranking, rank
from results.leaderboard.runs import SiteRun
from results.leaderboard.texts import CellView, cell_view, seconds_text
from results.runs import run_labels

MOST_ERRORS = 0.02
"""Share of errors above which a run has no rank; a run itself counts as broken above it (``errors.threshold``). An
agent that breaks down where it would fail must not gain by it."""

CHART_ROWS = 30
"""Runs in the chart of intervals; the table has them all."""


@dataclass(frozen=True)
class BarView:
    """An interval on a scale from 0 to 100."""

    point: float
    low: float | None
    width: float | None
    label: str


@dataclass(frozen=True)
class Row:
    """A run in a ranking; ``band`` alternates from rank to rank."""

    run: SiteRun
    label: str
    subtitle: str
    rank: int | None
    rank_text: str
    rank_why: str
    band: int
    headline: CellView
    bar: BarView | None
    cells: tuple[CellView, ...]

    @property
    def seconds(self) -> str:
        """Of the agent, per decision."""
        return seconds_text(self.run.seconds)

    @property
    def find(self) -> str:
        """What the filter looks at."""
        return f"{self.label} {self.run.summary.commit} {self.run.id}".lower()


@dataclass(frozen=True)
class Metric:
    """What runs are ranked by."""

    title: str
    name: str
    unit: str
    top: float


@dataclass(frozen=True)
class Chart:
    """A chart and what has to be known about it."""

    title: str
    svg: Markup
    note: str


@dataclass(frozen=True)
class Board:
    """One ranking: runs of the same episodes under the same protocol."""

    id: str
    benchmark: str
    protocol: str
    protocol_hash: str
    episodes: int
    deviations: tuple[str, ...]
    metric: Metric
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    charts: tuple[Chart, ...]
    tie_note: str


def build_boards(runs: Sequence[SiteRun]) -> list[Board]:
    """All rankings: standard ones first, then by the number of runs."""
    groups: dict[str, list[SiteRun]] = {}
    for run in runs:
        groups.setdefault(run.comparable_with, []).append(run)
    boards = [_board(key, group) for key, group in groups.items()]
    return sorted(boards, key=lambda board: (bool(board.deviations), -len(board.rows), board.protocol, board.id))


def _board(key: str, runs: list[SiteRun]) -> Board:
    first = runs[0]
    metric = (
        Metric("Average length", "average number of tasks completed in a row", "", float(first.chains))
        if first.chains > 1
        else Metric("Success", "success rate", "%", 1.0)
    )
    columns, cells = _columns(runs)
    rows = _rows(runs, cells, metric)
    return Board(
        id=key,
        benchmark=first.identity.benchmark,
        protocol=first.identity.protocol_id,
        protocol_hash=first.identity.protocol_hash,
        episodes=first.summary.planned,
        deviations=first.summary.deviations,
        metric=metric,
        columns=columns,
        rows=tuple(rows),
        charts=tuple(_charts(rows, metric)),
        tie_note=_tie_note(metric, math.comb(sum(not _why_unranked(run) for run in runs), 2)),
    )


def _tie_note(metric: Metric, pairs: int) -> str:
    if pairs == 0:
        return "There are no two runs here that could be ranked against each other."
    test = "McNemar's exact test" if metric.unit == "%" else "exact permutation test"
    return (
        f"Rank: one more than the number of runs that are significantly better ({test}, paired by episode, "
        f"Holm's correction over {pairs:,} pair{'' if pairs == 1 else 's'}, 5 %). “=”: shared with another run."
    )


def _columns(runs: Sequence[SiteRun]) -> tuple[tuple[str, ...], list[list[CellValue]]]:
    """The benchmark's one-line tables side by side, without the column that is the headline again."""
    names: list[str] = []
    cells: list[list[CellValue]] = [[] for _ in runs]
    for index, table in enumerate(runs[0].tables):
        if not table.one_line:
            continue
        for column, name in enumerate(table.columns):
            own = [run.tables[index].rows[0][1][column] for run in runs]
            same = all(
                (cell.kind, cell.value, cell.count) == (run.headline.kind, run.headline.value, run.headline.count)
                for cell, run in zip(own, runs, strict=True)
            )
            if not same:
                names.append(name)
                for row, cell in zip(cells, own, strict=True):
                    row.append(cell)
    return tuple(names), cells


def _rows(runs: Sequence[SiteRun], cells: Sequence[Sequence[CellValue]], metric: Metric) -> list[Row]:
    ranked = [index for index, run in enumerate(runs) if not _why_unranked(run)]
    ranking = Ranking((), ())
    if ranked:
        clusters = pd.factorize(np.array(runs[0].episodes.ids, dtype=object))[0]
        ranking = rank(np.stack([runs[index].scores for index in ranked]), clusters)
    labels = run_labels([run.summary for run in runs])
    ranks: dict[int, int] = dict(zip(ranked, ranking.ranks, strict=True))
    order = sorted(range(len(runs)), key=lambda index: _sort_key(runs[index]))
    bands: dict[int, int] = {number: place % 2 for place, number in enumerate(sorted(set(ranks.values())))}
    rows = []
    for index in order:
        run, number = runs[index], ranks.get(index)
        if number is None:
            text, why = "ref." if run.summary.privileged else "\u2013", _why_unranked(run)
        else:
            rivals = [ranked[rival] for rival in ranking.rivals[ranked.index(index)]]
            text = f"{number}{'=' if list(ranks.values()).count(number) > 1 else ''}"
            names = ", ".join(labels[rival] for rival in rivals[:8])
            more = f" and {len(rivals) - 8} more" if len(rivals) > 8 else ""
            why = f"no test tells it apart from {names}{more}" if rivals else "told apart from every other run"
            why = why if len(ranked) > 1 else "the only run that has a rank"
        rows.append(
            Row(
                run=run,
                label=labels[index],
                subtitle=_subtitle(run, labels[index]),
                rank=number,
                rank_text=text,
                rank_why=why,
                band=0 if number is None else bands[number],
                headline=cell_view(run.headline),
                bar=_bar(run.headline, metric),
                cells=tuple(map(cell_view, cells[index])),
            )
        )
    return rows


def _why_unranked(run: SiteRun) -> str:
    """Empty if it has a rank."""
    if run.summary.privileged:
        return "reads ground truth: a reference without a rank"
    if run.summary.errors > MOST_ERRORS * run.summary.planned:
        return f"more than {MOST_ERRORS:.0%} of its episodes ended in an error"
    return ""


def _subtitle(run: SiteRun, label: str) -> str:
    """What a label adds to the agent's name."""
    rest = label.removeprefix(f"{run.summary.agent}{run.summary.marks}").strip()
    return rest[1:-1] if rest.startswith("(") and rest.endswith(")") else rest


def _sort_key(run: SiteRun) -> tuple[float, str, str]:
    value = run.headline.value
    return (-float(value) if isinstance(value, int | float) else math.inf, run.summary.agent, run.id)


def _bar(cell: CellValue, metric: Metric) -> BarView | None:
    if not isinstance(cell.value, int | float):
        return None
    scale = 100 / metric.top
    view = cell_view(cell)
    if cell.interval is None or math.isnan(cell.interval.low):
        return BarView(round(scale * cell.value, 2), None, None, f"{view.text}")
    low, high = scale * cell.interval.low, scale * cell.interval.high
    label = f"{view.text}, 95 % interval {view.detail}"
    return BarView(round(scale * cell.value, 2), round(low, 2), round(high - low, 2), label)


def _charts(rows: Sequence[Row], metric: Metric) -> list[Chart]:
    shown = list(rows[:CHART_ROWS])
    names = _chart_names(shown)
    heads = [charts.Series(name, (row.run.headline,)) for name, row in zip(names, shown, strict=True)]
    cut = f" The first {CHART_ROWS} of {len(rows)} runs." if len(rows) > CHART_ROWS else ""
    profile = _profile(shown, names)
    made = [] if profile is None else [profile]
    if len(shown) == 1:
        return made
    made.insert(0, Chart(metric.title, charts.forest(heads, metric.unit), f"Points with 95 % intervals.{cut}"))
    timed = [(row, head) for row, head in zip(shown, heads, strict=True) if row.run.seconds]
    if timed:
        seconds = [float(row.run.seconds or 0) for row, _ in timed]
        svg = charts.scatter([head for _, head in timed], seconds, metric.unit, metric.top)
        note = (
            "Mean wall-clock time of the agent per decision, on its own hardware. Dashed: nothing scores more for less."
        )
        made.append(Chart(f"{metric.title} and compute", svg, note + cut))
    return made


def _chart_names(rows: Sequence[Row]) -> list[str]:
    """As short as tells the runs apart."""
    names = [f"{row.run.summary.agent}{row.run.summary.marks}" for row in rows]
    if len(set(names)) == 1 < len(names):
        return [row.subtitle for row in rows]
    return [name if names.count(name) == 1 else row.label for name, row in zip(names, rows, strict=True)]


def _profile(rows: Sequence[Row], names: Sequence[str]) -> Chart | None:
    """Rates over the columns of the first one-line table: chain survival, success by horizon, or by family."""
    table = next((table for table in rows[0].run.tables if table.one_line), None)
    if table is None:
        return None
    kinds = [cell.kind for cell in table.rows[0][1]]
    wanted = [
        index
        for index, (column, kind) in enumerate(zip(table.columns, kinds, strict=True))
        if kind == "rate" and not column.startswith("average")
    ]
    if len(wanted) < 2:
        return None
    own = [next(one for one in row.run.tables if one.key == table.key).rows[0][1] for row in rows[: charts.COLOURS]]
    series = [
        charts.Series(name, tuple(cells[index] for index in wanted)) for name, cells in zip(names, own, strict=False)
    ]
    columns = [table.columns[index] for index in wanted]
    ordered = all(re.fullmatch(r"[a-z]?\d+", column) for column in columns)
    cut = f" The first {charts.COLOURS} of {len(rows)} runs." if len(rows) > charts.COLOURS else ""
    svg = charts.profile(series, columns, joined=ordered)
    return Chart(table.title, svg, f"Rates with 95 % Wilson intervals.{cut}")
