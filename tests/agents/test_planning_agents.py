"""The agents that plan in the world model, with random weights: what they do, not how well they do it."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from agents.flat_cem import FlatCEM
from agents.oracle_goal import OracleGoal
from agents.planning import PlanningAgent
from agents.reasoner import ScriptedReasoner, SubGoal
from agents.thinkjepa.agent import ThinkJEPAAgent
from agents.thinkjepa.checkpoints import save_pretrained
from agents.thinkjepa.model import ThinkJEPA
from agents.thinkjepa.planner.config import PlannerConfig
from harness.cli import main
from harness.interfaces import SeedPath, StatedSubGoal, StatesSubGoals, TaskView
from tests.agents.thinkjepa.tiny import awake, model_config

PLANNER = PlannerConfig(population=24, horizon=1, iterations=2, elite_fraction=0.25)


class Truth:
    """Two sub-goals, and a picture of the goal."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts) or ["Put the red cube in the bowl.", "Put the blue cube on the tray."]

    def stated_subgoals(self) -> list[StatedSubGoal]:
        return [StatedSubGoal(text, ((0.1 + 0.2 * number, 0.7),)) for number, text in enumerate(self.texts)]

    def goal_image(self) -> np.ndarray:
        return picture(99)

    def next_image(self) -> np.ndarray:
        return picture(98)


