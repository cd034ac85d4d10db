from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap
from statsmodels.stats.proportion import proportion_confint

from harness.statistics import MOST_CLUSTERS, cluster_bootstrap, wilson


@pytest.mark.parametrize(("successes", "trials"), [(57, 60), (0, 10), (10, 10), (1, 2), (300, 1000)])
def test_wilson_is_the_closed_form(successes: int, trials: int) -> None:
    z, n, p = 1.959963984540054, trials, successes / trials
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    interval = wilson(successes, trials)
    assert (interval.low, interval.high) == pytest.approx((centre - half, centre + half), abs=1e-9)


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_rate_and_mirrors(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    interval, mirrored = wilson(successes, trials), wilson(trials - successes, trials)
    reference = proportion_confint(successes, trials, method="wilson")
    assert (interval.low, interval.high) == pytest.approx(reference, abs=1e-12)
    assert 0 <= interval.low <= successes / trials <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirrored.high, abs=1e-9)


def test_nothing_is_known_of_no_trials() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)
    assert math.isnan(cluster_bootstrap([]).low)
    assert math.isnan(cluster_bootstrap([float(i) for i in range(9)], list("aaabbbccd")).low)
    assert math.isnan(cluster_bootstrap([1.0] * 20).low)


def test_bootstrap_of_independent_values_is_close_to_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(size=400)
    half_width = 1.96 * values.std() / 20
    interval = cluster_bootstrap(values.tolist())
    assert interval.low == pytest.approx(values.mean() - half_width, abs=0.02)
    assert interval.high == pytest.approx(values.mean() + half_width, abs=0.02)


def test_values_that_agree_within_clusters_tell_less() -> None:
    values = [float(i % 8) for i in range(64)]
    alone = cluster_bootstrap(values)
    clustered = cluster_bootstrap(values, [str(i % 8) for i in range(64)])
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)


def test_bootstrap_is_reproducible() -> None:
    assert cluster_bootstrap([1, 2, 3, 5, 8]) == cluster_bootstrap([1, 2, 3, 5, 8])


@pytest.mark.parametrize("kind", ["skewed", "few kinds", "uneven clusters"])
def test_bootstrap_is_scipys_bca(kind: str) -> None:
    rng = np.random.default_rng(5)
    if kind == "uneven clusters":
        names = np.repeat(np.arange(30), rng.integers(1, 6, size=30))
        values = rng.exponential(size=len(names)) + names / 10
        sums, sizes = np.bincount(names, weights=values), np.bincount(names).astype(float)
        ours = cluster_bootstrap(values, names)
    else:
        sums = rng.exponential(size=60) if kind == "skewed" else rng.integers(0, 6, size=200).astype(float)
        sizes = np.ones(len(sums))
        ours = cluster_bootstrap(sums)
    reference = bootstrap(
        (sums, sizes),
        lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = reference.high - reference.low
    assert ours.low == pytest.approx(reference.low, abs=0.06 * width)
    assert ours.high == pytest.approx(reference.high, abs=0.06 * width)


@pytest.mark.parametrize("distinct", [True, False])
def test_large_samples_meet_the_normal_limit(distinct: bool) -> None:
    rng = np.random.default_rng(2)
    draws = rng.normal(size=MOST_CLUSTERS + 1) if distinct else rng.integers(0, 6, size=MOST_CLUSTERS + 1).astype(float)
    below, above = cluster_bootstrap(draws[:-1]), cluster_bootstrap(draws)
    width = above.high - above.low
    assert below.low == pytest.approx(above.low, abs=0.1 * width)
    assert below.high == pytest.approx(above.high, abs=0.1 * width)
    assert width == pytest.approx(2 * 1.96 * draws.std() / math.sqrt(len(draws)), rel=0.01)
