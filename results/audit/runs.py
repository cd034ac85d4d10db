"""The audit of our own runs: the rows against each other, and the printed tables by the same rules as anybody's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.instantiate import build_benchmark
from harness.interfaces import MeanCell, RateCell, Table
from harness.store import RunReader
from results.audit.findings import Finding
from results.audit.grim import is_possible
from results.audit.tables import audit_table
from results.cells import CellValue, cell_text, work_out
from results.consistency import contradictions, lacking
from results.published import PublishedTable
from results.published.quantity import parse


def audit_run(reader: RunReader) -> list[Finding]:
    """Everything that a run's store and its tables claim; nothing is found in a run that is as it was recorded."""
    name = str(reader.run_dir)
    findings = [Finding("inconsistent", "rows", name, line) for line in contradictions(reader)]
    if findings:
        return findings  # tables of rows that contradict each other mean nothing
    missing = lacking(reader)
    if missing:
        findings.append(Finding("note", "missing", name, f"{len(missing)} episodes have no result yet"))
    config = reader.meta("config")
    benchmark = build_benchmark(config["benchmark"], config["protocol"])
    for table in benchmark.summarise(reader.frame()):
        findings += audit_measured(table, f"{name}, {table.title}")
    return findings


def audit_measured(table: Table, source: str) -> list[Finding]:
    """A measured table: counts, printed percentages, intervals, and columns that are averages of others."""
    for row, cells in table.rows:
        for column, cell in zip(table.columns, cells, strict=True):
            if isinstance(cell, RateCell) and not 0 <= cell.successes <= cell.valid:
                text = f"{row} {column}: {cell.successes} successes of {cell.valid}"
                return [Finding("inconsistent", "cell", source, text)]
    worked = [(row, [work_out(cell) for cell in cells]) for row, cells in table.rows]
    findings = [
        Finding("inconsistent", "cell", source, f"{row} {column}: {problem}")
        for row, cells in worked
        for column, cell in zip(table.columns, cells, strict=True)
        for problem in _cell_problems(cell)
    ]
    for index, (_, cells) in enumerate(table.rows):
        # A rounded mean of rounded rates may differ in its last digit; that is only noted, and says nothing here.
        found = audit_table(_printed(table, index, source, tuple(_relations(table, cells))))
        findings += [finding for finding in found if finding.level == "inconsistent"]
    return findings


def _cell_problems(cell: CellValue) -> Iterator[str]:
    """What is printed against the counts that stand beside it."""
    if cell.kind not in ("rate", "mean") or cell.value is None:
        return
    number = parse(cell_text(cell).split(" ", 1)[0])
    if number is None or not isinstance(cell.value, int | float):
        yield f"{cell_text(cell)} prints no number"
        return
    if cell.kind == "rate" and not is_possible(number, int(cell.count or 0)):
        yield f"{number.text} is impossible for {cell.count} episodes"
    interval = cell.interval
    # An unknown interval has nan bounds, which nothing is below or above.
    if interval is not None and (cell.value < interval.low - 1e-9 or cell.value > interval.high + 1e-9):
        yield f"{cell.value} is outside of its interval"


def _relations(table: Table, cells: Sequence[object]) -> Iterator[dict[str, object]]:
    """Of our benchmarks' columns: ``average`` pools the rates before it, ``average length`` sums them."""
    for index, column in enumerate(table.columns):
        before = list(zip(table.columns[:index], cells[:index], strict=True))
        rates = [(name, cell) for name, cell in before if isinstance(cell, RateCell) and cell.valid]
        if not rates or len(rates) < len(before):
            continue
        names = [name for name, _ in rates]
        if column == "average" and isinstance(cells[index], RateCell):
            yield {"is": "mean", "column": column, "of": names, "weights": [cell.valid for _, cell in rates]}
        if column == "average length" and isinstance(cells[index], MeanCell):
            yield {"is": "sum", "column": column, "of": names}
            yield {"is": "falling", "of": names}


def _printed(table: Table, index: int, source: str, relations: tuple[dict[str, object], ...]) -> PublishedTable:
    """One row as it is printed, without intervals and counts."""
    row, cells = table.rows[index]
    texts = tuple(cell_text(work_out(cell)).split(" ", 1)[0] for cell in cells)
    return PublishedTable(
        "", table.title, source, "measured", "", table.columns, ((row, texts),), (), relations=relations
    )
