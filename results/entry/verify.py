"""Whether an entry is what its protocol asks for: everything that can be derived again is derived again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config import ConfigGroups, protocol_changes
from harness.identity import difference
from harness.instantiate import ConfigError, build_benchmark, is_untrained, reads_truth
from harness.interfaces import Benchmark
from harness.records import Outcome
from harness.replaying import replay
from harness.runs import UNTRAINED, limit_deviation
from harness.store import PlannedEpisode, RunReader, StoreError
from results.consistency import episode_name
from results.entry.format import TABLES, EntryError, derived_tables, strict_json
from results.entry.reader import checked_members, digest, installed, load_members

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Verification:
    """What an entry is, after everything about it was checked.

    Attributes:
        digest: SHA-256 (hex) that names the entry.
        run_key: Of the run's identity.
        protocol: Name and version, for example ``thinkbench@1``.
        protocol_hash: Of its fields and content.
        agent: Name.
        privileged: Whether the agent reads ground truth.
        outcomes: Episodes by outcome, and ``planned``.
        deviations: Why it is non-standard; empty if it is standard.
        cells: Table cells that were derived again.
        replayed: Episodes whose actions were executed again and led to the same outcome and state.
        notes: What could not be checked here.
    """

    digest: str
    run_key: str
    protocol: str
    protocol_hash: str
    agent: str
    privileged: bool
    outcomes: dict[str, int]
    deviations: tuple[str, ...]
    cells: int
    replayed: tuple[str, ...]
    notes: tuple[str, ...]


def verify_entry(
    path: Path, *, config_dir: Path | None = None, replays: int = 0, draw: int = 0, standard: bool = False
) -> Verification:
    """Read an entry, derive every number again, and compare.

    Args:
        path: The file.
        config_dir: A folder with further benchmarks and protocols, as ``harness run --config-dir`` takes it.
        replays: How many episodes to execute again from their logged actions.
        draw: Which ones: a number that the submitter could not know.
        standard: Whether a non-standard entry is refused, before its episodes are built.

    Raises:
        EntryError: if the entry is refused.
        StoreError: if it cannot be replayed here, because the worlds here have other content; or ``replays`` is
            negative.
        OSError: The file cannot be read.
    """
    if replays < 0:
        raise StoreError(f"--replay {replays}: give the number of episodes to execute again, 0 for none")
    members = checked_members(path)
    with load_members(path, members, config_dir) as reader:
        groups = ConfigGroups(config_dir)
        recorded = list(reader.meta("deviations"))
        _check_admitted(reader, _protocol_changes(reader, config_dir))  # before anything is built from it
        if standard and recorded:
            raise EntryError(f"the entry is non-standard: {'; '.join(recorded)}")
        benchmark = _benchmark(reader)
        changed = difference(dict(reader.identity.fingerprint), dict(benchmark.fingerprint()))
        _check_plan(reader, benchmark, changed)
        chosen = len(reader.plan()) // reader.identity.repeats
        _check_admitted(reader, limit_deviation(chosen, reader.meta("suite_size")))
        if not changed:  # of content that is not here, what the entry says is taken
            _check_admitted(reader, benchmark.deviations())
        notes = [*_content_note(changed), *_agent_note(reader, groups)]
        cells = _check_tables(reader, benchmark, members[TABLES])
        if replays and changed:
            raise StoreError(f"{path} cannot be replayed here, where the worlds are others: {'; '.join(changed)}")
        name = digest(members)
        return Verification(
            digest=name,
            run_key=reader.meta("run_key"),
            protocol=reader.identity.protocol_id,
            protocol_hash=reader.identity.protocol_hash,
            agent=str(reader.identity.agent["name"]),
            privileged=reader.meta("privileged"),
            outcomes=reader.outcome_counts(),
            deviations=tuple(recorded),
            cells=cells,
            replayed=tuple(_replayed(reader, _drawn(reader, name, replays, draw))),
            notes=tuple(notes),
        )


def _benchmark(reader: RunReader) -> Benchmark:
    config = reader.meta("config")
    try:
        return build_benchmark(config["benchmark"], config["protocol"])
    except (ConfigError, TypeError, ValueError) as error:
        raise EntryError(f"no benchmark can be built from its protocol: {error}") from error


def _check_plan(reader: RunReader, benchmark: Benchmark, changed: Sequence[str]) -> None:
    """The plan must be the protocol's episodes, every specification to the letter."""
    config, plan = reader.meta("config"), reader.plan()
    suite = benchmark.episodes()
    chosen = suite if config["limit"] is None else benchmark.episodes(config["limit"])
    wanted = [(repeat, spec) for repeat in range(reader.identity.repeats) for spec in chosen]
    elsewhere = f" (it ran where the content was another: {'; '.join(changed)})" if changed else ""
    if reader.meta("suite_size") != len(suite):
        raise EntryError(f"its suite_size is {reader.meta('suite_size')}, its protocol has {len(suite)}{elsewhere}")
    if len(plan) < len(wanted):
        raise EntryError(
            f"the entry is partial: it plans {len(plan)} episodes, its protocol has {len(wanted)}{elsewhere}"
        )
    if len(plan) > len(wanted):
        raise EntryError(f"it has {len(plan)} episodes, its protocol {len(wanted)}{elsewhere}")
    for planned, (repeat, spec) in zip(plan, wanted, strict=True):
        changes = difference(spec.to_dict(), planned.spec.to_dict())
        if planned.repeat != repeat or changes:
            what = changes[0] if changes else f"repetition {planned.repeat} instead of {repeat}"
            raise EntryError(
                f"{planned.spec.episode_id} is not the protocol's {spec.episode_id}: {what[:200]}{elsewhere}"
            )


