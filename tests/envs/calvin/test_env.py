import gymnasium
import numpy as np
import pandas as pd
import pytest
from gymnasium.utils.env_checker import check_env

import envs.calvin  # noqa: F401 - registers the environments
from baselines.calvin_expert import CalvinExpert
from envs.calvin.benchmark import Calvin, CalvinProtocol
from envs.calvin.env import CalvinEnv
from harness.interfaces import EnvRequest, EpisodeSpec, MeanCell, SeedPath, TaskEnv, TaskView

STANDARD = {
    "name": "test",
    "version": 1,
    "benchmark": "calvin",
    "scene": "D",
    "train_scenes": ["A", "B", "C"],
    "chains": 1000,
    "steps_per_task": 360,
    "scene_hash": "official",
    "led": "pinned",
    "action_mode": "relative",
    "observations": ["rgb_static", "rgb_gripper", "robot_obs"],
    "visuals": "stock",
    "renderer": "tiny",
}


@pytest.fixture
def benchmark(generated, monkeypatch):
    made = Calvin(CalvinProtocol(**STANDARD))
    monkeypatch.setattr(Calvin, "_assets", generated)
    return made


# Absolute actions are metres and radians, which Gymnasium's checker would rather have normalised.
@pytest.mark.filterwarnings("ignore:.*symmetric and normalized space")
@pytest.mark.parametrize(
    "settings",
    [{"render_mode": "rgb_array", "lowpoly": True}, {"action_mode": "absolute", "observation_keys": ("robot_obs",)}],
)
def test_gymnasium_accepts_it(generated, settings):
    env = gymnasium.make("thinkjepa/CalvinD-v0", assets=generated, **settings).unwrapped
    assert isinstance(env, TaskEnv)
    check_env(env)
    env.close()


def test_nothing_is_rendered_unless_asked_for(generated, monkeypatch):
    env = CalvinEnv("D", observation_keys=("robot_obs",), assets=generated)
    monkeypatch.setattr("envs.calvin.env.render_static", None)
    monkeypatch.setattr("envs.calvin.env.render_gripper", None)
    observation, _ = env.reset(options={"chain": 0})
    assert set(observation) == {"robot_obs"}
    observation, *_ = env.step(np.zeros(7, dtype=np.float32))
    assert observation["robot_obs"].shape == (15,)
    assert env.render() is None
    env.close()


def test_unknown_arguments_are_refused(generated):
    with pytest.raises(ValueError, match="rgb_top"):
        CalvinEnv(observation_keys=("rgb_top",), assets=generated)
    env = CalvinEnv(observation_keys=(), assets=generated)
    with pytest.raises(ValueError, match="juggle"):
        env.reset(options={"scene_obs": np.zeros(24), "task": "juggle"})
    env.reset(options={"chain": 0})
    with pytest.raises(ValueError, match="no stage 5"):
        env.begin_stage(5)
    env.close()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scene", "E"),
        ("led", "blinking"),
        ("scene_hash", "md5"),
        ("action_mode", "joint"),
        ("observations", ["rgb_top"]),
        ("train_scenes", ["Z"]),
        ("chains", 1001),
        ("steps_per_task", 0),
        ("visuals", "cartoon"),
        ("renderer", "vulkan"),
    ],
)
def test_protocol_names_the_wrong_key(key, value):
    with pytest.raises(ValueError, match=f"protocol.{key}"):
        CalvinProtocol(**{**STANDARD, key: value})


def test_episodes_are_a_prefix_of_the_1000_chains_and_survive_json(benchmark):
    episodes = benchmark.episodes()
    assert len(episodes) == 1000
    assert benchmark.episodes(3) == episodes[:3]
    assert EpisodeSpec.from_dict(episodes[5].to_dict()).to_dict() == episodes[5].to_dict()
    assert [len(episode.stages) for episode in episodes] == [5] * 1000


def test_generated_assets_are_a_deviation_and_change_the_fingerprint(benchmark, generated, official, monkeypatch):
    assert "generated assets" in benchmark.deviations()[0]
    with_generated = benchmark.fingerprint()
    monkeypatch.setattr(Calvin, "_assets", official)
    assert benchmark.deviations() == ()
    assert benchmark.fingerprint()["assets"] != with_generated["assets"]


def test_privileged_observations_are_refused(benchmark):
    with pytest.raises(ValueError, match="scene_obs"):
        benchmark.make_env(EnvRequest(observation_keys=("scene_obs",)))


def run_chain(env, spec):
    observation, _ = env.reset(seed=spec.seed, options={"episode": spec})
    expert = CalvinExpert()
    for index, stage in enumerate(spec.stages):
        if index:
            observation = env.begin_stage(index)
        seeds = SeedPath(0, spec.episode_id, index)
        view = TaskView(stage.instruction, env.action_space, 30.0, stage.max_steps, index, seeds, env.privileged())
        memory = expert.begin(view, observation)
        for _ in range(stage.max_steps):
            action = expert.decide(memory, view, observation, seeds.rng(0))
            assert env.action_space.contains(action)
            observation, reward, terminated, truncated, info = env.step(action)
            assert reward == info["success"]
            if info["success"]:
                break
        if not info["success"]:
            assert truncated
            return index
        assert terminated == (index + 1 == len(spec.stages))
    return len(spec.stages)


@pytest.mark.parametrize("chains", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["generated", "official"])
def test_the_expert_solves_whole_chains(benchmark, kind, chains, request, monkeypatch):
    monkeypatch.setattr(Calvin, "_assets", request.getfixturevalue(kind))
    env = benchmark.make_env(EnvRequest(observation_keys=()))
    assert [run_chain(env, spec) for spec in benchmark.episodes(chains)] == [5] * chains
    env.close()


def test_tables_count_tasks_in_a_row_and_attempts_only(benchmark):
    chain = ["open_drawer", "turn_on_led", "stack_block", "close_drawer", "turn_off_led"]
    frame = pd.DataFrame(
        {
            "episode_id": ["a", "b", "c"],
            "outcome": ["success", "failure", "error"],
            "stages_completed": [5, 1, 3],
            "stage_tasks": [chain, chain, chain],
            "stage_success": [[True] * 5, [True, False], [True, True, True]],
        }
    )
    in_a_row, tasks = benchmark.summarise(frame)
    cells = in_a_row.rows[0][1]
    assert [(cell.successes, cell.valid, cell.errors) for cell in cells[:5]] == [(2, 2, 1)] + [(1, 2, 1)] * 4
    assert isinstance(cells[5], MeanCell)
    assert cells[5].values == (5.0, 1.0)
    rows = dict(tasks.rows)
    assert rows["turn_on_led"][1] == 2
    assert rows["turn_on_led"][0].successes == 1
    assert rows["close_drawer"][1] == 1
    assert in_a_row.one_line
    twice = pd.concat([frame, frame.assign(stage_success=[[True], [True] * 4, [True]])], ignore_index=True)
    cells = {task: cell for task, (cell, _) in benchmark.summarise(twice)[1].rows}
    assert (cells["open_drawer"].valid, cells["open_drawer"].distinct) == (4, 2), "each chain twice"
    assert (cells["turn_on_led"].valid, cells["turn_on_led"].distinct) == (3, 2)
    assert (cells["turn_off_led"].valid, cells["turn_off_led"].distinct) == (1, None)
