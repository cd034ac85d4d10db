"""From a finished run to an entry."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import harness
from harness.identity import canonical_json
from harness.instantiate import build_benchmark
from harness.store import RunReader, empty_store
from results.entry.archive import write_archive
from results.entry.format import (
    ARRAYS,
    FACT_NAMES,
    FACTS,
    FORMAT,
    JSON_COLUMNS,
    LEFT_OUT,
    MANIFEST,
    ROW_TABLES,
    TABLES,
    VERSION,
    WHERE,
    EntryError,
    derived_tables,
    printable,
    without_folder,
)


def export_entry(run_dir: Path, output: Path | None) -> list[Path]:
    """Write the entry of a run; named by the entry point ``thinkjepa_harness.exports``.

    Args:
        run_dir: The run's folder.
        output: The file to write; ``RUN/entry.zip`` unless given.

    Returns:
        The file that was written.

    Raises:
        EntryError: if the run is a collection, or episodes have no result yet.
    """
    path = output or run_dir / "entry.zip"
    with RunReader(run_dir) as reader:
        if reader.is_collection:
            raise EntryError(f"{run_dir} is a collection of training data, not an evaluation; it cannot be handed in")
        counts = reader.outcome_counts()
        missing = counts.pop("planned") - sum(counts.values())
        if missing:
            raise EntryError(f"{run_dir} lacks {missing} episodes; `harness resume {run_dir}` finishes it")
        write_archive(path, entry_members(reader))
    return [path]


def entry_members(reader: RunReader) -> dict[str, bytes]:
    """The members of a run's entry by name."""
    config = reader.meta("config")
    benchmark = build_benchmark(config["benchmark"], config["protocol"])
    facts = {name: reader.meta(name) for name in FACT_NAMES} | {"config": config | {WHERE: None}}
    members = {
        FACTS: _json(printable(facts)),
        TABLES: _json(derived_tables(benchmark.summarise(reader.frame()))),
        **{f"{table}.jsonl": b"".join(_rows(reader, table)) for table in ROW_TABLES},
        **{f"{name}.bin": b"".join(_arrays(reader, name)) for name in ARRAYS},
    }
    return {MANIFEST: manifest(reader.meta("run_key"), reader.meta("protocol_hash"), members), **members}


def manifest(run_key: str, protocol_hash: str, members: dict[str, bytes]) -> bytes:
    """The content of ``entry.json``."""
    return _json(
        {
            "format": FORMAT,
            "version": VERSION,
            "harness": harness.__version__,
            "run_key": run_key,
            "protocol_hash": protocol_hash,
            "members": {
                name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
                for name, content in members.items()
            },
        }
    )


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _rows(reader: RunReader, table: str) -> Iterator[bytes]:
    with closing(empty_store()) as db:  # stores of older versions lack some columns
        columns = [str(row[1]) for row in db.execute(f"PRAGMA table_info({table})") if row[1] not in LEFT_OUT]
    for row in reader.rows(table):
        shown = {name: row.get(name) for name in columns}
        if table in JSON_COLUMNS:
            data = json.loads(row[JSON_COLUMNS[table]])
            shown[JSON_COLUMNS[table]] = _placeless(data) if table == "sessions" else data
        if table == "attempts":
            shown |= {name: _length(row, name) for name in ARRAYS}
        yield canonical_json(printable(shown)).encode() + b"\n"


def _placeless(provenance: dict[str, Any]) -> dict[str, Any]:
    """What is known of a session, but for the folder that its command wrote to."""
    command = provenance.get("command")
    if not isinstance(command, list):
        return provenance
    return provenance | {"command": without_folder([str(word) for word in command])}


def _arrays(reader: RunReader, name: str) -> Iterator[bytes]:
    for row in reader.rows("attempts"):
        yield zlib.decompress(row[name])


def _length(row: dict[str, Any], name: str) -> int:
    kind, columns = ARRAYS[name]
    width = int(kind[-1]) * (row["action_size"] if columns is None else columns)
    return len(zlib.decompress(row[name])) // width if width else 0
