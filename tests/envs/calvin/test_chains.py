import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.calvin import frozen
from envs.calvin.chains import RULES, category, generate_chains, initial_states, is_valid
from envs.calvin.initial import SceneHash, fnv1_32, scene_obs
from envs.calvin.language import INSTRUCTIONS
from envs.calvin.tasks import TASKS


def test_published_hash_values():
    assert fnv1_32("hello world".encode("utf-16-le"), basis=0) == 3799943344
    assert fnv1_32(b"hello world", basis=0) == 2805756500
    assert fnv1_32(b"foobar", basis=0x811C9DC5) == 0x31F0B262


def test_192_initial_states_each_with_a_block_on_the_table():
    states = initial_states()
    assert len({json.dumps(state) for state in states}) == len(states) == 192
    assert all("table" in state.values() for state in states)


def test_frozen_chains_are_valid_and_complete():
    chains = frozen.load_chains()
    assert len(chains) == 1000
    assert all(is_valid(chain.state, chain.tasks) for chain in chains)
    assert {task for chain in chains for task in chain.tasks} == set(TASKS) == set(RULES) == set(INSTRUCTIONS)


def test_no_chain_repeats_a_category():
    assert all(len({category(task) for task in chain.tasks}) == 5 for chain in frozen.load_chains())


def test_the_popular_port_swaps_blocks_in_557_chains():
    pairs = zip(frozen.load_chains(), frozen.load_chains(SceneHash.POPULAR_PORT), strict=True)
    swapped = sum(
        not np.array_equal(a.scene_obs[6:9], b.scene_obs[6:9])
        or not np.array_equal(a.scene_obs[12:15], b.scene_obs[12:15])
        or not np.array_equal(a.scene_obs[18:21], b.scene_obs[18:21])
        for a, b in pairs
    )
    assert swapped == 557


def test_a_changed_data_file_is_refused(tmp_path, monkeypatch):
    changed = tmp_path / "chains.json.gz"
    changed.write_bytes(gzip.compress(gzip.decompress(frozen.DATA_FILE.read_bytes()).replace(b"0.28", b"0.27", 1)))
    monkeypatch.setattr(frozen, "DATA_FILE", changed)
    frozen.load_chains.cache_clear()
    with pytest.raises(ValueError, match="SHA-256"):
        frozen.load_chains()
    frozen.load_chains.cache_clear()


@given(st.sampled_from(initial_states()), st.sampled_from(list(SceneHash)))
def test_scene_matches_its_symbolic_state(state, variant):
    obs = scene_obs(state, variant)
    assert (obs[0] > 0) == (state["slider"] == "left")
    assert (obs[1] > 0) == (state["drawer"] == "open")
    assert obs[4] == state["lightbulb"]
    assert obs[5] == state["led"]
    yaws = obs[[11, 17, 23]]
    assert (abs(yaws - np.pi / 2) <= np.pi / 8).all()
    positions = obs[6:].reshape(3, 6)[:, :3]
    assert len({tuple(position) for position in positions}) == 3


@pytest.mark.slow
def test_generator_rebuilds_the_shipped_file_and_the_published_order(golden):
    assert frozen.build() == gzip.decompress(frozen.DATA_FILE.read_bytes())
    recorded = json.loads((golden / "sequences.json").read_text())
    assert [[list(state.items()), list(tasks)] for state, tasks in generate_chains()] == [
        [list(state.items()), tasks] for state, tasks in recorded
    ]
