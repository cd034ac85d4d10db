"""From an entry to a reader of its rows."""

from __future__ import annotations

import functools
import hashlib
import re
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from harness.config import ConfigGroups, RunConfig
from harness.identity import canonical_json
from harness.instantiate import ConfigError
from harness.store import SCHEMA_VERSION, RunReader, empty_store
from results.consistency import contradictions, lacking
from results.entry.archive import read_archive
from results.entry.format import (
    ARRAYS,
    FACT_NAMES,
    FACTS,
    FORMAT,
    JSON_COLUMNS,
    LEFT_OUT,
    MANIFEST,
    MAX_LINE_BYTES,
    ROW_TABLES,
    TABLES,
    VERSION,
    EntryError,
    strict_json,
)

_ACCEPTED: dict[str, tuple[type, ...]] = {"TEXT": (str,), "INTEGER": (int,), "BLOB": (int,), "REAL": (int, float)}
"""JSON types by column type; where the store has a blob, an entry has its length."""

_NAME = re.compile(r"\w[\w .()+-]{0,99}")

_SETTINGS = {item.name: item.default_factory for item in fields(RunConfig)}


def open_entry(path: Path, config_dir: Path | None = None) -> RunReader:
    """A reader of an entry's rows, which are in memory; its ``run_dir`` is ``path``.

    Whatever is returned agrees with itself (see `results.entry.format` for what is refused) and names no class that
    this harness, or ``config_dir``, does not name by itself. Videos and tracebacks are not in entries.

    Raises:
        EntryError: if the entry is refused.
        OSError: The file cannot be read.
    """
    return load_members(path, checked_members(path), config_dir)


def checked_members(path: Path) -> dict[str, bytes]:
    """The members of an entry, each with the hash that its manifest says."""
    members = read_archive(path)
    manifest = _mapping(members[MANIFEST], MANIFEST)
    if manifest.get("format") != FORMAT or manifest.get("version") != VERSION:
        found = f"{manifest.get('format')!r} version {manifest.get('version')!r}"
        raise EntryError(f"{MANIFEST} says {ascii(found)[:120]}; this harness reads {FORMAT} version {VERSION}")
    listed = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in members.items()
        if name != MANIFEST
    }
    claimed = manifest.get("members")
    if not isinstance(claimed, dict) or set(claimed) != set(listed):
        raise EntryError(f"{MANIFEST} does not list the members")
    for name, actual in listed.items():
        if claimed[name] != actual:
            raise EntryError(f"{name} is not what {MANIFEST} says: it was changed after the export")
    facts = _mapping(members[FACTS], FACTS)
    if any(manifest.get(name) != facts.get(name) for name in ("run_key", "protocol_hash")):
        raise EntryError(f"{MANIFEST} and {FACTS} are of different runs")
    return members


def digest(members: Mapping[str, bytes]) -> str:
    """SHA-256 (hex) that names the whole entry."""
    return hashlib.sha256(members[MANIFEST]).hexdigest()


def load_members(path: Path, members: Mapping[str, bytes], config_dir: Path | None = None) -> RunReader:
    """The rows in a store in memory, after all checks that need no benchmark."""
    facts = _mapping(members[FACTS], FACTS)
    if set(facts) != set(FACT_NAMES):
        raise EntryError(f"{FACTS} must hold {', '.join(FACT_NAMES)}")
    _check_classes(facts["config"], config_dir)
    _check_agent_name(facts["identity"])
    strict_json(members[TABLES], TABLES)
    with ExitStack() as stack:
        db = stack.enter_context(closing(empty_store()))
        stored = {**facts, "schema_version": SCHEMA_VERSION}
        db.executemany("INSERT INTO meta VALUES (?, ?)", [(key, canonical_json(item)) for key, item in stored.items()])
        for table in ROW_TABLES:
            _fill(db, table, members)
        reader = RunReader(path, db)
        _check_rows(reader)
        stack.pop_all()  # the reader closes it
    return reader


def _check_rows(reader: RunReader) -> None:
    problem = next(contradictions(reader), None)
    if problem is not None:
        raise EntryError(problem)
    missing = lacking(reader)
    if missing:
        raise EntryError(f"the entry is partial: {len(missing)} planned episodes have no result, such as {missing[0]}")


def _mapping(text: bytes, where: str) -> dict[str, Any]:
    data = strict_json(text, where)
    if not isinstance(data, dict):
        raise EntryError(f"{where} must hold a mapping")
    return data


