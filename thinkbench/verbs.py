"""What `harness certify`, `generate`, `show` and `shift` do; `thinkbench.commands` has their arguments."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from thinkbench.jobs import KeptJob, kept, parallel, process_env, watched
from thinkbench.names import FROZEN, SUFFIX
from thinkbench.shift_draws import Draws, certified_draw, draws_path, load_draws, write_draws
from thinkbench.shifts import LEVELS, RECERTIFIED, SHIFT_VERSION, Shift
from thinkbench.specs import EpisodeRecord
from thinkbench.suite import (
    FROZEN_PER_TEMPLATE,
    FROZEN_SEED,
    Certificate,
    Suite,
    entry_of,
    from_entry,
    load_suite,
    shipped_path,
    suite_path,
    write_suite,
)
from thinkbench.templates import Template, load_templates

DIFFERENT = 1
"""Exit status of ``harness certify`` where something differs."""


# ----------------------------------------------------------------------------------------------- certify


def certify(arguments: argparse.Namespace) -> int:
    """Carry out ``harness certify``; returns the exit status."""
    _require_planner()
    if arguments.renew and arguments.sample is not None:
        raise ValueError("--renew needs all episodes; leave --sample away")
    suite = load_suite(arguments.suite)
    if arguments.renew:
        return _renew(suite, suite_path(arguments.suite), arguments.workers)
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
    for (record, _), found in watched(parallel(_differences, jobs, arguments.workers), len(jobs), "certify"):
        different += bool(found)
        for line in found:
            print(f"{record.episode_id}: {line}", flush=True)
    minutes = (time.monotonic() - began) / 60
    print(f"{len(jobs) - different} of {len(jobs)} certificates are the same ({minutes:.1f} min)")
    return DIFFERENT if different else 0


def _renew(suite: Suite, path: Path, workers: int) -> int:
    from thinkbench.certificates import surroundings

    made: dict[str, Certificate] = {}
    fresh = parallel(_fresh_certificate, suite.records, workers)
    for record, certificate in watched(fresh, len(suite.records), "certify"):
        if isinstance(certificate, Certificate):
            made[record.episode_id] = certificate
        else:
            print(f"{record.episode_id}: {certificate}", flush=True)
    if failed := len(suite.records) - len(made):
        print(f"{failed} of {len(suite.records)} episodes cannot be certified; {path} stays as it was")
        return DIFFERENT
    changed = sum(made[name] != suite.certificates[name] for name in made)
    made_with = {**suite.made_with, **surroundings()}
    write_suite(replace(suite, certificates=made, made_with=made_with), path)
    print(f"{path}: {suite.label}, {changed} of {len(made)} certificates are other ones")
    return 0


def _fresh_certificate(record: EpisodeRecord) -> Certificate | str:
    from thinkbench.certificates import NotCertifiableError
    from thinkbench.certificates import certify as certificate_of

    try:
        return certificate_of(record, process_env())
    except NotCertifiableError as error:
        return str(error)


def _sample(records: Sequence[EpisodeRecord], count: int | None, seed: int) -> Sequence[EpisodeRecord]:
    if count is None:
        return records
    if not 1 <= count <= len(records):
        raise ValueError(f"--sample {count}: choose between 1 and {len(records)}, the size of the suite")
    return random.Random(seed).sample(list(records), count)


def _differences(job: tuple[EpisodeRecord, Certificate]) -> tuple[str, ...]:
    from thinkbench.certificates import differences

    return differences(*job, process_env())


# ------------------------------------------------------------------------------------------------- shift


def shift(arguments: argparse.Namespace) -> int:
    """Carry out ``harness shift``; returns the exit status."""
    if arguments.sample is not None and not arguments.check:
        raise ValueError("--sample needs --check: draws are found for all episodes of a suite")
    suite = load_suite(arguments.suite)
    path = draws_path(suite_path(arguments.suite))
    jobs: list[KeptJob] = [
        (arguments.suite, record.episode_id, shift, level)
        for shift in RECERTIFIED
        for level in LEVELS
        for record in _sample(suite.records, arguments.sample, arguments.seed)
    ]
    if arguments.check:
        return _check_draws(suite, load_draws(suite, path), jobs, arguments.workers)
    journal = path.with_name(f"{path.name}.begun")
    found = kept(
        journal, f"{suite.label}, shifts {SHIFT_VERSION}", jobs, _draw, workers=arguments.workers, title="shift"
    )
    draws: dict[str, dict[str, int]] = {}
    for (_, episode, shift, level), draw in found.items():
        draws.setdefault(f"{shift}/{level}", {})[str(episode)] = draw
    write_draws(suite, draws, path)
    journal.unlink()
    print(f"{path}: {len(jobs)} draws for {suite.label}; {sum(draw > 0 for draw in found.values())} are not the first")
    return 0


def _check_draws(suite: Suite, recorded: Draws, jobs: Sequence[KeptJob], workers: int) -> int:
    different = 0
    for (_, episode, shift, level), draw in watched(parallel(_draw, jobs, workers), len(jobs), "shift"):
        if draw != (before := recorded[f"{shift}/{level}"].get(str(episode), 0)):
            different += 1
            print(f"{episode} under {shift}/{level}: recorded draw {before}, now {draw}", flush=True)
    print(f"{len(jobs) - different} of {len(jobs)} draws of {suite.label} are the same")
    return DIFFERENT if different else 0


def _draw(job: KeptJob) -> int:
    suite, episode, shift, level = job
    return certified_draw(_records(str(suite))[str(episode)], cast(Shift, shift), int(level), process_env())


@functools.cache
def _records(suite: str) -> dict[str, EpisodeRecord]:
    return {record.episode_id: record for record in load_suite(suite).records}


# ---------------------------------------------------------------------------------------------- generate


def generate(arguments: argparse.Namespace) -> int:
    """Carry out ``harness generate``; returns the exit status."""
    _require_planner()
    if arguments.freeze:
        if arguments.settings:
            raise ValueError(f"--freeze makes {FROZEN} and takes no settings; leave {arguments.settings[0]} away")
        templates = list(load_templates().values())
        count, seed, output = FROZEN_PER_TEMPLATE * len(templates), FROZEN_SEED, shipped_path(FROZEN)
    else:
        templates, count, seed, output = _settings(arguments.settings)
    began = time.monotonic()
    from thinkbench.certificates import surroundings

    made_with = surroundings() | {"suite_seed": str(seed)}
    jobs = [(templates[i % len(templates)].name, i // len(templates), seed) for i in range(count)]
    journal = output.with_name(f"{output.name}.begun")
    made = kept(
        journal, f"{output.name} made with {made_with}", jobs, _certified, workers=arguments.workers, title="generate"
    )
    pairs = [from_entry(made[job]) for job in jobs]
    suite = Suite(
        name=output.name.removesuffix(SUFFIX),
        records=tuple(record for record, _ in pairs),
        certificates={record.episode_id: certificate for record, certificate in pairs},
        made_with=made_with,
    )
    write_suite(suite, output)
    journal.unlink()
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


def _certified(job: KeptJob) -> dict[str, Any]:
    from thinkbench.certificates import certified_episode

    name, index, seed = job
    return entry_of(*certified_episode(load_templates()[str(name)], int(index), int(seed), process_env()))


# -------------------------------------------------------------------------------------------------- show


def show(arguments: argparse.Namespace) -> int:
    """Carry out ``harness show``; returns the exit status."""
    from thinkbench import gallery
    from thinkbench import show as strips

    if (arguments.episode is None) == (arguments.gallery is None):
        raise ValueError("name one EPISODE, or a folder with --gallery DIR")
    suite = load_suite(arguments.suite)
    if arguments.gallery is not None:
        chosen = list({record.meta["template"]: record for record in reversed(suite.records)}.values())
        chosen.sort(key=lambda record: (record.meta["family"], record.horizon))
        env = strips.make_env()
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
    strips.draw_strip(
        found[0], strips.replay(found[0], suite.certificates[arguments.episode], strips.make_env()), output
    )
    print(output)
    return 0


def _require_planner() -> None:
    missing = [name for name in ("unified_planning", "up_fast_downward") if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"{' and '.join(missing)} not installed; certificates need: pip install 'thinkjepa-harness[certify]'"
        )
