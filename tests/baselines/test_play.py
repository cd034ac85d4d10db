"""Play: labels are true, whatever was intended; it is reproducible; and it never runs out of things to do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box

from baselines.calvin_play import feasible_tasks, held_block
from baselines.language_table_play import PLAYED_FAMILIES, draw_task
from baselines.play import Play
from envs.calvin.env import CalvinEnv
from envs.calvin.frozen import load_chains
from envs.calvin.initial import ROBOT_OBS
from envs.calvin.tasks import TASKS, achieved
from envs.calvin.truth import PlayTableTruth
from envs.language_table.env import LanguageTableEnv
from harness.cli import main
from harness.config import compose_runs
from harness.dataset import Dataset
from harness.instantiate import build_benchmark
from harness.interfaces import SeedPath, TaskView
from harness.store import RunReader


def collect(benchmark: str, run_dir: Path, *overrides: str) -> Dataset:
    words = [f"benchmark={benchmark}", "agent=play", f"run_dir={run_dir}", "limit=1", "record=[]", *overrides]
    assert main(["collect", *words]) == 0
    return Dataset(run_dir / "dataset")


@pytest.fixture(scope="module")
def calvin(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return collect("calvin", tmp_path_factory.mktemp("play") / "run")


def test_calvin_labels_are_what_the_oracle_sees_in_a_replay(calvin: Dataset) -> None:
    with RunReader(calvin.root.parent) as reader:
        planned = reader.plan()[0]
        actions = reader.actions(planned.key)
    env = CalvinEnv(planned.spec.meta["scene"], observation_keys=())
    env.reset(seed=planned.spec.seed, options={"episode": planned.spec})
    moments = [env.world.info()]
    for action in actions:
        env.step(action.astype(np.float32))
        moments.append(env.world.info())
    labels = calvin.labels.to_dict("records")
    assert len(labels) >= 4
    for row in labels:
        assert row["task"] in achieved(env.world.bodies, moments[row["start"]], moments[row["end"]])
        assert row["source"] == "agent"
        assert row["instruction"] in calvin.tasks
    env.close()


def test_calvin_play_is_one_stretch_after_the_other(calvin: Dataset) -> None:
    stretches = calvin.labels[["start", "end"]].drop_duplicates()
    assert (stretches["end"] > stretches["start"]).all()
    assert (stretches["start"].to_numpy()[1:] >= stretches["end"].to_numpy()[:-1]).all()
    assert stretches["end"].max() <= calvin.episodes["steps"][0]


def test_the_same_seed_plays_the_same_and_another_seed_does_not(calvin: Dataset, tmp_path: Path) -> None:
    again = collect("calvin", tmp_path / "again", "executor.lanes=2")
    assert again.table(0).equals(calvin.table(0))
    other = collect("calvin", tmp_path / "other", "seed=1")
    assert not np.array_equal(other.episode(0, ["action"])["action"][:50], calvin.episode(0, ["action"])["action"][:50])


class Still:
    """Plays by doing nothing with a closed hand."""

    def __init__(self) -> None:
        self.labels: list[Any] = []

    def decide(self, view: TaskView, step: int, rng: np.random.Generator) -> np.ndarray:
        return np.array([0, 0, 0, 0, 0, 0, -1.0])


def test_noise_is_added_and_the_gripper_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baselines.play.PLAYERS", {"tests": f"{__name__}:Still"})
    space = Box(-np.ones(7, np.float32), np.ones(7, np.float32))
    view = TaskView("play", space, 30.0, 400, 0, SeedPath(0, "x", 0), Still())
    agent = Play(noise=0.1)
    agent.reset(0, view, {})
    actions = np.array([agent.act({0: {}})[0] for _ in range(400)])
    assert actions.dtype == np.float32
    np.testing.assert_array_equal(actions[:, 6], -1.0)
    np.testing.assert_allclose(actions[:, :6].std(axis=0), 0.1, rtol=0.2)
    assert len(np.unique(actions[:, 0])) == 400
    with pytest.raises(ValueError, match=r"noise=1\.5: must be a share"):
        Play(noise=1.5)


@pytest.fixture
def table() -> Iterator[CalvinEnv]:
    env = CalvinEnv("D", observation_keys=())
    yield env
    env.close()


def truth_of(env: CalvinEnv, **scene: float) -> PlayTableTruth:
    """A scene with all blocks on the shelf or table, after the given entries of ``scene_obs`` were set."""
    names = {"slide": 0, "drawer": 1, "bulb": 4, "led": 5}
    obs = load_chains()[0].scene_obs.copy()
    for name, value in scene.items():
        obs[names[name]] = value
    obs[3] = 0.088 * obs[4]
    env.reset(options={"robot_obs": ROBOT_OBS, "scene_obs": obs})
    for _ in range(10):
        env.step(np.array([0, 0, 0, 0, 0, 0, 1], np.float32))
    return env.privileged()


def test_what_is_feasible_follows_the_scene(table: CalvinEnv) -> None:
    closed = feasible_tasks(truth_of(table, slide=0.0, drawer=0.0, bulb=0, led=0))
    assert {"turn_on_lightbulb", "turn_on_led", "open_drawer", "move_slider_left"} <= set(closed)
    assert {"close_drawer", "move_slider_right", "push_into_drawer", "stack_block"}.isdisjoint(closed)
    opened = feasible_tasks(truth_of(table, slide=0.28, drawer=0.22, bulb=1, led=1))
    assert {"turn_off_lightbulb", "turn_off_led", "close_drawer", "move_slider_right"} <= set(opened)
    assert {"open_drawer", "move_slider_left", "place_in_drawer"}.isdisjoint(opened)
    assert set(closed) | set(opened) <= set(TASKS)


def test_each_block_is_on_the_table_or_on_the_shelf_but_not_both(table: CalvinEnv) -> None:
    truth = truth_of(table)
    tasks = feasible_tasks(truth)
    assert held_block(truth, truth.info()) is None
    for colour in ("red", "blue", "pink"):
        places = [place for place in ("table", "slider", "drawer") if f"lift_{colour}_block_{place}" in tasks]
        assert len(places) == 1
        assert (f"push_{colour}_block_left" in tasks) == (places == ["table"])


@pytest.mark.slow
def test_language_table_play_solves_one_task_after_the_other(tmp_path: Path) -> None:
    dataset = collect("language_table", tmp_path / "run")
    labels = dataset.labels.to_dict("records")
    assert len(labels) >= 3
    assert {row["task"] for row in labels} <= set(PLAYED_FAMILIES)
    assert all(before["end"] <= after["start"] for before, after in pairwise(labels))
    texts = [dataset.tasks[i] for i in dataset.episode(0, ["task_index"])["task_index"]]
    for row in labels:
        assert texts[row["start"] : row["end"]] == [row["instruction"]] * (row["end"] - row["start"])


def test_tasks_are_drawn_on_the_board_as_it_is() -> None:
    env = LanguageTableEnv("play", observation_keys=())
    env.reset(seed=3)
    truth = env.privileged()
    names = set()
    for seed in range(30):
        family = draw_task(truth, np.random.default_rng(seed))
        names.add(family.name)
        assert not family.solved(truth.state())
        assert family.task.block in truth.on_table
        assert truth.judged_by(family).task is family.task
        assert truth.judged_by(family).family == family.name
    assert truth.family == "play"
    assert len(names) >= 4
    env.close()


def test_worlds_without_a_player_are_refused() -> None:
    class Elsewhere:
        pass

    view = TaskView("play", Box(-1, 1, (2,)), 10.0, 1, 0, SeedPath(0, "x", 0), Elsewhere())
    with pytest.raises(ValueError, match="nobody plays in worlds whose ground truth is from tests"):
        Play().reset(0, view, {})


@pytest.mark.parametrize("name", ["thinkbench", "language_table"])
def test_training_episodes_are_no_evaluation_episodes(name: str) -> None:
    config = compose_runs([f"benchmark={name}", "agent=noop"])[0].config
    benchmark = build_benchmark(config.benchmark, config.protocol)
    evaluated = benchmark.episodes()
    training = benchmark.collection(4, 0, play=False)
    assert training[:1] == benchmark.collection(1, 0, play=False)
    for field in ("episode_id", "seed"):
        assert {getattr(s, field) for s in training}.isdisjoint({getattr(s, field) for s in evaluated})
    others = benchmark.collection(2, 1, play=False)
    assert {spec.episode_id for spec in training}.isdisjoint({spec.episode_id for spec in others})
    assert {spec.meta["family"] for spec in training} <= {spec.meta["family"] for spec in evaluated}


def test_thinkbench_has_no_play() -> None:
    assert main(["collect", "benchmark=thinkbench", "agent=play"]) == 2
