"""Unseen words: instructions that mean the same in words which no template uses."""

from __future__ import annotations

import re

import numpy as np

from envs.tabletop.scene import Colour, Kind, Size

UNSEEN: dict[str, str] = {
    Colour.RED: "crimson",
    Colour.ORANGE: "tangerine",
    Colour.YELLOW: "lemon",
    Colour.GREEN: "emerald",
    Colour.CYAN: "turquoise",
    Colour.BLUE: "cobalt",
    Colour.PURPLE: "violet",
    Colour.WHITE: "ivory",
    Kind.CUBE: "block",
    Kind.CYLINDER: "drum",
    Kind.PLANK: "board",
    Kind.PYRAMID: "spire",
    Kind.WEDGE: "gable",
    Kind.BOWL: "dish",
    Kind.TRAY: "platter",
    Kind.BIN: "crate",
    Size.SMALL: "petite",
    Size.MEDIUM: "mid-sized",
    Size.LARGE: "hefty",
    "zone": "mat",
}
"""For each word of the scene's vocabulary another one that means the same."""

IRRELEVANT = (
    "My sister rang this morning.",
    "It has been raining since Tuesday.",
    "The canteen closes early today.",
    "Somebody left the radio on.",
    "We are expecting visitors next week.",
    "The bus was late again.",
)
"""Remarks that have nothing to do with any task."""

_PLURALS = {word + "s": unseen + ("es" if unseen.endswith("sh") else "s") for word, unseen in UNSEEN.items()}
_WORDS = re.compile(rf"\b({'|'.join(sorted({**UNSEEN, **_PLURALS}, key=len, reverse=True))})\b", re.IGNORECASE)


def reworded(text: str) -> str:
    """``text`` with every word of `UNSEEN`, singular or plural, replaced."""

    def replacement(match: re.Match[str]) -> str:
        word = match[0]
        unseen = ({**UNSEEN, **_PLURALS})[word.lower()]
        return unseen.capitalize() if word[0].isupper() else unseen

    return _WORDS.sub(replacement, text)


def with_remark(text: str, rng: np.random.Generator) -> str:
    """``text`` before or after a remark that has nothing to do with it."""
    remark = IRRELEVANT[rng.integers(len(IRRELEVANT))]
    return f"{remark} {text}" if rng.integers(2) else f"{text} {remark}"
