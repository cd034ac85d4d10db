"""``harness verify``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from results.entry.format import EntryError
from results.entry.verify import Verification, verify_entry


def add_verify(verbs: Any) -> None:
    """Add the verb; named by the entry point ``thinkjepa_harness.commands``."""
    parser = verbs.add_parser(
        "verify",
        help="derive every number of a handed-in entry again; refuse it if anything does not follow",
        description="Derive every number of an entry (`harness export RUN -o entry.zip`) again from its rows, and "
        "refuse it if anything does not follow: tampered, mixed or partial entries, files that are made to do harm.",
        epilog="Exit status: 0 verified, 1 refused. No hash can show that rows which agree with each other were\n"
        "measured; --replay executes their actions again, which makes inventing them as hard as solving the tasks.\n\n"
        "Examples:\n"
        "  harness verify entry.zip\n"
        "  harness verify entry.zip --replay 5 --draw 20261121\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("entry", type=Path, metavar="ENTRY", help="an entry.zip")
    parser.add_argument("--replay", type=int, default=0, metavar="N", help="execute the actions of N episodes again")
    parser.add_argument(
        "--draw", type=int, default=0, metavar="NUMBER", help="which ones; choose it after the entry was handed in"
    )
    parser.add_argument("--standard", action="store_true", help="refuse entries of non-standard runs")
    parser.add_argument("--config-dir", type=Path, metavar="DIR", help="your own benchmarks and protocols")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(execute=_verify)


def _verify(arguments: argparse.Namespace) -> int:
    try:
        found = verify_entry(
            arguments.entry,
            config_dir=arguments.config_dir,
            replays=arguments.replay,
            draw=arguments.draw,
            standard=arguments.standard,
        )
    except EntryError as refusal:
        reason = str(refusal)
        print(json.dumps({"refused": reason}) if arguments.format == "json" else f"REFUSED {reason}")
        return 1
    print(json.dumps(asdict(found), indent=2) if arguments.format == "json" else _text(arguments.entry, found))
    return 0


def _text(path: Path, found: Verification) -> str:
    planned = found.outcomes["planned"]
    counts = ", ".join(f"{count} {outcome}" for outcome, count in found.outcomes.items() if outcome != "planned")
    lines = [
        f"verified {path}",
        f"  sha256     {found.digest}",
        f"  agent      {found.agent}{' (privileged)' if found.privileged else ''}",
        f"  protocol   {found.protocol} ({found.protocol_hash}), "
        + (f"non-standard: {'; '.join(found.deviations)}" if found.deviations else "standard"),
        f"  run key    {found.run_key}",
        f"  episodes   {planned} of {planned}: {counts}",
        f"  tables     {found.cells} cells derived again, all as stated",
        f"  replayed   {', '.join(found.replayed) or 'none (--replay N)'}",
        *(f"  note       {note}" for note in found.notes),
    ]
    return "\n".join(lines)
