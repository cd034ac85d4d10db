"""Ranks that say no more than the episodes do. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from results.paired import holm, sign_flip_test

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
    adjusted = holm([sign_flip_test(sums) for sums in differences])
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
) -> npt.NDArray[np.float64]:
    """Sum of ``first - second`` over the columns of each episode; columns without both scores count nothing."""
    return np.bincount(clusters, weights=np.nan_to_num(first - second)).astype(np.float64)
