"""Runs as reports need them: the facts above the tables, the tables of the benchmark, and rows that can be paired."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.identity import KEY_LENGTH, RunIdentity, content_hash, difference
from harness.instantiate import build_benchmark
from harness.interfaces import Benchmark, Table, has_verdict
from harness.runs import UNTRAINED
from harness.store import RunReader, StoreError
from results.compute import Compute, measure_compute
from results.entry.reader import open_entry

ENTRY_SUFFIX = ".zip"


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
    seeds: tuple[int, ...] = ()
    """Those that are pooled in it, see `results.pool`; none where seeds are not pooled."""

    @property
    def marks(self) -> str:
        """``*`` privileged, ``†`` non-standard, ``‡`` incomplete."""
        return ("*" if self.privileged else "") + ("†" if self.deviations else "") + ("‡" if self.missing else "")

    @property
    def untrained(self) -> bool:
        """Whether the agent's weights have learned nothing."""
        return UNTRAINED in self.deviations

    @property
    def bounds(self) -> tuple[float, float]:
        """Success rate over all planned episodes if everything without a verdict failed, and if it succeeded."""
        unknown = self.errors + self.missing
        return self.successes / self.planned, (self.successes + unknown) / self.planned

    @property
    def coverage(self) -> str:
        """Denominator, errors and bounds, as table footnotes state them."""
        low, high = self.bounds
        return (
            f"{self.label}: {self.valid} of {self.planned} episodes ended with a verdict, {self.errors} in an error, "
            f"{self.missing} missing; success over all of them is between {low:.1%} and {high:.1%}"
        )


@dataclass(frozen=True)
class LoadedRun:
    """A run in memory.

    Attributes:
        summary: Its facts.
        identity: What its results depend on.
        frame: One row per planned episode, see `harness.interfaces.Benchmark.summarise`.
        tables: The benchmark's tables.
        compute: What its decisions cost.
        benchmark: What made the tables.
        parts: The runs that are pooled in it, see `results.pool`; none where seeds are not pooled.
    """

    summary: RunSummary
    identity: RunIdentity
    frame: pd.DataFrame = field(repr=False)
    tables: tuple[Table, ...] = field(repr=False)
    compute: Compute = field(repr=False)
    benchmark: Benchmark = field(repr=False)
    parts: tuple[LoadedRun, ...] = field(default=(), repr=False)

    @property
    def label(self) -> str:
        """The row name."""
        return self.summary.label

    @cached_property
    def episodes(self) -> pd.Index[Any]:
        """What each row of the frame is paired by: the episode, and which repetition of it from the second on.

        With equal seeds that is the same as pairing by episode key, which also holds the protocol and the seed. Runs
        of other seeds, or of a shift of the protocol, have the same episodes under other keys.
        """
        ids, repeats = self.frame["episode_id"], self.frame["repeat"]
        names: pd.Index[Any] = pd.Index(ids.where(repeats == 0, ids + "#" + repeats.astype(str)))
        return names


