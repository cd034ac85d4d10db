"""Two agents on the same episodes: tests, intervals and effect sizes of the difference. Pure functions.

Everything here is paired: value ``i`` of the first agent and value ``i`` of the second belong to one episode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr

from harness.statistics import Interval, cluster_bootstrap, wilson

SIGN_FLIPS = 9999

MOST_FLIPPED = 20_000
"""Above this number of episodes that differ, the sign-flip distribution is normal for all purposes."""

MOST_COUNTED = 20_000_000
"""Up to this product of what whole differences sum up to and how many sizes they have, it takes about a second to
count all sign flips."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairedDifference:
    """How the first agent differs from the second over the episodes in which both have a verdict.

    Attributes:
        rate: Whether the values are verdicts (0 or 1), so that all numbers are rates.
        pairs: Number of pairs.
        episodes: Number of different episodes among them (fewer than ``pairs`` where runs repeat episodes).
        first: Mean of the first agent.
        second: Mean of the second agent.
        interval: 95 % interval of ``difference``: for rates `newcombe_paired` with as many pairs as there are episodes,
            else `harness.statistics.cluster_bootstrap` over episodes.
        p_value: Two-sided, of "no difference": `sign_flip_test`, which of rates without repetitions is McNemar's exact
            test.
        better: Pairs in which the first agent has the larger value.
        worse: Pairs in which the second has.
        effect: Effect size: Cohen's h for rates, Cohen's d_z (mean difference over its standard deviation) else;
            ``nan`` where the differences do not vary.
    """

    rate: bool
    pairs: int
    episodes: int
    first: float
    second: float
    interval: Interval
    p_value: float
    better: int
    worse: int
    effect: float

    @property
    def difference(self) -> float:
        """``first - second``."""
        return self.first - self.second

    @property
    def odds_ratio(self) -> float:
        """Conditional odds ratio of the discordant pairs, ``better / worse``; ``nan`` if there are none."""
        if self.worse == 0:
            return math.inf if self.better else math.nan
        return self.better / self.worse


def paired_difference(
    first: Values, second: Values, *, rate: bool, clusters: npt.NDArray[np.generic] | None = None
) -> PairedDifference | None:
    """Compare two agents value by value; ``None`` without pairs.

    Args:
        first: Values of the first agent, ``(N,)``.
        second: Values of the second agent, ``(N,)``.
        rate: Whether the values are verdicts, 0 or 1.
        clusters: What each pair belongs to, ``(N,)``: its episode, where episodes are repeated, or a larger group. The
            test and the interval treat a group as one observation, so repeating a run as it is changes neither.
    """
    if len(first) == 0:
        return None
    differences = first - second
    groups = len(first) if clusters is None else len(pd.unique(clusters))
    alone = groups == len(first)
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    if rate:
        both = int(((first > 0) & (second > 0)).sum())
        told = groups / len(first)
        counts = (both, better, worse, len(first) - both - better - worse)
        interval = newcombe_paired(*(count * told for count in counts))
    else:
        interval = cluster_bootstrap(differences, None if alone else clusters)
    p_value = sign_flip_test(differences, None if alone else clusters)
    means = float(first.mean()), float(second.mean())
    effect = cohen_h(*means) if rate else cohen_dz(differences)
    return PairedDifference(rate, len(first), groups, *means, interval, p_value, better, worse, effect)


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value of McNemar's test: the discordant pairs as flips of a fair coin; 1 if there are none."""
    if not only_first + only_second:
        return 1.0
    from scipy.stats import binomtest  # takes a second to import

    return float(binomtest(only_first, only_first + only_second).pvalue)


def newcombe_paired(
    both: float, only_first: float, only_second: float, neither: float, confidence: float = 0.95
) -> Interval:
    """Interval of a difference of paired rates: Newcombe 1998 (Statistics in Medicine 17:2635), method 10.

    It joins the Wilson intervals of the two rates by their correlation, and holds where bootstraps and normal
    approximations fail: few pairs, rates near 0 or 1, no discordant pairs. The numbers of pairs need not be whole, see
    `harness.statistics.wilson`.
    """
    total = both + only_first + only_second + neither
    with_first, with_second = both + only_first, both + only_second
    one, other = with_first / total, with_second / total
    first, second = wilson(with_first, total, confidence), wilson(with_second, total, confidence)
    margins = with_first * (only_second + neither) * with_second * (only_first + neither)
    agreement = both * neither - only_first * only_second
    if agreement > 0:
        agreement = max(0.0, agreement - total / 2)  # Newcombe's continuity correction
    phi = agreement / math.sqrt(margins) if margins else 0.0
    difference = one - other
    down = _joined(one - first.low, second.high - other, phi)
    up = _joined(first.high - one, other - second.low, phi)
    return Interval(max(-1.0, difference - down), min(1.0, difference + up))


