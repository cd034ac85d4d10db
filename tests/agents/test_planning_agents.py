"""The agents that plan in the world model, with random weights: what they do, not how well they do it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from agents import reasoning
from agents.flat_cem import FlatCEM
from agents.reasoner import SubGoal, record
from agents.thinkjepa.checkpoints import save_pretrained
from agents.thinkjepa.model import ThinkJEPA
from harness.cli import main
from harness.interfaces import SeedPath, TaskView
from tests.agents.planners import PLANNER, Truth, flat, kinds, oracle, picture, see, thinkjepa, view
from tests.agents.thinkjepa.tiny import awake, model_config

DEVICE_MISSING = "device=cuda: PyTorch finds no CUDA device; give device=cpu or install a CUDA build of torch"


@pytest.mark.parametrize("make", [thinkjepa, oracle, flat])
def test_lanes_in_one_batch_act_as_each_would_alone(make: Any, checkpoint: str) -> None:
    together = make(checkpoint)
    for lane in range(3):
        together.reset(lane, view(key=str(lane)), see(lane))
    acted = together.act({lane: see(lane) for lane in range(3)})
    for lane in range(3):
        alone = make(checkpoint)
        alone.reset(7, view(key=str(lane)), see(lane))
        np.testing.assert_array_equal(alone.act({7: see(lane)})[7], acted[lane])
        assert acted[lane].shape == (3,)
        assert acted[lane].dtype == np.float32
        assert np.abs(acted[lane]).max() <= 1
    assert not np.array_equal(acted[0], acted[1])


def test_the_shipped_projection_of_a_lane_is_its_own() -> None:
    """To the last bit, in sizes in which one row and several are not rounded alike."""
    agent = flat("tiny-tabletop")
    config = agent.world.config
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(4, config.tokens, config.encoder.width, generator=generator)
    embeddings = agent.embed([f"Put cube {number} in the bowl." for number in range(4)])
    relevance = torch.ones(4, config.tokens)
    together = agent.project(embeddings, relevance, states)
    for lane in range(4):
        alone = agent.project(*(one[lane : lane + 1] for one in (embeddings, relevance, states)))
        assert torch.equal(alone[0], together[lane])


@pytest.mark.parametrize("make", [thinkjepa, oracle, flat])
def test_pick_and_place_is_chosen_among_skills_only(make: Any, checkpoint: str) -> None:
    agent = make(checkpoint, planner=replace(PLANNER, fixed=((0, -1.0), (2, 0.5))))
    agent.reset(0, view(), see(0))
    action = agent.act({0: see(0)})[0]
    assert action[0] == -1
    assert action[2] == 0.5
    agent = make(checkpoint, planner=replace(PLANNER, fixed=((0, -1.0), (2, 0.5))))
    agent.reset(0, replace(view(), control_hz=20.0), see(0))
    action = agent.act({0: see(0)})[0]
    assert abs(action[0]) < 1, "where actions are no skills, the component is searched for"
    assert action[2] == 0.5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("make", [thinkjepa, oracle, flat])
def test_compiled_agents_find_as_good_plans(make: Any, checkpoint: str) -> None:
    costs = []
    for agent in (make(checkpoint), make(checkpoint, compile=True)):
        agent.reset(0, view(), see(0))
        agent.act({0: see(0)})
        costs.append(next(event for event in agent.pop_events(0) if event.kind == "plan").data["costs"])
    np.testing.assert_allclose(*costs, rtol=1e-3)


@pytest.mark.parametrize("make", [thinkjepa, oracle, flat])
def test_compiling_for_a_cpu_needs_a_compiler(
    make: Any, checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    make(checkpoint)
    with pytest.raises(ValueError, match=r"no C\+\+ compiler g\+\+ here; install it, name another.*CXX"):
        make(checkpoint, compile=True)
    only = tmp_path / "clang++"
    only.write_text("#!/bin/sh\n")
    only.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="name another"):
        make(checkpoint, compile=True)
    monkeypatch.setenv("CXX", "clang++")
    make(checkpoint, compile=True)


def test_draws_depend_on_the_step_and_not_on_what_ran_before(checkpoint: str) -> None:
    agent = oracle(checkpoint)
    runs = []
    for _ in range(2):
        agent.reset(0, view(), see(0))
        runs.append([agent.act({0: see(0)})[0] for _ in range(2)])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0][0], runs[0][1])


def test_every_decision_reports_its_plan_and_its_cost(checkpoint: str) -> None:
    agent = oracle(checkpoint)
    agent.reset(0, view(), see(0))
    agent.act({0: see(0)})
    subgoal, plan, compute = agent.pop_events(0)
    assert subgoal.data == {"text": "picture of the final state", "left": 1}
    assert not agent.pop_events(0)
    assert not agent.pop_events(5)
    assert len(plan.data["costs"]) == 2
    assert 0 < plan.data["costs"][1] <= plan.data["costs"][0]
    assert plan.data["distance"] > 0
    assert compute.data["predictor_steps"] == 48
    assert compute.data["plan_ms"] > 0
    json.dumps([plan.data, compute.data])


def test_what_is_seen_is_the_goal_where_it_is_reached(checkpoint: str) -> None:
    agent = oracle(checkpoint)
    agent.reset(0, view(), see(99))
    agent.act({0: see(99)})
    assert agent.pop_events(0)[1].data["distance"] == pytest.approx(0, abs=1e-6)


def test_the_flat_goal_is_the_projected_instruction_and_reads_no_ground_truth(checkpoint: str) -> None:
    agent = flat(checkpoint)
    assert not agent.privileged
    lane = agent.begin(replace(view(), privileged=None), see(0))
    states = agent.encode([picture(0)])
    goal = agent.goals([lane], [see(0)], states).states
    uniform = torch.ones(1, states.shape[1])
    assert not torch.equal(goal, agent.project(agent.embed(["Something else."]), uniform, states))
    torch.testing.assert_close(goal, agent.project(agent.embed(["Tidy up."]), uniform, states))


def test_the_next_goal_is_looked_at_before_every_decision(checkpoint: str) -> None:
    agent = oracle(checkpoint, goal="next")
    agent.reset(0, view(), see(0))
    distances = []
    for seen in (98, 97):
        agent.act({0: see(seen)})
        subgoal, planned, _ = agent.pop_events(0)
        assert subgoal.data == {"text": "picture of the next state", "left": 1}
        distances.append(planned.data["distance"])
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert distances[1] > 0


def test_blocks_are_executed_before_the_next_plan(checkpoint: str) -> None:
    agent = oracle(checkpoint, planner=replace(PLANNER, horizon=2, action_block=3))
    space = Box(-1.0, 1.0, (1,), np.float32)
    agent.reset(0, TaskView("", space, None, 4, 0, SeedPath(0, "e", 0), Truth()), see(0))
    acted = [agent.act({0: see(number)})[0] for number in range(4)]
    assert all(action.shape == (1,) for action in acted)
    assert kinds(agent) == ["subgoal", *(["plan", "compute"] * 2)]


def test_other_actions_than_the_models_are_refused(checkpoint: str) -> None:
    space = Box(-1.0, 1.0, (7,), np.float32)
    wrong = TaskView("", space, None, 4, 0, SeedPath(0, "e", 0), Truth())
    with pytest.raises(ValueError, match="do not make up the 3 of the model's actions"):
        oracle(checkpoint).reset(0, wrong, see(0))


def test_actions_are_checked_before_an_agent_is_built(checkpoint: str, tmp_path: Path) -> None:
    def check(components: int, named: str, **planner: Any) -> None:
        space = Box(-1.0, 1.0, (components,), np.float32)
        FlatCEM.check_settings({"checkpoint": named, "planner": planner}, space, None)

    check(3, checkpoint)
    check(1, checkpoint, action_block=3)
    check(7, "untrained")
    with pytest.raises(ValueError, match="action_block=2 actions of 3 components do not make up the 3 of the model's"):
        check(3, checkpoint, action_block=2)
    shutil.copytree(checkpoint, tmp_path / "damaged")
    (tmp_path / "damaged" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"^agent\.checkpoint=.*damaged: .* was changed; fetch it again"):
        check(3, str(tmp_path / "damaged"))


@pytest.mark.parametrize("make", [thinkjepa, oracle])
def test_a_world_that_tells_nothing_is_refused(make: Any, checkpoint: str) -> None:
    with pytest.raises(ValueError, match="benchmark="):
        make(checkpoint).reset(0, view(object()), see(0))


def test_without_a_gpu_cuda_is_refused(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="give device=cpu"):
        oracle(checkpoint, device="cuda")


@pytest.mark.parametrize("make", [thinkjepa, oracle, flat])
def test_further_looks_change_the_plan_and_its_price(make: Any, shifting: str) -> None:
    """And not what a lane does beside others."""
    costs = []
    for looks in (1, 2, 4):
        together, alone = make(shifting, looks=looks), make(shifting, looks=looks)
        for lane in range(2):
            together.reset(lane, view(key=str(lane)), see(lane))
        alone.reset(5, view(key="1"), see(1))
        acted = together.act({lane: see(lane) for lane in range(2)})
        np.testing.assert_array_equal(alone.act({5: see(1)})[5], acted[1])
        told = {event.kind: event.data for event in together.pop_events(1)}
        assert told["compute"]["predictor_steps"] == 48 * looks
        costs.append(told["plan"]["costs"][-1])
    assert len(set(costs)) == 3


@pytest.mark.parametrize("make", [thinkjepa, oracle, flat])
def test_what_was_tried_is_remembered_until_something_changes(make: Any, checkpoint: str) -> None:
    def acts(pictures: Sequence[int], futile: float) -> list[np.ndarray]:
        agent = make(checkpoint, planner=replace(PLANNER, population=128, iterations=3, futile=futile))
        agent.reset(0, view(), see(0))
        return [agent.act({0: see(number)})[0] for number in pictures]

    believed, remembered = acts([0, 0, 1], 0.0), acts([0, 0, 1], 1.0)
    np.testing.assert_array_equal(believed[0], remembered[0])
    assert not np.array_equal(believed[1], remembered[1]), "the first action changed nothing"
    np.testing.assert_array_equal(believed[2], remembered[2], "something has changed, whatever it was")


@pytest.fixture(scope="module")
def skills(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose actions are those of the tabletop's skills."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("skills")
    config = model_config()
    world = config.world_model
    larger = type(world)(encoder=world.encoder, predictor=world.predictor, action_dim=6, grid=world.grid)
    model = awake(ThinkJEPA(type(config)(world_model=larger, gpi=config.gpi)))
    assert isinstance(model, ThinkJEPA)
    save_pretrained(model, folder, thresholds={"token_cosine": 1e-6})
    return str(folder)


@pytest.mark.parametrize("agent", ["thinkjepa", "thinkjepa agent.reasoner=replay", "oracle_goal"])
def test_the_harness_runs_them_on_subgoals(agent: str, skills: str, tmp_path: Path) -> None:
    from thinkbench.subgoals.suite import load_frozen

    words = [
        *f"agent={agent}".split(),
        f"agent.checkpoint={skills}",
        "agent.planner.population=100",
        f"run_dir={tmp_path / 'r'}",
    ]
    replays = "replay" in agent
    if replays:
        instruction = load_frozen().spec("on", 0, 1, "standard").stages[0].instruction
        record(tmp_path / "record.json", {instruction: [SubGoal("Lift it.", None)]})
        words += [f"agent.record={tmp_path / 'record.json'}", "agent.ask=done"]
    overrides = ["benchmark=subgoals", "limit=1", "protocol.image_size=32", "protocol.max_steps=1"]
    assert main(["run", *words, *overrides]) == 0
    with sqlite3.connect(tmp_path / "r" / "run.sqlite") as store:
        reported = {kind for (kind,) in store.execute("select kind from events")}
        meta = dict(store.execute("select key, value from meta"))
    assert {"plan", "compute"} <= reported
    assert json.loads(meta["privileged"]) is not replays
    identity = json.loads(meta["identity"])
    assert set(identity["checkpoints"]) == {"checkpoint", *(["record"] if replays else [])}
    assert {len(digest) for digest in identity["checkpoints"].values()} == {32}
    assert "record" not in identity["agent"] or not replays


def test_bad_settings_are_told_before_anything_starts(
    skills: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "benchmark=subgoals", "agent=thinkjepa", f"run_dir={tmp_path / 'r'}"]
    for override, message in {
        "agent.checkpoint=nowhere": "agent.checkpoint=nowhere: nowhere: no such folder, no shipped model",
        "agent.planner.population=20": "agent.planner: keep_elites=5 is more than the 2 elites of 20",
        "agent.planner.population=0": "agent.planner.population: Input should be greater than 0",
        "agent.objective.distance=cosine": "agent.objective.distance='cosine' is not one of change_cosine",
        "agent.objective.forgiven=0.3": "agent.objective: forgiven has no meaning with distance=change_cosine",
        "agent.guidance.alpha=-1": "agent.guidance.alpha: Input should be greater than or equal to 0",
        "agent.reasoner=oracle": "agent.reasoner='oracle' is not one of scripted, replay, vlm",
        "agent.reasoner=replay": "agent.reasoner=replay needs recorded answers; give agent.record=FILE",
        "agent.vlm.side=4": "agent.vlm has no effect with reasoner=scripted; give agent.reasoner=vlm",
        f"agent.reasoner=replay agent.record={__file__}": "agent.reasoner=replay says the same whatever it sees",
        "agent.hits=5 agent.patience=2": "agent: hits=5 and patience=2: give 1 <= hits <= patience",
        "agent.planner.fixed=[[6,0.0]]": "agent.planner.fixed: there is no component 6; actions have 6, from 0",
        "agent.record=x.json": "agent.record has no effect with reasoner=scripted; give agent.reasoner=replay",
        "agent.ask=done agent.threshold=-1": "agent.threshold=-1: no distance is below that",
        f"agent.reasoner=replay agent.ask=done agent.record={__file__}": f"agent.record={__file__}: the whole file: ",
        "agent=oracle_goal agent.expert=Nobody": "agent.expert=Nobody cannot be made",
        "agent=vlm_only agent.grid=0": "agent.grid=0: attention maps need at least one cell",
        "agent=vlm_only agent.camera.points=[[1,2]]": "agent.camera.points: an action names 1 points",
        f"agent=vlm_only agent.reasoner=replay agent.record={__file__}": f"agent.record={__file__}: the whole file: ",
    }.items():
        model = [] if "agent=vlm_only" in override else [f"agent.checkpoint={skills}"]
        assert main([*words, *model, *override.split()]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_what_only_a_worker_can_tell_is_told_in_one_line_and_leaves_nothing(
    skills: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = ["run", "benchmark=subgoals", "agent=flat_cem", f"agent.checkpoint={skills}", "limit=1"]
    assert main([*words, "agent.device=cuda", f"run_dir={tmp_path / 'r'}"]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "episodes" not in line]
    assert errors == [f"error: agent: {DEVICE_MISSING}"]
    assert not (tmp_path / "r").exists()


def test_bad_settings_of_a_language_model_are_told_before_anything_starts(
    skills: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = ["run", "benchmark=subgoals", "agent=thinkjepa", "agent.reasoner=vlm", f"run_dir={tmp_path / 'r'}"]
    for setting, message in {
        "model=/no/folder": "model=/no/folder: no such folder and no shipped model; give a hub id",
        f"model={skills}": f"model={skills} cannot be loaded: Unrecognized model",
        "revision=v1": "revision=v1 is for models of the hub, and tiny-reasoner is a folder; leave it away",
        "layers=[9]": "layers=9: the language model has layers 0 to 3",
        "device=cuda": "device=cuda: PyTorch finds no CUDA device; give device=cpu",
        f"lora={tmp_path}": f"lora={tmp_path} holds no adapter_model.safetensors",
    }.items():
        assert main([*words, f"agent.checkpoint={skills}", f"agent.vlm.{setting}"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: agent.vlm.{message}")
    assert not (tmp_path / "r").exists()


def test_runs_without_a_language_model_do_not_wait_for_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)  # importing it fails
    for reasoner in ("scripted", "replay"):
        reasoning.check_settings({"reasoner": reasoner}, None)
