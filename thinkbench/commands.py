"""Verbs of the command line that make, check and show suites: their arguments.

What they do is in `thinkbench.verbs` and `thinkbench.plans.verbs`, which import simulator and planner and are loaded
when one of them is called.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import sys
from pathlib import Path
from typing import Any

from thinkbench.names import FROZEN, NAME, SUFFIX

_BAD_ARGUMENTS = 2


def add_certify(verbs: Any) -> None:
    """Add ``harness certify``; named by an entry point, as the others are."""
    parser = _verb(
        verbs,
        "certify",
        "make the certificates of a suite again and say what differs",
        "Exit status: 0 if every certificate is the same, 1 if anything differs. With --renew the suite's file is\n"
        "written with the new certificates, for the same episodes; nothing is written if one cannot be certified.\n\n"
        "Examples:\n"
        f"  harness certify {FROZEN} --workers 2\n"
        f"  harness certify {FROZEN} --sample 5 --seed 20260101\n"
        f"  harness certify fresh{SUFFIX} --renew\n",
    )
    parser.add_argument("suite", metavar="SUITE", help=f"{FROZEN}, or a file made by `harness generate`")
    parser.add_argument("--sample", type=int, metavar="N", help="only N episodes, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, help="which sample (default: 0)")
    parser.add_argument("--renew", action="store_true", help="write the certificates as they are made now")
    _add_workers(parser)


def add_generate(verbs: Any) -> None:
    """Add ``harness generate``."""
    parser = _verb(
        verbs,
        "generate",
        "make a fresh suite of certified episodes",
        "Settings: seed=N output=FILE, and as wanted episodes=N (default 40) families=a,b horizons=3,5.\n"
        "Prefixes of a suite are balanced: one episode of each template, then the next of each.\n\n"
        "Examples:\n"
        f"  harness generate thinkbench seed=7 episodes=40 output=fresh{SUFFIX}\n"
        f"  harness run agent=expert protocol.suite=fresh{SUFFIX}\n",
    )
    parser.add_argument("benchmark", choices=[NAME], help="which benchmark's episodes")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="see below")
    parser.add_argument("--freeze", action="store_true", help=f"make {FROZEN} itself, into the package")
    _add_workers(parser)


def add_plans(verbs: Any) -> None:
    """Add ``harness plans``."""
    parser = _verb(
        verbs,
        "plans",
        "make pictures and instructions with their sub-goals in words, to train and examine reasoners",
        "Settings: seed=N, and as wanted episodes=N (default 400) states=N (of each episode, default 2) image=PIXELS\n"
        "(default 224) held_out=SHARE (default 0.05) unseen=TEMPLATE,... (templates of which nothing is trained on).\n"
        "Or, to evaluate: suite=NAME, and as wanted episodes=N states=N (default 1) image=PIXELS wording=held_out.\n"
        "The same command goes on after a kill. Training episodes belong to no suite.\n\n"
        "Examples:\n"
        "  harness plans runs/plans seed=1 episodes=4000 unseen=tower-h5,sort-h7 --workers 2\n"
        f"  harness plans runs/exam suite={FROZEN} wording=held_out\n",
        module="thinkbench.plans.verbs",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="see below")
    _add_workers(parser)


def add_check_plans(verbs: Any) -> None:
    """Add ``harness check-plans``."""
    parser = _verb(
        verbs,
        "check-plans",
        "judge answers of a reasoner: whether its sub-goals can be executed and reach the goal",
        "Sub-goals are read as moves of ThinkBench's abstract domain, in its wordings or in ordinary words, and\n"
        "carried out there. Prints rates with 95 % Wilson intervals by split, horizon, family and template, agreement\n"
        "of attention with what is named, times.\n\n"
        "Example:\n"
        "  harness answer runs/exam --model runs/reasoner/checkpoint -o answers.json\n"
        "  harness check-plans runs/exam answers.json\n",
        module="thinkbench.plans.verbs",
    )
    parser.add_argument("plans", type=Path, metavar="PLANS", help="the folder that was asked")
    parser.add_argument("answers", type=Path, metavar="ANSWERS", help="what `harness answer` wrote")
    parser.add_argument("--format", choices=["json", "md"], default="md")


def add_show(verbs: Any) -> None:
    """Add ``harness show``."""
    parser = _verb(
        verbs,
        "show",
        "episodes in pictures: start, certified plan, goal, instruction",
        "Examples:\n"
        "  harness show thinkbench tower-h5-000 -o tower.png\n"
        "  harness show thinkbench tower-h5-000 --pddl > tower.pddl\n"
        "  harness show thinkbench --gallery gallery\n",
    )
    parser.add_argument("benchmark", choices=[NAME], help="which benchmark's episodes")
    parser.add_argument("episode", nargs="?", metavar="EPISODE", help="id of one episode, for example tower-h5-000")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="picture to write (default: EPISODE.png)")
    parser.add_argument("--pddl", action="store_true", help="print its PDDL domain and problem instead")
    parser.add_argument("--gallery", type=Path, metavar="DIR", help="write DIR/index.html with one of each template")
    parser.add_argument("--suite", default=FROZEN, help=f"{FROZEN} (default), or a file made by `harness generate`")


def add_shift(verbs: Any) -> None:
    """Add ``harness shift``."""
    parser = _verb(
        verbs,
        "shift",
        "find or check the draws under which a suite's shifted episodes are solved",
        "Writes SUITE's draws beside it: for each shift that alters what can be solved, at each level, the first draw\n"
        "of every episode after which the expert still succeeds. --check finds them again and says what differs.\n\n"
        "Examples:\n"
        f"  harness shift {FROZEN} --workers 2\n"
        f"  harness shift {FROZEN} --check --sample 5 --seed 20260101\n",
    )
    parser.add_argument("suite", metavar="SUITE", help=f"{FROZEN}, or a file made by `harness generate`")
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if anything differs")
    parser.add_argument("--sample", type=int, metavar="N", help="with --check: only N episodes, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, help="which sample (default: 0)")
    _add_workers(parser)


def _verb(
    verbs: Any, name: str, summary: str, epilog: str, module: str = "thinkbench.verbs"
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(execute=functools.partial(_execute, module, name.replace("-", "_")))
    return parser


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: 1)")


def _execute(module: str, name: str, arguments: argparse.Namespace) -> int:
    verbs = importlib.import_module(module)
    try:
        status: int = getattr(verbs, name)(arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return _BAD_ARGUMENTS
    return status
