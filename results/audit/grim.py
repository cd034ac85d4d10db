"""Whether a printed percentage or mean can come from whole counts (the GRIM test of Brown and Heathers, 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from results.published.quantity import Quantity

LARGEST_SEARCHED = 10_000


def is_possible(quantity: Quantity, count: int) -> bool:
    """Whether some whole number of ``count`` trials is printed like this percentage, or some whole total over ``count``
    episodes like this mean. Halves may have been rounded either way.
    """
    scale = Decimal(100) if quantity.percent else Decimal(1)
    room = quantity.before_rounding
    low = (room.low * count / scale).to_integral_value(ROUND_CEILING)
    high = (room.high * count / scale).to_integral_value(ROUND_FLOOR)
    return low <= high


def smallest_count(quantities: Sequence[Quantity]) -> int | None:
    """The smallest number of episodes with which all of them are possible; ``None`` above ``LARGEST_SEARCHED``."""
    return next(
        (count for count in range(1, LARGEST_SEARCHED + 1) if all(is_possible(q, count) for q in quantities)), None
    )
