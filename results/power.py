"""How many episodes show how large a difference: power of paired and of independent comparisons of two success rates.

Unpaired: two runs on different episodes, two-sided z-test on the arcsine scale (statsmodels' ``NormalIndPower``).

Paired: two runs on the same episodes, McNemar's exact test. What counts there is how often the two agents disagree; the
share of discordant episodes lies between the difference itself and ``p + q - 2 p q`` (independent outcomes), which is
the default and the cautious choice: agents that find the same episodes hard disagree less. The power is exact: the
number of discordant episodes is binomial, and of those the number that go one way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

LARGEST_SAMPLE = 10_000_000
LARGEST_EXACT = 20_000
"""Discordant episodes up to which the power of the exact test is summed term by term."""


@dataclass(frozen=True)
class Design:
    """What is planned.

    Attributes:
        baseline: Success rate of the weaker agent, in (0, 1).
        level: Two-sided significance level.
        power: Wanted chance of finding the difference.
        discordant: Share of episodes in which exactly one agent succeeds; ``None`` for independent outcomes.

    Raises:
        ValueError: A value is out of its range.
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
        if self.discordant is not None and not 0 < self.discordant <= 1:
            raise ValueError(f"discordant={self.discordant}: must be above 0 and at most 1")

    @property
    def largest_effect(self) -> float:
        """The largest difference that there can be: up to certain success."""
        room = 1 - self.baseline
        return room if self.discordant is None else min(room, self.discordant)

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
    """The smallest number of episodes (per agent) with the design's power.

    The power of the exact test is a saw-tooth; the answer is the first number found by bisection from which on it is
    reached up to the teeth, checked downwards over the last few numbers.

    Raises:
        ValueError: The effect cannot be, or needs more than ten million episodes.
    """
    if not 0 < effect <= design.largest_effect + 1e-12:
        raise ValueError(
            f"effect={effect}: must be above 0 and at most {design.largest_effect:.3g} (baseline {design.baseline}"
            + (")" if design.discordant is None else f", discordant {design.discordant})")
        )
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
    largest = design.largest_effect * (1 - 1e-9)
    if power(design, episodes, largest) < design.power:
        return None
    smallest = 1e-6
    return float(brentq(lambda effect: power(design, episodes, effect) - design.power, smallest, largest, xtol=1e-6))


def power_lines(design: Design, *, episodes: int | None, effect: float | None) -> list[str]:
    """What ``harness power`` prints; exactly one of ``episodes`` and ``effect`` is given."""
    setting = f"baseline {design.baseline:.1%}, power {design.power:.0%}, two-sided level {design.level:g}"
    lines = [setting]
    for name, power in (("paired, same episodes (McNemar exact)", paired_power), ("unpaired", unpaired_power)):
        if effect is not None:
            lines.append(f"{name}: {episodes_needed(design, effect, power)} episodes per agent for {100 * effect:g} pp")
        elif episodes is not None:
            found = detectable_effect(design, episodes, power)
            text = "none, however large" if found is None else f"{100 * found:.1f} pp"
            lines.append(f"{name}: minimum detectable effect with {episodes} episodes per agent: {text}")
    share = "independent outcomes" if design.discordant is None else f"{design.discordant:.1%} discordant episodes"
    lines.append(f"paired assumes {share}; agents that fail at the same episodes need fewer")
    return lines
