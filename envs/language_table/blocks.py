"""The sixteen blocks and which of them lie on the board in each block mode."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from typing import Final

import numpy as np

COLOURS: Final = ("red", "blue", "green", "yellow")
SHAPES: Final = ("moon", "cube", "star", "pentagon")

ALL_BLOCKS: Final = tuple(f"{colour}_{shape}" for colour in COLOURS for shape in SHAPES)
"""Order in which subsets are enumerated."""

LOAD_ORDER: Final = tuple(f"{colour}_{shape}" for colour in ("red", "blue", "yellow", "green") for shape in SHAPES)
"""Order in which the simulator loads them; the index of a block in state arrays."""

BLOCK_INDEX: Final = {name: index for index, name in enumerate(LOAD_ORDER)}

_MIN_K, _MAX_K = 4, 10
_TRAIN_SHARE = 0.9


class BlockMode(StrEnum):
    """Which blocks can be on the board."""

    BLOCK_1 = "BLOCK_1"
    BLOCK_4 = "BLOCK_4"
    BLOCK_8 = "BLOCK_8"
    N_CHOOSE_K = "N_CHOOSE_K"


_FIXED: Final = {
    BlockMode.BLOCK_1: ("green_star",),
    BlockMode.BLOCK_4: ("red_moon", "blue_cube", "green_star", "yellow_pentagon"),
    BlockMode.BLOCK_8: (
        "red_moon",
        "red_pentagon",
        "blue_moon",
        "blue_cube",
        "green_cube",
        "green_star",
        "yellow_star",
        "yellow_pentagon",
    ),
}


def parse_mode(mode: str) -> BlockMode:
    """The block mode of that name.

    Raises:
        ValueError: No such mode, or one that the public simulator declares but cannot run (the pole modes).
    """
    try:
        return BlockMode(mode)
    except ValueError:
        known = ", ".join(BlockMode)
        if mode in ("BLOCK_4_WPOLE", "BLOCK_8_WPOLE"):
            message = f"Block mode '{mode}' does not run in the public simulator (the pole is never loaded)"
        else:
            message = f"Unknown block mode '{mode}'"
        raise ValueError(f"{message}; use one of {known}") from None


def block_set(mode: BlockMode) -> tuple[str, ...]:
    """All blocks that can appear in a mode."""
    return ALL_BLOCKS if mode is BlockMode.N_CHOOSE_K else _FIXED[mode]


@cache
def subsets(mode: BlockMode, training: bool = True) -> Sequence[tuple[str, ...]]:
    """The block sets among which a reset chooses.

    ``N_CHOOSE_K`` has every subset of 4 to 10 of the 16 blocks, shuffled with a fixed seed and split 90/10 into
    training and test sets; the other modes have one set and ignore ``training``.
    """
    if mode is not BlockMode.N_CHOOSE_K:
        return (_FIXED[mode],)
    combinations = [c for k in range(_MIN_K, _MAX_K + 1) for c in itertools.combinations(ALL_BLOCKS, k)]
    # Shuffling indices draws the same numbers as shuffling the list itself, and is faster.
    order = np.arange(len(combinations))
    np.random.RandomState(0).shuffle(order)
    cut = int(len(combinations) * _TRAIN_SHARE)
    return tuple(combinations[i] for i in (order[:cut] if training else order[cut:]))


def text(block: str) -> str:
    """``red_moon`` as words."""
    return block.replace("_", " ")


def synonyms(block: str, on_table: Sequence[str]) -> list[str]:
    """The names by which an instruction may call a block.

    "red block" is allowed when it is the only red one on the table, "moon" when it is the only moon.
    """
    colour, shape = block.split("_")
    colours = Counter(name.split("_")[0] for name in on_table)
    shapes = Counter(name.split("_")[1] for name in on_table)
    names = [f"{colour} block"] if colours[colour] == 1 else []
    if shapes[shape] == 1:
        names.append(shape)
    names.append(f"{colour} {shape}")
    return names
