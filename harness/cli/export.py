"""``harness export``: a run as Parquet or JSON Lines, for other tools, and in the formats that other packages add."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from harness.cli.options import verb
from harness.identity import plain_data
from harness.store import RunReader

EXPORTS_GROUP = "thinkjepa_harness.exports"
"""Entry-point group of further formats: functions that get the run's folder and the output (or ``None``), write, and
return the files that they wrote."""

OWN_FORMATS = ("parquet", "jsonl")


def add(verbs: Any) -> None:
    """Add the verb."""
    further = sorted(entry.name for entry in importlib.metadata.entry_points(group=EXPORTS_GROUP))
    parser = verb(
        verbs,
        "export",
        _export,
        "write a run's tables (episodes, attempts, stages, events) and metadata to files",
        """\
Examples:
  harness export runs/20260101-120000-thinkbench-expert-s0 --format parquet -o exported
  harness export runs/20260101-120000-thinkbench-expert-s0 -o entry.zip     one file to hand in
""",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument(
        "--format", choices=[*OWN_FORMATS, *further], help="default: the ending of the output, else parquet"
    )
    parser.add_argument("-o", "--output", type=Path, help="folder or file to write (default: in the run directory)")
    parser.set_defaults(further=further)


def _export(arguments: argparse.Namespace) -> int:
    ending = arguments.output.suffix.removeprefix(".") if arguments.output else ""
    chosen = arguments.format or (ending if ending in arguments.further else "parquet")
    if chosen in OWN_FORMATS:
        written = _export_tables(arguments.run, arguments.output, chosen)
    else:
        (entry,) = importlib.metadata.entry_points(group=EXPORTS_GROUP, name=chosen)
        export: Callable[[Path, Path | None], list[Path]] = entry.load()
        written = export(arguments.run, arguments.output)
    for path in written:
        print(path)
    return 0


def _export_tables(run_dir: Path, output: Path | None, kind: str) -> list[Path]:
    folder = output or run_dir / "export"
    folder.mkdir(parents=True, exist_ok=True)
    with RunReader(run_dir) as reader:
        tables = {
            "episodes": reader.frame(),
            "attempts": reader.attempts(),
            "stages": reader.stages(),
            "events": reader.events(),
        }
        keys = ("run_key", "protocol_hash", "identity", "config", "deviations", "suite_size", "privileged")
        facts = {key: reader.meta(key) for key in keys} | {"sessions": reader.sessions()}
    for name, table in tables.items():
        path = folder / f"{name}.{kind}"
        if kind == "parquet":
            _storable(table).to_parquet(path, index=False)
        else:
            path.write_text("".join(_line(row) for row in table.to_dict("records")))
    (folder / "run.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")
    return [*(folder / f"{name}.{kind}" for name in tables), folder / "run.json"]


def _line(row: dict[Any, Any]) -> str:
    """A row as JSON, in which every number is spelled so that reading it gives the same bits."""
    return json.dumps(plain_data(row), separators=(",", ":")) + "\n"


def _storable(table: pd.DataFrame) -> pd.DataFrame:
    """Columns whose values have no common type, as metrics of an agent's own may, become JSON text."""
    mixed: dict[str, pd.Series] = {}
    for name, column in table.items():
        present = [isinstance(value, list | dict) or not pd.isna(value) for value in column]
        kinds = {type(value) for value, there in zip(column, present, strict=True) if there}
        if column.dtype == object and (len(kinds) > 1 or dict in kinds):
            texts = [json.dumps(value) if there else None for value, there in zip(column, present, strict=True)]
            mixed[str(name)] = pd.Series(texts, table.index)
    return table.assign(**mixed)
