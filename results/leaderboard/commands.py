"""``harness leaderboard``: build the site, and add to it."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

# The rest of the package is imported when it is used: templates, tables and statistics take a second.

DEFAULT_TITLE = "Leaderboard"


def add_leaderboard(verbs: Any) -> None:
    """Add ``harness leaderboard``; named by the entry point ``thinkjepa_harness.commands``."""
    parser = verbs.add_parser(
        "leaderboard",
        help="a static site of runs: rankings, plots, every episode",
        description="A static site of runs: rankings, plots, every episode. It needs no server: open index.html.",
        epilog="Examples:\n  harness leaderboard build runs/* -o site\n  harness leaderboard add entry.zip site\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="verify runs and make a new site of them")
    build.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run directories (videos come along) or entries"
    )
    build.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="a new folder")
    build.add_argument("--title", default=DEFAULT_TITLE, help=f"the site's name (default: {DEFAULT_TITLE})")
    build.set_defaults(execute=_build)
    add = actions.add_parser("add", help="verify one more entry and put it into a site")
    add.add_argument("entry", type=Path, metavar="ENTRY", help="an entry (`harness export RUN -o entry.zip`) or a run")
    add.add_argument("folder", type=Path, metavar="DIR", help="the site's folder")
    add.set_defaults(execute=_add)
    for action in (build, add):
        action.add_argument("--config-dir", type=Path, help="folder with further benchmarks and protocols")


def _build(arguments: argparse.Namespace) -> int:
    from results.leaderboard.intake import check_new

    check_new(arguments.output)
    try:
        return _take_in_and_build(arguments.runs, arguments.output, arguments.title, arguments.config_dir)
    except BaseException:
        shutil.rmtree(arguments.output, ignore_errors=True)  # there was nothing in it before
        raise


def _add(arguments: argparse.Namespace) -> int:
    from results.leaderboard.build import site_title
    from results.leaderboard.intake import check_site

    check_site(arguments.folder)
    return _take_in_and_build([arguments.entry], arguments.folder, site_title(arguments.folder), arguments.config_dir)


def _take_in_and_build(sources: list[Path], folder: Path, title: str, config_dir: Path | None) -> int:
    from results.leaderboard.build import build_site
    from results.leaderboard.intake import discard, take_in

    entries = take_in(sources, folder, config_dir)
    try:
        site = build_site(folder, title, config_dir)
    except BaseException:
        discard(entries)
        raise
    episodes = f"{site.episodes:,} episodes of {len(site.runs)} run{'' if len(site.runs) == 1 else 's'}"
    print(f"{folder / 'index.html'}: {episodes}")
    return 0
