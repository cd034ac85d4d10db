"""Initial scenes: from a symbolic state to the numbers that the simulator is reset with.

Each symbolic state has its own scene: a hash of the state seeds the draws of table spots and block yaws. The public
evaluation uses FNV-1 (32 bit) as the ``pyhash`` package computes it, which is not the textbook variant: it starts at 0
and runs over UTF-16-LE bytes. A popular port replaced it by the textbook FNV-1 and so evaluates other scenes: all block
yaws differ, and in 557 of the 1000 chains the blocks on the table have swapped places. Both are offered, by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import numpy as np

from envs.arrays import FloatArray

ROBOT_OBS: FloatArray = np.array(
    [
        *(0.02586889, -0.2313129, 0.5712808, 3.09045411, -0.02908596, 1.50013585, 0.07999963),
        *(-1.21779124, 1.03987629, 2.11978254, -2.34205014, -0.87015899, 1.64119093, 0.55344928, 1.0),
    ]
)
"""``robot_obs`` (15,) of every initial scene."""

SHELF_SPOTS: Mapping[str, tuple[float, float, float]] = {
    "slider_left": (-0.240851662, 0.0924044687, 0.460990009),
    "slider_right": (0.0703416330, 0.0924044687, 0.460990009),
}
TABLE_SPOTS = ((0.0500000896, -0.120000177, 0.459990009), (0.229995412, -0.119995140, 0.459990010))

_PRIME = 0x01000193


class SceneHash(StrEnum):
    """Which hash seeds the initial scenes."""

    OFFICIAL = "official"
    POPULAR_PORT = "popular-port"


def scene_seed(state: Mapping[str, int | str], variant: SceneHash = SceneHash.OFFICIAL) -> int:
    """The seed of a symbolic state, from the text of its values (Python's ``dict_values([...])``)."""
    text = f"dict_values({list(state.values())!r})"
    if variant is SceneHash.OFFICIAL:
        return fnv1_32(text.encode("utf-16-le"), basis=0)
    return fnv1_32(text.encode(), basis=0x811C9DC5)


def fnv1_32(data: bytes, basis: int) -> int:
    """FNV-1, 32 bit, from ``basis``."""
    value = basis
    for byte in data:
        value = (value * _PRIME & 0xFFFFFFFF) ^ byte
    return value


def scene_obs(state: Mapping[str, Any], variant: SceneHash = SceneHash.OFFICIAL) -> FloatArray:
    """``scene_obs`` (24,) with which the simulator is reset for a symbolic ``state``.

    Layout: slide, drawer, button, switch joints (m), light bulb and led (0 or 1), then position (m) and Euler angles
    (rad) of the red, blue and pink block. Source: public evaluation utilities.
    """
    random = np.random.RandomState(scene_seed(state, variant))
    spots = list(TABLE_SPOTS)
    random.shuffle(spots)
    obs = np.zeros(24)
    obs[0] = 0.28 if state["slider"] == "left" else 0.0
    obs[1] = 0.22 if state["drawer"] == "open" else 0.0
    obs[3] = 0.088 if state["lightbulb"] == 1 else 0.0
    obs[4] = state["lightbulb"]
    obs[5] = state["led"]
    # Blue takes the second spot only beside red, and pink always does: with pink alone the first stays empty.
    spot_of = {"red": 0, "blue": 1 if state["red_block"] == "table" else 0, "pink": 1}
    for first, (colour, spot) in zip((6, 12, 18), spot_of.items(), strict=True):
        place = state[f"{colour}_block"]
        obs[first : first + 3] = SHELF_SPOTS.get(place, spots[spot])
        obs[first + 5] = random.uniform(np.pi / 2 - np.pi / 8, np.pi / 2 + np.pi / 8)
    return obs
