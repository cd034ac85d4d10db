"""The agents that know nothing."""

import numpy as np
import pytest
from gymnasium.spaces import Box

from baselines.noop import Noop
from baselines.random import Random
from harness.interfaces import Agent, SeedPath, TaskView

SPACE = Box(np.array([-1.0, 2.0], np.float32), np.array([1.0, 5.0], np.float32))


def view(episode: str = "e", space: Box = SPACE) -> TaskView:
    return TaskView("do it", space, None, 10, 0, SeedPath(0, episode, 0))


def actions(agent: Agent, episode: str = "e", lane: int = 0, count: int = 50) -> np.ndarray:
    agent.reset(lane, view(episode), {})
    return np.stack([agent.act({lane: {}})[lane] for _ in range(count)])


def test_random_fills_the_space_and_repeats_by_seed() -> None:
    drawn = actions(Random())
    assert all(SPACE.contains(action) for action in drawn)
    assert (np.ptp(drawn, axis=0) > 0.8 * (SPACE.high - SPACE.low)).all()
    assert np.array_equal(drawn, actions(Random(), lane=3))
    assert not np.array_equal(drawn, actions(Random(), episode="f"))


@pytest.mark.parametrize("agent", [Random, Noop])
def test_they_look_at_nothing_and_know_nothing(agent: type[Agent]) -> None:
    assert agent.observation_keys == ()
    assert not agent.privileged


def test_noop_is_the_nearest_to_zero_that_is_allowed() -> None:
    drawn = actions(Noop(), count=2)
    assert drawn.tolist() == [[0.0, 2.0]] * 2
    assert SPACE.contains(drawn[0])
