"""Verbs of the command line that read run stores."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from results.render import as_csv, as_json, markdown
from results.report import build_report

RENDERERS = {"md": markdown, "json": as_json, "csv": as_csv}


def add_report(verbs: Any) -> None:
    """Add ``harness report``; named by the entry point ``thinkjepa_harness.commands``."""
    parser = verbs.add_parser(
        "report",
        help="tables of one or more runs, with intervals, on standard output",
        description="Tables of one or more runs, with intervals, on standard output.",
        epilog="Examples:\n"
        "  harness report runs/20260101-120000-thinkbench-expert-s0\n"
        "  harness report runs/* --format json > report.json\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories")
    parser.add_argument("--format", choices=sorted(RENDERERS), default="md")
    parser.set_defaults(execute=_report)


def _report(arguments: argparse.Namespace) -> int:
    print(RENDERERS[arguments.format](build_report(arguments.runs)), end="")
    return 0
