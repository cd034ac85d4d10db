"""Word tables of the instructions.

Some families use two different verb lists: one when every instruction is enumerated, another when a reset draws one
(it adds "put the"; "bring the" is enumerated and never drawn). Both are kept apart here because published vocabularies
depend on the first and episodes on the second. Source: word lists of the public simulator.
"""

from __future__ import annotations

from typing import Final

PUSH_VERBS: Final = ("push the", "move the", "slide the", "put the")
"""Drawn by block2block, block2absolutelocation, block2block_relative_location and block1_to_corner."""

LOCATION_VERBS: Final = ("move the", "push the", "slide the")
"""Enumerated for locations; also drawn by block2relativelocation."""

RELATIVE_BLOCK_VERBS: Final = ("move the", "push the", "put the", "bring the", "slide the")
"""Enumerated for block2block_relative_location."""

PREPOSITIONS: Final = ("to the", "towards the", "close to the", "next to the")

POINT_PHRASES: Final = (
    "point next to the",
    "point close to the",
    "point to the",
    "point at the",
    "move the arm next to the",
    "move the arm close to the",
    "move the arm to the",
    "move your arm next to the",
    "move your arm close to the",
    "move your arm to the",
    "move next to the",
    "move close to the",
    "move to the",
)

LOCATIONS: Final = {
    "top": ("top side", "top", "towards your base"),
    "top_left": ("top left of the board", "top left", "upper left corner", "top left corner"),
    "top_right": ("top right of the board", "top right", "upper right corner", "top right corner"),
    "center": ("middle of the board", "center of the board", "center", "middle"),
    "center_left": ("left side of the board", "center left", "left side"),
    "center_right": ("right side of the board", "center right", "right side"),
    "bottom": ("bottom side", "bottom"),
    "bottom_left": ("bottom left of the board", "bottom left", "lower left corner", "bottom left corner"),
    "bottom_right": ("bottom right of the board", "bottom right", "lower right corner", "bottom right corner"),
}

CORNER: Final = ("bottom left of the board", "bottom left", "bottom left corner")

SLIGHTLY: Final = ("slightly", "a bit", "a little", "a little bit", "somewhat")
DIRECTIONS: Final = {
    "up": ("up", "upwards"),
    "down": ("down", "downwards"),
    "left": ("to the left", "left"),
    "right": ("to the right", "right"),
}
DIAGONALS: Final = ("%s and %s", "%s and then %s", "diagonally %s and %s", "%s and %s diagonally")

BESIDE: Final = {
    "up": ("above the", "to the top side of the", "to the top of the"),
    "down": ("below the", "to the bottom side of the", "to the bottom of the"),
    "left": ("just left of the", "to the left of the", "left of the", "to the left side of the"),
    "right": ("just right of the", "to the right of the", "right of the", "to the right side of the"),
    "diagonal_up_left": (
        "to the top left side of the",
        "to the top left of the",
        "diagonally up and to the left of the",
    ),
    "diagonal_up_right": (
        "to the top right side of the",
        "to the top right of the",
        "diagonally up and to the right of the",
    ),
    "diagonal_down_left": (
        "to the bottom left side of the",
        "to the bottom left of the",
        "diagonally down and to the left of the",
    ),
    "diagonal_down_right": (
        "to the bottom right side of the",
        "to the bottom right of the",
        "diagonally down and to the right of the",
    ),
}

SEPARATE: Final = ("pull the %s apart from the %s", "move the %s away from the %s", "separate the %s from the %s")
GROUPS: Final = ("group", "clump", "group of blocks")