@dataclass(frozen=True)
class PairedRows:
    """Which rows of one run's frame belong to which of another's."""

    first: LoadedRun
    second: LoadedRun

    @cached_property
    def _second_rows(self) -> npt.NDArray[np.int64]:
        """For each row of the first frame the row of the second, or -1."""
        one, other = self.first.episodes, self.second.episodes
        if len(one) == len(other) and one.equals(other):
            return np.arange(len(one))
        return np.asarray(other.get_indexer(one), dtype=np.int64)

    @cached_property
    def shared(self) -> int:
        """Planned episodes that both have."""
        return int((self._second_rows >= 0).sum())

    def values(
        self, first: pd.Series[Any], second: pd.Series[Any]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """The values ``(N,)`` of the pairs that have both, and the first frame's row of each.

        A task that occurs twice in a chain has two values for one row; they are paired in their order.
        """
        one, other = _numbered(first), _numbered(second)
        mapped = self._second_rows[one.index.get_level_values(0)]
        wanted = pd.MultiIndex.from_arrays([mapped, one.index.get_level_values(1)])
        places = other.index.get_indexer(wanted)
        found = places >= 0
        rows = np.asarray(one.index.get_level_values(0))[found]
        return one.to_numpy(float)[found], other.to_numpy(float)[places[found]], rows

    def repetitions(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.generic] | None:
        """The episode of each pair, where episodes repeat; ``None`` where every pair has its own."""
        ids = self.first.frame["episode_id"].to_numpy()[rows]
        codes, names = pd.factorize(ids)
        return None if len(names) == len(ids) else codes


def _numbered(values: pd.Series[Any]) -> pd.Series[Any]:
    """Indexed by (row, how often that row was there before)."""
    unique = values.index.is_unique
    occurrence = np.zeros(len(values), np.int64) if unique else values.groupby(level=0).cumcount().to_numpy(np.int64)
    return values.set_axis(pd.MultiIndex.from_arrays([values.index, occurrence]))


def open_run(path: Path, config_dir: Path | None = None) -> RunReader:
    """The reader of a run directory, or of an entry (a ``.zip`` file), which reads like one.

    ``config_dir`` holds the reader's own benchmarks and protocols, which an entry may then name.

    Raises:
        StoreError: if it is neither, or a collection of training data.
    """
    reader = open_entry(path, config_dir) if path.suffix == ENTRY_SUFFIX else RunReader(path)
    if reader.is_collection:
        reader.close()
        raise StoreError(f"{path} is a collection of training data, not an evaluation; see its dataset/README.md")
    return reader


def load_runs(paths: Sequence[Path], config_dir: Path | None = None) -> list[LoadedRun]:
    """All runs (see `open_run`), with row names that differ.

    Raises:
        StoreError: if a folder holds no run, or is given twice.
    """
    require_distinct(paths, "each run can stand in a report once")
    runs = []
    for path in paths:
        with open_run(path, config_dir) as reader:
            runs.append(load_run(reader))
    labels = run_labels([run.summary for run in runs])
    return [replace(run, summary=replace(run.summary, label=label)) for run, label in zip(runs, labels, strict=True)]


def require_distinct(paths: Sequence[Path], remedy: str) -> None:
    """Raise `StoreError` if a run is given twice."""
    resolved = [path.resolve() for path in paths]
    twice = next((path for path in resolved if resolved.count(path) > 1), None)
    if twice is not None:
        raise StoreError(f"{twice} is given twice; {remedy}")


def run_labels(summaries: Sequence[RunSummary]) -> list[str]:
    """Row names that differ: where agent and seed do not tell runs apart, what differs of the agents' arguments does
    (those that are ``None`` are left out), then the protocol, then the folder, then its number.
    """
    labels = []
    settings = [dict(_settings(summary.arguments)) for summary in summaries]
    for summary, own in zip(summaries, settings, strict=True):
        rivals = [others for other, others in zip(summaries, settings, strict=True) if other.agent == summary.agent]
        differing = sorted({key for others in rivals for key in _differing(own, others)})
        parts = [f"{key}={_short(own[key])}" for key in differing if own.get(key) is not None]
        if summary.untrained and "checkpoint=untrained" not in parts:
            parts.insert(0, "untrained")
        several = len(summary.seeds) > 1
        parts.append(f"seeds {', '.join(map(str, summary.seeds))}" if several else f"seed {summary.seed}")
        labels.append(f"{summary.agent}{summary.marks} ({', '.join(parts)})")
    for further in (
        [summary.protocol for summary in summaries],
        [Path(summary.run).name for summary in summaries],
        [f"#{number}" for number in range(1, len(summaries) + 1)],
    ):
        if len(set(further)) > 1:
            labels = [f"{a} {b}" if labels.count(a) > 1 else a for a, b in zip(labels, further, strict=True)]
    return labels


def left_out(summaries: Sequence[RunSummary]) -> list[RunSummary]:
    """Runs with untrained weights, which stand in no table beside others; by themselves they may."""
    untrained = [summary for summary in summaries if summary.untrained]
    return untrained if len(untrained) < len(summaries) else []


def _settings(arguments: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """An agent's arguments, those inside others by dotted keys, as overrides write them."""
    for key, value in arguments.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _short(value: Any) -> Any:
    """A setting as row names show it: of the hash of what a path led to as much as is shown of protocols' hashes."""
    return value[:8] if isinstance(value, str) and re.fullmatch(rf"[0-9a-f]{{{KEY_LENGTH}}}", value) else value


def _differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


def load_run(reader: RunReader) -> LoadedRun:
    """One run; it has no row name yet, because that depends on the runs beside it."""
    frame = reader.frame()
    config = reader.meta("config")
    identity = reader.identity
    benchmark = build_benchmark(config["benchmark"], config["protocol"])
    changed = difference(dict(identity.fingerprint), dict(benchmark.fingerprint()))
    summary = _summary(reader, identity, frame, tuple(changed))
    return LoadedRun(summary, identity, frame, tuple(benchmark.summarise(frame)), measure_compute(reader), benchmark)


def _summary(
    reader: RunReader, identity: RunIdentity, frame: pd.DataFrame, fingerprint_changed: tuple[str, ...]
) -> RunSummary:
    failed = reader.errors()
    final_errors = failed[failed["final"] == 1]
    commits = [_commit(session["provenance"].get("git") or {}) for session in reader.sessions()]
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
        valid=int(has_verdict(frame).sum()),
        successes=int(frame["success"].sum()),
        errors=int((frame["outcome"] == "error").sum()),
        missing=int((frame["outcome"] == "missing").sum()),
        retried=len(failed) - len(final_errors),
        errors_by_phase={str(phase): int(n) for phase, n in final_errors["error_phase"].value_counts().items()},
        commit=", ".join(dict.fromkeys(commits)),
        run_key=str(reader.meta("run_key")),
        arguments={key: value for key, value in identity.agent.items() if key != "name"} | dict(identity.checkpoints),
        fingerprint_changed=fingerprint_changed,
        episode_set=content_hash(sorted(frame["episode_id"])),
    )


def _commit(git: dict[str, Any]) -> str:
    return str(git.get("commit", "unknown"))[:12] + ("+changes" if git.get("dirty") else "")
