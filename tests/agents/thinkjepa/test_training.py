"""Training on a toy world: it learns, goes on after a kill as if nothing had been, and stops when it must."""

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from agents.thinkjepa.checkpoints import from_pretrained
from agents.thinkjepa.config import ActionPoint
from agents.thinkjepa.distances import Objective
from agents.thinkjepa.images import shifted, to_frames
from agents.thinkjepa.presets import preset
from agents.thinkjepa.training import health, run
from agents.thinkjepa.training.compose import read_config
from agents.thinkjepa.training.config import CollapseConfig, TrainingError
from agents.thinkjepa.training.distributed import Ranks
from agents.thinkjepa.training.loop import ExitCode, collapse, rate_factor
from agents.thinkjepa.training.objective import Batch
from agents.thinkjepa.training.recordings import Episode, Recordings, open_data
from agents.thinkjepa.training.scenes import Scenes
from agents.thinkjepa.training.seen import SeenObjects
from agents.thinkjepa.training.setup import make_model, make_objective
from agents.thinkjepa.training.state import STATE
from agents.thinkjepa.training.subgoals import kept_components
from agents.thinkjepa.words import embed
from harness.cli import main
from harness.dataset import Dataset
from harness.pack import write_pack
from tests.agents.thinkjepa.squares import CAMERA, SUBGOALS, holding, moved, picture, write_dataset

CPU = torch.device("cpu")
MODEL = [
    "model.world_model.encoder={image_size:16,patch_size:4,width:32,layers:1,heads:2}",
    "model.world_model.grid=4",
    "model.world_model.predictor={width:32,layers:1,heads:2,frames:4,dropout:0.1}",
    "model.gpi={language_dim:64,layers:1,heads:2}",
]
QUICK = ["batch=16", "optimiser.warmup=10", "health_samples=32", "objective.directions=16", "objective.places=4"]


@pytest.fixture(scope="session")
def squares(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("squares") / "dataset", episodes=250)


@pytest.fixture(scope="session")
def overrides(squares):
    """Of a world model; a test adds ``out`` and what it is about."""
    return [f"data.sources=[{squares}]", "device=cpu", *CAMERA, *MODEL, *QUICK]


def train(target, *overrides, **given):
    console = Console(file=io.StringIO())
    return run.start(read_config(target, overrides), Ranks(), CPU, console=console, **given)


