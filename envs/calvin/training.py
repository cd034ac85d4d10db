"""Where training data are gathered: random scenes on any of the four tables, none of them an evaluation scene."""

from __future__ import annotations

import numpy as np

from envs.arrays import FloatArray
from envs.calvin.chains import SHELF, State, chains_from, initial_states
from envs.calvin.layouts import LAYOUTS, Layout, Scene

PLAY_STEPS = 900
"""Actions of one stretch of play: half a minute."""

_APART = 0.11
"""Blocks start at least this far apart, metres."""
_DROP_HEIGHT = 0.46
_SWITCH_ON = 0.088


def training_state(rng: np.random.Generator) -> State:
    """A symbolic initial state, drawn evenly from those that evaluation chains start from too."""
    states = initial_states()
    return dict(states[int(rng.integers(len(states)))])


def training_chain(state: State, rng: np.random.Generator) -> tuple[str, ...]:
    """Five tasks that can be done one after the other from ``state``, by the rules of the evaluation chains."""
    return next(iter(chains_from(state, 1, int(rng.integers(2**31)))))


def training_scene(scene: Scene, state: State, rng: np.random.Generator) -> FloatArray:
    """``scene_obs`` (24,) of a state on one of the tables, with blocks anywhere on their surface.

    The evaluation puts blocks on two spots of the table and two of the shelf; here positions and yaws are continuous,
    and the order of the blocks is that of the table (see `envs.calvin.initial.scene_obs` for the layout).
    """
    layout = LAYOUTS[scene]
    obs = np.zeros(24)
    obs[0] = layout.slide_range if state["slider"] == "left" else 0.0
    obs[1] = 0.22 if state["drawer"] == "open" else 0.0
    obs[3] = _SWITCH_ON if state["lightbulb"] == 1 else 0.0
    obs[4], obs[5] = state["lightbulb"], state["led"]
    taken: list[FloatArray] = [np.array([layout.button_x, -0.12]), np.array([layout.switch_x, 0.0])]
    for index, (colour, _) in enumerate(layout.blocks):
        place = str(state[f"{colour}_block"])
        position = _free_spot(layout, place, taken, rng)
        taken.append(position)
        obs[6 + 6 * index : 8 + 6 * index] = position
        obs[8 + 6 * index] = _DROP_HEIGHT
        # On the shelf there is room for the hand only from the front.
        turn = np.pi / 8 if place in SHELF else np.pi
        obs[11 + 6 * index] = rng.uniform(np.pi / 2 - turn, np.pi / 2 + turn)
    return obs


def _free_spot(layout: Layout, place: str, taken: list[FloatArray], rng: np.random.Generator) -> FloatArray:
    """``(x, y)`` within the surface's spawn box; the freest of many draws, or the first that is free enough."""
    low, high = (np.array(corner[:2]) for corner in layout.spawn[place])
    best, clearance = low, -1.0
    for _ in range(50):
        spot = rng.uniform(low, high)
        distance = min(float(np.linalg.norm(spot - other)) for other in taken)
        if distance >= _APART:
            return spot
        if distance > clearance:
            best, clearance = spot, distance
    return best
