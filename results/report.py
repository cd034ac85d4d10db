"""From run stores to tables with intervals: what is measured, over which episodes, and how sure it is.

All rates and means of a report are over the same episodes: those that ended with a verdict (``valid``). Episodes that
ended in an error, or are missing, are counted beside them, and the success rate's bounds say what they could change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.instantiate import build_benchmark
from harness.interfaces import Cell, MeanCell, RateCell, Table
from harness.statistics import Interval, cluster_bootstrap, wilson
from harness.store import RunReader, StoreError


@dataclass(frozen=True)
class CellValue:
    """A cell with its numbers worked out.

    Attributes:
        kind: ``rate``, ``mean``, ``number`` or ``text``.
        value: The rate in [0, 1], the mean, the number or the text; ``None`` where there are no episodes.
        interval: 95 %: Wilson for rates, cluster bootstrap for means.
        successes: Of a rate.
        count: Episodes behind a rate or a mean.
        errors: Episodes that are not in it because they ended in an error.
    """

    kind: str
    value: float | int | str | None
    interval: Interval | None = None
    successes: int | None = None
    count: int | None = None
    errors: int = 0


@dataclass(frozen=True)
class RunSummary:
    """The facts about one run that stand above its tables."""

    run: str
    benchmark: str
    protocol: str
    protocol_hash: str
    agent: str
    privileged: bool
    seed: int
    deviations: tuple[str, ...]
    planned: int
    valid: int
    successes: int
    errors: int
    missing: int
    retried: int
    errors_by_phase: dict[str, int]
    commit: str
    run_key: str

    @property
    def label(self) -> str:
        """The run's row name: agent, seed and marks."""
        marks = ("*" if self.privileged else "") + ("†" if self.deviations else "")
        return f"{self.agent}{marks} (seed {self.seed})"

    @property
    def bounds(self) -> tuple[float, float]:
        """Success rate over all planned episodes if everything without a verdict failed, and if it succeeded."""
        unknown = self.errors + self.missing
        return self.successes / self.planned, (self.successes + unknown) / self.planned


@dataclass(frozen=True)
class ReportTable:
    """A table of one or more runs under one protocol."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[CellValue, ...]], ...]


@dataclass(frozen=True)
class Report:
    """Everything that the renderers need."""

    runs: tuple[RunSummary, ...]
    tables: tuple[ReportTable, ...]


def build_report(run_dirs: Sequence[Path]) -> Report:
    """Read the stores and work out every cell.

    Runs under the same protocol (same hash) share their one-line tables, one row per run. Runs under different ones
    never share a table.
    """
    loaded = [_load(path) for path in run_dirs]
    tables: list[ReportTable] = []
    for protocol_hash in dict.fromkeys(summary.protocol_hash for summary, _ in loaded):
        group = [(summary, own) for summary, own in loaded if summary.protocol_hash == protocol_hash]
        tables += _joined(group)
        tables += [
            ReportTable(table.key, f"{summary.label}: {table.title}", table.columns, _rows(table))
            for summary, own in group
            for table in own
            if not table.one_line
        ]
    return Report(tuple(summary for summary, _ in loaded), tuple(tables))


def work_out(cell: Cell) -> CellValue:
    """The numbers behind a cell."""
    if isinstance(cell, RateCell):
        rate = cell.successes / cell.valid if cell.valid else None
        interval = wilson(cell.successes, cell.valid) if cell.valid else None
        return CellValue("rate", rate, interval, cell.successes, cell.valid, cell.errors)
    if isinstance(cell, MeanCell):
        if not cell.values:
            return CellValue("mean", None, None, None, 0)
        mean = sum(cell.values) / len(cell.values)
        return CellValue("mean", mean, cluster_bootstrap(cell.values, cell.clusters), None, len(cell.values))
    return CellValue("text" if isinstance(cell, str) else "number", cell)


def _load(run_dir: Path) -> tuple[RunSummary, Sequence[Table]]:
    with RunReader(run_dir) as reader:
        if reader.is_collection:
            raise StoreError(
                f"{run_dir} is a collection of training data, not an evaluation; see its dataset/README.md"
            )
        frame = reader.frame()
        config = reader.meta("config")
        summary = _summary(reader, frame)
    benchmark = build_benchmark(config["benchmark"], config["protocol"])
    return summary, benchmark.summarise(frame)


def _summary(reader: RunReader, frame: pd.DataFrame) -> RunSummary:
    identity = reader.identity
    attempts = reader.attempts()
    failed = attempts[attempts["outcome"] == "error"]
    final_errors = failed[failed["final"] == 1]
    sessions = reader.sessions()
    git: dict[str, Any] = (sessions[0]["provenance"].get("git") if sessions else None) or {}
    return RunSummary(
        run=str(reader.run_dir),
        benchmark=identity.benchmark,
        protocol=identity.protocol_id,
        protocol_hash=identity.protocol_hash,
        agent=str(identity.agent["name"]),
        privileged=bool(reader.meta("privileged")),
        seed=identity.seed,
        deviations=tuple(reader.meta("deviations")),
        planned=len(frame),
        valid=int(frame["outcome"].isin(["success", "failure"]).sum()),
        successes=int(frame["success"].sum()),
        errors=int((frame["outcome"] == "error").sum()),
        missing=int((frame["outcome"] == "missing").sum()),
        retried=len(failed) - len(final_errors),
        errors_by_phase={str(phase): int(n) for phase, n in final_errors["error_phase"].value_counts().items()},
        commit=str(git.get("commit", "unknown"))[:12] + ("+changes" if git.get("dirty") else ""),
        run_key=str(reader.meta("run_key")),
    )


def _joined(group: Sequence[tuple[RunSummary, Sequence[Table]]]) -> list[ReportTable]:
    """One-line tables of runs under one protocol, put under each other."""
    joined = []
    first = next(own for _, own in group)
    for template in (table for table in first if table.one_line):
        rows = []
        for summary, own in group:
            table = next(table for table in own if table.key == template.key)
            rows.append((summary.label, tuple(work_out(cell) for cell in table.rows[0][1])))
        title = f"{group[0][0].protocol}: {template.title}"
        joined.append(ReportTable(template.key, title, template.columns, tuple(rows)))
    return joined


def _rows(table: Table) -> tuple[tuple[str, tuple[CellValue, ...]], ...]:
    return tuple((name, tuple(work_out(cell) for cell in cells)) for name, cells in table.rows)