def picture(seed: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def see(seed: int) -> dict[str, Any]:
    return {"rgb_static": picture(seed)}


def view(truth: Any = None, key: str = "e") -> TaskView:
    space = Box(-1.0, 1.0, (3,), np.float32)
    return TaskView("Tidy up.", space, None, 4, 0, SeedPath(0, key, 0), truth if truth is not None else Truth())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    model = awake(ThinkJEPA(model_config()))
    assert isinstance(model, ThinkJEPA)
    save_pretrained(model, folder, thresholds={"token_cosine": 1e-6})
    return str(folder)


def thinkjepa(checkpoint: str, **settings: Any) -> ThinkJEPAAgent:
    torch.set_num_threads(1)
    return ThinkJEPAAgent(checkpoint=checkpoint, **({"planner": PLANNER, "device": "cpu"} | settings))


def oracle(checkpoint: str, **settings: Any) -> OracleGoal:
    torch.set_num_threads(1)
    return OracleGoal(checkpoint=checkpoint, **({"planner": PLANNER, "device": "cpu"} | settings))


def flat(checkpoint: str, **settings: Any) -> FlatCEM:
    torch.set_num_threads(1)
    return FlatCEM(checkpoint=checkpoint, **({"planner": PLANNER, "device": "cpu"} | settings))


def kinds(agent: PlanningAgent[Any], lane: int = 0) -> list[str]:
    return [event.kind for event in agent.pop_events(lane)]


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
    plan, compute = agent.pop_events(0)
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
    assert agent.pop_events(0)[0].data["distance"] == pytest.approx(0, abs=1e-6)


def test_the_flat_goal_is_the_projected_instruction_and_reads_no_ground_truth(checkpoint: str) -> None:
    agent = flat(checkpoint)
    assert not agent.privileged
    lane = agent.begin(replace(view(), privileged=None), see(0))
    states = agent.encode([picture(0)])
    goal = agent.goals([lane], [see(0)], states).states
    assert not torch.equal(goal, agent.project(["Something else."], torch.ones(1, states.shape[1]), states))
    torch.testing.assert_close(goal, agent.project(["Tidy up."], torch.ones(1, states.shape[1]), states))


def test_the_next_goal_is_looked_at_before_every_decision(checkpoint: str) -> None:
    agent = oracle(checkpoint, goal="next")
    agent.reset(0, view(), see(0))
    distances = []
    for seen in (98, 97):
        agent.act({0: see(seen)})
        distances.append(agent.pop_events(0)[0].data["distance"])
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert distances[1] > 0


def test_blocks_are_executed_before_the_next_plan(checkpoint: str) -> None:
    agent = oracle(checkpoint, planner=replace(PLANNER, horizon=2, action_block=3))
    space = Box(-1.0, 1.0, (1,), np.float32)
    agent.reset(0, TaskView("", space, None, 4, 0, SeedPath(0, "e", 0), Truth()), see(0))
    acted = [agent.act({0: see(number)})[0] for number in range(4)]
    assert all(action.shape == (1,) for action in acted)
    assert kinds(agent) == ["plan", "compute"] * 2


def test_other_actions_than_the_models_are_refused(checkpoint: str) -> None:
    space = Box(-1.0, 1.0, (7,), np.float32)
    wrong = TaskView("", space, None, 4, 0, SeedPath(0, "e", 0), Truth())
    with pytest.raises(ValueError, match="do not make up the 3 of the model's actions"):
        oracle(checkpoint).reset(0, wrong, see(0))


@pytest.mark.parametrize("make", [thinkjepa, oracle])
def test_a_world_that_tells_nothing_is_refused(make: Any, checkpoint: str) -> None:
    with pytest.raises(ValueError, match="benchmark="):
        make(checkpoint).reset(0, view(object()), see(0))


def test_without_a_gpu_cuda_is_refused(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="give device=cpu"):
        oracle(checkpoint, device="cuda")


# ---------------------------------------------------------------------------------------------- sub-goals


def test_a_reached_subgoal_is_followed_by_the_next_and_then_by_a_question(checkpoint: str) -> None:
    agent = thinkjepa(checkpoint)
    agent._threshold = 100.0  # every state counts as the goal
    agent.reset(0, view(), see(0))
    seen = []
    for step in range(3):
        agent.act({0: see(step)})
        seen.append([(event.kind, event.data.get("text", "")) for event in agent.pop_events(0)])
    first, second = Truth().texts
    assert seen[0] == [("subgoal", first), ("plan", ""), ("compute", "")]
    assert seen[1] == [("reached", first), ("subgoal", second), ("plan", ""), ("compute", "")]
    assert seen[2] == [("reached", second), ("replan", ""), ("subgoal", first), ("plan", ""), ("compute", "")]


def test_patience_ends_in_a_question(checkpoint: str) -> None:
    agent = thinkjepa(checkpoint, patience=2)
    agent.reset(0, view(), see(0))
    for step in range(3):
        agent.act({0: see(step)})
    assert kinds(agent).count("replan") == 1


def test_words_and_attention_change_the_plan(checkpoint: str) -> None:
    def costs(truth: Truth, **settings: Any) -> list[float]:
        agent = thinkjepa(checkpoint, **settings)
        agent.reset(0, view(truth), see(0))
        agent.act({0: see(0)})
        (plan,) = (event for event in agent.pop_events(0) if event.kind == "plan")
        return list(plan.data["costs"])

    base = costs(Truth("Lift the cube."))
    assert base == costs(Truth("Lift the cube."))
    assert base != costs(Truth("Lift the bowl."))
    assert base != costs(Truth("Lift the cube."), attention=False)
    assert base != costs(Truth("Lift the cube."), attention_alpha=0.0)


def test_an_error_leaves_the_lanes_as_they_were(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = thinkjepa(checkpoint)
    agent.reset(0, view(), see(0))
    agent.act({0: see(0)})
    kinds(agent)
    monkeypatch.setattr(agent._planner, "plan", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        agent.act({0: see(1)})
    assert kinds(agent) == []
    monkeypatch.undo()
    again = agent.act({0: see(1)})[0]
    undisturbed = thinkjepa(checkpoint)
    undisturbed.reset(0, view(), see(0))
    undisturbed.act({0: see(0)})
    np.testing.assert_array_equal(undisturbed.act({0: see(1)})[0], again)


def test_the_scripted_reasoner_looks_where_things_are() -> None:
    truth = Truth("Put it there.")
    world = model_config().world_model
    first, *others = ScriptedReasoner(world).propose(view(truth), see(0))
    assert others == []
    assert first.attention is not None
    assert first.attention.mean().item() == pytest.approx(1)
    assert divmod(int(first.attention.argmax()), 4) == (2, 0)  # v = 0.7 and u = 0.1 of 4 cells
    lower = replace(world, encoder=replace(world.encoder, crop=(0.0, 0.6, 0.5, 1.0)))
    (cropped,) = ScriptedReasoner(lower).propose(view(truth), see(0))
    assert cropped.attention is not None
    assert int(cropped.attention.argmax()) == 0
    silent = ScriptedReasoner(world, attention=False)
    assert silent.propose(view(truth), see(0)) == [SubGoal("Put it there.", None)]
    gone = SubGoal("Something else.", None)
    assert ScriptedReasoner(world).look(gone, view(truth), see(0)) is gone


# ------------------------------------------------------------------------------------- through the harness


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
    save_pretrained(model, folder)
    return str(folder)


@pytest.mark.parametrize("agent", ["thinkjepa", "oracle_goal"])
def test_the_harness_runs_them_on_subgoals(agent: str, skills: str, tmp_path: Path) -> None:
    words = [
        f"agent={agent}",
        f"agent.checkpoint={skills}",
        "agent.planner.population=100",
        f"run_dir={tmp_path / 'r'}",
    ]
    overrides = ["benchmark=subgoals", "limit=2", "executor.lanes=2", "protocol.image_size=32", "protocol.max_steps=1"]
    assert main(["run", *words, *overrides]) == 0
    with sqlite3.connect(tmp_path / "r" / "run.sqlite") as store:
        reported = {kind for (kind,) in store.execute("select kind from events")}
        meta = dict(store.execute("select key, value from meta"))
    assert {"plan", "compute"} <= reported
    assert json.loads(meta["privileged"]) is True
    assert len(json.loads(meta["identity"])["checkpoints"]["checkpoint"]) == 32


def test_bad_settings_are_told_before_anything_starts(
    skills: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "benchmark=subgoals", "agent=thinkjepa", f"run_dir={tmp_path / 'r'}"]
    for override, message in {
        "agent.checkpoint=nowhere": "agent.checkpoint=nowhere: nowhere: no such folder, no shipped model",
        "agent.planner.population=20": "agent.planner: keep_elites=5 is more than the 2 elites of 20",
        "agent.planner.population=0": "agent.planner.population: Input should be greater than 0",
        "agent.objective.distance=cosine": "agent.objective.distance='cosine' is not one of token_cosine",
    }.items():
        assert main([*words, f"agent.checkpoint={skills}", override]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_subgoals_tell_where_their_things_are_seen() -> None:
    from thinkbench.subgoals.env import SubgoalEnv
    from thinkbench.subgoals.suite import load_frozen

    env = SubgoalEnv(image_size=64, observation_keys=("rgb_static",))
    try:
        spec = load_frozen().spec("on", 0, 4, "standard")
        env.reset(seed=0, options={"episode": spec})
        truth = env.privileged()
        assert isinstance(truth, StatesSubGoals)
        (stated,) = truth.stated_subgoals()
        assert stated.text == spec.stages[0].instruction
        seen = truth.world.render("rgb_static", 224).segmentation
        bodies = [seen[int(v * 224), int(u * 224)] for u, v in stated.points]
        assert [truth.world.objects[name] for name in truth.goal[0].args] == bodies
    finally:
        env.close()
