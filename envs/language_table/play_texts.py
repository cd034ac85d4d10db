"""Long-horizon instructions of the play family; no success rule exists for them.

``BLOCK_4`` draws from 100 fixed texts (20 of each of five kinds, chosen by a seeded shuffle; 25 more are held out),
``BLOCK_8`` draws a kind and then one of its texts. Source: the play task of the public simulator, spelling included.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

import numpy as np

from envs.language_table.blocks import COLOURS, BlockMode, block_set, text

_PLACES: Final = (
    "top left corner",
    "top center",
    "top right corner",
    "center left",
    "center",
    "center right",
    "bottom left corner",
    "bottom center",
    "bottom right corner",
)
_EDGE: Final = (
    "top left",
    "top center",
    "top right",
    "center left",
    "center right",
    "bottom left",
    "bottom center",
    "bottom right",
)
_NUMBERS: Final = ("one", "two", "three")
_LETTERS: Final = "GOLEATXVYUSCZNJ"
_TRAIN_PER_KIND, _TEST_PER_KIND = 20, 5
_FOUR: Final = tuple(text(block) for block in block_set(BlockMode.BLOCK_4))
_EIGHT: Final = tuple(text(block) for block in block_set(BlockMode.BLOCK_8))
_PLACE_PAIRS: Final = tuple(itertools.permutations(_PLACES, 2))


def _arrangements_of_four() -> list[str]:
    line = "put all the blocks in a"
    return [
        f"{line} line",
        *(f"{line} {way} line" for way in ("horizontal", "vertical")),
        *(f"{line} vertical line on the {side} side of the board" for side in ("left", "center", "right")),
        *(f"{line} horizontal line on the {side} side of the board" for side in ("bottom", "center", "top")),
        "put the blocks in a diagonal line from the top left to bottom right",
        "put the blocks in a diagonal line from the top right to bottom left",
        *(f"surround the {block} with the other blocks" for block in _FOUR),
        *(f"put all the blocks in the {place}" for place in _PLACES),
        "put blocks in all four corners",
        *(f"make a {shape} shape out of the blocks" for shape in ("rectangle", "square", "diamond", "parallelogram")),
    ]


def _kinds_of_four() -> list[list[str]]:
    return [
        _arrangements_of_four(),
        [
            f"put the {block} in the {first}, then put the rest of the blocks in the {second}"
            for block in _FOUR
            for first, second in _PLACE_PAIRS
        ],
        [
            f"put {number} {'block' if number == 'one' else 'blocks'} in the {first}, then put the rest in the {second}"
            for number in _NUMBERS
            for first, second in _PLACE_PAIRS
        ],
        [
            f"make a triangle out of three blocks and put it in the {first} of the board, "
            f"then put the remainder in the {second} of the board"
            for first, second in _PLACE_PAIRS
        ],
        [
            f"order the blocks from {way}: {', '.join(order)}"
            for way in ("top to bottom", "left to right")
            for order in itertools.permutations(_FOUR)
        ],
    ]


@cache
def four_block_texts(training: bool = True) -> tuple[str, ...]:
    """The 100 training texts of ``BLOCK_4`` in drawing order, or the 25 held-out ones."""
    shuffler = random.Random(0)
    chosen: list[str] = []
    for kind in _kinds_of_four():
        shuffler.shuffle(kind)
        end = _TRAIN_PER_KIND + _TEST_PER_KIND
        chosen += kind[:_TRAIN_PER_KIND] if training else kind[_TRAIN_PER_KIND:end]
    return tuple(chosen)


def _colours_in_places() -> list[str]:
    return [
        f"put the {a} blocks in the {at_a}, the {b} blocks in the {at_b}, "
        f"the {c} blocks in the {at_c}, and the {d} blocks in the {at_d}."
        for a, b, c, d in itertools.permutations(COLOURS, 4)
        for at_a, at_b, at_c, at_d in itertools.permutations(_PLACES, 4)
    ]


def _grouped_colours() -> list[str]:
    return [
        f"put the {a} and {b} blocks together in a group, then put the {c} and {d} blocks together in a group."
        for a, b, c, d in itertools.permutations(COLOURS, 4)
    ]


def _colour_splits() -> list[tuple[str, str, str, str]]:
    pairs = list(itertools.combinations(COLOURS, 2))
    return [(a, b, *next(other for other in pairs if not {a, b} & set(other))) for a, b in pairs]


def _colours_in_lines() -> list[str]:
    return [
        f"make one {first} line out of the {a} and {b} blocks, then make a {second} line out of the {c} and {d} blocks"
        for first, second in itertools.product(("horizontal", "vertical"), repeat=2)
        for a, b, c, d in _colour_splits()
    ]


def _grouped_colours_in_places() -> list[str]:
    return [
        f"put the {a} and {b} blocks together in the {first}, then put the {c} and {d} blocks together in the {second}."
        for a, b, c, d in _colour_splits()
        for first, second in _PLACE_PAIRS
    ]


def _lines() -> list[str]:
    return [
        "put the blocks in a line",
        "put all the blocks in a vertical line",
        "put all the blocks in a horizontal line",
        *(f"put all the blocks in a vertical line on the {side} of the board" for side in ("left", "center", "right")),
        *(f"put all the blocks in a horizontal line on the {s} of the board" for s in ("bottom", "center", "top")),
        "put the blocks in a diagonal line from the top left to bottom right",
        "put the blocks in a diagonal line from the top right to bottom left",
    ]


def _ordered_on_edge() -> list[str]:
    return [
        "put the " + "".join(f"{block} to {place}, " for block, place in zip(order, _EDGE, strict=True))
        for order in itertools.permutations(_EIGHT)
    ]


def _counts_in_places() -> list[str]:
    return [
        f"put {count} blocks in the {first}, then the rest in the {second}"
        for count in range(1, 8)
        for first, second in _PLACE_PAIRS
    ]


def _shapes() -> list[str]:
    shapes = ("square", "triangle", "circle", "diamond", "parallelogram", *_LETTERS)
    return [
        *(f'make a "{shape}"" shape out of all the blocks' for shape in shapes),
        "make a smiley face out of the blocks",
        "make a rainbow out of the blocks (red, yellow, green, blue in a semicircle)",
    ]


_KINDS_OF_EIGHT: Final[tuple[Callable[[], Sequence[str]], ...]] = (
    lambda: ["group the blocks by color"],
    _colours_in_places,
    _grouped_colours,
    _colours_in_lines,
    _grouped_colours_in_places,
    _lines,
    lambda: [f"surround the {block} with the others" for block in _EIGHT],
    _ordered_on_edge,
    lambda: [f"put all the blocks in the {place}" for place in _PLACES],
    _counts_in_places,
    _shapes,
)


@cache
def _eight_block_kind(index: int) -> tuple[str, ...]:
    return tuple(_KINDS_OF_EIGHT[index]())


def eight_block_texts() -> list[str]:
    """Every text of ``BLOCK_8``, kind by kind (about 115,000)."""
    return [line for index in range(len(_KINDS_OF_EIGHT)) for line in _eight_block_kind(index)]


def draw(rng: np.random.RandomState, mode: BlockMode) -> str:
    """One instruction, with the draws of the public simulator."""
    if mode is BlockMode.BLOCK_4:
        texts: Sequence[str] = four_block_texts()
    else:
        texts = _eight_block_kind(rng.choice(len(_KINDS_OF_EIGHT)))
    return texts[rng.choice(len(texts))]
