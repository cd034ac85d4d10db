from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.identity import RunIdentity, canonical_json, content_hash, difference, hash_path, plain_data
from harness.interfaces import derive_seed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)

IDENTITY = RunIdentity(
    benchmark="toy",
    protocol={"name": "toy", "version": 1, "steps": 5},
    fingerprint={"suite": "abc"},
    agent={"name": "walker", "gain": 0.5},
    checkpoints={},
    seed=0,
    repeats=1,
)


@given(JSON)
def test_equal_data_has_one_spelling_whatever_the_order_of_keys(data: object) -> None:
    shuffled = dict(reversed(data.items())) if isinstance(data, dict) else data
    assert canonical_json(data) == canonical_json(shuffled)
    assert difference(data, shuffled) == []


@given(st.dictionaries(st.text(min_size=1), st.integers(), min_size=1), st.data())
def test_a_changed_leaf_is_named(data: dict[str, int], draw: st.DataObject) -> None:
    key = draw.draw(st.sampled_from(sorted(data)))
    changed = data | {key: data[key] + 1}
    assert difference(data, changed) == [f"{key}: {data[key]} -> {data[key] + 1}"]
    assert content_hash(data) != content_hash(changed)


def test_nan_has_no_identity() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_hash({"x": float("nan")})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("protocol", {"name": "toy", "version": 1, "steps": 6}),
        ("fingerprint", {"suite": "abd"}),
        ("agent", {"name": "walker", "gain": 0.6}),
        ("checkpoints", {"checkpoint": "123"}),
        ("seed", 1),
        ("repeats", 2),
    ],
)
def test_everything_that_results_depend_on_is_in_the_run_key(field: str, value: object) -> None:
    assert replace(IDENTITY, **{field: value}).run_key != IDENTITY.run_key


def test_runs_of_two_agents_share_episode_keys_so_that_they_can_be_paired() -> None:
    other = replace(IDENTITY, agent={"name": "other"})
    assert other.episode_key("toy-000", 0) == IDENTITY.episode_key("toy-000", 0)
    assert IDENTITY.episode_key("toy-000", 1) != IDENTITY.episode_key("toy-000", 0)
    assert replace(IDENTITY, seed=1).episode_key("toy-000", 0) != IDENTITY.episode_key("toy-000", 0)
    assert replace(IDENTITY, fingerprint={}).episode_key("toy-000", 0) != IDENTITY.episode_key("toy-000", 0)


def test_what_agents_and_environments_report_becomes_plain_json() -> None:
    reported = {"cost": np.float32(0.5), "curve": np.array([1.0, np.nan]), "ok": np.bool_(True), 3: (1, np.int64(2))}
    assert plain_data(reported) == {"cost": 0.5, "curve": [1.0, None], "ok": True, "3": [1, 2]}
    with pytest.raises(TypeError, match="set is no JSON data"):
        plain_data({"x": {1, 2}})


def test_folder_hash_depends_on_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "weights.bin"
    file.write_bytes(b"123")
    before = hash_path(tmp_path)
    assert hash_path(tmp_path) == before
    file.write_bytes(b"124")
    changed = hash_path(tmp_path)
    file.write_bytes(b"123")
    file.rename(tmp_path / "a" / "other.bin")
    assert len({before, changed, hash_path(tmp_path)}) == 3


def test_seeds_are_the_same_in_every_process_and_release() -> None:
    assert derive_seed(0, "toy-000", 1) == 0x325DE1754D46083887EE65699FE00D5E
