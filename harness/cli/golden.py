"""``harness replay-golden``: compare a world of ours with recordings of the public simulator."""

from __future__ import annotations

import argparse
import importlib.metadata
from typing import Any

from harness.cli.options import verb
from harness.instantiate import ConfigError, did_you_mean

GOLDEN_GROUP = "thinkjepa_harness.golden"
"""Entry-point group of functions ``(files) -> exit status``, one per world."""


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verb(
        verbs,
        "replay-golden",
        _replay_golden,
        "replay recordings of a public simulator in ours and compare, file by file",
        "Exit status: 0 every file passes, 1 one or more fail.\n\n"
        "Example:\n  harness replay-golden calvin rollouts_D.npz oracle_cases.json.gz\n",
    )
    parser.add_argument("world", metavar="WORLD", help="calvin, language_table, ...")
    parser.add_argument("files", nargs="+", metavar="FILE")


def _replay_golden(arguments: argparse.Namespace) -> int:
    entries = {entry.name: entry for entry in importlib.metadata.entry_points(group=GOLDEN_GROUP)}
    if arguments.world not in entries:
        raise ConfigError(
            f"no recordings are known for world {arguments.world!r}{did_you_mean(arguments.world, entries)}"
        )
    return int(entries[arguments.world].load()(arguments.files))
