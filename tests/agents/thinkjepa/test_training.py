"""Training of a world model on a toy world: it learns, by whatever losses and data."""

import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from agents.thinkjepa.checkpoints import from_pretrained
from agents.thinkjepa.images import shifted, to_frames
from agents.thinkjepa.training import health, run
from agents.thinkjepa.training.compose import read_config
from agents.thinkjepa.training.config import TrainingError
from agents.thinkjepa.training.distributed import Ranks
from agents.thinkjepa.training.loop import ExitCode
from agents.thinkjepa.training.recordings import open_data
from agents.thinkjepa.training.seen import SeenObjects
from agents.thinkjepa.training.setup import make_model, make_objective
from harness.dataset import Dataset
from harness.pack import write_pack
from tests.agents.thinkjepa.squares import CAMERA
from tests.agents.thinkjepa.trained import CPU, MASKED, MODEL, metrics, state, train


def test_the_world_model_learns(world_model):
    losses = metrics(world_model, "train")
    assert losses[-1]["loss"] < 0.7 * losses[0]["loss"]
    numbers = metrics(world_model, "health")[-1]
    assert numbers["skill"] > 0.2
    assert numbers["skill_moved"] > 0.2
    assert numbers["rollout_skill"] > 0.2
    assert numbers["action_top1"] > 3 / 16
    assert numbers["probe_r2"] > 0.5
    assert numbers["spearman"] > 0.5
    assert numbers["std"] > 0.1
    assert numbers["sensitivity"] > 0.05


def test_the_checkpoint_holds_what_planning_needs(world_model):
    checkpoint = from_pretrained(world_model / "checkpoint")
    points = checkpoint.model.config.world_model.predictor.action_points
    assert [(point.x, point.y) for point in points] == [(0, 1), (2, 3)]
    assert checkpoint.model.config.gpi.text == "hashed_words"
    assert checkpoint.model.world_model.action_std.min() > 0.1
    assert checkpoint.thresholds["token_cosine"] > 0
    card = (world_model / "checkpoint" / "README.md").read_text()
    assert "Ground truth that was read in training: objects' names and positions (object map)" in card
    assert "| probe_r2 |" in card
    assert re.search(r"separates the two\. token_cosine: 0\.(9|75|6)[,.]", card)


def test_thresholds_are_of_the_strictest_quantile_that_separates():
    """Sides that overlap a little, more, and altogether."""
    same, apart = torch.linspace(0, 1, 101), torch.linspace(0, 1, 101)
    moved = {"token_cosine": 0.9, "pooled_cosine": 0.6, "l1": 0.3, "l2": 0.0}
    thresholds = health.calibrated(lambda name: (same, apart + moved[name]))
    assert {name: threshold.quantile for name, threshold in thresholds.items()} == {
        "token_cosine": 0.9,
        "pooled_cosine": 0.75,
        "l1": 0.6,
    }
    assert thresholds["pooled_cosine"].distance == pytest.approx((0.75 + 0.25 + 0.6) / 2)


def test_masked_pre_training_learns_and_can_be_gone_on_from(overrides, tmp_path):
    masked = tmp_path / "masked"
    ended = train(
        "world_model",
        f"out={masked}",
        *MASKED,
        *overrides,
        "steps=120",
        "every={log:20,save:120,health:120}",
    )
    assert ended.code == ExitCode.COMPLETED
    losses = metrics(masked, "train")
    assert losses[-1]["loss"] < losses[0]["loss"]
    causal = [item for item in overrides if item not in MODEL]
    ended = train("world_model", f"out={tmp_path / 'next'}", f"init={masked / 'checkpoint'}", *causal, "steps=2")
    assert ended.code == ExitCode.COMPLETED


@pytest.mark.parametrize("change", ["objective.masks=seed", "objective.actions=false"])
def test_ways_of_masking(overrides, tmp_path, change):
    assert train("world_model", f"out={tmp_path}", *MASKED, *overrides, change, "steps=2").step == 2


