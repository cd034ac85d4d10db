"""Entries that somebody has changed, with hashes that fit again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.identity import RunIdentity
from harness.instantiate import build_benchmark
from results.entry.archive import read_archive, write_archive
from results.entry.format import FACTS, MANIFEST, TABLES, derived_tables
from results.entry.reader import load_members
from results.entry.writer import manifest
from tests.harness.toy_runs import ROOT

CONFIGS = ROOT / "tests" / "configs"
Contents = dict[str, Any]
"""Rows by table, ``run`` and ``tables``, and the arrays as bytes."""


def contents(path: Path) -> Contents:
    """What an entry holds, as data."""
    members = read_archive(path)
    parsed: Contents = {"run": json.loads(members[FACTS]), "tables": json.loads(members[TABLES])}
    for name, content in members.items():
        if name.endswith(".jsonl"):
            parsed[name.removesuffix(".jsonl")] = [json.loads(line) for line in content.splitlines()]
        if name.endswith(".bin"):
            parsed[name.removesuffix(".bin")] = content
    return parsed


def members_of(data: Contents) -> dict[str, bytes]:
    """The members, with a manifest that fits."""
    members = {FACTS: json.dumps(data["run"]).encode(), TABLES: json.dumps(data["tables"]).encode()}
    for name, value in data.items():
        if isinstance(value, bytes):
            members[f"{name}.bin"] = value
        elif name not in ("run", "tables"):
            members[f"{name}.jsonl"] = b"".join(json.dumps(row).encode() + b"\n" for row in value)
    run = data["run"] if isinstance(data["run"], dict) else {}
    return {MANIFEST: manifest(run.get("run_key", ""), run.get("protocol_hash", ""), members), **members}


def forged(source: Path, target: Path, edit: Callable[[Contents], object], *, derive: bool = False) -> Path:
    """A copy with something changed and all hashes made to fit; with ``derive``, the tables as well."""
    data = contents(source)
    edit(data)
    if derive:
        config = data["run"]["config"]
        with load_members(target, members_of(data), CONFIGS) as reader:
            benchmark = build_benchmark(config["benchmark"], config["protocol"])
            data["tables"] = derived_tables(benchmark.summarise(reader.frame()))
    write_archive(target, members_of(data))
    return target


def rekey(data: Contents) -> None:
    """Make run key, protocol hash and all episode keys follow from the identity again."""
    identity = RunIdentity.from_dict(data["run"]["identity"])
    data["run"] |= {"run_key": identity.run_key, "protocol_hash": identity.protocol_hash}
    keys = {row["key"]: identity.episode_key(row["episode_id"], row["repeat"]) for row in data["episodes"]}
    for table in ("episodes", "attempts", "stages", "events"):
        for row in data[table]:
            row["key"] = keys[row["key"]]


def drop_episode(data: Contents, position: int) -> None:
    """Take one episode and everything of it out."""
    key = sorted(data["episodes"], key=lambda row: row["ordinal"])[position]["key"]
    sizes = {
        "actions": lambda row: row["actions"] * row["action_size"] * 8,
        "decisions": lambda row: row["decisions"] * 12,
    }
    for name, size in sizes.items():
        kept, start = b"", 0
        for row in data["attempts"]:
            part = data[name][start : start + size(row)]
            kept, start = kept + (part if row["key"] != key else b""), start + len(part)
        data[name] = kept
    for table in ("episodes", "attempts", "stages", "events"):
        data[table] = [row for row in data[table] if row["key"] != key]


def make_success(data: Contents) -> None:
    """Turn the first failure into a success, in every row that says so."""
    row = next(row for row in data["attempts"] if row["outcome"] == "failure")
    (stage,) = (stage for stage in data["stages"] if stage["key"] == row["key"])
    stage |= {"success": 1, "progress": 1.0}
    row |= {"outcome": "success", "progress": 1.0}