def _joined(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one**2 - 2 * phi * one * other + other**2))


def sign_flip_test(differences: Values, clusters: npt.NDArray[np.generic] | None = None) -> float:
    """Two-sided p-value of "the sign of each episode's difference is a coin flip" (Fisher's randomisation test).

    The statistic is the sum of the differences; differences of one cluster keep a common sign. Exact for whole numbers,
    which verdicts, chain lengths and their sums over repetitions are (up to ``MOST_COUNTED``; of verdicts alone it is
    McNemar's test), and for up to 13 clusters that differ; else with ``SIGN_FLIPS`` seeded draws (scipy), above
    ``MOST_FLIPPED`` by the normal limit.
    """
    sums = differences if clusters is None else np.bincount(pd.factorize(clusters)[0], weights=differences)
    sums = sums[np.abs(sums) > 1e-12]
    if len(sums) < 2:
        return 1.0
    whole = np.rint(sums)
    if np.abs(sums - whole).max() < 1e-9:
        sizes, counts = np.unique(np.abs(whole).astype(np.int64), return_counts=True)
        if len(sizes) == 1 or (len(sums) <= MOST_FLIPPED and int(sizes @ counts) * len(sizes) <= MOST_COUNTED):
            return _all_flips(tuple(sizes.tolist()), tuple(counts.tolist()), abs(int(whole.sum())))
    if len(sums) > MOST_FLIPPED:
        return float(2 * ndtr(-abs(sums.sum()) / math.sqrt((sums**2).sum())))
    from scipy.stats import permutation_test

    answer = permutation_test(
        (sums,),
        lambda x, axis: np.sum(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=SIGN_FLIPS,
        batch=max(1, 2_000_000 // len(sums)),
        rng=np.random.default_rng(0),
    )
    return float(answer.pvalue)


@lru_cache(maxsize=4096)
def _all_flips(sizes: tuple[int, ...], counts: tuple[int, ...], observed: int) -> float:
    """The chance that a signed sum of ``counts[i]`` differences of ``sizes[i]`` is at least ``observed`` from 0."""
    if observed == 0:
        return 1.0
    total = sum(size * count for size, count in zip(sizes, counts, strict=True))
    fewest = (total - observed) // 2  # the sum of the sizes that carry the rarer sign
    if len(sizes) == 1:
        return mcnemar_exact(counts[0] - fewest // sizes[0], fewest // sizes[0])
    # The generating function of that sum, a product of ((1 + z^size) / 2)^count, at the roots of unity.
    roots = np.exp(2j * np.pi * np.arange(total + 1) / (total + 1))
    values = np.ones(total + 1, dtype=complex)
    for size, count in zip(sizes, counts, strict=True):
        values *= ((1 + roots**size) / 2) ** count
    chances = np.fft.fft(values).real / (total + 1)
    return float(np.clip(2 * chances[: fewest + 1].sum(), 0.0, 1.0))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979): reject where the adjusted value is below the level, and the chance of
    any false rejection among all of them stays below it.
    """
    order = np.argsort(p_values)
    steps = np.arange(len(p_values), 0, -1) * np.asarray(p_values, dtype=float)[order]
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return [float(value) for value in adjusted]


def cohen_h(one: float, other: float) -> float:
    """Difference of two rates on the arcsine scale (Cohen 1988): 0.2 small, 0.5 medium, 0.8 large."""
    return 2 * math.asin(math.sqrt(one)) - 2 * math.asin(math.sqrt(other))


def cohen_dz(differences: Values) -> float:
    """Mean of the differences over their standard deviation; ``nan`` if they do not vary."""
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return float(differences.mean()) / spread if spread > 1e-12 else math.nan
