"""Numbers as the pages print them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from results.cells import CellValue


@dataclass(frozen=True)
class CellView:
    """A cell as text: the number, its interval and counts that stand below it, and what it is sorted by."""

    text: str | None
    detail: str
    counts: str
    sort: float | None


def cell_view(cell: CellValue) -> CellView:
    """A number, its interval and its counts."""
    value = cell.value
    if value is None or isinstance(value, str):
        return CellView(value, "", f"{cell.errors} errors" if cell.errors else "", None)
    if cell.kind not in ("rate", "mean"):
        return CellView(f"{value:,.4g}" if isinstance(value, float) else f"{value:,}", "", "", float(value))
    known = cell.interval is not None and not math.isnan(cell.interval.low)
    scale, digits = (100, 1) if cell.kind == "rate" else (1, 2)
    ends = (cell.interval.low, cell.interval.high) if known and cell.interval else ()
    interval = "\u2013".join(f"{scale * end:.{digits}f}" for end in ends)
    counts = f"{cell.successes}/{cell.count}" if cell.kind == "rate" else f"n = {cell.count}"
    return CellView(f"{scale * value:.{digits}f}{'%' if cell.kind == 'rate' else ''}", interval, counts, float(value))


def seconds_text(seconds: float | None) -> str:
    """A duration with three digits in the unit that suits it."""
    if seconds is None:
        return "\u2013"
    factor, unit = next((pair for pair in ((1, "s"), (1e3, "ms")) if seconds * pair[0] >= 1), (1e6, "µs"))
    return f"{seconds * factor:.3g} {unit}"
