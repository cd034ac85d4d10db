"""The cells of a report: their numbers, and the one text that every format prints for them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from harness.interfaces import Cell, MeanCell, RateCell
from harness.statistics import Interval, cluster_bootstrap, wilson
from results.paired import PairedDifference

CellKind = Literal["rate", "mean", "number", "text", "rate difference", "mean difference"]


@dataclass(frozen=True)
class CellValue:
    """A cell with its numbers worked out.

    Attributes:
        kind: What it is.
        value: The rate in [0, 1], the mean, the number, the difference or the text; ``None`` where there is none.
        interval: 95 %: Wilson for rates, cluster bootstrap (BCa) for means, see `results.paired` for differences.
        successes: Of a rate.
        count: Episodes behind a rate or a mean; pairs of episodes behind a difference.
        errors: Episodes that are not in it because they ended in an error.
        p_value: Of a difference, after Holm's correction over the cells of its table's column.
        best: Whether no agent of the same column is shown to be better, see `results.ties`.
        sample: The value of each episode, indexed by the rows of the run's frame; ``None`` where it is not known.
        clusters: Of a mean: what each value is resampled together with, indexed as ``sample``.
        better: Which values are preferable.
    """

    kind: CellKind
    value: float | int | str | None
    interval: Interval | None = None
    successes: int | None = None
    count: int | None = None
    errors: int = 0
    p_value: float | None = None
    best: bool = False
    sample: pd.Series[Any] | None = field(default=None, compare=False, repr=False)
    clusters: pd.Series[Any] | None = field(default=None, compare=False, repr=False)
    better: Literal["higher", "lower"] = "higher"


def work_out(cell: Cell) -> CellValue:
    """The numbers behind a cell."""
    if isinstance(cell, RateCell):
        rate = cell.successes / cell.valid if cell.valid else None
        distinct = cell.valid if cell.distinct is None else cell.distinct
        interval = wilson(rate * distinct, distinct) if rate is not None else None
        return CellValue("rate", rate, interval, cell.successes, cell.valid, cell.errors, sample=cell.verdicts)
    if isinstance(cell, MeanCell):
        if not cell.values:
            return CellValue("mean", None, None, None, 0)
        values = np.asarray(cell.values, dtype=float)
        rows = None if cell.rows is None else pd.Index(cell.rows)
        return CellValue(
            "mean",
            float(values.mean()),
            cluster_bootstrap(values, cell.clusters),
            count=len(values),
            sample=None if rows is None else pd.Series(values, index=rows),
            clusters=None if rows is None or cell.clusters is None else pd.Series(cell.clusters, index=rows),
            better=cell.better,
        )
    return CellValue("text" if isinstance(cell, str) else "number", cell)


def difference_cell(difference: PairedDifference | None, adjusted_p: float | None = None) -> CellValue:
    """A paired difference as a cell."""
    if difference is None:
        return CellValue("rate difference", None, count=0)
    kind: CellKind = "rate difference" if difference.rate else "mean difference"
    p_value = difference.p_value if adjusted_p is None else adjusted_p
    return CellValue(kind, difference.difference, difference.interval, count=difference.pairs, p_value=p_value)


def cell_text(cell: CellValue) -> str:
    """For example ``95.0% [86.3, 98.3] (57/60)`` or ``-12.0 pp [-20.1, -3.9] (60 pairs, p = 0.004)``."""
    if cell.value is None:
        return f"- ({cell.errors} errors)" if cell.errors else "-"
    if isinstance(cell.value, str):
        return cell.value
    if cell.kind == "rate":
        errors = f", {cell.errors} errors" if cell.errors else ""
        return f"{cell.value:.1%}{_bracket(cell, 100, 1)} ({cell.successes}/{cell.count}{errors})"
    if cell.kind == "mean":
        return f"{cell.value:.2f}{_bracket(cell, 1, 2)} ({cell.count})"
    if cell.kind == "rate difference":
        return f"{100 * cell.value:+.1f} pp{_bracket(cell, 100, 1)} ({cell.count} pairs, {p_text(cell.p_value)})"
    if cell.kind == "mean difference":
        return f"{cell.value:+.2f}{_bracket(cell, 1, 2)} ({cell.count} pairs, {p_text(cell.p_value)})"
    return f"{cell.value:.3g}" if isinstance(cell.value, float) else str(cell.value)


def p_text(p_value: float | None) -> str:
    """For example ``p = 0.004``."""
    if p_value is None:
        return "p -"
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def known(interval: Interval | None) -> Interval | None:
    """The interval, if it has bounds."""
    return None if interval is None or math.isnan(interval.low) else interval


def _bracket(cell: CellValue, factor: float, digits: int) -> str:
    interval = known(cell.interval)
    if interval is None:
        return ""
    return f" [{factor * interval.low:.{digits}f}, {factor * interval.high:.{digits}f}]"
