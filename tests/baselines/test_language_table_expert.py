"""The Language-Table expert solves its tasks within the bounds that every agent has."""

import numpy as np
import pytest

from baselines.expert import Expert
from envs.language_table.boards import FROZEN_FAMILIES, frozen_boards
from envs.language_table.env import LanguageTableEnv
from envs.language_table.generated import generate_assets
from harness.interfaces import SeedPath, TaskView


def solve(environment, family, seed, limit=201):
    """Steps that the expert needs, or ``None``."""
    environment.reset(seed=seed, options={"family": family, "mode": "BLOCK_8"})
    truth = environment.privileged()
    view = TaskView(
        truth.task.instruction, environment.action_space, 10.0, limit, 0, SeedPath(0, f"{family}-{seed}", 0), truth
    )
    expert = Expert()
    expert.reset(0, view, {})
    for step in range(1, limit + 1):
        action = expert.act({0: {}})[0]
        assert environment.action_space.contains(action)
        if environment.step(action)[2]:
            return step
    return None


@pytest.fixture(scope="module")
def environment():
    made = LanguageTableEnv(observation_keys=(), assets=generate_assets())
    yield made
    made.close()


@pytest.mark.parametrize("family", FROZEN_FAMILIES)
def test_every_family_is_solved(environment, family):
    assert solve(environment, family, seed=frozen_boards(family, "BLOCK_8")[1].seed) is not None


def test_the_same_episode_is_solved_the_same_way(environment):
    assert solve(environment, "block2block", 7) == solve(environment, "block2block", 7)


def test_play_keeps_moving_blocks(environment):
    environment.reset(seed=1, options={"family": "play", "mode": "BLOCK_4"})
    truth = environment.privileged()
    view = TaskView("", environment.action_space, 10.0, 100, 0, SeedPath(0, "play", 0), truth)
    expert = Expert()
    expert.reset(0, view, {})
    before = {name: truth.position(name) for name in truth.on_table}
    for _ in range(80):
        environment.step(expert.act({0: {}})[0])
    moved = [name for name in before if np.linalg.norm(truth.position(name) - before[name]) > 0.02]
    assert len(moved) >= 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", FROZEN_FAMILIES)
def test_at_least_95_percent_of_the_protocols_boards(environment, family):
    boards = frozen_boards(family, "BLOCK_8")
    solved = sum(solve(environment, family, board.seed) is not None for board in boards)
    assert solved >= 0.95 * len(boards)
