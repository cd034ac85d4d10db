"""From run stores to tables with intervals: what is measured, over which episodes, and how sure it is.

All rates and means of a report are over the same episodes: those that ended with a verdict (``valid``). Episodes that
ended in an error, or are missing, are counted beside them, and the success rate's bounds say what they could change.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.identity import content_hash, difference
from harness.instantiate import build_benchmark
from harness.interfaces import Cell, MeanCell, RateCell, Table
from harness.statistics import Interval, cluster_bootstrap, wilson
from harness.store import RunReader, StoreError
from results.published import PublishedTable, published_tables


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

    arguments: dict[str, Any]
    fingerprint_changed: tuple[str, ...]
    episode_set: str
    label: str = ""
    """The run's row name: agent, seed, marks, and what tells it from other rows of the report."""

    @property
    def marks(self) -> str:
        """``*`` privileged, ``†`` non-standard, ``‡`` incomplete."""
        return ("*" if self.privileged else "") + ("†" if self.deviations else "") + ("‡" if self.missing else "")

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
    published: tuple[PublishedTable, ...] = ()


Loaded = tuple[RunSummary, Sequence[Table]]


def build_report(run_dirs: Sequence[Path]) -> Report:
    """Read the stores and work out every cell.

    Runs of the same episodes under the same protocol (same hash) share their one-line tables, one row per run. Others
    never share a table.

    Raises:
        StoreError: if a folder holds no run, or is given twice.
    """
    paths = [path.resolve() for path in run_dirs]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise StoreError(f"{twice} is given twice; each run can stand in a report once")
    loaded = _labelled([_load(path) for path in run_dirs])
    tables: list[ReportTable] = []
    for protocol, episodes in dict.fromkeys((s.protocol_hash, s.episode_set) for s, _ in loaded):
        group = [(s, own) for s, own in loaded if (s.protocol_hash, s.episode_set) == (protocol, episodes)]
        tables += _joined(group)
        tables += [
            ReportTable(table.key, f"{summary.label}: {table.title}", table.columns, _rows(table))
            for summary, own in group
            for table in own
            if not table.one_line
        ]
    tables += [_cost([(summary, path) for (summary, _), path in zip(loaded, run_dirs, strict=True)])]
    published = published_tables(summary.benchmark for summary, _ in loaded)
    return Report(tuple(summary for summary, _ in loaded), tuple(tables), published)


def work_out(cell: Cell) -> CellValue:
    """The numbers behind a cell."""
    if isinstance(cell, RateCell):
        rate = cell.successes / cell.valid if cell.valid else None
        distinct = cell.valid if cell.distinct is None else cell.distinct
        interval = wilson(round(rate * distinct), distinct) if rate is not None else None
        return CellValue("rate", rate, interval, cell.successes, cell.valid, cell.errors)
    if isinstance(cell, MeanCell):
        if not cell.values:
            return CellValue("mean", None, None, None, 0)
        mean = sum(cell.values) / len(cell.values)
        return CellValue("mean", mean, cluster_bootstrap(cell.values, cell.clusters), None, len(cell.values))
    return CellValue("text" if isinstance(cell, str) else "number", cell)


def _labelled(loaded: Sequence[Loaded]) -> list[Loaded]:
    """Row names that differ: where agent and seed do not tell runs apart, what differs of the agents' arguments does,
    else the folder.
    """
    stems = [f"{summary.agent}{summary.marks}" for summary, _ in loaded]
    named = []
    for stem, (summary, own) in zip(stems, loaded, strict=True):
        rivals = [other for other, _ in loaded if other is not summary and other.agent == summary.agent]
        differing = sorted({key for other in rivals for key in _differing(summary.arguments, other.arguments)})
        parts = [f"{key}={summary.arguments.get(key)}" for key in differing]
        named.append((replace(summary, label=f"{stem} ({', '.join([*parts, f'seed {summary.seed}'])})"), own))
    labels = [summary.label for summary, _ in named]
    return [
        (replace(s, label=f"{s.label} {Path(s.run).name}") if labels.count(s.label) > 1 else s, own) for s, own in named
    ]


def _differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


def _cost(runs: Sequence[tuple[RunSummary, Path]]) -> ReportTable:
    """Seconds per decision by who spent them, and what agents report of their computing, per decision."""
    rows = []
    for summary, path in runs:
        with RunReader(path) as reader:
            decisions, events = reader.decisions(), reader.events(final=True)
        numbers: dict[str, float] = {}
        for text in events[events["kind"] == "compute"]["data"]:
            for key, value in json.loads(text).items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    numbers[key] = numbers.get(key, 0.0) + value
        count = len(decisions)
        means = decisions.astype(float).mean(axis=0) if count else [None] * 3
        p95 = float(np.quantile(decisions[:, 1], 0.95)) if count else None
        compute = ", ".join(f"{key} {value / count:.3g}" for key, value in sorted(numbers.items())) if count else ""
        cells = [CellValue("number", count), *(CellValue("number", _float(mean)) for mean in means)]
        rows.append((summary.label, (*cells, CellValue("number", p95), CellValue("text", compute or "-"))))
    columns = ("decisions", "env s", "agent s", "render s", "agent s (p95)", "reported by the agent")
    return ReportTable("cost", "Cost per decision (wall-clock)", columns, tuple(rows))


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _load(run_dir: Path) -> Loaded:
    with RunReader(run_dir) as reader:
        if reader.is_collection:
            raise StoreError(
                f"{run_dir} is a collection of training data, not an evaluation; see its dataset/README.md"
            )
        frame = reader.frame()
        config = reader.meta("config")
        summary = _summary(reader, frame)
        recorded = reader.identity.fingerprint
    benchmark = build_benchmark(config["benchmark"], config["protocol"])
    changed = difference(dict(recorded), dict(benchmark.fingerprint()))
    return replace(summary, fingerprint_changed=tuple(changed)), benchmark.summarise(frame)


def _summary(reader: RunReader, frame: pd.DataFrame) -> RunSummary:
    identity = reader.identity
    attempts = reader.attempts()
    failed = attempts[attempts["outcome"] == "error"]
    final_errors = failed[failed["final"] == 1]
    sessions = reader.sessions()
    commits = [_commit(session["provenance"].get("git") or {}) for session in sessions]
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
        commit=", ".join(dict.fromkeys(commits)),
        run_key=str(reader.meta("run_key")),
        arguments={key: value for key, value in identity.agent.items() if key != "name"} | dict(identity.checkpoints),
        fingerprint_changed=(),
        episode_set=content_hash(sorted(frame["episode_id"])),
    )


def _commit(git: dict[str, Any]) -> str:
    return str(git.get("commit", "unknown"))[:12] + ("+changes" if git.get("dirty") else "")


def _joined(group: Sequence[Loaded]) -> list[ReportTable]:
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
