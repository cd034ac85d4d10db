"""What an audit finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["inconsistent", "conflict", "note"]


@dataclass(frozen=True)
class Finding:
    """One result of one check.

    Attributes:
        level: ``inconsistent``: what is printed cannot all be true. ``conflict``: it disagrees with another source.
            ``note``: it can be true, but readers should know.
        check: Name of the check.
        source: Where it is printed.
        text: What was found, with the numbers.
        quote: The claim of the text that it is about, if it is about one.
    """

    level: Level
    check: str
    source: str
    text: str
    quote: str = ""
