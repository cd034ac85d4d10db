"""Properties of the task families on synthetic boards."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.language_table.blocks import BlockMode, block_set, synonyms
from envs.language_table.families import FAMILIES, BoardState, Draws
from envs.language_table.instructions import all_instructions

REWARDED = [name for name in FAMILIES if name != "play"]
MODES = st.sampled_from([BlockMode.BLOCK_4, BlockMode.BLOCK_8])


def random_board(seed, mode):
    rng = np.random.default_rng(seed)
    low, high = (0.23, -0.2248), (0.52, 0.2248)
    positions = {name: rng.uniform(low, high).astype(np.float32) for name in block_set(mode)}
    return BoardState(positions, rng.uniform(low, high).astype(np.float32))


@settings(max_examples=60)
@given(st.sampled_from(REWARDED), MODES, st.integers(0, 10_000))
def test_drawn_instructions_are_among_the_reachable(name, mode, seed):
    family = FAMILIES[name](Draws.from_seed(seed), mode)
    task = family.draw(random_board(seed, mode), block_set(mode))
    if task is None:
        return
    reachable = all_instructions(name, mode, "reachable")
    assert task.instruction in reachable


@settings(max_examples=60)
@given(
    st.sampled_from(["block2absolutelocation", "block1_to_corner", "block2relativelocation"]), st.integers(0, 10_000)
)
def test_a_block_on_its_target_is_solved_and_far_away_is_not(name, seed):
    mode = BlockMode.BLOCK_8
    state = random_board(seed, mode)
    family = FAMILIES[name](Draws.from_seed(seed), mode)
    task = family.draw(state, block_set(mode))
    if task is None:
        return
    there = BoardState({**state.positions, task.block: np.asarray(task.target, np.float32)}, state.effector_target)
    away = BoardState({**state.positions, task.block: np.float32([5, 5])}, state.effector_target)
    assert family.reward(there) == (100.0, True)
    assert family.reward(away) == (0.0, False)


def test_delay_counts_solved_steps_and_does_not_start_again():
    mode = BlockMode.BLOCK_4
    state = random_board(0, mode)
    family = FAMILIES["block2block"](Draws.from_seed(0), mode, delay_steps=2)
    task = family.draw(state, block_set(mode))
    together = BoardState(
        {**state.positions, task.block: state.positions[task.target_block] + np.float32(0.01)}, state.effector_target
    )
    rewards = [family.reward(board)[0] for board in (together, state, together, together)]
    assert rewards == [0.0, 0.0, 0.0, 100.0]


@pytest.mark.parametrize(
    ("on_table", "names"),
    [
        (("red_moon", "blue_cube"), ["red block", "moon", "red moon"]),
        (("red_moon", "red_cube"), ["moon", "red moon"]),
        (("red_moon", "blue_moon"), ["red block", "red moon"]),
        (("red_moon", "red_cube", "blue_moon"), ["red moon"]),
    ],
)
def test_short_names_only_where_they_are_unique(on_table, names):
    assert synonyms("red_moon", on_table) == names


def test_play_is_never_solved():
    mode = BlockMode.BLOCK_8
    state = random_board(1, mode)
    family = FAMILIES["play"](Draws.from_seed(1), mode)
    family.draw(state, block_set(mode))
    together = BoardState(dict.fromkeys(state.positions, np.float32([0.4, 0])), state.effector_target)
    assert family.reward(together) == (0.0, False)
