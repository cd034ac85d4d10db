import json
import re
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agents.thinkjepa.config import EncoderConfig
from agents.thinkjepa.images import looked_at
from agents.thinkjepa.predictor import ActionMap
from agents.thinkjepa.relevance import spot_maps
from agents.thinkjepa.training.camera import CameraConfig
from agents.thinkjepa.training.compose import read_config
from agents.thinkjepa.training.config import DataConfig, TrainingError
from agents.thinkjepa.training.draws import batch_indices
from agents.thinkjepa.training.objective import random_relevance
from agents.thinkjepa.training.recordings import _Reading, open_data
from agents.thinkjepa.training.sources import Rows, open_source
from envs.bullet import perspective
from envs.tabletop.actions import from_unit
from envs.tabletop.cameras import STATIC_EYE, Views, camera
from tests.agents.thinkjepa.squares import ACTIONS, COLOURS, SUBGOALS, write_dataset


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("squares") / "dataset", episodes=12)


def data_config(*folders, **changes):
    return DataConfig(
        **(
            {
                "sources": folders,
                "image": "rgb_static",
                "action_block": 1,
                "held_out": 0.25,
                "limit": None,
                "mirror": False,
            }
            | changes
        )
    )


def encoder(size, **changes):
    return EncoderConfig(image_size=size, patch_size=4, width=8, layers=1, heads=1, **changes)


def read(folder, size=16, **changes):
    return open_data(data_config(folder, **changes), ("object_states",)).read(encoder(size), seed=3)


# ---------------------------------------------------------------------------------------------- pictures


def test_a_crop_is_looked_at_by_areas():
    picture = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    assert looked_at(picture, 8, (0, 0, 1, 1)) is picture
    np.testing.assert_array_equal(looked_at(picture, 4, (0.5, 0, 1, 0.5)), picture[:4, 4:])
    halves = looked_at(picture, 2, (0, 0.5, 0.5, 1)).astype(float)
    np.testing.assert_allclose(halves, picture[4:, :4].reshape(2, 2, 2, 2, 3).mean((1, 3)), atol=0.51)


@pytest.mark.parametrize("crop", [(0.5, 0, 0.5, 1), (0, -0.1, 1, 1), (0, 0, 1, 1.1)])
def test_an_impossible_crop_is_refused(crop):
    with pytest.raises(ValueError, match="from 0 to 1"):
        encoder(16, crop=crop)


@given(x=st.floats(-0.16, 0.16), y=st.floats(-0.28, 0.28))
def test_a_crop_moves_what_the_camera_sees(x, y):
    crop = (0.1, 0.3, 0.9, 0.8)
    base = {"eye": (0.7, 0, 0.62), "target": (-0.05, 0, 0.1), "fov": 45, "plane": 0.02, "benchmarks": ("any",)}
    base |= {"workspace": (-0.16, 0.16, -0.28, 0.28), "points": ((1, 2),)}
    whole, part = CameraConfig(**base).project((x, y, 0)), CameraConfig(**base, crop=crop).project((x, y, 0))
    np.testing.assert_allclose(part, (whole - [0.1, 0.3]) / [0.8, 0.5])
    np.testing.assert_allclose(
        CameraConfig(**base, crop=crop).action_points()[0].homography[6:],
        CameraConfig(**base).action_points()[0].homography[6:],
    )


# ------------------------------------------------------------------------------------------------- draws


