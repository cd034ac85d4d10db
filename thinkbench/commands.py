"""Verbs of the command line that make, check and show suites."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from thinkbench.jobs import parallel, process_env, watched
from thinkbench.shift_draws import certified_draw, draws_path, key, load_draws, write_draws
from thinkbench.shifts import LEVELS, RECERTIFIED, Shift
from thinkbench.specs import NAME, EpisodeRecord
from thinkbench.suite import (
    FROZEN,
    FROZEN_PER_TEMPLATE,
    FROZEN_SEED,
    SUFFIX,
    Certificate,
    Suite,
    load_suite,
    shipped_path,
    suite_path,
    write_suite,
)
from thinkbench.templates import Template, load_templates

DIFFERENT = 1
"""Exit status of ``harness certify`` where something differs."""

_BAD_ARGUMENTS = 2


# --------------------------------------------------------------------------------------------- arguments


def add_certify(verbs: Any) -> None:
    """Add ``harness certify``; named by an entry point, as the other two are."""
    parser = _verb(
        verbs,
        "certify",
        _certify,
        "make the certificates of a suite again and say what differs",
        "Exit status: 0 if every certificate is the same, 1 if anything differs.\n\n"
        "Examples:\n"
        f"  harness certify {FROZEN} --workers 2\n"
        f"  harness certify {FROZEN} --sample 5 --seed 20260101\n"
        f"  harness certify fresh{SUFFIX}\n",
    )
    parser.add_argument("suite", metavar="SUITE", help=f"{FROZEN}, or a file made by `harness generate`")
    parser.add_argument("--sample", type=int, metavar="N", help="only N episodes, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, help="which sample (default: 0)")
    _add_workers(parser)


def add_generate(verbs: Any) -> None:
    """Add ``harness generate``."""
    parser = _verb(
        verbs,
        "generate",
        _generate,
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


def add_show(verbs: Any) -> None:
    """Add ``harness show``."""
    parser = _verb(
        verbs,
        "show",
        _show,
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
        _shift,
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
    verbs: Any, name: str, execute: Callable[[argparse.Namespace], int], summary: str, epilog: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(execute=functools.partial(_reporting_errors, execute))
    return parser


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: 1)")


def _reporting_errors(execute: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    try:
        return execute(arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return _BAD_ARGUMENTS


# ----------------------------------------------------------------------------------------------- certify


def _certify(arguments: argparse.Namespace) -> int:
    _require_planner()
    suite = load_suite(arguments.suite)
    records = _sample(suite.records, arguments.sample, arguments.seed)
    from thinkbench.certificates import surroundings

    print(f"{suite.label}: {len(records)} of {len(suite.records)} episodes")
    now = surroundings()
    changed = [f"{key} {suite.made_with.get(key)} -> {now[key]}" for key in now if now[key] != suite.made_with.get(key)]
    if changed:
        print(f"note: certificates were made with something else, so states may differ in the last digit: {changed}")
    began = time.monotonic()
    jobs = [(record, suite.certificates[record.episode_id]) for record in records]
    different = 0
    for name, found in watched(parallel(_differences, jobs, arguments.workers), len(jobs), "certify"):
        different += bool(found)
        for line in found:
            print(f"{name}: {line}", flush=True)
    minutes = (time.monotonic() - began) / 60
    print(f"{len(jobs) - different} of {len(jobs)} certificates are the same ({minutes:.1f} min)")
    return DIFFERENT if different else 0


def _sample(records: Sequence[EpisodeRecord], count: int | None, seed: int) -> Sequence[EpisodeRecord]:
    if count is None:
        return records
    if not 1 <= count <= len(records):
        raise ValueError(f"--sample {count}: choose between 1 and {len(records)}, the size of the suite")
    return random.Random(seed).sample(list(records), count)


def _differences(job: tuple[EpisodeRecord, Certificate]) -> tuple[str, tuple[str, ...]]:
    from thinkbench.certificates import differences

    record, certificate = job
    return record.episode_id, differences(record, certificate, process_env())


# ------------------------------------------------------------------------------------------------- shift


def _shift(arguments: argparse.Namespace) -> int:
    if arguments.sample is not None and not arguments.check:
        raise ValueError("--sample needs --check: draws are found for all episodes of a suite")
    suite = load_suite(arguments.suite)
    path = draws_path(suite_path(arguments.suite))
    recorded = load_draws(suite, path) if arguments.check else {}
    records = _sample(suite.records, arguments.sample, arguments.seed)
    jobs = [(record, shift, level) for shift in RECERTIFIED for level in LEVELS for record in records]
    draws: dict[str, dict[str, int]] = {key(shift, level): {} for shift in RECERTIFIED for level in LEVELS}
    different = 0
    for name, episode, draw in watched(parallel(_draw, jobs, arguments.workers), len(jobs), "shift"):
        draws[name][episode] = draw
        if arguments.check and draw != (before := recorded[name].get(episode, 0)):
            different += 1
            print(f"{episode} under {name}: recorded draw {before}, now {draw}", flush=True)
    if arguments.check:
        print(f"{len(jobs) - different} of {len(jobs)} draws of {suite.label} are the same")
        return DIFFERENT if different else 0
    write_draws(suite, draws, path)
    later = sum(draw > 0 for found in draws.values() for draw in found.values())
    print(f"{path}: {len(jobs)} draws for {suite.label}; {later} of them are not the first")
    return 0


def _draw(job: tuple[EpisodeRecord, Shift, int]) -> tuple[str, str, int]:
    record, shift, level = job
    return key(shift, level), record.episode_id, certified_draw(record, shift, level, process_env())


# ---------------------------------------------------------------------------------------------- generate


def _generate(arguments: argparse.Namespace) -> int:
    _require_planner()
    if arguments.freeze:
        if arguments.settings:
            raise ValueError(f"--freeze makes {FROZEN} and takes no settings; leave {arguments.settings[0]} away")
        templates = list(load_templates().values())
        count, seed, output = FROZEN_PER_TEMPLATE * len(templates), FROZEN_SEED, shipped_path(FROZEN)
    else:
        templates, count, seed, output = _settings(arguments.settings)
    began = time.monotonic()
    jobs = [(templates[i % len(templates)].name, i // len(templates), seed) for i in range(count)]
    made = dict(watched(parallel(_certified, jobs, arguments.workers), count, "generate"))
    from thinkbench.certificates import surroundings

    pairs = [made[job] for job in jobs]
    suite = Suite(
        name=output.name.removesuffix(SUFFIX),
        records=tuple(record for record, _ in pairs),
        certificates={record.episode_id: certificate for record, certificate in pairs},
        made_with=surroundings() | {"suite_seed": str(seed)},
    )
    write_suite(suite, output)
    minutes = (time.monotonic() - began) / 60
    print(f"{output}: {suite.label}, {count} certified episodes ({minutes:.1f} min)")
    return 0


def _settings(settings: Sequence[str]) -> tuple[list[Template], int, int, Path]:
    """Templates, number of episodes, seed and output file.

    Raises:
        ValueError: A setting is unknown, missing or impossible.
    """
    given = dict(item.partition("=")[::2] for item in settings)
    known = ("seed", "output", "episodes", "families", "horizons")
    for item in settings:
        key = item.partition("=")[0]
        if key not in known or not given[key]:
            raise ValueError(f"{item}: write KEY=VALUE, with one of the keys {', '.join(known)}")
    for key, example in (("seed", "seed=7"), ("output", f"output=fresh{SUFFIX}")):
        if key not in given:
            raise ValueError(f"{key} is missing; add for example {example}")
    seed, count = _number("seed", given["seed"], 0), _number("episodes", given.get("episodes", "40"), 1)
    if seed == FROZEN_SEED:
        raise ValueError(f"seed={seed} gives the episodes of {FROZEN} itself; choose another")
    output = Path(given["output"])
    if not output.name.endswith(SUFFIX) or not output.parent.is_dir():
        raise ValueError(f"output={output}: must end in {SUFFIX}, in a folder that exists")
    templates = list(load_templates().values())
    families = _chosen("families", given, sorted({template.family for template in templates}))
    horizons = _chosen("horizons", given, [str(h) for h in sorted({template.horizon for template in templates})])
    return [t for t in templates if t.family in families and str(t.horizon) in horizons], count, seed, output


def _number(key: str, value: str, least: int) -> int:
    if not value.isdecimal() or int(value) < least:
        raise ValueError(f"{key}={value}: must be a whole number of at least {least}")
    return int(value)


def _chosen(key: str, given: dict[str, str], known: Sequence[str]) -> Sequence[str]:
    values = given[key].split(",") if key in given else known
    if wrong := [value for value in values if value not in known]:
        raise ValueError(f"{key}={given[key]}: there is no {wrong[0]!r}; choose from {','.join(known)}")
    return values


def _certified(job: tuple[str, int, int]) -> tuple[tuple[str, int, int], tuple[EpisodeRecord, Certificate]]:
    from thinkbench.certificates import certified_episode

    name, index, seed = job
    return job, certified_episode(load_templates()[name], index, seed, process_env())


# -------------------------------------------------------------------------------------------------- show


def _show(arguments: argparse.Namespace) -> int:
    from thinkbench import gallery, show

    if (arguments.episode is None) == (arguments.gallery is None):
        raise ValueError("name one EPISODE, or a folder with --gallery DIR")
    suite = load_suite(arguments.suite)
    if arguments.gallery is not None:
        chosen = list({record.meta["template"]: record for record in reversed(suite.records)}.values())
        chosen.sort(key=lambda record: (record.meta["family"], record.horizon))
        env = show.make_env()
        cards = watched((gallery.card(record, suite, env) for record in chosen), len(chosen), "gallery")
        print(gallery.write(suite, list(cards), arguments.gallery))
        return 0
    found = [record for record in suite.records if record.episode_id == arguments.episode]
    if not found:
        some = ", ".join(record.episode_id for record in suite.records[:3])
        raise ValueError(f"{suite.label} has no episode {arguments.episode!r}; it has {some}, ...")
    if arguments.pddl:
        _require_planner()
        from thinkbench import certificates, pddl

        print(pddl.pddl_text(pddl.planning_problem(*certificates.symbolic_problem(found[0]))), end="")
        return 0
    output = arguments.output or Path(f"{arguments.episode}.png")
    show.draw_strip(found[0], show.replay(found[0], suite.certificates[arguments.episode], show.make_env()), output)
    print(output)
    return 0


def _require_planner() -> None:
    missing = [name for name in ("unified_planning", "up_fast_downward") if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"{' and '.join(missing)} not installed; certificates need: pip install 'thinkjepa-harness[certify]'"
        )
