"""What `harness plans` and `harness check-plans` do; `thinkbench.commands` has their arguments."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import fields
from typing import get_args

from harness.plans import Answers, count_questions
from thinkbench.generator import Wording
from thinkbench.plans.making import Making, load_suite_once, make_plans
from thinkbench.plans.verdicts import markdown, report, verdicts
from thinkbench.templates import load_templates


def plans(arguments: argparse.Namespace) -> int:
    """Carry out ``harness plans``; returns the exit status."""
    splits = make_plans(arguments.out, settings(arguments.settings), workers=arguments.workers)
    print(f"{arguments.out}: {', '.join(f'{count} {split}' for split, count in sorted(splits.items()))}")
    return 0


def check_plans(arguments: argparse.Namespace) -> int:
    """Carry out ``harness check-plans``; returns the exit status."""
    answers = Answers.read(arguments.answers)
    found = verdicts(arguments.plans, answers)
    data = report(found, answers, asked=count_questions(arguments.plans))
    print(json.dumps(data, indent=1) if arguments.format == "json" else markdown(data), end="")
    return 0


def settings(given: Sequence[str]) -> Making:
    """From ``KEY=VALUE ...``.

    Raises:
        ValueError: A setting is unknown, missing or impossible.
    """
    values = dict(item.partition("=")[::2] for item in given)
    known = [field.name for field in fields(Making)]
    for item in given:
        key = item.partition("=")[0]
        if key not in known or not values[key]:
            raise ValueError(f"{item}: write KEY=VALUE, with one of the keys {', '.join(known)}")
    if ("seed" in values) == ("suite" in values):
        raise ValueError("give either seed=N, for training data, or suite=NAME, for questions to evaluate with")
    suite = values.get("suite")
    if suite is not None and (wrong := [key for key in ("held_out", "unseen") if key in values]):
        raise ValueError(f"{wrong[0]}={values[wrong[0]]} has no effect on suite={suite}; leave it away")
    unseen = tuple(values["unseen"].split(",")) if "unseen" in values else ()
    templates = load_templates()
    if strange := [name for name in unseen if name not in templates]:
        raise ValueError(f"unseen={values['unseen']}: there is no {strange[0]!r}; choose from {','.join(templates)}")
    wording = values.get("wording", "standard")
    if wording not in get_args(Wording):
        raise ValueError(f"wording={wording}: choose one of {', '.join(get_args(Wording))}")
    if suite is None and wording != "standard":
        raise ValueError(f"wording={wording} is for evaluation; add suite=NAME, or leave it away")
    most = len(_suite(suite)) if suite is not None else 10**9
    return Making(
        seed=None if suite is not None else _number("seed", values["seed"], 0, 10**9),
        episodes=_number("episodes", values.get("episodes", str(most if suite is not None else 400)), 1, most),
        states=_number("states", values.get("states", "1" if suite is not None else "2"), 1, 10),
        image=_number("image", values.get("image", "224"), 16, 1024),
        held_out=_share("held_out", values.get("held_out", "0" if suite is not None else "0.05")),
        unseen=unseen,
        suite=suite,
        wording=next(one for one in get_args(Wording) if one == wording),
    )


def _suite(name: str) -> Sequence[object]:
    try:
        return load_suite_once(name)
    except FileNotFoundError as error:
        raise ValueError(str(error).removeprefix("protocol.")) from error


def _number(key: str, value: str, least: int, most: int) -> int:
    if not value.isdecimal() or not least <= int(value) <= most:
        raise ValueError(f"{key}={value}: must be a whole number from {least} to {most}")
    return int(value)


def _share(key: str, value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise ValueError(f"{key}={value}: must be a number from 0 to below 1")
    return share