def test_masked_clips_are_told_actions_that_were_taken(overrides, tmp_path):
    """Those of one episode, blocks included."""
    clips = ["objective.frames=1", "data.action_block=2"]
    config = read_config("world_model", [f"out={tmp_path}", *MASKED, *overrides, *clips])
    sources = open_data(config.data)
    model = make_model(config, sources)
    stage = make_objective(config, model, sources.read(model.config.world_model.encoder, 0))
    samples = stage.draw(np.arange(stage.samples()), 0).samples
    last = {
        row: episode.stop - 1 for episode in stage.recordings.episodes for row in range(episode.start, episode.stop)
    }
    for row, actions in zip(samples["rows"][:, 0].tolist(), samples["actions"][:, 0], strict=True):
        assert row + 2 <= last[row]
        np.testing.assert_array_equal(actions, stage.recordings.actions[row : row + 2].flatten())


@pytest.mark.parametrize(
    "changes",
    [
        ["objective=seed"],
        ["objective=seed", "objective.regularise=[tokens,all]"],
        ["objective.target=ema"],
        ["objective.target=stopped", "objective.regulariser=vicreg"],
        ["objective.regulariser=spectral", "objective.loss.kind=smooth_l1"],
        ["objective.regulariser=none", "objective.weights.inverse_dynamics=0"],
        ["objective.weights.objects=0", "camera=none"],
        ["objective.weights.state=0.3", "objective.state=[object_states]"],
        ["objective.weights={prediction:0,rollout:0}", "optimiser.learning_rates.predictor=0"],
        ["objective.weights={prediction:0,rollout:0}", "optimiser.learning_rates.predictor=0", "objective.shift=3"],
        ["objective.shift=3"],
        ["objective.rollout=1", "objective.weights.rollout=0", "data.action_block=2"],
    ],
)
def test_every_choice_trains(overrides, tmp_path, changes):
    given = [item for item in overrides if not ("camera=none" in changes and item in CAMERA)]
    assert train("world_model", f"out={tmp_path}", *given, *changes, "steps=2").code == ExitCode.COMPLETED


FROZEN = ["optimiser.learning_rates.encoder=0", "objective.target=stopped", "objective.regulariser=none"]


def test_a_frozen_encoder_can_encode_once(world_model, overrides, tmp_path):
    """States are rounded to float16, which changes losses by less than a thousandth."""
    given = [*overrides, f"init={world_model / 'checkpoint'}", *FROZEN, "steps=3", "every.log=1"]
    for once in ("true", "false"):
        train("world_model", f"out={tmp_path / once}", *given, f"encode_once={once}")
    kept, anew = (metrics(tmp_path / once, "train") for once in ("true", "false"))
    for name in ("prediction", "objects", "loss"):
        assert [line[name] for line in kept] == pytest.approx([line[name] for line in anew], rel=1e-3)
    assert train("world_model", f"out={tmp_path / 'bf16'}", *given, "encode_once=true", "precision=bf16").step == 3
    started = train(
        "gpi",
        f"out={tmp_path / 'gpi'}",
        f"init={world_model / 'checkpoint'}",
        overrides[0],
        *CAMERA,
        "batch=16",
        "health_samples=64",
        "encode_once=true",
        "steps=2",
    )
    assert started.code == ExitCode.COMPLETED


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["optimiser.learning_rates.encoder=0.001"], "encode_once=true needs a frozen encoder"),
        (["objective.regulariser=sigreg"], "leaves nothing to regularise"),
        (["objective.shift=3"], "leaves no shifted pictures"),
        (["objective.target=ema"], "leaves nothing to regularise and no moving target"),
    ],
)
def test_what_encoding_once_excludes(overrides, tmp_path, changes, message):
    with pytest.raises(TrainingError, match=message):
        read_config("world_model", [f"out={tmp_path}", *overrides, *FROZEN, "encode_once=true", *changes])


def test_shifts_need_to_know_where_actions_go(overrides, tmp_path):
    given = [item for item in overrides if item not in CAMERA]
    given = [f"out={tmp_path}", *given, "camera=none", "objective.shift=3", "objective.weights.objects=0"]
    for weights in ([], ["objective.weights.prediction=0", "objective.rollout=2", "objective.weights.rollout=1"]):
        with pytest.raises(TrainingError, match="not known how actions move with them"):
            run.start(read_config("world_model", [*given, *weights]), Ranks(), CPU)
    with pytest.raises(TrainingError, match="shift=0 is needed with target=ema"):
        read_config("world_model", [f"out={tmp_path}", *overrides, "objective.shift=3", "objective.target=ema"])


