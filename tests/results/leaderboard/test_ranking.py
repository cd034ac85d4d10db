"""Ranks: the tests behind them are exact, and no run is ranked above another without one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.leaderboard.ranking import paired_sums, rank, sign_flip_exact
from results.paired import mcnemar_exact


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5))
def test_of_verdicts_it_is_mcnemars_test(better: int, worse: int, equal: int) -> None:
    differences = np.array([1] * better + [-1] * worse + [0] * equal, dtype=int)
    assert sign_flip_exact(differences) == pytest.approx(mcnemar_exact(better, worse), rel=1e-9)


@given(st.lists(st.integers(-5, 5), max_size=9))
def test_of_chain_lengths_it_counts_all_signs(differences: list[int]) -> None:
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, differences, strict=True)))
        for signs in product((1, -1), repeat=len(differences))
    ]
    share = np.mean([one >= abs(sum(differences)) for one in sums])
    assert sign_flip_exact(np.array(differences, dtype=int)) == pytest.approx(share, abs=1e-12)


def test_p_values_can_be_as_small_as_a_long_table_needs() -> None:
    assert sign_flip_exact(np.array([2] * 40 + [1] * 20)) < 1e-14


def test_ranks_and_ties() -> None:
    episodes = np.arange(40)
    good, same, poor = np.ones(40), np.ones(40), np.zeros(40)
    same[:3] = 0
    ranking = rank(np.stack([poor, good, same]), episodes)
    assert ranking.ranks == (3, 1, 1)
    assert ranking.rivals == ((), (2,), (1,))


def test_errors_are_left_out_of_the_comparison() -> None:
    first, second = np.array([1.0, np.nan, 1.0, 0.0]), np.array([0.0, 0.0, np.nan, 0.0])
    assert paired_sums(first, second, np.arange(4)).tolist() == [1, 0, 0, 0]


def test_repetitions_of_an_episode_are_one_observation() -> None:
    good, poor = np.ones(40), np.zeros(40)
    assert rank(np.stack([good, poor]), np.arange(40)).ranks == (1, 2)
    assert rank(np.stack([good, poor]), np.arange(40) % 4).ranks == (1, 1), "four episodes, ten times each"


def test_a_single_run_is_first() -> None:
    assert rank(np.ones((1, 5)), np.arange(5)).ranks == (1,)