def _check_classes(config: Any, config_dir: Path | None) -> None:
    """Whoever reads the entry builds its benchmark, so its classes must be those of the reader's own configuration."""
    if not isinstance(config, dict) or set(config) != set(_SETTINGS):
        raise EntryError(f"{FACTS}: config must hold {', '.join(_SETTINGS)}")
    wrong = [
        name for name, factory in _SETTINGS.items() if factory is not MISSING and not isinstance(config[name], dict)
    ]
    if wrong:
        raise EntryError(f"{FACTS}: config.{wrong[0]} must be a mapping")
    for group, compared in (("benchmark", ("_target_",)), ("protocol", ("_target_", "version"))):
        chosen = config[group]
        if not isinstance(chosen.get("name"), str):
            raise EntryError(f"{FACTS}: config.{group} has no name")
        own = _installed(group, chosen["name"], config_dir)
        for key in compared:
            if chosen.get(key) != own.get(key):
                raise EntryError(
                    f"{FACTS}: {group} {chosen['name']} has {key}={ascii(chosen.get(key))[:80]}, "
                    f"here it is {own.get(key)}; install the version of the harness that made the entry"
                )
        if group == "benchmark" and {k: v for k, v in chosen.items() if k != "name"} != own:
            raise EntryError(f"{FACTS}: the benchmark {chosen['name']} is configured otherwise than here")


def _check_agent_name(identity: Any) -> None:
    """It stands in every table, plot and file name; there is no need for it to hold markup."""
    agent = identity.get("agent") if isinstance(identity, dict) else None
    name = agent.get("name") if isinstance(agent, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise EntryError(f"{FACTS}: {ascii(name)[:80]} is no name of an agent; use letters, digits and . _ + - ( )")


@functools.lru_cache(maxsize=64)
def _installed(group: str, name: str, config_dir: Path | None) -> dict[str, Any]:
    groups = ConfigGroups(config_dir)
    try:
        groups.check(group, name)
    except ConfigError as error:
        raise EntryError(f"{error} (--config-dir names a folder with more)") from error
    return groups.load(group, name)


def _fill(db: sqlite3.Connection, table: str, members: Mapping[str, bytes]) -> None:
    columns = {str(row[1]): (str(row[2]), bool(row[3])) for row in db.execute(f"PRAGMA table_info({table})")}
    wanted = {name: kind for name, kind in columns.items() if name not in LEFT_OUT}
    arrays = {name: memoryview(members[f"{name}.bin"]) for name in ARRAYS}
    statement = f"INSERT INTO {table} VALUES ({', '.join(f':{name}' for name in columns)})"
    for where, row in _lines(members[f"{table}.jsonl"], f"{table}.jsonl"):
        if set(row) != set(wanted):
            odd = sorted(set(row) ^ set(wanted))[0]
            raise EntryError(f"{where}: the column {ascii(odd)[:80]} is missing or unknown")
        values = {
            name: _json_column(row[name], f"{where}: {name}")
            if JSON_COLUMNS.get(table) == name
            else _column(row[name], kind, required, f"{where}: {name}")
            for name, (kind, required) in wanted.items()
        }
        if table == "attempts":
            for name in ARRAYS:
                values[name], arrays[name] = _cut(arrays[name], name, values, where)
        try:
            db.execute(statement, dict.fromkeys(LEFT_OUT) | values)
        except sqlite3.Error as error:
            raise EntryError(f"{where}: {error}") from error
    if table == "attempts" and any(len(rest) for rest in arrays.values()):
        raise EntryError("actions.bin or decisions.bin hold more than attempts.jsonl says")


def _lines(content: bytes, member: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if content and not content.endswith(b"\n"):
        raise EntryError(f"{member} breaks off in the middle of a line")
    for number, line in enumerate(content.splitlines(), 1):
        where = f"{member} line {number}"
        if len(line) > MAX_LINE_BYTES:
            raise EntryError(f"{where} has {len(line) >> 20} MiB")
        yield where, _mapping(line, where)


def _json_column(value: Any, where: str) -> str:
    if not isinstance(value, dict):
        raise EntryError(f"{where} must be a mapping")
    return canonical_json(value)


def _column(value: Any, kind: str, required: bool, where: str) -> Any:
    """A value as the store holds it."""
    if value is None and not required:
        return None
    if type(value) not in _ACCEPTED[kind]:
        raise EntryError(f"{where} is {ascii(value)[:80]}, which is no {kind.lower()}")
    if type(value) is int and abs(value) >= 2**63:
        raise EntryError(f"{where}={value} is too large")
    return value


def _cut(array: memoryview, name: str, row: Mapping[str, Any], where: str) -> tuple[bytes, memoryview]:
    """What of an array belongs to an attempt, packed as the store holds it, and the rest."""
    kind, columns = ARRAYS[name]
    size = row[name] * int(kind[-1]) * (row["action_size"] if columns is None else columns)
    if row[name] < 0 or row["action_size"] < 0 or not 0 <= size <= len(array):
        raise EntryError(f"{where}: {name}.bin does not hold {row[name]} {name}")
    return zlib.compress(array[:size], 1), array[size:]
