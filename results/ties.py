"""Which agents of a table are best: by test, not by digits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from results.cells import CellValue
from results.paired import PairedDifference, holm, paired_difference
from results.runs import LoadedRun, PairedRows

LEVEL = 0.05

Row = tuple[LoadedRun, tuple[CellValue, ...]]


def mark_best(rows: Sequence[Row]) -> list[Row]:
    """Mark in each column the agent with the best value, and those that are not shown to be worse.

    Each other agent is tested against the one with the best value, paired by episode (`compare_cells`), with Holm's
    correction over the agents of the column: those with an adjusted p-value of at least 0.05 are tied with it, and so
    are those that are better over the episodes that both have. Privileged agents take no part, unless all are, nor do
    agents that share no episode and seed with the best one. A column in which none can be compared with the best one,
    or all are equal, has no best.
    """
    ranked = [row for row in rows if not row[0].summary.privileged] or list(rows)
    marked = {id(run): list(cells) for run, cells in rows}
    for column in range(len(rows[0][1]) if rows else 0):
        for run in _best([(run, cells[column]) for run, cells in ranked]):
            marked[id(run)][column] = replace(marked[id(run)][column], best=True)
    return [(run, tuple(marked[id(run)])) for run, _ in rows]


def _best(entries: Sequence[tuple[LoadedRun, CellValue]]) -> list[LoadedRun]:
    able = [(run, cell, float(cell.value)) for run, cell in entries if _is_ranked(cell) and cell.value is not None]
    if len({value for *_, value in able}) < 2:
        return []
    sign = -1.0 if able[0][1].better == "lower" else 1.0
    top, top_cell, _ = max(able, key=lambda entry: sign * entry[2])
    others = [(run, compare_cells(top, top_cell, run, cell)) for run, cell, _ in able if run is not top]
    compared = [(run, difference) for run, difference in others if difference is not None]
    adjusted = holm([difference.p_value for _, difference in compared])
    tied = [
        run
        for (run, difference), p_value in zip(compared, adjusted, strict=True)
        if p_value >= LEVEL or sign * difference.difference <= 0
    ]
    return [top, *tied] if compared else []


def _is_ranked(cell: CellValue) -> bool:
    return cell.kind in ("rate", "mean") and isinstance(cell.value, float) and cell.sample is not None


def compare_cells(
    first: LoadedRun, first_cell: CellValue, second: LoadedRun, second_cell: CellValue
) -> PairedDifference | None:
    """The same cell of two runs, paired by episode; ``None`` where there is nothing to pair.

    The clusters of a mean (templates, ...) are clusters of its differences as well; else repetitions of an episode are.
    """
    if first_cell.sample is None or second_cell.sample is None:
        return None
    pairing = PairedRows(first, second)
    one, other, rows = pairing.values(first_cell.sample, second_cell.sample)
    groups = first_cell.clusters
    clusters = pairing.repetitions(rows) if groups is None else groups.reindex(rows).to_numpy()
    return paired_difference(one, other, rate=first_cell.kind == "rate", clusters=clusters)
