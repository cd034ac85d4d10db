"""Ranks: no run is ranked above another without a test."""

from __future__ import annotations

import numpy as np

from results.leaderboard.ranking import paired_sums, rank


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
