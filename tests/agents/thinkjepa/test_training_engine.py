"""Whatever is trained: it goes on after a kill as if nothing had been, and stops when it must."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from agents.thinkjepa.checkpoints import from_pretrained
from agents.thinkjepa.training import health, loop, run
from agents.thinkjepa.training.causal import Causal
from agents.thinkjepa.training.compose import read_config
from agents.thinkjepa.training.config import CollapseConfig, TrainingError
from agents.thinkjepa.training.distributed import Ranks
from agents.thinkjepa.training.loop import ExitCode, collapse, rate_factor
from agents.thinkjepa.training.masked import Masked
from agents.thinkjepa.training.state import STATE, steps_done
from harness.cli import main
from tests.agents.thinkjepa.squares import CAMERA
from tests.agents.thinkjepa.trained import CPU, MASKED, MODEL, QUICK, metrics, state, train


def of_goals(world_model, squares):
    """What stage 2 on the toy world is given, with everything that it draws; a test adds ``out`` and ``steps``."""
    given = [f"init={world_model / 'checkpoint'}", "device=cpu", f"data.sources=[{squares}]", *CAMERA, *QUICK[:3]]
    return [*given, "objective.shift=1", "objective.holding=0.2"]


def test_curves_are_written_for_tensorboard(world_model):
    from tensorboardX.proto.event_pb2 import Event

    (path,) = (world_model / "tensorboard").iterdir()
    data, tags = path.read_bytes(), set()
    while data:  # a record: length (8 bytes), its checksum (4), the event, its checksum (4)
        length = int.from_bytes(data[:8], "little")
        tags |= {value.tag for value in Event.FromString(data[12 : 12 + length]).summary.value}
        data = data[16 + length :]
    assert {"train/prediction", "health/skill", "health/probe_r2", "health/rank"} <= tags


@pytest.mark.parametrize("objective", ["causal", pytest.param("masked", marks=pytest.mark.slow)])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(overrides, tmp_path, objective):
    """With dropout, masks, random attention maps and a moving average."""
    given = [*overrides, *(MASKED if objective == "masked" else []), "steps=7", "every={log:1,save:100,health:100}"]
    first, second = straight_and_cut("world_model", tmp_path, given)
    assert first.digest == second.digest


def test_stage_2_goes_on_bit_for_bit(world_model, squares, tmp_path):
    """By two optimisers; with what it reads goals with and what is usual for kinds of sub-goals, outside the model."""
    given = [*of_goals(world_model, squares), "steps=7", "every={log:1,save:100,health:100}", "optimiser.muon=5"]
    first, second = straight_and_cut("gpi", tmp_path, given)
    assert first.digest == second.digest
    kept = load_file(tmp_path / "cut" / STATE)
    for name in ("usual", "project.read.0.weight"):
        assert kept[f"objective.{name}"].any(), name
        assert kept[f"optimiser.exp_avg.{name}"].any(), name
    assert kept["optimiser.momentum_buffer.model.gpi.blocks.0.mlp.0.weight"].any()
    assert "optimiser.momentum_buffer.model.world_model.predictor.blocks.0.mlp.0.weight" not in kept, "it is frozen"


def straight_and_cut(target, folder, given):
    """The checkpoints of a run of 7 steps, and of one that was stopped after 3 and went on; their states are equal."""
    assert train(target, f"out={folder / 'straight'}", *given).step == 7
    calls = iter(range(100))
    stopped = train(target, f"out={folder / 'cut'}", *given, interrupted=lambda: next(calls) == 2)
    assert (stopped.code, stopped.step) == (ExitCode.INTERRUPTED, 3)
    assert train(target, f"out={folder / 'cut'}", *given).code == ExitCode.COMPLETED
    assert state(folder / "straight") == state(folder / "cut")
    assert [line["step"] for line in metrics(folder / "cut", "train")] == list(range(1, 8))
    return [from_pretrained(folder / name / "checkpoint") for name in ("straight", "cut")]


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
    *_, last = metrics(tmp_path, "health")
    assert last["std"] < 0.05
    card = tmp_path / "checkpoint" / "README.md"
    assert not card.is_file() or f"| std | {last['std']:.4g} |" not in card.read_text(), "the model before stays"


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


def test_a_state_that_is_not_finite_is_not_saved(overrides, tmp_path):
    """Long before the next line of progress: the same command would go on from it."""
    rates = "optimiser.learning_rates={encoder:1e30,predictor:1e30,readouts:0}"
    given = [*overrides, rates, "steps=40", "optimiser.warmup=0", "every={log:100,save:1,health:100}"]
    ended = train("world_model", f"out={tmp_path}", *given)
    assert ended.code == ExitCode.COLLAPSED
    assert "not finite; lower the learning rates of optimiser" in ended.message
    assert steps_done(tmp_path) == ended.step - 1 < 10
    assert all(torch.isfinite(value).all() for value in load_file(tmp_path / STATE).values())


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_states_that_overflow_stop_training_with_the_number_that_says_so(overrides, tmp_path, monkeypatch, objective):
    """Weights and losses may still be finite, and it may be long before collapses are looked for."""

    def overflow(stage, step, steps):
        if step == 1:
            for parameter in stage.model.world_model.encoder.parameters():
                parameter.data.fill_(1e30)

    monkeypatch.setattr(Causal if objective == "causal" else Masked, "after_step", overflow)
    every = "every={log:100,save:100,health:2}"
    given = [*overrides, *(MASKED if objective == "masked" else []), "steps=6", every, "collapse={after:1000}"]
    ended = train("world_model", f"out={tmp_path}", *given)
    assert (ended.code, ended.step) == (ExitCode.COLLAPSED, 2)
    assert ended.message.startswith("stopped at step 2: std of held-out states is not finite; lower the learning rates")
    assert not (tmp_path / "checkpoint").exists()
    assert steps_done(tmp_path) == 0


def test_weights_are_judged_once_in_a_step(overrides, tmp_path, monkeypatch):
    judged = []
    real = loop._Run.problem
    monkeypatch.setattr(loop._Run, "problem", lambda self, step: judged.append(step) or real(self, step))
    given = [*overrides, "steps=6", "every={log:2,save:3,health:4}"]
    assert train("world_model", f"out={tmp_path}", *given).code == ExitCode.COMPLETED
    assert judged == [2, 3, 4, 6]


@pytest.mark.parametrize("name", ["save", "health"])
def test_weights_are_judged_before_they_are_written(overrides, tmp_path, monkeypatch, name):
    """They may be spoilt by the very step whose loss was still finite."""

    def spoil(stage, step, steps):
        if step == 2:
            next(p for p in stage.model.parameters() if p.requires_grad).data.fill_(float("nan"))

    every = "every={log:100,save:100,health:100}".replace(f"{name}:100", f"{name}:1")
    given = [f"out={tmp_path}", *overrides, "steps=6", every]
    with monkeypatch.context() as patched:
        patched.setattr(Causal, "after_step", spoil)
        ended = train("world_model", *given)
    assert (ended.code, ended.step) == (ExitCode.COLLAPSED, 3)
    assert "a weight is not finite" in ended.message
    if name == "save":
        assert steps_done(tmp_path) == 2
    else:
        assert "2 of 6 steps" in (tmp_path / "checkpoint" / "README.md").read_text()
    assert train("world_model", *given).code == ExitCode.COMPLETED


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["batch=15"], "batch=15 cannot be shared by 2 processes"),
        (["camera.benchmarks=[tabletop]"], "the data are of squares; give camera=none"),
        (["objective=masked", "objective.frames=9"], "objective.frames=9: the predictor takes 4"),
        (
            [*MASKED, "objective.masks=seed", "model.world_model.encoder.kind=vjepa2"],
            "objective.masks=seed: a V-JEPA 2 encoder .* give objective.masks=tubes",
        ),
        (
            ["optimiser.learning_rates={encoder:0,predictor:0,gpi:0,readouts:0}"],
            "optimiser.learning_rates=.* train nothing; give a part that there is a rate above 0: encoder, predictor",
        ),
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


def test_the_verb_reports_errors_and_prints_the_checkpoint(overrides, tmp_path, capsys):
    assert main(["train", "world_model", "out=x"]) == ExitCode.BAD_CONFIG
    assert "error: data.sources has no value" in capsys.readouterr().err
    assert main(["train", "world_model", f"out={tmp_path}", *overrides, "steps=1"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "checkpoint")


@pytest.mark.slow
@pytest.mark.parametrize("target", ["world_model", "gpi"])
def test_two_processes_train_as_one_with_the_same_batch(world_model, overrides, squares, tmp_path, target):
    """Gradients of regulariser, masked means, InfoNCE and ranking included.

    Dropout is off, since each process has its own.
    """
    given = [*overrides, "model.world_model.predictor.dropout=0", "steps=3", "optimiser.warmup=0"]
    if target == "gpi":
        given = [*of_goals(world_model, squares), "steps=3", "optimiser.warmup=0"]
    assert train(target, f"out={tmp_path / 'one'}", *given).code == ExitCode.COMPLETED
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    command += ["-m", "harness", "train", target, f"out={tmp_path / 'two'}", *given]
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


def test_learning_rates_rise_then_fall():
    factors = [rate_factor(step, 100, 10, 0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == 1.0
    assert factors[10] == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == pytest.approx(0.1, abs=1e-3)
