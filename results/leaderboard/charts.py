"""Small charts as inline SVG: points with intervals. Colours come from the style sheet, so both themes fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from markupsafe import Markup

from results.cells import CellValue

WIDTH = 372
LETTER = 6
"""Width of a letter, about."""

COLOURS = 6
"""Classes ``c0`` to ``c5`` of the style sheet."""


@dataclass(frozen=True)
class Series:
    """One run in a chart: its name, and a cell per position (``None`` where it has none)."""

    name: str
    cells: tuple[CellValue | None, ...]


def forest(series: Sequence[Series], unit: str) -> Markup:
    """One line per run with its first cell as a point and its interval as a whisker."""
    names = min(130, 12 + LETTER * max(len(one.name) for one in series))
    row, top = 22, 6
    height = top + row * len(series) + 26
    ends = [bound for one in series for bound in _bounds(one.cells[0])]
    scale, ticks = _axis(min([0.0, *ends]), max([1.0 if unit == "%" else 0.0, *ends]), names, WIDTH - 12)
    parts = [_tick(scale(at), top, height - 22, _number(at, unit), height - 8) for at in ticks]
    for index, one in enumerate(series):
        cell, y = one.cells[0], top + row * index + row / 2
        parts.append(_text(names - 8, y + 4, _short(one.name, 20), "end", title=one.name))
        if cell is not None and isinstance(cell.value, int | float):
            parts += _point(scale(float(cell.value)), y, [scale(bound) for bound in _bounds(cell)], 0, flat=True)
    return _svg(height, parts, f"Point and 95 % interval of {len(series)} runs")


def profile(series: Sequence[Series], columns: Sequence[str], joined: bool) -> Markup:
    """Rates over columns, one colour per run; ``joined`` draws lines where the columns have an order."""
    left, right, top, bottom = 38, WIDTH - 8, 8, 200
    slanted = max(map(len, columns)) * LETTER > (right - left) / len(columns)
    legend = bottom + (104 if slanted else 42)
    height = legend + 18 * len(series)
    scale, ticks = _axis(0.0, 1.0, bottom, top)
    step = (right - left) / len(columns)
    parts = [_rule(left, right, scale(at)) + _text(left - 6, scale(at) + 4, _number(at, "%"), "end") for at in ticks]
    for index, column in enumerate(columns):
        parts.append(_column(left + step * (index + 0.5), bottom + 18, column, slanted))
    for number, one in enumerate(series[:COLOURS]):
        shift = (number - (min(len(series), COLOURS) - 1) / 2) * min(9.0, step / (COLOURS + 2))
        spots = [
            (left + step * (index + 0.5) + shift, cell)
            for index, cell in enumerate(one.cells)
            if cell is not None and isinstance(cell.value, float)
        ]
        if joined and len(spots) > 1:
            path = " ".join(f"{x:.1f},{scale(float(cell.value or 0)):.1f}" for x, cell in spots)
            parts.append(f'<polyline class="line c{number}" points="{path}"/>')
        for x, cell in spots:
            parts += _point(x, scale(float(cell.value or 0)), [scale(bound) for bound in _bounds(cell)], number)
        y = legend + 18 * number
        parts.append(f'<rect class="mark c{number}" x="{left}" y="{y - 8}" width="9" height="9" rx="1"/>')
        parts.append(_text(left + 16, y, _short(one.name, 52), "start", one.name))
    return _svg(height, parts, f"Rates of {len(series)} runs over {', '.join(columns)}")


def scatter(series: Sequence[Series], seconds: Sequence[float], unit: str, top_value: float) -> Markup:
    """Score over seconds per decision (logarithmic); the dashed line joins runs that nothing beats at less cost."""
    left, right, top, bottom = 38, WIDTH - 12, 12, 210
    low, high = math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds)) + 1e-9)
    high = max(high, low + 1)

    def place(value: float) -> float:
        return left + (math.log10(value) - low) / (high - low) * (right - left)

    scale, ticks = _axis(0.0, top_value, bottom, top)
    parts = [_rule(left, right, scale(at)) + _text(left - 6, scale(at) + 4, _number(at, unit), "end") for at in ticks]
    for power in range(low, high + 1):
        parts.append(_tick(place(10.0**power), top, bottom, _seconds(power), bottom + 16))
    points = [
        (place(cost), one, one.cells[0])
        for one, cost in zip(series, seconds, strict=True)
        if one.cells[0] is not None and isinstance(one.cells[0].value, int | float)
    ]
    front, best = [], -math.inf
    for x, _, cell in sorted(points, key=lambda point: (point[0], -float(point[2].value or 0))):
        if float(cell.value or 0) > best:
            best = float(cell.value or 0)
            front.append(f"{x:.1f},{scale(best):.1f}")
    parts.append(f'<polyline class="front" points="{" ".join(front)}"/>')
    taken: list[tuple[float, float]] = []
    for x, one, cell in points:
        y = scale(float(cell.value or 0))
        parts += _point(x, y, [scale(bound) for bound in _bounds(cell)], 0, title=one.name)
        name = _short(one.name, 22)
        begin = x + 8 if x < (left + right) / 2 else x - 8 - LETTER * len(name)
        # A name that would cover another one is left to the tooltip.
        if all(
            abs(y - other) > 13 or begin + LETTER * len(name) < start or begin > start + LETTER * 22
            for start, other in taken
        ):
            taken.append((begin, y))
            parts.append(
                _text(x + 8, y - 6, name, "start", one.name)
                if begin > x
                else _text(x - 8, y - 6, name, "end", one.name)
            )
    return _svg(bottom + 24, parts, f"Score over seconds per decision of {len(points)} runs")


def _axis(low: float, high: float, start: float, end: float) -> tuple[Callable[[float], float], list[float]]:
    """A linear scale from values to coordinates, and round values on it."""
    span = (high - low) or 1.0
    raw = span / 5
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.99)
    ticks = [step * index for index in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]
    return (lambda value: start + (value - low) / span * (end - start)), ticks


def _bounds(cell: CellValue | None) -> list[float]:
    if cell is None or cell.interval is None or math.isnan(cell.interval.low):
        return []
    return [cell.interval.low, cell.interval.high]


def _point(
    x: float, y: float, bounds: Sequence[float], colour: int, *, flat: bool = False, title: str = ""
) -> list[str]:
    parts = []
    if bounds:
        low, high = bounds
        ends = (low, y, high, y) if flat else (x, low, x, high)
        line = " ".join(f'{name}="{value:.1f}"' for name, value in zip(("x1", "y1", "x2", "y2"), ends, strict=True))
        parts.append(f'<line class="whisker c{colour}" {line}/>')
    tip = f"<title>{escape(title)}</title>" if title else ""
    parts.append(f'<circle class="mark c{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.5">{tip}</circle>')
    return parts


def _tick(x: float, top: float, bottom: float, label: str, base: float) -> str:
    return f'<line class="rule" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}"/>' + _text(x, base, label, "middle")


def _rule(left: float, right: float, y: float) -> str:
    return f'<line class="rule" x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, title: str = "") -> str:
    tip = f"<title>{escape(title)}</title>" if title and title != text else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}{tip}</text>'


def _column(x: float, y: float, name: str, slanted: bool) -> str:
    if not slanted:
        return _text(x, y, name, "middle")
    return f'<g transform="rotate(-28 {x:.1f} {y:.1f})">{_text(x, y, _short(name, 22), "end", name)}</g>'


def _svg(height: float, parts: Sequence[str], label: str) -> Markup:
    # All texts in the parts went through `_text` or `_point`, which escape them.
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label={quoteattr(label)}>{"".join(parts)}</svg>'
    )


def _number(value: float, unit: str) -> str:
    return f"{100 * value:.0f}%" if unit == "%" else f"{value:g}"


def _seconds(power: int) -> str:
    if power >= 0:
        return f"{10**power} s"
    return f"{10 ** (power + 3)} ms" if power >= -3 else f"{10 ** (power + 6)} µs" if power >= -6 else f"1e{power} s"


def _short(text: str, length: int) -> str:
    return text if len(text) <= max(length, 4) else text[: max(length, 4) - 1] + "…"