def _protocol_changes(reader: RunReader, config_dir: Path | None) -> tuple[str, ...]:
    used = reader.meta("config")["protocol"]
    return protocol_changes(installed("protocol", used["name"], config_dir), used)


def _check_admitted(reader: RunReader, derived: Sequence[str]) -> None:
    """What makes a run non-standard must be among its deviations."""
    hidden = [line for line in derived if line not in reader.meta("deviations")]
    if hidden:
        raise EntryError(f"it hides that it is non-standard: {hidden[0]}")


def _content_note(changed: Sequence[str]) -> Iterator[str]:
    if changed:
        yield f"whether its content is official cannot be told here, where the content is another: {'; '.join(changed)}"


def _agent_note(reader: RunReader, groups: ConfigGroups) -> Iterator[str]:
    """An agent of this harness must carry its mark; the class of another one is not imported to find out."""
    agent = reader.identity.agent
    known = groups.options("agent")
    target = groups.load("agent", agent["name"]).get("_target_") if agent["name"] in known else None
    if target is None or target != agent["_target_"]:
        yield f"the agent {agent['name']} is not one of this harness: its mark and its parameters are as it states them"
        return
    if reads_truth(agent) != reader.meta("privileged"):
        raise EntryError(f"it states the wrong mark: {agent['name']} is {_mark(not reader.meta('privileged'))}")
    if is_untrained({**agent, **reader.identity.checkpoints}):
        _check_admitted(reader, [UNTRAINED])


def _mark(privileged: bool) -> str:
    return "privileged" if privileged else "not privileged"


def _check_tables(reader: RunReader, benchmark: Benchmark, stated: bytes) -> int:
    """Derive every cell again; returns their number."""
    derived = derived_tables(benchmark.summarise(reader.frame()))
    problem = next(_unequal(strict_json(stated, TABLES), derived, "tables"), None)
    if problem is not None:
        raise EntryError(f"{TABLES} does not follow from the rows: {problem}")
    return sum(len(cells) for table in derived for _, cells in table["rows"])


def _unequal(stated: Any, derived: Any, path: str) -> Iterator[str]:
    if isinstance(derived, dict) and isinstance(stated, dict) and set(stated) == set(derived):
        for key in derived:
            yield from _unequal(stated[key], derived[key], f"{path}.{key}")
    elif isinstance(derived, list) and isinstance(stated, list) and len(stated) == len(derived):
        for index, (one, other) in enumerate(zip(stated, derived, strict=True)):
            yield from _unequal(one, other, f"{path}[{index}]")
    elif isinstance(derived, float) and isinstance(stated, int | float) and not isinstance(stated, bool):
        if not math.isclose(stated, derived, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
            yield f"{path} is {stated}, the rows give {derived}"
    elif type(stated) is not type(derived) or stated != derived:
        yield f"{path} is {ascii(stated)[:80]}, the rows give {ascii(derived)[:80]}"


def _drawn(reader: RunReader, name: str, count: int, draw: int) -> list[PlannedEpisode]:
    """Episodes with a verdict, in an order that follows from the entry and from the verifier's number."""
    attempts = reader.attempts()
    ended = attempts[(attempts["final"] == 1) & (attempts["outcome"] != Outcome.ERROR)]
    keys = set(ended["key"])
    candidates = [planned for planned in reader.plan() if planned.key in keys]
    candidates.sort(key=lambda planned: hashlib.sha256(f"{name} {draw} {planned.key}".encode()).digest())
    return candidates[:count]


def _replayed(reader: RunReader, episodes: Sequence[PlannedEpisode]) -> Iterator[str]:
    for planned in episodes:
        differences = replay(reader, planned).differences
        if differences:
            raise EntryError(f"{episode_name(planned)} replays otherwise: {'; '.join(differences)[:300]}")
        yield episode_name(planned)