@given(count=st.integers(1, 30), batch=st.integers(1, 12))
def test_every_epoch_has_every_sample_once(count, batch):
    steps = -(-3 * count // batch)
    order = np.concatenate([batch_indices(count, batch, step, seed=1) for step in range(steps)])
    for epoch in range(3):
        assert sorted(order[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_batches_depend_on_seed_and_step_alone():
    assert np.array_equal(batch_indices(100, 8, 5, 0), batch_indices(100, 8, 5, 0))
    assert not np.array_equal(batch_indices(100, 8, 5, 0), batch_indices(100, 8, 5, 1))


# -------------------------------------------------------------------------------------------- recordings


def test_recordings_hold_what_the_dataset_says(squares):
    recordings = read(squares)
    assert recordings.frames.shape == (48, 16, 16, 3)
    assert recordings.frames.dtype == torch.uint8
    assert recordings.actions.shape == (48, ACTIONS)
    assert recordings.names == tuple(sorted(COLOURS))
    assert sum(episode.held_out for episode in recordings.episodes) == 3
    episode = recordings.episodes[4]
    assert [text for _, text, _ in episode.subgoals] == [text for _, text, _ in SUBGOALS]
    assert episode.subgoals[0][2] == ("red",)
    red = recordings.positions()[episode.start : episode.stop, recordings.names.index("red")]
    assert np.array_equal(episode.holds[:, 0], red[:, 0] < -0.4)


def test_windows_stay_within_episodes(squares):
    recordings = read(squares)
    starts = {out: recordings.windows(3, block=1, held_out=out) for out in (False, True)}
    assert len(starts[False]) == 9 * 2
    assert len(starts[True]) == 3 * 2
    inside = {start for e in recordings.episodes for start in range(e.start, e.stop - 2)}
    assert {*starts[False], *starts[True]} == inside
    assert set(starts[False]).isdisjoint(starts[True])


def test_a_model_action_is_a_block_of_actions(squares):
    recordings = read(squares)
    blocks = recordings.blocks(np.array([[4, 6]]), 2)
    assert np.array_equal(blocks[0, 0], recordings.actions[4:6].ravel())
    assert len(recordings.windows(2, block=3, held_out=False)) == 9


def test_pictures_are_brought_to_the_models_size(squares):
    large, small = read(squares).frames, read(squares, size=8).frames
    blocks = large.float().reshape(-1, 8, 2, 8, 2, 3).mean((2, 4))
    assert (small.float() - blocks).abs().max() <= 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": "rgb_gripper"}, "data.image=rgb_gripper: .* has rgb_static"),
        ({"sources": ("/nowhere",)}, "holds no complete dataset; make one with"),
    ],
)
def test_unfit_data_are_refused(squares, changes, message):
    with pytest.raises(TrainingError, match=message):
        open_data(data_config(squares, **changes))


def test_data_of_two_kinds_are_refused(squares, tmp_path):
    other = write_dataset(tmp_path / "other", episodes=2, benchmark="circles")
    with pytest.raises(TrainingError, match="train on one kind of data"):
        open_data(data_config(squares, other))


def test_one_source_is_not_given_twice(squares, tmp_path):
    (tmp_path / "link").symlink_to(squares)
    with pytest.raises(TrainingError, match="is given twice; what is held out of one would be learnt from the other"):
        open_data(data_config(squares, tmp_path / "link"))


def test_poses_of_nameless_objects_are_no_ground_truth():
    reading = _Reading(EncoderConfig(image_size=16, patch_size=4, width=32, layers=1, heads=2), [])
    pictures = np.zeros((3, 16, 16, 3), np.uint8)
    for _ in range(2):
        reading.add(Rows(pictures, {"action": np.zeros((3, 4)), "observation.object_states": np.ones((3, 14))}))
    assert reading.finish("squares", 0.5, 0).positions() is None


def test_labels_that_were_not_recorded_are_refused(squares):
    with pytest.raises(TrainingError, match="no observation 'scene_obs'"):
        open_data(data_config(squares), ("scene_obs",))


# ------------------------------------------------------------------------------------------------ camera


def test_the_tabletops_camera_is_where_the_configuration_says():
    """Points on the plane, through the simulator's own matrices, fall where the homographies put the action."""
    config = read_config("world_model", ["out=x", "data.sources=[y]"]).camera
    assert config.eye == STATIC_EYE
    action = torch.tensor([[[-1.0, 0.3, -0.8, -0.5, 0.9, 0.2]]])
    points = ActionMap(config.action_points(), 8).locate(action)[0, 0]
    views = Views()
    picture = camera("rgb_static", views, 64, np.zeros(3), np.eye(3))
    assert picture.projection == perspective(views.static_fov, picture.near, picture.far)
    left, top, right, bottom = config.crop
    for unit, point in zip(action[0, 0, 1:5].reshape(2, 2), points, strict=True):
        seen = picture.project([*from_unit(unit.numpy()), config.plane])
        expected = (seen - [left, top]) / [right - left, bottom - top]
        assert point.tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_projection_agrees_with_homographies():
    config = read_config("world_model", ["out=x", "data.sources=[y]"]).camera
    assert isinstance(config, CameraConfig)
    u, v = config.project([*from_unit([0.3, -0.8]), config.plane])
    point = ActionMap(config.action_points(), 8).locate(torch.tensor([[[0, 0.3, -0.8, 0, 0, 0]]]))[0, 0, 0]
    assert point.tolist() == pytest.approx([u, v], abs=1e-5)


# --------------------------------------------------------------------------------------- attention maps


def test_spots_are_where_they_are_asked_for():
    maps = spot_maps(np.array([[[2.5, 0.5], [np.nan, np.nan]], [[np.nan] * 2] * 2]), grid=4)
    assert maps[0].argmax() == 2  # column 2 of row 0
    assert torch.allclose(maps.mean(1), torch.ones(2))
    assert torch.allclose(maps[1], torch.ones(16))


def test_the_asked_for_share_of_maps_is_random():
    maps = random_relevance(400, 0.5, 4, np.random.default_rng(0))
    uniform = (maps == 1).all(1).float().mean().item()
    assert 0.45 <= uniform < 0.65  # one in sixteen random maps shows no spot


# ----------------------------------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("target", "overrides", "message"),
    [
        ("world_model", ["data.sources=[x]"], "out has no value; give one, for example out="),
        ("world_model", ["out=x"], "data.sources has no value"),
        ("world_model", ["out=x", "data.sources=[x]", "stps=3"], "unknown key stps; did you mean 'steps'"),
        (
            "world_model",
            ["out=x", "data.sources=[x]", "objective.rolout=3"],
            "unknown key objective.rolout; did you mean '.*rollout'",
        ),
        ("world_model", ["out=x", "data.sources=[x]", "objective=casual"], "choose one of causal"),
        (
            "world_model",
            ["out=x", "data.sources=[x]", "objective=goals"],
            "objective.kind=goals is not for world_model",
        ),
        ("world_model", ["out=x", "data.sources=[x]", "optimiser.clip=-1"], "optimiser.clip=-1: .* greater than 0"),
        ("world_model", ["out=x", "data.sources=[x]", "objective.rollout=1"], "weights.rollout has nothing to weigh"),
        (
            "world_model",
            [
                *("out=x", "data.sources=[x]", "objective.regulariser=none"),
                "objective.weights={prediction:0,rollout:0,inverse_dynamics:0,state:0,objects:0}",
            ],
            "weights of 0 teach nothing; give weights.prediction=1",
        ),
        (
            "gpi",
            ["out=x", "data.sources=[x]", "init=y", "objective.holding=1"],
            "holding=1 leaves no sub-goal that is reached",
        ),
        ("gpi", ["out=x", "data.sources=[x]"], "init has no value; give the checkpoint of a world model"),
    ],
)
def test_a_bad_configuration_is_refused_with_key_and_remedy(target, overrides, message):
    with pytest.raises(TrainingError, match=message):
        read_config(target, overrides)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        (
            "data/chunk-000/file-000.parquet",
            lambda data: data[:-200],
            "file-000.parquet is missing or not what SHA256SUMS",
        ),
        ("data/chunk-000/file-000.parquet", lambda data: data[:99] + b"x" + data[100:], "not what SHA256SUMS says"),
        (
            "meta/info.json",
            lambda data: data[:50],
            "info.json is damaged, or of no dataset that `harness collect` wrote",
        ),
        ("meta/info.json", lambda data: data.replace(b'"collection"', b'"other"'), "KeyError: 'collection'"),
        ("SHA256SUMS", None, "SHA256SUMS is missing"),
    ],
)
def test_damaged_and_foreign_datasets_are_refused(squares, tmp_path, name, spoil, message):
    root = shutil.copytree(squares, tmp_path / "dataset")
    (root / "README.md").write_text("A card may be edited.")
    open_source(root)
    if spoil is None:
        (root / name).unlink()
    else:
        (root / name).write_bytes(spoil((root / name).read_bytes()))
    with pytest.raises(TrainingError, match=f"data.sources: .*{re.escape(message)}"):
        open_source(root)


def test_no_camera_is_a_choice():
    assert read_config("world_model", ["out=x", "data.sources=[y]", "camera=none"]).camera is None


def test_configurations_are_plain_data():
    config = read_config("world_model", ["out=x", "data.sources=[y]"])
    assert json.loads(json.dumps(config.to_json())) == config.to_json()
