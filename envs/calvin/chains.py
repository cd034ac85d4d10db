"""The 1000 evaluation chains: symbolic initial states, the rules of the 34 tasks, and how chains are drawn from them.

Reproduces the chains of the public evaluation protocol in content and order. The draws are made by numpy's legacy
``RandomState``, whose streams never change between versions, so the result is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from envs.calvin.tasks import TASKS

State = dict[str, int | str]
"""Symbolic state: ``led``, ``lightbulb``, ``slider``, ``drawer``, one place per block, ``grasped``; in this order."""

COLOURS = ("red", "blue", "pink")
CHAIN_LENGTH = 5
CHAINS = 1000
SHELF = ("slider_right", "slider_left")


@dataclass(frozen=True)
class Rule:
    """One way in which a task can be carried out.

    Attributes:
        when: What must hold before; a tuple of values means any of them.
        then: What is changed by it.
    """

    when: Mapping[str, int | str | tuple[str, ...]]
    then: Mapping[str, int | str]

    def applies(self, state: Mapping[str, int | str]) -> bool:
        """Whether ``state`` meets the condition."""
        return all(
            state[key] in value if isinstance(value, tuple) else state[key] == value for key, value in self.when.items()
        )

    def apply(self, state: State) -> State:
        """The state afterwards."""
        return {**state, **self.then}


def _lift(block: str, place: str, **when: str) -> Rule:
    return Rule({block: place, **when, "grasped": 0}, {block: "grasped", "grasped": 1})


def _rules() -> dict[str, tuple[Rule, ...]]:
    blocks = [f"{colour}_block" for colour in COLOURS]
    pairs = [(top, bottom) for top in blocks for bottom in blocks if top != bottom]
    rules: dict[str, tuple[Rule, ...]] = {}
    for colour, block in zip(COLOURS, blocks, strict=True):
        # Rotating and pushing leave the symbolic state as it is.
        in_place = (Rule({block: "table", "grasped": 0}, {}),)
        for verb in ("rotate", "push"):
            for side in ("right", "left"):
                rules[f"{verb}_{colour}_block_{side}"] = in_place
        rules[f"lift_{colour}_block_table"] = (_lift(block, "table"),)
        # The door covers the half of the shelf that it stands on.
        rules[f"lift_{colour}_block_slider"] = (
            _lift(block, "slider_left", slider="right"),
            _lift(block, "slider_right", slider="left"),
        )
        rules[f"lift_{colour}_block_drawer"] = (_lift(block, "drawer", drawer="open"),)
    for name, part, before, after in (
        ("move_slider_left", "slider", "right", "left"),
        ("move_slider_right", "slider", "left", "right"),
        ("open_drawer", "drawer", "closed", "open"),
        ("close_drawer", "drawer", "open", "closed"),
        ("turn_on_lightbulb", "lightbulb", 0, 1),
        ("turn_off_lightbulb", "lightbulb", 1, 0),
        ("turn_on_led", "led", 0, 1),
        ("turn_off_led", "led", 1, 0),
    ):
        rules[name] = (Rule({part: before, "grasped": 0}, {part: after}),)
    # The public rule puts a placed block behind the door, although it lands in the open half. It is kept as it is:
    # which chains are valid depends on it.
    rules["place_in_slider"] = tuple(
        Rule({block: "grasped", "slider": side, "grasped": 1}, {block: f"slider_{side}", "grasped": 0})
        for block in blocks
        for side in ("right", "left")
    )
    rules["place_in_drawer"] = tuple(
        Rule({block: "grasped", "drawer": "open", "grasped": 1}, {block: "drawer", "grasped": 0}) for block in blocks
    )
    rules["push_into_drawer"] = tuple(
        Rule(
            {block: "table", **{other: SHELF for other in blocks if other != block}, "drawer": "open", "grasped": 0},
            {block: "drawer"},
        )
        for block in blocks
    )
    rules["stack_block"] = tuple(
        Rule(
            {top: "grasped", bottom: "table", "grasped": 1},
            {top: "stacked_top", bottom: "stacked_bottom", "grasped": 0},
        )
        for top, bottom in pairs
    )
    rules["unstack_block"] = tuple(
        Rule({top: "stacked_top", bottom: "stacked_bottom", "grasped": 0}, {top: "table", bottom: "table"})
        for top, bottom in pairs
    )
    return {task: rules[task] for task in TASKS}


RULES: Mapping[str, tuple[Rule, ...]] = _rules()


def category(task: str) -> str:
    """Tasks of one category are not combined within a chain."""
    if task.startswith(("rotate", "push")) and task != "push_into_drawer":
        return "move on the table"
    if task.startswith("lift"):
        return "lift from the " + task.rpartition("_")[2]
    if task.startswith("turn"):
        return "lights"
    return {
        "move_slider_left": "slider",
        "move_slider_right": "slider",
        "open_drawer": "drawer",
        "close_drawer": "drawer",
        "place_in_slider": "place",
        "place_in_drawer": "place",
    }.get(task, task)


def initial_states() -> list[State]:
    """All symbolic initial states: one or two blocks on the table, at most one in each half of the shelf."""
    domains: dict[str, tuple[int | str, ...]] = {
        "led": (0, 1),
        "lightbulb": (0, 1),
        "slider": ("right", "left"),
        "drawer": ("closed", "open"),
        **{f"{colour}_block": ("table", *SHELF) for colour in COLOURS},
        "grasped": (0,),
    }
    states = []
    for values in product(*domains.values()):
        if values.count("table") in (1, 2) and all(values[4:7].count(half) < 2 for half in SHELF):
            states.append(dict(zip(domains, values, strict=True)))
    return states


def is_valid(state: State, chain: tuple[str, ...]) -> bool:
    """Whether each task of ``chain`` can be done in exactly one way, and no two share a category."""
    if len({category(task) for task in chain}) != len(chain):
        return False
    for task in chain:
        rules = [rule for rule in RULES[task] if rule.applies(state)]
        if len(rules) != 1:
            return False
        state = rules[0].apply(state)
    return True


def chains_from(state: State, count: int, seed: int) -> Iterator[tuple[str, ...]]:
    """Draw five different tasks in a row until ``count`` valid chains were found."""
    random = np.random.RandomState(seed)
    first = [any(rule.applies(state) for rule in RULES[task]) for task in TASKS]
    found = 0
    while found < count:
        drawn = random.permutation(len(TASKS))[:CHAIN_LENGTH]
        if not first[drawn[0]]:
            continue
        chain = tuple(TASKS[index] for index in drawn)
        if is_valid(state, chain):
            found += 1
            yield chain


def generate_chains(count: int = CHAINS) -> list[tuple[State, tuple[str, ...]]]:
    """The evaluation chains ``(initial state, five tasks)``, in the order of the protocol. Takes about a minute.

    Source: public evaluation protocol (multi-step sequences): chains are spread evenly over the initial states, state
    ``i`` draws with seed ``i``, and the whole list is shuffled with seed 0.
    """
    states = initial_states()
    share, rest = divmod(count, len(states))
    chains = [
        (state, chain) for seed, state in enumerate(states) for chain in chains_from(state, share + (seed < rest), seed)
    ]
    np.random.RandomState(0).shuffle(chains)  # type: ignore[arg-type]
    return chains