def metrics(out, what):
    lines = [json.loads(line) for line in (Path(out) / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["what"] == what]


@pytest.fixture(scope="session")
def world_model(overrides, tmp_path_factory):
    """A world model that has learnt a little."""
    out = tmp_path_factory.mktemp("runs") / "wm"
    torch.set_num_threads(1)
    ended = train("world_model", f"out={out}", *overrides, "steps=200", "every={log:25,save:200,health:200}")
    assert ended.code == ExitCode.COMPLETED
    return out


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


def test_curves_are_written_for_tensorboard(world_model):
    from tensorboardX.proto.event_pb2 import Event

    (path,) = (world_model / "tensorboard").iterdir()
    data, tags = path.read_bytes(), set()
    while data:  # a record: length (8 bytes), its checksum (4), the event, its checksum (4)
        length = int.from_bytes(data[:8], "little")
        tags |= {value.tag for value in Event.FromString(data[12 : 12 + length]).summary.value}
        data = data[16 + length :]
    assert {"train/prediction", "health/skill", "health/probe_r2", "health/rank"} <= tags


def test_sub_goals_in_words_rank_actions(world_model, overrides, squares, tmp_path):
    ended = train(
        "gpi",
        f"out={tmp_path / 'gpi'}",
        f"init={world_model / 'checkpoint'}",
        f"data.sources=[{squares}]",
        *CAMERA,
        "batch=16",
        "health_samples=64",
        "optimiser.warmup=10",
        "optimiser.learning_rates.gpi=2e-3",
        "objective.shift=1",
        "objective.holding=0",
        "steps=150",
        "every={log:50,save:150,health:150}",
    )
    assert ended.code == ExitCode.COMPLETED
    numbers = metrics(tmp_path / "gpi", "health")[-1]
    assert numbers["auc"] > 0.7
    assert numbers["text_matters"] > 0.2
    assert {f"auc/{kind}" for kind, _, _ in SUBGOALS} | {"auc_reached"} <= numbers.keys()
    before, after = (from_pretrained(folder / "checkpoint").model for folder in (world_model, tmp_path / "gpi"))
    for name, weight in before.world_model.state_dict().items():
        assert torch.equal(weight, after.world_model.state_dict()[name])
    goal = after.gpi(embed([SUBGOALS[0][1]], 64), torch.ones(1, 16), torch.randn(1, 16, 32))
    assert goal.shape == (1, 16, 32)


def goals_objective(world_model, squares, *changes):
    overrides = [f"init={world_model / 'checkpoint'}", f"data.sources=[{squares}]", *CAMERA, "out=unused"]
    config = read_config("gpi", [*overrides, *changes])
    sources = open_data(config.data)
    model = make_model(config, sources)
    return make_objective(config, model, sources.read(model.config.world_model.encoder, 0))


def test_a_share_of_samples_holds_already(world_model, squares):
    objective = goals_objective(world_model, squares, "objective.holding=0.4")
    samples = objective.draw(np.arange(400) % objective.samples(), 0).samples
    holding = samples["holding"]
    assert 0.3 < holding.float().mean() < 0.5
    before, after = samples["rows"].unbind(1)
    assert torch.equal(before == after, holding)
    assert torch.equal(after[~holding], before[~holding] + 1)
    for episode in objective.recordings.episodes:
        subgoals = [(objective.texts.index(text), objective.kinds.index(kind)) for kind, text, _ in episode.subgoals]
        for sample in torch.nonzero((before >= episode.start) & (before < episode.stop))[:, 0].tolist():
            number = subgoals.index((int(samples["text"][sample]), int(samples["kind"][sample])))
            row = int(before[sample]) - episode.start
            assert episode.holds[row, number] == holding[sample]
            assert episode.holds[row + 1, number]
    assert not objective.draw(np.arange(5), 0, held_out=True).samples["holding"].any()
    assert (
        not goals_objective(world_model, squares, "objective.holding=0").draw(np.arange(5), 0).samples["holding"].any()
    )


@pytest.mark.parametrize("held_out", [False, True])
def test_other_sub_goals_of_the_scene_are_judged_by_what_the_action_did(world_model, squares, held_out):
    objective = goals_objective(world_model, squares, "objective.others=4", "objective.holding=0.2")
    samples = objective.draw(np.arange(80) % objective.samples(held_out=held_out), 0, held_out=held_out).samples
    assert samples["other_relevance"].shape == (80, 4, objective.model.world_model.config.tokens)
    episodes = [e for e in objective.recordings.episodes if e.held_out == held_out]
    true = samples["other_true"]
    for sample in np.flatnonzero(~samples["holding"]):
        row = int(samples["rows"][sample, 0])
        episode = next(e for e in episodes if e.start <= row < e.stop)
        words = [objective.texts.index(text) for _, text, _ in episode.subgoals]
        numbers = [words.index(int(text)) for text in samples["other_text"][sample]]
        assert not episode.holds[row - episode.start, numbers].any()
        assert episode.holds[row - episode.start + 1, numbers].tolist() == true[sample].tolist()
        kinds = [objective.kinds.index(episode.subgoals[number][0]) for number in numbers]
        assert kinds == samples["other_kind"][sample].tolist()
    assert true[~samples["holding"]].float().mean() == 0.5


def test_where_everything_holds_nothing_else_is_judged():
    goals = [("table", "Put the cube on the table.", ("cube",)), ("zone", "Put the cube in the zone.", ("cube",))]
    episode = Episode(0, 2, held_out=False, subgoals=goals, holds=np.ones((2, 2), bool))
    recordings = Recordings("b", torch.zeros(2, 4, 4, 3), np.zeros((2, 1), np.float32), [episode], {}, ())
    judged = Scenes(recordings, 1).judged(np.array([0]), np.array([1]), 3, np.random.default_rng(0))
    assert not judged.true.any()
    assert (judged.kind == 1).all()


def test_sub_goals_that_do_not_come_true_are_often_about_the_same_thing(world_model, squares):
    objective = goals_objective(world_model, squares, "objective.others=4", "objective.holding=0")
    samples = objective.draw(np.arange(200) % objective.samples(), 0).samples
    red = torch.tensor(["red" in text for text in objective.texts])
    same = red[samples["other_text"]] == red[samples["text"]].unsqueeze(1)
    false = ~samples["other_true"]
    assert 0.4 < same[false].float().mean() < 0.6, "of eight, at most three are about the same square"


def test_costs_that_tell_what_comes_true_are_rewarded(world_model, squares):
    objective = goals_objective(world_model, squares, "objective.others=4", "objective.holding=0")
    batch = objective.draw(np.arange(32) % objective.samples(), 0)
    lies = Batch({**batch.samples, "other_true": ~batch.samples["other_true"]})
    optimiser = torch.optim.Adam(objective.model.gpi.parameters(), 2e-3)
    for _ in range(30):
        loss = objective(batch)["truth"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert objective(batch)["truth"] < 0.6 < objective(lies)["truth"]


def test_the_best_that_can_be_done_about_what_holds_is_nothing(world_model, squares):
    """A goal that changes nothing is right where the sub-goal holds, and wrong where it does not."""
    objective = goals_objective(world_model, squares, "objective.holding=0.5", "objective.weights.gpi=0")
    batch = objective.draw(np.arange(64) % objective.samples(), 0)
    terms = {}
    for holds in (True, False):
        chosen = batch.samples["holding"] == holds
        with torch.no_grad():
            terms[holds] = objective(Batch({name: value[chosen] for name, value in batch.samples.items()}))
    assert terms[True]["regression"] < 1e-6
    assert terms[False]["regression"] > 0.01
    assert terms[True]["ranking"] < terms[False]["ranking"]


def test_balanced_samples_are_of_every_kind_alike(world_model, squares):
    def kinds(balanced):
        objective = goals_objective(world_model, squares, f"objective.balanced={balanced}", "objective.holding=0")
        reached = objective._reached[False]
        single = np.flatnonzero(np.diff(reached.first) == 1)
        of_one_kind = [number for number in single if reached.kind[reached.first[number]] == 0]
        counts = np.bincount(objective.draw(np.resize(of_one_kind, 400), 0).samples["kind"], minlength=4)
        return counts / counts.sum()

    assert kinds(0.0)[0] == 1
    np.testing.assert_allclose(kinds(1.0), 0.25, atol=0.08)


def test_masked_pre_training_learns_and_can_be_gone_on_from(overrides, tmp_path):
    masked = tmp_path / "masked"
    ended = train(
        "world_model",
        f"out={masked}",
        "objective=masked",
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
    assert train("world_model", f"out={tmp_path}", "objective=masked", *overrides, change, "steps=2").step == 2


@pytest.mark.parametrize(
    "changes",
    [
        ["objective=seed"],
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


# ------------------------------------------------------------------------------------------------ resume


def state(out):
    return (out / STATE).read_bytes()


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(overrides, tmp_path, objective):
    """With dropout, masks, random attention maps and a moving average."""
    given = [*overrides, f"objective={objective}", "steps=7", "every={log:1,save:100,health:100}"]
    assert train("world_model", f"out={tmp_path / 'straight'}", *given).step == 7
    calls = iter(range(100))
    stopped = train("world_model", f"out={tmp_path / 'cut'}", *given, interrupted=lambda: next(calls) == 2)
    assert (stopped.code, stopped.step) == (ExitCode.INTERRUPTED, 3)
    assert train("world_model", f"out={tmp_path / 'cut'}", *given).code == ExitCode.COMPLETED
    assert state(tmp_path / "straight") == state(tmp_path / "cut")
    first, second = (from_pretrained(tmp_path / name / "checkpoint") for name in ("straight", "cut"))
    assert first.digest == second.digest
    steps = [line["step"] for line in metrics(tmp_path / "cut", "train")]
    assert steps == list(range(1, 8))


def test_a_run_that_was_killed_goes_on_bit_for_bit(overrides, tmp_path):
    """What came after the last saved state is done again, and noted once."""
    given = [*overrides, "steps=7", "every={log:1,save:2,health:100}"]
    assert train("world_model", f"out={tmp_path / 'straight'}", *given).step == 7

    def killed() -> bool:
        if len(metrics(tmp_path / "cut", "train")) == 5:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        train("world_model", f"out={tmp_path / 'cut'}", *given, interrupted=killed)
    assert train("world_model", f"out={tmp_path / 'cut'}", *given).code == ExitCode.COMPLETED
    assert state(tmp_path / "straight") == state(tmp_path / "cut")
    assert [line["step"] for line in metrics(tmp_path / "cut", "train")] == list(range(1, 8))


def test_a_folder_of_another_run_is_refused(overrides, tmp_path):
    train("world_model", f"out={tmp_path / 'run'}", *overrides, "steps=1")
    with pytest.raises(TrainingError, match=r"another configuration \(batch: 16 -> 8\); choose another out"):
        train("world_model", f"out={tmp_path / 'run'}", *overrides, "steps=1", "batch=8")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(TrainingError, match="is not empty and no training run"):
        train("world_model", f"out={tmp_path / 'other'}", *overrides, "steps=1")


def test_a_damaged_state_is_refused(overrides, tmp_path):
    train("world_model", f"out={tmp_path}", *overrides, "steps=1")
    content = state(tmp_path)
    (tmp_path / STATE).write_bytes(content[: len(content) // 2])
    with pytest.raises(TrainingError, match=r"cannot be gone on from .*; delete .* to start again"):
        train("world_model", f"out={tmp_path}", *overrides, "steps=1")


# ------------------------------------------------------------------------------------------ stops, refusals


def test_a_collapse_stops_training(overrides, tmp_path):
    """Nothing but prediction: the best states are all the same."""
    ended = train(
        "world_model",
        f"out={tmp_path}",
        *overrides,
        "objective.regulariser=none",
        "objective.weights={inverse_dynamics:0,state:0,rollout:0}",
        "optimiser.learning_rates={encoder:5e-3,predictor:5e-3,readouts:0}",
        "collapse={std:0.05,after:20}",
        "steps=200",
        "every.health=20",
    )
    assert ended.code == ExitCode.COLLAPSED
    assert ended.step < 200
    assert "collapsed" in ended.message
    assert "collapse.std=0.05" in ended.message
    assert "objective.regulariser=sigreg" in ended.message


def test_either_number_tells_a_collapse():
    limits = CollapseConfig(std=0.1, rank=2, after=0)
    assert not collapse({"std": 0.5, "rank": 3.0}, limits, 5)
    assert "collapse.rank=2" in collapse({"std": 0.5, "rank": 1.1}, limits, 5)
    assert "collapse.std=0.1" in collapse({"std": float("nan"), "rank": 3.0}, limits, 5)


def test_losses_that_are_not_finite_stop_training(overrides, tmp_path):
    rates = "optimiser.learning_rates={encoder:1e30,predictor:1e30,readouts:0}"
    ended = train("world_model", f"out={tmp_path}", *overrides, rates, "steps=40", "every.log=10", "optimiser.warmup=0")
    assert ended.code == ExitCode.COLLAPSED
    assert "not finite; lower the learning rates of optimiser" in ended.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["batch=15"], "batch=15 cannot be shared by 2 processes"),
        (["camera.benchmarks=[tabletop]"], "the data are of squares; give camera=none"),
        (["objective=masked", "objective.frames=9"], "objective.frames=9: the predictor takes 4"),
        (["data.action_block=9"], "no training window of 2 actions of 9 environment steps; lower objective.rollout"),
        (["model.world_model.grid=5"], "model.world_model: grid=5 is finer"),
        (["model.gpi.hedas=2"], "unknown key model.gpi.hedas"),
    ],
)
def test_what_does_not_fit_is_refused(overrides, tmp_path, changes, message):
    config = read_config("world_model", [f"out={tmp_path}", *overrides, *changes, "steps=1"])
    with pytest.raises(TrainingError, match=message):
        run.start(config, Ranks(0, 2 if changes == ["batch=15"] else 1), CPU)
    assert not list(tmp_path.iterdir())


def test_init_must_fit(world_model, overrides, tmp_path):
    init = f"init={world_model / 'checkpoint'}"
    given = [item for item in overrides if item not in MODEL]
    with pytest.raises(TrainingError, match="do not fit the weights of init"):
        train("world_model", f"out={tmp_path}", *given, init, "model.world_model.predictor.width=16", "steps=1")
    with pytest.raises(TrainingError, match=r"takes actions of 4 components, the data have 8 \(2 x 4\)"):
        train("world_model", f"out={tmp_path}", *given, init, "data.action_block=2", "steps=1")
    with pytest.raises(TrainingError, match="do not fit the weights of init"):
        train("world_model", f"out={tmp_path}", *given, init, "model.world_model.encoder.layers=3", "steps=1")
    with pytest.raises(TrainingError, match=r"init: .*no such folder"):
        train("world_model", f"out={tmp_path}", *given, "init=nowhere", "steps=1")
    with pytest.raises(TrainingError, match=r"init_gpi: .*no such folder"):
        train("world_model", f"out={tmp_path}", *given, init, "init_gpi=nowhere", "steps=1")
    with pytest.raises(TrainingError, match="init_gpi is of no use alone: give init"):
        train("world_model", f"out={tmp_path}", *given, "init_gpi=elsewhere", "steps=1")


def test_a_goal_projection_may_come_from_another_checkpoint(world_model, squares, overrides, tmp_path):
    init = f"init={world_model / 'checkpoint'}"
    given = [f"data.sources=[{squares}]", *CAMERA, *QUICK[:3], init]
    rate = ["optimiser.learning_rates.gpi=0", "optimiser.learning_rates.predictor=0", "steps=1"]
    train("gpi", f"out={tmp_path / 'words'}", *given, "model.gpi.beside=3", "model.gpi.film=true", "steps=2")
    train("gpi", f"out={tmp_path / 'both'}", *given, f"init_gpi={tmp_path / 'words' / 'checkpoint'}", *rate)
    world, words, both = (
        from_pretrained(folder / "checkpoint").model for folder in (world_model, tmp_path / "words", tmp_path / "both")
    )
    assert both.config.gpi == words.config.gpi != world.config.gpi
    for part, source in ((both.gpi, words.gpi), (both.world_model, world.world_model)):
        for name, weight in source.state_dict().items():
            assert torch.equal(weight, part.state_dict()[name])
    smaller = [*overrides, "model.world_model.encoder.width=16", "model.world_model.grid=2", "steps=1"]
    train("world_model", f"out={tmp_path / 'small'}", *smaller)
    with pytest.raises(TrainingError, match=r"init_gpi=.*is of states of another size than init="):
        train("gpi", f"out={tmp_path / 'not'}", *given, f"init_gpi={tmp_path / 'small' / 'checkpoint'}", "steps=1")


def test_layers_can_be_left_out(overrides, tmp_path):
    train("world_model", f"out={tmp_path / 'two'}", *overrides, "model.world_model.encoder.layers=2", "steps=1")
    init = f"init={tmp_path / 'two' / 'checkpoint'}"
    given = [item for item in overrides if item not in MODEL]
    train("world_model", f"out={tmp_path / 'one'}", *given, init, "model.world_model.encoder.layers=1", "steps=1")
    assert len(from_pretrained(tmp_path / "one" / "checkpoint").model.world_model.encoder.blocks) == 1


def test_the_verb_reports_errors_and_prints_the_checkpoint(overrides, tmp_path, capsys):
    assert main(["train", "world_model", "out=x"]) == ExitCode.BAD_CONFIG
    assert "error: data.sources has no value" in capsys.readouterr().err
    assert main(["train", "world_model", f"out={tmp_path}", *overrides, "steps=1"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "checkpoint")


# --------------------------------------------------------------------------------------- precision, ranks


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


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_same_batch(overrides, tmp_path):
    """Gradients of regulariser and masked means included; dropout is off, since each process has its own."""
    given = [*overrides, "model.world_model.predictor.dropout=0", "steps=3", "optimiser.warmup=0"]
    assert train("world_model", f"out={tmp_path / 'one'}", *given).code == ExitCode.COMPLETED
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    command += ["-m", "harness", "train", "world_model", f"out={tmp_path / 'two'}", *given]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / name / STATE) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        if "exp_avg" in name:  # sums of gradients
            scale = value.abs().max().item()
            assert torch.allclose(value, two[name], rtol=1e-3, atol=1e-3 * scale + 1e-9), name
    # AdamW turns rounding of gradients that are zero into steps of full length; all others must agree.
    apart = torch.cat([(one[n] - two[n]).abs().flatten() for n in one if n.startswith("objective.")])
    assert apart.quantile(0.98) < 1e-5


def test_sigterm_ends_training_after_the_step(overrides, tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **kwargs)

    real = health.spread
    monkeypatch.setattr(health, "spread", stop)
    status = run.run("world_model", [f"out={tmp_path}", *overrides, "steps=9", "every.health=2"])
    assert status == ExitCode.INTERRUPTED
    assert (tmp_path / STATE).is_file()


@pytest.mark.slow
def test_a_sentence_is_planned_for_in_a_new_scene(overrides, squares, tmp_path):
    """All of it: the goal of the words, the outcome of candidates, the toy world's verdict on the best of them."""
    few = [f"data.sources=[{squares}]", *CAMERA, "batch=32", "optimiser.warmup=20", "every.health=500"]
    rates = "optimiser.learning_rates={encoder:1e-3,predictor:1e-3}"
    train("world_model", f"out={tmp_path / 'wm'}", *overrides, "batch=32", "steps=500", rates)
    init = f"init={tmp_path / 'wm' / 'checkpoint'}"
    train("gpi", f"out={tmp_path / 'gpi'}", init, *few, "steps=500", "optimiser.learning_rates.gpi=2e-3")
    model = from_pretrained(tmp_path / "gpi" / "checkpoint").model
    rng = np.random.default_rng(99)
    planned, drawn = [], []
    for _ in range(100):
        scene = rng.uniform(-0.7, 0.7, (2, 2))
        wanted = rng.choice([number for number, holds in enumerate(holding(scene)) if holds == "0"])
        candidates = torch.from_numpy(rng.uniform(-1, 1, (1, 256, 1, 4))).float()
        with torch.no_grad():
            state = model.world_model.encode(to_frames(torch.from_numpy(picture(scene)))[None, None])[:, 0]
            goal = model.gpi(embed([SUBGOALS[wanted][1]], 64), torch.ones(1, 16), state)
            best = model.world_model.cost(state, goal, candidates, Objective()).argmin()
        for action, outcomes in ((candidates[0, best, 0], planned), (candidates[0, 0, 0], drawn)):
            outcomes.append(holding(moved(scene, action.numpy()))[wanted] == "1")
    assert np.mean(planned) > np.mean(drawn) + 0.3


# ------------------------------------------------------------------------------------------------- parts


def test_alternatives_share_a_point_with_the_executed_action_in_turns():
    points = tuple(ActionPoint(x=x, y=x + 1, homography=(1, 0, 0, 0, 1, 0, 0, 0, 1)) for x in (1, 3))
    world = preset("tiny", action_dim=6, language_dim=8).world_model
    kept = kept_components(replace(world, predictor=replace(world.predictor, action_points=points)), 4)
    assert kept.int().tolist() == [[0] * 6, [1, 1, 1, 0, 0, 1], [1, 0, 0, 1, 1, 1], [0] * 6]
    assert not kept_components(world, 4).any()


def test_learning_rates_rise_then_fall():
    factors = [rate_factor(step, 100, 10, 0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == 1.0
    assert factors[10] == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == pytest.approx(0.1, abs=1e-3)


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
