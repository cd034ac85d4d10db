"""Numbers as they are printed: value, precision, and what they may have been before they were rounded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

_PRINTED = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(%?)(?:\s*±\s*(\d+(?:\.\d+)?)\s*%?)?")


@dataclass(frozen=True)
class Range:
    """A closed range of numbers."""

    low: Decimal
    high: Decimal

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Range) -> Range:
        return Range(self.low - other.high, self.high - other.low)

    def times(self, factor: Decimal) -> Range:
        """Every number times a factor that is not negative."""
        return Range(self.low * factor, self.high * factor)

    def meets(self, other: Range) -> bool:
        """Whether some number is in both."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class Quantity:
    """A printed number.

    Attributes:
        text: To the letter.
        value: As a number; per cents as they are printed (82.7 for ``82.7%``).
        decimals: Digits after the point.
        percent: Whether it is a percentage.
        spread: What is printed after ±, or ``None``.
    """

    text: str
    value: Decimal
    decimals: int
    percent: bool
    spread: Decimal | None = None

    @property
    def unit(self) -> Decimal:
        """One of the last printed digit."""
        return Decimal(1).scaleb(-self.decimals)

    @property
    def before_rounding(self) -> Range:
        """What rounds to it; the ends are included, whichever way halves are rounded."""
        return Range(self.value - self.unit / 2, self.value + self.unit / 2)

    def rounds_from(self, number: Decimal) -> bool:
        """Whether ``number`` is printed like this, halves rounded up."""
        return number.quantize(self.unit, ROUND_HALF_UP) == self.value

    def truncates_from(self, number: Decimal) -> bool:
        """Whether ``number`` is printed like this when digits are cut off instead of rounded."""
        return number.quantize(self.unit, ROUND_DOWN) == self.value

    def as_number(self) -> float:
        """A rate in [0, 1] where it is a percentage."""
        return float(self.value / 100 if self.percent else self.value)


def parse(text: str, percent: bool = False) -> Quantity | None:
    """The number that a cell prints, or ``None`` if it prints none; ``percent`` says so where the cell does not."""
    match = _PRINTED.fullmatch(text.strip().replace("\N{MINUS SIGN}", "-"))
    if match is None:
        return None
    number, sign, spread = match.groups()
    decimals = len(number.partition(".")[2])
    return Quantity(text, Decimal(number), decimals, bool(sign) or percent, None if spread is None else Decimal(spread))
