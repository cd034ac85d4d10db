"""Intervals for what tables show. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

BOOTSTRAP_RESAMPLES = 4000

FEWEST_CLUSTERS = 5
"""Below this number of clusters a bootstrap says little."""


@dataclass(frozen=True)
class Interval:
    """A two-sided interval."""

    low: float
    high: float


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a rate (Wilson 1927; scipy's implementation). ``trials == 0`` gives [0, 1]."""
    if trials == 0:
        return Interval(0.0, 1.0)
    interval = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Interval(float(interval.low), float(interval.high))


def cluster_bootstrap(
    values: Sequence[float], clusters: Sequence[str] | None = None, confidence: float = 0.95
) -> Interval:
    """Percentile bootstrap interval of a mean; whole clusters are resampled (every value is its own without them).

    The draws are seeded, so the same values give the same interval. Fewer than five clusters, or values that are all
    equal, give [nan, nan]: there is nothing to estimate a spread from.
    """
    data = np.asarray(values, dtype=float)
    names = np.arange(len(data)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    count = len(np.unique(names))
    if count < FEWEST_CLUSTERS or np.ptp(data) == 0:
        return Interval(float("nan"), float("nan"))
    sums = np.bincount(names, weights=data)
    sizes = np.bincount(names)
    picks = np.random.default_rng(0).integers(count, size=(BOOTSTRAP_RESAMPLES, count))
    means = sums[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))
