"""Frozen episodes, splits that share nothing, the verdict, goal images, and what is recorded."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import pytest
import yaml
from gymnasium.utils.env_checker import check_env

import configs
from envs.tabletop.env import TabletopEnv
from envs.tabletop.scene import SceneSpec
from harness.interfaces import EnvRequest, EpisodeSpec, RateCell, derive_seed
from thinkbench.ideal import ideal_state
from thinkbench.names import FROZEN
from thinkbench.specs import EpisodeRecord
from thinkbench.subgoals.benchmark import SubgoalProtocol, Subgoals
from thinkbench.subgoals.draw import MAX_RECORDED, NAME, PLAY_STEPS, draw_episode, play_spec, rng_of
from thinkbench.subgoals.env import TRUTH_KEYS, SubgoalEnv
from thinkbench.subgoals.goals import KINDS, holding, subgoals
from thinkbench.subgoals.scenes import draw_scene
from thinkbench.subgoals.suite import FROZEN_PER_KIND, FROZEN_SEED, load_frozen
from thinkbench.suite import load_suite


def standard() -> SubgoalProtocol:
    data = yaml.safe_load((Path(configs.__path__[0]) / "protocol" / "subgoals.yaml").read_text("utf-8"))
    assert data.pop("_target_") == "thinkbench.subgoals.benchmark.SubgoalProtocol"
    assert {*data, "scenes"} == {field.name for field in fields(SubgoalProtocol)}
    return SubgoalProtocol(**data)


@pytest.fixture(scope="module")
def episodes() -> list[EpisodeSpec]:
    return list(Subgoals(standard()).episodes())


def scene_of(spec: EpisodeSpec | EpisodeRecord) -> str:
    return json.dumps(spec.meta["scene"], sort_keys=True)


def test_as_many_of_each_kind_in_an_order_whose_prefixes_are_balanced(episodes: list[EpisodeSpec]) -> None:
    assert len(episodes) == len({spec.episode_id for spec in episodes}) == 360
    kinds = [spec.meta["kind"] for spec in episodes]
    assert kinds == list(KINDS) * FROZEN_PER_KIND
    assert Counter(spec.meta["moves"] for spec in episodes) == {1: 270, 2: 90}
    assert len({scene_of(spec) for spec in episodes}) == 360
    for spec in episodes:
        (stage,) = spec.stages
        assert (stage.task, stage.max_steps) == (spec.meta["kind"], 4)
        assert len(spec.meta["solution"]) == spec.meta["moves"]
        assert EpisodeSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_wordings_differ_and_nothing_else(episodes: list[EpisodeSpec]) -> None:
    others = Subgoals(replace(standard(), wording="held_out")).episodes()
    for one, other in zip(episodes, others, strict=True):
        assert one.stages[0].instruction != other.stages[0].instruction
        assert one.meta == other.meta


@pytest.mark.parametrize(("kind", "index"), [("on", 3), ("left_of", 0), ("edge", 1)])
def test_frozen_episodes_can_be_drawn_again(kind: str, index: int) -> None:
    env = TabletopEnv(observation_keys=())
    assert draw_episode(env, "evaluation", FROZEN_SEED, kind, index) == load_frozen().drawn[kind, index]
    env.close()


def test_splits_share_no_seed_and_no_scene(episodes: list[EpisodeSpec]) -> None:
    """The seed of a draw is a hash over the split's name: equal numbers elsewhere make no equal draws."""
    splits = ("evaluation", "tuning", "training")
    seeds = {derive_seed(NAME, split, seed, "on", i, 0) for split in splits for seed in range(20) for i in range(20)}
    assert len(seeds) == 3 * 20 * 20
    frozen = {scene_of(spec) for spec in episodes} | {scene_of(record) for record in load_suite(FROZEN).records}
    played = {scene_of(play_spec(seed, index)) for seed in range(3) for index in range(100)}
    tuned = {
        json.dumps(draw_scene(rng_of("tuning", seed, "on", index, 0)).to_dict(), sort_keys=True)
        for seed in range(3)
        for index in range(100)
    }
    assert len(played) == len(tuned) == 300
    assert not frozen & played
    assert not frozen & tuned
    assert not played & tuned


def test_solutions_end_in_success_and_the_goal_image_is_what_is_seen_then(episodes: list[EpisodeSpec]) -> None:
    env = SubgoalEnv(image_size=48, observation_keys=("rgb_static",))
    for spec in (*episodes[: len(KINDS) : 5], episodes[3 * len(KINDS) + 1]):
        env.reset(options={"episode": spec})
        image = env.privileged().goal_image()
        assert image is env.privileged().goal_image()
        for number, action in enumerate(spec.meta["solution"], 1):
            observation, reward, ended, _, info = env.step(np.array(action, np.float32))
            assert info["success"] == bool(reward) == ended == (number == spec.meta["moves"])
        assert 1 <= info["metrics"]["right_picks"] <= info["metrics"]["picks"] == spec.meta["moves"]
        np.testing.assert_array_equal(image, observation["rgb_static"])
    env.close()


def test_play_can_be_in_scenes_where_a_kind_can_be_pursued() -> None:
    rare = ("bridge", "zone")
    benchmark = Subgoals(replace(standard(), kinds=rare))
    specs = benchmark.collection(8, 3, play=True)
    assert [spec.meta["aim"] for spec in specs] == list(rare) * 4
    for spec in specs:
        scene = SceneSpec.from_dict(spec.meta["scene"])
        goals = subgoals(scene)
        now = zip(goals, holding(ideal_state(scene), goals), strict=True)
        assert any(goal.kind == spec.meta["aim"] and not holds for goal, holds in now)
    assert list(Subgoals(standard()).collection(3, 3, play=True)) == [play_spec(3, index) for index in range(3)]
    assert "aim" not in play_spec(3, 0).meta


