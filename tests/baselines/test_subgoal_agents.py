"""Agents for sub-goals: exploration and what it records, the heuristic's aim, and the ceiling's search."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baselines.explore import NEAR_MISS, Explore
from baselines.heuristic import Heuristic
from baselines.simulator import Simulator
from baselines.subgoal_targets import target_of
from envs.tabletop.actions import Primitive, action_space, parse_skill, to_unit
from envs.tabletop.scene import SceneSpec
from harness.cli import main
from harness.dataset import Dataset
from harness.interfaces import SeedPath, TaskView
from thinkbench.geometry import distance_to_polygon, footprint
from thinkbench.ideal import ideal_state
from thinkbench.subgoals.draw import PLAY_STEPS
from thinkbench.subgoals.env import SubgoalEnv
from thinkbench.subgoals.goals import KINDS, holding, subgoals
from thinkbench.subgoals.suite import load_frozen

KEYS = "record=[rgb_static,object_states,scene,subgoals,holds]"


def collect(run_dir: Path, *overrides: str) -> Dataset:
    words = ["benchmark=subgoals", "agent=explore", f"run_dir={run_dir}", "protocol.image_size=32", KEYS, *overrides]
    assert main(["collect", *words]) == 0
    return Dataset(run_dir / "dataset")


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return collect(tmp_path_factory.mktemp("explore") / "run", "limit=3", "size=16")


def test_exploration_is_recorded_with_the_truth(explored: Dataset) -> None:
    assert explored.damaged() == []
    for number in range(len(explored)):
        episode = explored.episode(number)
        assert episode["observation.images.rgb_static"].shape == (PLAY_STEPS + 1, 16, 16, 3)
        assert len(set(episode["observation.subgoals"])) == len(set(episode["observation.scene"])) == 1
        scene = SceneSpec.from_dict(json.loads(episode["observation.scene"][0]))
        goals = subgoals(scene)
        entries = json.loads(episode["observation.subgoals"][0])
        assert [entry[0] for entry in entries] == [goal.kind for goal in goals]
        assert [entry[2] for entry in entries] == [[literal.to_list() for literal in goal.literals] for goal in goals]
        for goal, (_, text, _) in zip(goals, entries, strict=True):
            assert text in {goal.text(paraphrase) for paraphrase in KINDS[goal.kind].standard}
        poses = episode["observation.object_states"].reshape(PLAY_STEPS + 1, -1, 7)
        starts = np.array([spec.position for spec in scene.objects])
        assert np.abs(poses[0, : len(starts), :3] - starts).max() < 0.02
        assert not poses[:, len(starts) :].any()
        # On the table at first, as in a world without physics, up to what settling does.
        before = "".join("01"[value] for value in holding(ideal_state(scene), goals))
        agree = [a == b for a, b in zip(before, episode["observation.holds"][0], strict=True)]
        assert np.mean(agree) > 0.95


def test_labels_are_sub_goals_that_came_to_hold(explored: Dataset) -> None:
    labels = explored.labels
    assert len(labels) >= 2
    assert set(labels["source"]) == {"agent"}
    for row in labels.to_dict("records"):
        episode = explored.episode(row["episode_index"])
        goals = subgoals(SceneSpec.from_dict(json.loads(episode["observation.scene"][0])))
        texts = [{goal.text(text) for text in KINDS[goal.kind].standard} for goal in goals]
        (index,) = [i for i, options in enumerate(texts) if row["instruction"] in options]
        assert goals[index].kind == row["task"]
        assert episode["observation.holds"][row["start"]][index] == "0"
        assert episode["observation.holds"][row["end"]][index] == "1"


def test_the_same_seed_explores_the_same(explored: Dataset, tmp_path: Path) -> None:
    again = collect(tmp_path / "again", "limit=2", "size=16", "executor.lanes=2")
    columns = ["action", "observation.images.rgb_static", "observation.holds"]
    assert all(again.table(number, columns).equals(explored.table(number, columns)) for number in range(2))


def view_of(env: SubgoalEnv, instruction: str = "") -> TaskView:
    seeds = SeedPath(0, "test", 0)
    return TaskView(instruction, action_space("skill"), None, PLAY_STEPS, 0, seeds, env.privileged())


@pytest.fixture
def frozen() -> Any:
    env = SubgoalEnv(observation_keys=())

    def start(kind: str, index: int = 0) -> SubgoalEnv:
        env.reset(options={"episode": load_frozen().spec(kind, index, 4, "standard")})
        return env

    yield start
    env.close()


def test_near_misses_miss_and_the_mixture_is_kept(frozen: Any) -> None:
    env = frozen("near")
    state = env.privileged().state()
    agent = Explore(random=0, directed=0, near_miss=1, expert=0)
    agent.reset(0, view_of(env), {})
    for _ in range(20):
        skill = parse_skill(agent.act({0: {}})[0])
        gaps = [distance_to_polygon(footprint(state, name), np.array([skill.start]))[0] for name in state.objects]
        assert any(NEAR_MISS[0] - 1e-3 <= gap <= NEAR_MISS[1] + 1e-3 for gap in gaps)
    mixed = Explore()
    mixed.reset(0, view_of(env), {})
    names = Counter[str]()
    picks = 0
    for _ in range(125):
        picks += parse_skill(mixed.act({0: {}})[0]).primitive is Primitive.PICK_AND_PLACE
        names.update(event.data["name"] for event in mixed.pop_events(0) if event.kind == "behaviour")
    assert 0.2 <= names["near_miss"] / picks <= 0.3
    assert min(names.values()) > 12


@pytest.mark.parametrize(
    "weights", [{"random": -1.0}, {"random": 0.0, "directed": 0.0, "near_miss": 0.0, "expert": 0.0}, {"pushes": 2.0}]
)
def test_impossible_mixtures_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"weights|pushes"):
        Explore(**weights)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("table", "bare", "clear", "out")])
def test_the_heuristic_picks_exactly_and_places_in_the_cell(frozen: Any, kind: str) -> None:
    env = frozen(kind)
    truth = env.privileged()
    target = target_of(truth.state(), truth.goal[0])
    agent = Heuristic(cells=3)
    agent.reset(0, view_of(env), {})
    cell = np.clip(np.floor((to_unit(target.place) + 1) * 1.5), 0, 2)
    for _ in range(20):
        skill = parse_skill(agent.act({0: {}})[0])
        np.testing.assert_allclose(skill.start, target.pick, atol=1e-6)
        assert (np.clip(np.floor((to_unit(skill.end) + 1) * 1.5), 0, 2) == cell).all()


def test_the_simulator_finds_what_it_then_does(frozen: Any) -> None:
    env = frozen("inside")
    digest = env.state_digest()
    agent = Simulator()
    agent.reset(0, view_of(env), {})
    success = False
    for _ in range(4):
        action = agent.act({0: {}})[0]
        (event,) = agent.pop_events(0)
        assert event.kind == "compute"
        assert env.state_digest() == digest
        *_, info = env.step(action)
        digest = env.state_digest()
        success = info["success"]
        if success:
            break
    assert success
    agent.close()


@pytest.mark.parametrize("agent", [Explore, Heuristic, Simulator])
def test_they_need_sub_goals(agent: Any) -> None:
    with pytest.raises(ValueError, match="benchmark=subgoals"):
        agent().reset(0, TaskView("", action_space("skill"), None, 4, 0, SeedPath(0, "test", 0), object()), {})


def test_the_expert_reaches_a_bridge(frozen: Any) -> None:
    from baselines.expert import Expert

    env = frozen("bridge", 3)
    agent = Expert()
    agent.reset(0, view_of(env), {})
    infos = [env.step(agent.act({0: {}})[0])[-1]["success"] for _ in range(2)]
    assert infos == [False, True]
