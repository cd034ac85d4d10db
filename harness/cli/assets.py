"""``harness assets``: download the official files of a world, or check those that are there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from harness.assets import DownloadError, fetch, official_files
from harness.cli.options import verb
from harness.interfaces import OfficialFiles


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verb(
        verbs,
        "assets",
        _assets,
        "download the official files of a world from their public repository and check each SHA-256",
        """\
Files that are already right are kept, damaged ones are replaced, interrupted downloads are continued.
Without a network: copy the files to DIR/WORLD and set HARNESS_ASSETS=DIR.

Exit status: 0 all files are there and right, 1 some are not.

Examples:
  harness assets calvin
  harness assets language_table --check
""",
    )
    parser.add_argument("world", metavar="WORLD", help="calvin or language_table")
    parser.add_argument("--to", type=Path, metavar="DIR", help="where to put them (default: the cache folder)")
    parser.add_argument("--check", action="store_true", help="only look at what is there")


def _assets(arguments: argparse.Namespace) -> int:
    files = official_files(arguments.world)
    root: Path = arguments.to or files.folder
    if arguments.check:
        return _check(files, root)
    try:
        fetched = fetch(files, root, _show)
    except DownloadError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    print(f"\n{fetched} of {len(files.files)} files downloaded, the others were there", file=sys.stderr)
    print(root)
    return 0


def _check(files: OfficialFiles, root: Path) -> int:
    damaged = files.damaged(root)
    for file in damaged:
        print(f"{'damaged' if (root / file.path).exists() else 'missing'} {file.path}")
    print(f"{root}: {len(files.files) - len(damaged)} of {len(files.files)} files are there and right")
    return 1 if damaged else 0


def _show(done: int, total: int) -> None:
    """One line, redrawn on a terminal; in a log only the last state."""
    live = sys.stderr.isatty()
    if live or done == total:
        line = f"{done / 2**20:.1f} of {total / 2**20:.1f} MiB"
        print(f"\r{line}" if live else line, end="", file=sys.stderr, flush=True)
