"""What the verbs share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console

from harness.store import PlannedEpisode, StoreError


def verb(
    verbs: Any, name: str, execute: Callable[[argparse.Namespace], int], summary: str, epilog: str = ""
) -> argparse.ArgumentParser:
    """A subparser that runs ``execute``; ``summary`` is its one line in the list and the head of its help."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(execute=execute)
    return parser


def wide_console() -> Console:
    """As wide as the terminal; wide enough for every table where the output goes into a file or a pipe."""
    return Console(width=None if sys.stdout.isatty() else 200)


def find_episode(plan: list[PlannedEpisode], name: str) -> PlannedEpisode:
    """The episode whose id is ``name`` (with ``#R`` for a repetition) or whose key starts with it.

    Raises:
        StoreError: if there is none, or more than one, or ``R`` is no number.
    """
    episode_id, _, repeat = name.partition("#")
    if repeat and not repeat.isdecimal():
        raise StoreError(
            f"episode {name!r}: what follows # is the number of a repetition, for example {episode_id}#1 for the second"
        )
    found = [p for p in plan if p.spec.episode_id == episode_id and p.repeat == int(repeat or 0)]
    found = found or [p for p in plan if p.key.startswith(name)]
    if len(found) == 1:
        return found[0]
    some = ", ".join(p.spec.episode_id for p in plan[:5])
    problem = "is ambiguous" if found else "is not in this run"
    raise StoreError(
        f"episode {name!r} {problem}; it has {len(plan)} episodes: {some}{', ...' if len(plan) > 5 else ''}"
    )
