"""Intervals for what tables show. Pure functions; tests of paired runs are in `results.paired`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr, ndtri

BOOTSTRAP_RESAMPLES = 4000

FEWEST_CLUSTERS = 5
"""Below this number of clusters a bootstrap says little."""

MOST_CLUSTERS = 20_000
"""Above this number of clusters the mean is normal for all purposes, and the interval is computed from its standard
error."""

_RESAMPLED_AT_ONCE = 2_000_000
"""Cluster draws held in memory at a time."""


@dataclass(frozen=True)
class Interval:
    """A two-sided interval; ``nan`` bounds mean that there is nothing to estimate a spread from."""

    low: float
    high: float


UNKNOWN = Interval(float("nan"), float("nan"))


def wilson(successes: float, trials: float, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a rate (Wilson 1927). ``trials == 0`` gives [0, 1].

    The numbers need not be whole: where trials are repeated, what they tell is that of fewer.
    """
    if trials == 0:
        return Interval(0.0, 1.0)
    rate, z = successes / trials, float(ndtri((1 + confidence) / 2))
    scale = 2 * (trials + z**2)
    centre = (2 * trials * rate + z**2) / scale
    half = z / scale * math.sqrt(4 * trials * rate * (1 - rate) + z**2)
    return Interval(centre - half if successes > 0 else 0.0, centre + half if successes < trials else 1.0)


def cluster_bootstrap(
    values: Sequence[float] | npt.NDArray[np.floating],
    clusters: Sequence[str] | npt.NDArray[np.generic] | None = None,
    confidence: float = 0.95,
) -> Interval:
    """BCa bootstrap interval of a mean (Efron 1987) in which whole clusters are resampled.

    The mean is over all values, so a cluster weighs as much as it has values. Without ``clusters`` every value is its
    own. The draws are seeded: the same values give the same interval. More than ``MOST_CLUSTERS`` clusters give the
    normal interval of the cluster-robust standard error, which a bootstrap of that size equals.

    Fewer than five clusters, or clusters whose means are all equal, give [nan, nan].
    """
    sums, sizes = _cluster_totals(np.asarray(values, dtype=float), clusters)
    means = sums / sizes
    if len(sums) < FEWEST_CLUSTERS or np.ptp(means) <= 1e-12 * max(1.0, float(np.abs(means).max())):
        return UNKNOWN
    tail = (1 - confidence) / 2
    if len(sums) > MOST_CLUSTERS:
        mean = float(sums.sum() / sizes.sum())
        half = float(ndtri(1 - tail)) * cluster_standard_error(sums, sizes)
        return Interval(mean - half, mean + half)
    return _bca(_resampled_means(sums, sizes), sums, sizes, tail)


def cluster_standard_error(sums: npt.NDArray[np.floating], sizes: npt.NDArray[np.floating]) -> float:
    """Standard error of ``sums.sum() / sizes.sum()`` over independent clusters, both ``(K,)`` (linearised ratio)."""
    count, total = len(sums), sizes.sum()
    residuals = sums - sizes * (sums.sum() / total)
    return float(np.sqrt(count / (count - 1) * (residuals**2).sum()) / total)


def _cluster_totals(
    data: npt.NDArray[np.float64], clusters: Sequence[str] | npt.NDArray[np.generic] | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Sum and number of the values of each cluster, ``(K,)`` each."""
    if clusters is None:
        return data, np.ones(len(data))
    codes = pd.factorize(np.asarray(clusters))[0]
    return np.bincount(codes, weights=data).astype(np.float64), np.bincount(codes).astype(np.float64)


def _resampled_means(sums: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Means of ``BOOTSTRAP_RESAMPLES`` resamples of the clusters.

    Clusters with the same total and size are alike, so only how many of each kind are drawn matters. That makes
    chain lengths, which have few kinds, cheap however many chains there are.
    """
    rng = np.random.default_rng(0)
    count = len(sums)
    kinds, numbers = np.unique(np.stack([sums, sizes], axis=1), axis=0, return_counts=True)
    if len(kinds) <= count // 8:
        drawn = rng.multinomial(count, numbers / count, size=BOOTSTRAP_RESAMPLES)
        return np.asarray((drawn @ kinds[:, 0]) / (drawn @ kinds[:, 1]))
    means = np.empty(BOOTSTRAP_RESAMPLES)
    block = max(1, _RESAMPLED_AT_ONCE // count)
    for start in range(0, BOOTSTRAP_RESAMPLES, block):
        part = means[start : start + block]
        picks = rng.integers(count, size=(len(part), count))
        part[:] = sums[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    return means


def _bca(
    resampled: npt.NDArray[np.float64], sums: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64], tail: float
) -> Interval:
    """Quantiles of the resampled means, corrected for bias and for a spread that depends on the mean."""
    mean = sums.sum() / sizes.sum()
    # A resampled mean that equals the mean counts half, as values of tasks in a row often do.
    below = np.mean(resampled < mean) + 0.5 * np.mean(np.isclose(resampled, mean, rtol=1e-12, atol=0))
    bias = ndtri(np.clip(below, 1 / len(resampled), 1 - 1 / len(resampled)))
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    influence = left_out.mean() - left_out
    acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    shifted = bias + ndtri([tail, 1 - tail])
    low, high = np.quantile(resampled, ndtr(bias + shifted / (1 - acceleration * shifted)))
    return Interval(float(low), float(high))
