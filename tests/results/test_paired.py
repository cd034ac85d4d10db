"""Paired statistics against references, published examples and what must hold for all data."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from results.paired import (
    SIGN_FLIPS,
    cohen_dz,
    cohen_h,
    holm,
    mcnemar_exact,
    newcombe_paired,
    paired_difference,
    sign_flip_test,
)

COUNTS = st.integers(0, 60)


@given(COUNTS, COUNTS)
def test_mcnemar_is_that_of_statsmodels(one: int, other: int) -> None:
    expected = mcnemar([[0, one], [other, 0]], exact=True).pvalue
    assert mcnemar_exact(one, other) == pytest.approx(min(1.0, expected))


def test_newcombe_gives_the_published_example() -> None:
    interval = newcombe_paired(36, 12, 2, 0)
    assert (interval.low, interval.high) == pytest.approx((0.0569, 0.3404), abs=5e-5)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_newcombe_holds_the_difference_and_mirrors(both: int, one: int, other: int, neither: int) -> None:
    total = both + one + other + neither
    if total == 0:
        return
    interval, mirrored = newcombe_paired(both, one, other, neither), newcombe_paired(both, other, one, neither)
    assert -1 <= interval.low <= (one - other) / total <= interval.high <= 1
    assert (interval.low, interval.high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-9)


def test_newcombe_covers_the_true_difference() -> None:
    """60 pairs of strongly correlated agents: the share of intervals that hold the truth is about 95 %."""
    rng = np.random.default_rng(0)
    shares = (0.62, 0.13, 0.05, 0.20)
    tables = rng.multinomial(60, shares, size=600)
    intervals = [newcombe_paired(*map(int, table)) for table in tables]
    covered = np.mean([interval.low <= shares[1] - shares[2] <= interval.high for interval in intervals])
    assert 0.92 <= covered <= 0.985


@given(st.lists(st.sampled_from([-2.0, -1.0, -0.5, 0.5, 1.0, 3.0]), min_size=2, max_size=9))
@settings(max_examples=40)
def test_sign_flips_are_enumerated_where_that_is_possible(values: list[float]) -> None:
    assert sign_flip_test(np.array(values)) == pytest.approx(_share_of_flips(values))


def _share_of_flips(values: list[float]) -> float:
    """Of all signs, how many give a sum as far from 0."""
    all_signs = itertools.product((-1, 1), repeat=len(values))
    flipped = [abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in all_signs]
    return float(np.mean([total >= abs(sum(values)) - 1e-9 for total in flipped]))


@given(COUNTS, COUNTS, st.integers(0, 5))
def test_sign_flips_of_verdicts_are_mcnemars_test(better: int, worse: int, equal: int) -> None:
    differences = np.array([1.0] * better + [-1.0] * worse + [0.0] * equal)
    assert sign_flip_test(differences) == pytest.approx(mcnemar_exact(better, worse), rel=1e-9)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_sign_flips_of_chain_lengths_are_all_counted(values: list[int]) -> None:
    assert sign_flip_test(np.array(values, dtype=float)) == pytest.approx(_share_of_flips([*values]), abs=1e-12)


@given(st.lists(st.integers(-4, 5), min_size=30, max_size=60))
@settings(max_examples=15)
def test_counted_sign_flips_are_those_that_are_drawn(values: list[int]) -> None:
    """A unit that is no whole number has them drawn."""
    counted, drawn = (sign_flip_test(np.array(values) * unit) for unit in (1.0, math.pi))
    assert drawn == pytest.approx(counted, abs=6 * math.sqrt(1 / SIGN_FLIPS))


def test_p_values_can_be_as_small_as_a_long_table_needs() -> None:
    assert sign_flip_test(np.array([2.0] * 40 + [1.0] * 20)) < 1e-14


def test_many_verdicts_are_counted_and_many_sizes_meet_their_limit() -> None:
    verdicts = np.repeat([1.0, -1.0], [15_200, 14_800])
    assert sign_flip_test(verdicts) == mcnemar_exact(15_200, 14_800)
    lengths = np.repeat([1.0, -1.0, 5.0, -4.0], [15_200, 14_800, 40, 40])
    normal = math.erfc(abs(lengths.sum()) / math.sqrt(2 * (lengths**2).sum()))
    assert sign_flip_test(lengths) == pytest.approx(normal)
    few = sign_flip_test(np.repeat([1.0, -1.0, 5.0, -4.0], [7_600, 7_400, 20, 20]))
    assert few == pytest.approx(math.erfc(220 / math.sqrt(2 * 15_820)), abs=0.002)


def test_sign_flips_of_many_values_meet_their_normal_limit() -> None:
    rng = np.random.default_rng(3)
    few = rng.normal(0.05, 1, size=2_000)
    z = abs(few.sum()) / math.sqrt((few**2).sum())
    expected = math.erfc(z / math.sqrt(2))
    assert sign_flip_test(few) == pytest.approx(expected, abs=4 * math.sqrt(expected / SIGN_FLIPS))
    many = rng.normal(0.02, 1, size=30_000)
    assert sign_flip_test(many) == pytest.approx(math.erfc(abs(many.sum()) / math.sqrt(2 * (many**2).sum())))


def test_equal_agents_differ_by_nothing() -> None:
    assert sign_flip_test(np.zeros(10)) == 1.0
    assert sign_flip_test(np.array([0.0, 2.0])) == 1.0
    assert mcnemar_exact(0, 0) == 1.0


def test_repetitions_of_an_episode_are_one_observation() -> None:
    first = np.array([1.0] * 8 + [0.0] * 8)
    alone = paired_difference(first, np.zeros(16), rate=True)
    repeated = paired_difference(first, np.zeros(16), rate=True, clusters=np.repeat([0, 1, 2, 3], 4))
    assert alone is not None
    assert repeated is not None
    assert (alone.episodes, repeated.episodes, repeated.pairs) == (16, 4, 16)
    assert alone.p_value == pytest.approx(2 / 2**8)
    assert repeated.p_value == pytest.approx(2 / 2**2), "two episodes differ, whatever their repetitions"
    assert repeated.interval == newcombe_paired(0, 2, 0, 2)


@given(st.tuples(COUNTS, COUNTS, COUNTS, COUNTS).filter(any), st.integers(2, 5))
@settings(max_examples=40)
def test_repeating_a_run_as_it_is_tells_nothing_new(counts: tuple[int, ...], times: int) -> None:
    first, second = (np.repeat(values, counts) for values in ([1.0, 1, 0, 0], [1.0, 0, 1, 0]))
    once = paired_difference(first, second, rate=True)
    episodes = np.tile(np.arange(len(first)), times)
    again = paired_difference(np.tile(first, times), np.tile(second, times), rate=True, clusters=episodes)
    assert once is not None
    assert again is not None
    expected = (once.interval.low, once.interval.high)
    assert (again.interval.low, again.interval.high) == pytest.approx(expected, abs=1e-9)
    assert again.p_value == pytest.approx(once.p_value, rel=1e-9)


def test_a_paired_difference_holds_its_numbers() -> None:
    first, second = np.array([1.0, 1, 1, 0, 1, 1]), np.array([1.0, 0, 0, 1, 0, 1])
    entry = paired_difference(first, second, rate=True)
    assert entry is not None
    assert (entry.better, entry.worse, entry.odds_ratio) == (3, 1, 3.0)
    assert entry.difference == pytest.approx(2 / 6)
    assert entry.p_value == mcnemar_exact(3, 1)
    assert entry.interval == newcombe_paired(2, 3, 1, 0)
    assert entry.effect == pytest.approx(cohen_h(5 / 6, 3 / 6))
    lengths = paired_difference(np.array([5.0, 3, 2, 5, 4, 1]), np.array([4.0, 3, 1, 2, 2, 1]), rate=False)
    assert lengths is not None
    assert lengths.effect == pytest.approx(cohen_dz(np.array([1.0, 0, 1, 3, 2, 0])))
    assert lengths.interval.low < 7 / 6 < lengths.interval.high
    assert paired_difference(np.zeros(0), np.zeros(0), rate=True) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=15)
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_effect_sizes() -> None:
    assert holm([]) == []
    assert cohen_h(1.0, 0.0) == pytest.approx(math.pi)
    assert cohen_h(0.5, 0.5) == 0
    assert math.isnan(cohen_dz(np.ones(4)))
    assert cohen_dz(np.array([0.0, 2.0])) == pytest.approx(1 / math.sqrt(2))
