"""How many episodes show how large a difference: power of paired and of independent comparisons of two success rates.

Unpaired: two runs on different episodes, two-sided z-test on the arcsine scale (statsmodels' ``NormalIndPower``).

Paired: two runs on the same episodes, McNemar's exact test. What counts there is how often the two agents disagree; the
share of discordant episodes lies between the difference itself and ``p + q - 2 p q`` (independent outcomes), which is
the default and the cautious choice: agents that find the same episodes hard disagree less. The power is exact: the
number of discordant episodes is binomial, and of those the number that go one way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

LARGEST_SAMPLE = 10_000_000
LARGEST_EXACT = 20_000
"""Discordant episodes up to which the power of the exact test is summed term by term."""

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Design:
    """What is planned.

    Attributes:
        baseline: Success rate of the weaker agent, in (0, 1).
        level: Two-sided significance level.
        power: Wanted chance of finding the difference.
        discordant: Share of episodes in which exactly one agent succeeds; ``None`` for independent outcomes.

    Raises:
        ValueError: A value is out of its range, or cannot be beside the others.
    """

    baseline: float = 0.5
    level: float = 0.05
    power: float = 0.8
    discordant: float | None = None

    def __post_init__(self) -> None:
        for name in ("baseline", "level", "power"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ValueError(f"{name}={value}: must be between 0 and 1, both excluded")
        if self.power <= self.level:
            raise ValueError(f"power={self.power}: must be above level={self.level}, the chance of a false alarm")
        if self.discordant is None:
            return
        if not 0 < self.discordant <= 1:
            raise ValueError(f"discordant={self.discordant}: must be above 0 and at most 1")
        room = 1 - self.baseline
        if self.discordant >= 2 * room - _ROUNDING:
            raise ValueError(
                f"discordant={self.discordant}: must be below {2 * room:.3g}, because the stronger agent alone solves "
                f"more than half of these episodes, and baseline={self.baseline} leaves {room:.3g}"
            )

    @property
    def largest_effect(self) -> float:
        """The largest difference that there can be: the stronger agent is ahead only where the weaker one fails."""
        room = 1 - self.baseline
        return room if self.discordant is None else min(self.discordant, 2 * room - self.discordant)

    @property
    def smallest_effect(self) -> float:
        """The smallest difference that there can be: the weaker agent is ahead only where it succeeds itself."""
        return 0.0 if self.discordant is None else max(0.0, self.discordant - 2 * self.baseline)

    def discordant_share(self, effect: float) -> float:
        """Share of discordant episodes if the rates differ by ``effect``."""
        other = self.baseline + effect
        if self.discordant is None:
            return self.baseline + other - 2 * self.baseline * other
        return self.discordant


def unpaired_power(design: Design, episodes: int, effect: float) -> float:
    """Chance that the z-test of two independent samples of ``episodes`` each finds ``effect``."""
    from statsmodels.stats.power import NormalIndPower
    from statsmodels.stats.proportion import proportion_effectsize

    size = proportion_effectsize(design.baseline + effect, design.baseline)
    return float(NormalIndPower().power(size, episodes, design.level, ratio=1, alternative="two-sided"))


def paired_power(design: Design, episodes: int, effect: float) -> float:
    """Chance that McNemar's exact test finds ``effect`` in ``episodes`` pairs."""
    from scipy.stats import binom  # takes a second to import

    share = design.discordant_share(effect)
    upwards = min(1.0, (share + effect) / (2 * share))
    low, high = int(binom.ppf(1e-9, episodes, share)), int(binom.isf(1e-9, episodes, share))
    step = max(1, (high - low) // LARGEST_EXACT + 1)
    counts = np.arange(low, high + 1, step)
    weights = binom.pmf(counts, episodes, share)
    # The largest k with 2 P(X <= k) <= level under a fair coin: k or fewer on one side is significant.
    critical = binom.ppf(design.level / 2, counts, 0.5) - 1
    critical = np.where(2 * binom.cdf(critical + 1, counts, 0.5) <= design.level, critical + 1, critical)
    found = binom.cdf(critical, counts, upwards) + binom.sf(counts - critical - 1, counts, upwards)
    return float((weights * found).sum() / weights.sum())


Power = Callable[[Design, int, float], float]


def episodes_needed(design: Design, effect: float, power: Power) -> int:
    """A number of episodes (per agent) that has the design's power, where one fewer does not.

    It is the smallest such number, unless nearly all episodes are discordant: then the power of the exact test is a
    saw-tooth, and bisection ends at one of the teeth.

    Raises:
        ValueError: The effect cannot be, or needs more than ten million episodes.
    """
    smallest, largest = design.smallest_effect, design.largest_effect
    if not (0 < effect <= largest + _ROUNDING and effect >= smallest - _ROUNDING):
        least = f"at least {smallest:.3g}" if smallest else "above 0"
        given = f"baseline {design.baseline}"
        given += "" if design.discordant is None else f", discordant {design.discordant}"
        raise ValueError(f"effect={effect}: must be {least} and at most {largest:.3g} ({given})")
    high = 2
    while power(design, high, effect) < design.power:
        high *= 2
        if high > LARGEST_SAMPLE:
            raise ValueError(f"effect={effect}: needs more than {LARGEST_SAMPLE} episodes")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(design, middle, effect) >= design.power else (middle, high)
    return high


def detectable_effect(design: Design, episodes: int, power: Power) -> float | None:
    """The smallest difference that is found with the design's power; ``None`` if not even the largest one is."""
    smallest, largest = design.smallest_effect, design.largest_effect * (1 - 1e-9)
    if power(design, episodes, largest) < design.power:
        return None
    if power(design, episodes, smallest) >= design.power:
        return smallest
    return float(brentq(lambda effect: power(design, episodes, effect) - design.power, smallest, largest, xtol=1e-6))


def power_lines(design: Design, *, episodes: int | None, effect: float | None) -> list[str]:
    """What ``harness power`` prints; exactly one of ``episodes`` and ``effect`` is given."""
    setting = f"baseline {design.baseline:.1%}, power {design.power:.0%}, two-sided level {design.level:g}"
    lines = [setting]
    asked: tuple[tuple[str, Design, Power], ...] = (
        ("paired, same episodes (McNemar exact)", design, paired_power),
        ("unpaired", replace(design, discordant=None), unpaired_power),
    )
    for name, planned, power in asked:
        if effect is not None:
            lines.append(
                f"{name}: {episodes_needed(planned, effect, power)} episodes per agent for {100 * effect:g} pp"
            )
        elif episodes is not None:
            found = detectable_effect(planned, episodes, power)
            text = "none, however large" if found is None else f"{100 * found:.1f} pp"
            lines.append(f"{name}: minimum detectable effect with {episodes} episodes per agent: {text}")
    if design.discordant is None:
        lines.append("paired assumes independent outcomes; agents that fail at the same episodes need fewer")
    else:
        lines.append(f"paired assumes {design.discordant:.1%} discordant episodes")
    return lines
