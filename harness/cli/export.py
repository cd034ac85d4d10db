"""``harness export``: a run as Parquet or JSON Lines, for other tools."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from harness.cli.options import verb
from harness.store import RunReader

FORMATS = ("parquet", "jsonl")


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verb(
        verbs,
        "export",
        _export,
        "write a run's tables (episodes, attempts, stages, events) and metadata to files",
        "Example:\n  harness export runs/20260101-120000-thinkbench-expert-s0 --format parquet -o exported\n",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument("--format", choices=FORMATS, default="parquet")
    parser.add_argument("-o", "--output", type=Path, help="folder to write to (default: RUN/export)")


def _export(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.output or arguments.run / "export"
    folder.mkdir(parents=True, exist_ok=True)
    with RunReader(arguments.run) as reader:
        tables = {
            "episodes": reader.frame(),
            "attempts": reader.attempts(),
            "stages": reader.stages(),
            "events": reader.events(),
        }
        keys = ("run_key", "protocol_hash", "identity", "config", "deviations", "suite_size", "privileged")
        facts = {key: reader.meta(key) for key in keys} | {"sessions": reader.sessions()}
    for name, table in tables.items():
        path = folder / f"{name}.{arguments.format}"
        if arguments.format == "parquet":
            _storable(table).to_parquet(path, index=False)
        else:
            table.to_json(path, orient="records", lines=True)
        print(path)
    (folder / "run.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")
    print(folder / "run.json")
    return 0


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
