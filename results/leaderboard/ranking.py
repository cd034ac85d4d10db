"""Ranks that say no more than the episodes do. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from results.paired import holm

LEVEL = 0.05
"""Chance of any false "better than" in one table of ranks."""


@dataclass(frozen=True)
class Ranking:
    """Ranks of runs on the same episodes.

    Attributes:
        ranks: One more than the number of runs that are significantly better, ``(R,)``.
        rivals: For each run, the runs that no test tells apart from it.
    """

    ranks: tuple[int, ...]
    rivals: tuple[tuple[int, ...], ...]


def rank(scores: npt.NDArray[np.float64], clusters: npt.NDArray[np.int64]) -> Ranking:
    """Compare every two runs on the episodes on which both have a verdict.

    Args:
        scores: Whole numbers, larger is better, ``(R, N)``; ``nan`` where a run has no verdict.
        clusters: Episode of each column, ``(N,)``; columns of one episode (its repetitions) are one observation.
    """
    pairs = list(combinations(range(len(scores)), 2))
    differences = [paired_sums(scores[one], scores[other], clusters) for one, other in pairs]
    adjusted = holm([sign_flip_exact(sums) for sums in differences])
    beaten_by = [0] * len(scores)
    rivals: list[list[int]] = [[] for _ in scores]
    for (one, other), sums, p_value in zip(pairs, differences, adjusted, strict=True):
        if p_value < LEVEL:
            beaten_by[other if sums.sum() > 0 else one] += 1
        else:
            rivals[one].append(other)
            rivals[other].append(one)
    return Ranking(tuple(1 + count for count in beaten_by), tuple(map(tuple, rivals)))


def paired_sums(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], clusters: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Sum of ``first - second`` over the columns of each episode; columns without both scores count nothing."""
    differences = np.nan_to_num(first - second)
    return np.bincount(clusters, weights=differences).astype(np.int64)


def sign_flip_exact(differences: npt.NDArray[np.int64]) -> float:
    """Exact two-sided p-value of "the sign of each difference is a coin flip" (Fisher's randomisation test).

    Of differences of verdicts (-1, 0, 1) this is McNemar's exact test. `results.paired.sign_flip_test` draws signs at
    random; its p-values cannot get small enough for the correction over all pairs of a long table.
    """
    sizes = np.bincount(np.abs(differences))
    return _sign_flip(tuple(int(count) for count in sizes[1:]), abs(int(differences.sum())))


@cache
def _sign_flip(counts: Sequence[int], observed: int) -> float:
    """``counts[d - 1]`` differences have the size ``d``; their signed sum is ``observed`` or its negative."""
    total = sum(size * count for size, count in enumerate(counts, start=1))
    if observed == 0:
        return 1.0
    fewest = (total - observed) // 2  # the sum of the sizes that carry the rarer sign
    if len(counts) == 1:
        return min(1.0, 2 * float(binom.cdf(fewest, counts[0], 0.5)))
    # The generating function of that sum, a product of ((1 + z^size) / 2)^count, at the roots of unity.
    roots = np.exp(2j * np.pi * np.arange(total + 1) / (total + 1))
    values = np.ones(total + 1, dtype=complex)
    for size, count in enumerate(counts, start=1):
        values *= ((1 + roots**size) / 2) ** count
    chances = np.fft.fft(values).real / (total + 1)
    return float(np.clip(2 * chances[: fewest + 1].sum(), 0.0, 1.0))
