"""Suites of episodes: frozen ones that ship with the package, files of fresh ones, and episodes drawn on the spot.

A suite file is gzipped JSON lines: a header, then one line per episode with its instructions, scene, goal, rules, plan
and milestones, its certificate (`Certificate`) and its hash. The same suite is the same bytes. The suite's hash is over
the episodes, not over the certificates: two suites with the same hash set the same tasks.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from thinkbench.generator import generate
from thinkbench.names import FROZEN, SUFFIX
from thinkbench.specs import EpisodeRecord
from thinkbench.templates import Template

GENERATED = "generated"
"""The protocol's name for episodes that are drawn on the spot, without certificates of the planner."""

FROZEN_SEED = 0
"""What `FROZEN` was drawn from; other suites must be drawn from other seeds."""

FROZEN_PER_TEMPLATE = 5

FORMAT = 1


@dataclass(frozen=True)
class InsightProof:
    """What follows from making only moves that are straight: that make something of the goal true of what they move.

    Attributes:
        claim: What the template says that a plan needs: ``clearing``, ``buffer``, ``order`` or ``none``.
        states: States that straight moves reach; all of them were visited.
        reaches_goal: Whether one of them satisfies the goal. Where ``clearing`` or ``buffer`` is claimed, none does.
        dead_end: Straight moves after which there is none left, though the goal is not reached; the fewest there are.
    """

    claim: str
    states: int
    reaches_goal: bool
    dead_end: tuple[tuple[str, str], ...] | None


@dataclass(frozen=True)
class Certificate:
    """The evidence that an episode is what it says.

    Attributes:
        pddl: SHA-256 of its PDDL domain and problem (hex).
        planner: The optimal planner and its version.
        status: The planner's verdict: ``SOLVED_OPTIMALLY``.
        plan: The planner's plan ``(item, destination)``, as long as the horizon.
        insight: What is proven about plans without the template's insight.
        actions: The skill actions ``(6,)`` of an execution through real contact that ends in success, one per move.
        digest: The world's state digest at its end.
    """

    pddl: str
    planner: str
    status: str
    plan: tuple[tuple[str, str], ...]
    insight: InsightProof
    actions: tuple[tuple[float, ...], ...]
    digest: str

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Certificate:
        """From ``dataclasses.asdict``'s output, or the same as JSON."""
        insight = dict(data["insight"])
        if insight["dead_end"] is not None:
            insight["dead_end"] = _pairs(insight["dead_end"])
        return cls(
            pddl=data["pddl"],
            planner=data["planner"],
            status=data["status"],
            plan=_pairs(data["plan"]),
            insight=InsightProof(**insight),
            actions=tuple(tuple(action) for action in data["actions"]),
            digest=data["digest"],
        )


@dataclass(frozen=True)
class Suite:
    """Episodes in an order whose every prefix is balanced over templates.

    Attributes:
        name: What tables call it.
        records: The episodes.
        certificates: By episode id; empty where episodes are drawn on the spot.
        made_with: Versions of what made it.
    """

    name: str
    records: tuple[EpisodeRecord, ...]
    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    made_with: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the episodes (hex), whatever their order."""
        return _sha256(sorted(episode_hash(record) for record in self.records))

    @property
    def label(self) -> str:
        """Name and short hash, as tables print them."""
        return f"{self.name} {self.hash[:8]}"


def episode_hash(record: EpisodeRecord) -> str:
    """SHA-256 of an episode as canonical JSON (hex)."""
    return _sha256(vars(record))


def draw_suite(templates: Sequence[Template], per_template: int, seed: int) -> Suite:
    """``per_template`` fresh episodes of each template, rehearsed but not certified."""
    episodes = [generate(template, index, seed) for index in range(per_template) for template in templates]
    return Suite(f"{GENERATED} (seed {seed})", tuple(EpisodeRecord.of(episode) for episode in episodes))


# ------------------------------------------------------------------------------------------------- files


def load_suite(name: str) -> Suite:
    """A suite that ships with the package, by name, or that of a file, by path.

    Raises:
        FileNotFoundError: There is neither.
        ValueError: The file is damaged; the message says where.
    """
    source = suite_path(name)
    try:
        lines = gzip.decompress(source.read_bytes()).decode().splitlines()
        header, *entries = [json.loads(line) for line in lines]
        if header["format"] != FORMAT:
            raise ValueError(f"it has format {header['format']}, this harness reads format {FORMAT}")
        pairs = [from_entry(entry) for entry in entries]
        suite = Suite(
            name=header["suite"],
            records=tuple(record for record, _ in pairs),
            certificates={record.episode_id: certificate for record, certificate in pairs},
            made_with=header["made_with"],
        )
        if suite.hash != header["hash"]:
            raise ValueError("its episodes are not what its hash says")
    except (gzip.BadGzipFile, EOFError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{source} is no suite of this harness, or damaged: {error}") from error
    return suite


def write_suite(suite: Suite, path: Path) -> None:
    """Write a certified suite; the same suite gives the same bytes."""
    header = {
        "suite": suite.name,
        "format": FORMAT,
        "hash": suite.hash,
        "episodes": len(suite.records),
        "made_with": dict(suite.made_with),
    }
    entries = [entry_of(record, suite.certificates[record.episode_id]) for record in suite.records]
    text = "".join(f"{_canonical(line)}\n" for line in (header, *entries))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def entry_of(record: EpisodeRecord, certificate: Certificate) -> dict[str, Any]:
    """A certified episode as a suite file has it."""
    return asdict(record) | {"certificate": asdict(certificate), "hash": episode_hash(record)}


def from_entry(entry: Mapping[str, Any]) -> tuple[EpisodeRecord, Certificate]:
    """The opposite of `entry_of`.

    Raises:
        KeyError: Something is missing.
        TypeError: Something is not what it should be.
        ValueError: The episode is not what its hash says.
    """
    keys = ("episode_id", "seed", "instructions", "paraphrases", "meta")
    record = EpisodeRecord(**{key: entry[key] for key in keys})
    if episode_hash(record) != entry["hash"]:
        raise ValueError(f"episode {record.episode_id} is not what its hash says")
    return record, Certificate.from_dict(entry["certificate"])


def suite_path(name: str) -> Path:
    """The file of a suite that ships with the package, or ``name`` itself as a path.

    Raises:
        FileNotFoundError: There is neither.
    """
    shipped = shipped_path(name)
    source = shipped if shipped.is_file() else Path(name)
    if not source.is_file():
        raise FileNotFoundError(
            f"protocol.suite={name}: there is no such suite and no such file; choose {FROZEN}, {GENERATED}, or a file "
            "made by `harness generate thinkbench`"
        )
    return source


def shipped_path(name: str) -> Path:
    """Where the package keeps the suite ``name``."""
    return Path(str(files("thinkbench.suites"))) / f"{name}{SUFFIX}"


def _pairs(data: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((first, second) for first, second in data)


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _sha256(data: Any) -> str:
    return hashlib.sha256(_canonical(data).encode()).hexdigest()