def test_play_can_be_in_the_scenes_of_thinkbench() -> None:
    benchmark = Subgoals(replace(standard(), scenes="thinkbench"))
    specs = benchmark.collection(8, 3, play=True)
    assert [spec.episode_id for spec in specs] == [f"play-thinkbench-s3-{index:06d}" for index in range(8)]
    scenes = [SceneSpec.from_dict(spec.meta["scene"]) for spec in specs]
    assert max(len(scene.objects) for scene in scenes) > 8, "more than scenes for sub-goals have"
    assert max(len(scene.objects) for scene in scenes) <= MAX_RECORDED
    assert {scene_of(spec) for spec in specs}.isdisjoint(map(scene_of, load_suite(FROZEN).records))
    assert specs == benchmark.collection(8, 3, play=True)
    env = SubgoalEnv(image_size=16, observation_keys=("rgb_static", *TRUTH_KEYS))
    largest = max(specs, key=lambda spec: len(spec.meta["scene"]["objects"]))
    observation, _ = env.reset(options={"episode": largest})
    assert observation in env.observation_space
    poses = observation["object_states"].reshape(MAX_RECORDED, 7)
    assert (np.abs(poses[:, 3:]).sum(1) > 0).sum() == len(largest.meta["scene"]["objects"]), "all of them are recorded"
    env.close()
    aimed = Subgoals(replace(standard(), scenes="thinkbench", kinds=("zone",))).collection(2, 3, play=True)
    assert all(spec.meta["aim"] == "zone" and spec.meta["scene"]["zones"] for spec in aimed)
    with pytest.raises(ValueError, match=r"protocol.scenes=thinkbench is for `harness collect agent=explore`"):
        benchmark.episodes(1)
    with pytest.raises(ValueError, match="scenes of play are for agents that play; give agent=explore"):
        benchmark.collection(1, 3, play=False)


def test_play_has_no_goal_no_success_and_no_goal_image() -> None:
    env = SubgoalEnv(image_size=16, observation_keys=("rgb_static", *TRUTH_KEYS))
    spec = play_spec(0, 0)
    assert spec.stages[0].max_steps == PLAY_STEPS
    observation, _ = env.reset(options={"episode": spec})
    assert observation in env.observation_space
    observation, _, ended, _, info = env.step(np.zeros(6, np.float32))
    assert not ended
    assert not info["success"]
    assert info["progress"] == 0
    goals = json.loads(observation["subgoals"])
    assert len(goals) == len(observation["holds"]) == len(env.privileged().subgoals)
    assert {kind for kind, _, _ in goals} <= set(KINDS)
    with pytest.raises(ValueError, match="no goal to make a picture of"):
        env.privileged().goal_image()
    env.close()


def test_the_gymnasium_checker_accepts_it() -> None:
    env = gymnasium.make(
        "thinkjepa/Subgoals-v0", image_size=16, observation_keys=("robot_obs", "holds"), render_mode="rgb_array"
    ).unwrapped
    check_env(env, skip_render_check=True)
    env.close()


def test_ground_truth_is_observed_only_to_be_recorded() -> None:
    benchmark = Subgoals(standard())
    with pytest.raises(ValueError, match="the agent asks for 'holds'"):
        benchmark.make_env(EnvRequest(observation_keys=("holds",)))
    env = benchmark.make_env(EnvRequest(observation_keys=("holds",), recording=True))
    assert set(env.observation_space.spaces) == {"holds"}
    env.close()


def test_tuning_and_training_episodes_are_fresh_ones() -> None:
    tuning = Subgoals(replace(standard(), split="tuning", kinds=("table",), episodes_per_kind=1, tuning_seed=7))
    (spec,) = tuning.episodes()
    assert spec.meta["split"] == "tuning"
    assert spec.episode_id == "tuning-s7-table-000"
    with pytest.raises(ValueError, match=r"protocol.split=tuning: .* leave it out, and give seed=7"):
        Subgoals(replace(standard(), split="tuning", tuning_seed=7)).collection(1, 7, play=False)
    with pytest.raises(ValueError, match=r"protocol.episodes_per_kind=2: .* give limit=30"):
        Subgoals(replace(standard(), episodes_per_kind=2)).collection(1, 7, play=False)
    (training,) = Subgoals(replace(standard(), kinds=("table",))).collection(1, 7, play=False)
    assert training.meta["split"] == "training"
    assert scene_of(training) != scene_of(spec)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "training"}, "protocol.split='training': choose one of evaluation, tuning"),
        ({"kinds": ("on", "under")}, "choose each once, from on, pile"),
        ({"episodes_per_kind": 25}, "there are 24 frozen episodes of each kind"),
        ({"max_steps": 0}, "protocol.max_steps=0: must be at least 1"),
    ],
)
def test_impossible_protocols_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(standard(), **changes)


def test_tables_count_by_kind_and_by_moves() -> None:
    frame = pd.DataFrame(
        {
            "episode_id": ["a", "b", "c"],
            "outcome": ["success", "failure", "success"],
            "success": [True, False, True],
            "kind": ["on", "on", "edge"],
            "moves": [1, 2, 1],
        }
    )
    by_kind, by_moves = Subgoals(standard()).summarise(frame)
    assert by_kind.columns == ("on", "edge", "average")
    assert by_kind.rows == (("success", (RateCell(1, 2), RateCell(1, 1), RateCell(2, 3))),)
    assert by_moves.columns == ("1 move", "2 moves")
    assert by_moves.rows == (("success", (RateCell(2, 2), RateCell(0, 1))),)