def test_points_of_actions_move_with_the_picture(world_model):
    world = from_pretrained(world_model / "checkpoint").model.world_model
    actions = torch.rand(5, 1, world.config.action_dim)
    still, moved = world.condition(actions), world.condition(actions, torch.tensor([[0.25, -0.5]]).expand(5, -1))
    torch.testing.assert_close(moved.points, still.points + torch.tensor([0.25, -0.5]))
    torch.testing.assert_close(moved.film, still.film)


def test_what_is_seen_moves_with_the_picture(overrides, tmp_path):
    """By one token: every label is found one token further, and so are pixels."""
    config = read_config("world_model", [f"out={tmp_path}", *overrides])
    sources = open_data(config.data)
    model = make_model(config, sources)
    recordings = sources.read(model.config.world_model.encoder, 0)
    seen = SeenObjects(recordings, config.camera, 4)
    rows = np.arange(40)
    still, moved = seen.at(rows), seen.at(rows, np.full((40, 2), 0.25))
    inner = still.words.view(40, 4, 4, -1)[:, :-1, :-1]
    torch.testing.assert_close(moved.words.view(40, 4, 4, -1)[:, 1:, 1:], inner)
    place = still.place.view(40, 4, 4, 3)[:, :-1, :-1]
    torch.testing.assert_close(moved.place.view(40, 4, 4, 3)[:, 1:, 1:], place, equal_nan=True, atol=1e-5, rtol=0)
    assert inner.sum() > 10
    frames = to_frames(recordings.frames[rows]).unsqueeze(1)
    pixels = shifted(frames, torch.full((40, 2), 4))
    torch.testing.assert_close(pixels[..., 4:, 4:], frames[..., :-4, :-4])
    torch.testing.assert_close(pixels[..., 4:, 0], frames[..., :-4, 0])


def test_a_pack_trains_as_the_dataset_does(squares, overrides, tmp_path):
    write_pack(Dataset(squares), tmp_path / "squares.npz")
    for name, source in (("folder", squares), ("pack", tmp_path / "squares.npz")):
        given = [item for item in overrides if not item.startswith("data.sources")]
        train("world_model", f"out={tmp_path / name}", f"data.sources=[{source}]", *given, "steps=3")
    assert state(tmp_path / "folder") == state(tmp_path / "pack")


def test_layers_can_be_left_out(overrides, tmp_path):
    train("world_model", f"out={tmp_path / 'two'}", *overrides, "model.world_model.encoder.layers=2", "steps=1")
    init = f"init={tmp_path / 'two' / 'checkpoint'}"
    given = [item for item in overrides if item not in MODEL]
    train("world_model", f"out={tmp_path / 'one'}", *given, init, "model.world_model.encoder.layers=1", "steps=1")
    assert len(from_pretrained(tmp_path / "one" / "checkpoint").model.world_model.encoder.blocks) == 1


def test_bfloat16_stays_near_float32(overrides, tmp_path):
    losses = []
    for name, bf16 in (("float32", False), ("bf16", True)):
        given = [*overrides, "model.world_model.predictor.dropout=0", "steps=10", "every.log=10"]
        assert train("world_model", f"out={tmp_path / name}", *given, bf16=bf16).code == ExitCode.COMPLETED
        losses.append(metrics(tmp_path / name, "train")[-1]["loss"])
        weights = load_file(tmp_path / name / "checkpoint" / "model.safetensors")
        assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_the_probe_reads_what_is_linear_and_nothing_else():
    generator = torch.Generator().manual_seed(0)
    x, held_out = (torch.randn(count, 20, generator=generator) for count in (200, 100))
    weights = torch.randn(20, 3, generator=generator)
    y = x @ weights
    y[::2, 0] = float("nan")  # unknown in half of the rows
    assert health.probe_r2(x, y, held_out, held_out @ weights) > 0.98
    assert health.probe_r2(x, y, held_out, torch.randn(100, 3, generator=generator)) < 0.1


def test_displacement_ignores_what_is_not_there():
    before = np.array([[[0, 0, 0], [np.nan] * 3], [[0, 0, 0], [1, 1, 0]]], np.float32)
    after = before + np.array([0.3, 0.4, 0], np.float32) * np.array([[[1], [1]], [[0], [2]]], np.float32)
    assert health.displacement(before, after) == pytest.approx([0.5, 1.0])
