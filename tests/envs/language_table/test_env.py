"""The Gymnasium face: spaces, determinism, errors, laziness."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs.language_table  # noqa: F401  (registers the environment)
from envs.language_table import env as env_module
from envs.language_table.env import OBSERVATION_KEYS, LanguageTableEnv
from envs.language_table.instructions import decode_instruction
from harness.interfaces import EpisodeSpec, Stage, TaskEnv

STATE_ONLY = ("effector_translation", "effector_target_translation", "blocks")


@pytest.fixture
def make(generated):
    made = []

    def build(*args, **kwargs):
        made.append(LanguageTableEnv(*args, assets=generated, **kwargs))
        return made[-1]

    yield build
    for environment in made:
        environment.close()


@pytest.fixture
def hurried(monkeypatch):
    """Blocks may still move when an episode begins: enough for what does not look at how they lie."""
    monkeypatch.setattr("envs.language_table.board._MOVE_STEPS", 10)
    monkeypatch.setattr("envs.language_table.board._SETTLE_STEPS", 20)
    monkeypatch.setattr("envs.language_table.world._STABILISE_STEPS", 10)


@pytest.mark.usefixtures("hurried")
def test_gymnasium_checks(generated):
    environment = gymnasium.make("thinkjepa/LanguageTable-v0", assets=generated, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*dtype=float32.*")
        check_env(environment.unwrapped)
    environment.close()


def test_observations(make):
    environment = make(observation_keys=OBSERVATION_KEYS, render_mode="rgb_array")
    observation, info = environment.reset(seed=3)
    assert isinstance(environment, TaskEnv)
    assert environment.observation_space.contains(observation)
    assert observation["rgb"].shape == (180, 320, 3)
    assert decode_instruction(observation["instruction"]) == observation["instruction_text"] == info["instruction"]
    assert observation["blocks"][:, 3].sum() == 8
    shown = set(np.unique(observation["segmentation"])) - {-1, 0, 1, 2, 3}
    assert shown <= {4 + index for index in np.flatnonzero(observation["blocks"][:, 3])}
    assert len(shown) >= 6
    assert np.array_equal(environment.render(), observation["rgb"])


def test_actions_shift_the_commanded_position_and_only_it_is_clipped(make):
    environment = make(observation_keys=STATE_ONLY)
    before, _ = environment.reset(seed=0)
    after, reward, terminated, truncated, info = environment.step(np.array([0.02, -0.01], np.float32))
    shift = after["effector_target_translation"] - before["effector_target_translation"]
    assert shift == pytest.approx([0.02, -0.01], abs=1e-6)
    assert (reward, terminated, truncated, info["success"]) == (0.0, False, False, False)
    after, *_ = environment.step([5.0, 0.0])
    assert after["effector_target_translation"][0] == pytest.approx(0.6)


def test_an_episode_does_not_depend_on_what_ran_before_or_beside_it(make):
    def run(environment):
        environment.reset(seed=21, options={"family": "separate_blocks", "mode": "BLOCK_8"})
        yield environment.state_digest()
        for step in range(6):
            environment.step([0.03 * np.cos(step), 0.03 * np.sin(step)])
            yield environment.state_digest()

    fresh, used, other = make(observation_keys=()), make(observation_keys=()), make(observation_keys=("rgb",))
    used.reset(seed=4, options={"family": "block2block", "mode": "N_CHOOSE_K"})
    for _ in range(5):
        used.step([0.05, 0.02])
    other.reset(seed=9)
    digests = list(zip(run(fresh), run(used), run(other), strict=True))
    assert len(digests) == 7
    assert all(len(set(row)) == 1 for row in digests)


@pytest.mark.usefixtures("hurried")
def test_seeds_give_different_boards_and_no_seed_draws_one(make):
    environment = make(observation_keys=("blocks",))
    first = environment.reset(seed=1)[0]["blocks"]
    second = environment.reset()[0]["blocks"]
    third = environment.reset()[0]["blocks"]
    assert not np.allclose(first, second)
    assert not np.allclose(second, third)
    environment.reset(seed=1)
    assert np.array_equal(environment.reset()[0]["blocks"], second)


@pytest.mark.usefixtures("hurried")
def test_episode_specs(make):
    environment = make(observation_keys=("instruction_text",))
    observation, _ = environment.reset(seed=2, options={"family": "point2block", "mode": "BLOCK_4"})
    text = observation["instruction_text"]
    spec = EpisodeSpec("language_table", "p-0", 2, (Stage(text, "point2block", 2),), {"mode": "BLOCK_4"})
    other = make(observation_keys=("instruction_text",))
    assert other.reset(seed=2, options={"episode": spec})[0]["instruction_text"] == text
    assert other.step([0, 0])[3] is False
    assert other.step([0, 0])[3] is True
    with pytest.raises(ValueError, match="one stage"):
        other.begin_stage(1)
    wrong = EpisodeSpec("language_table", "p-0", 2, (Stage("push it", "point2block", 2),), {"mode": "BLOCK_4"})
    with pytest.raises(ValueError, match="draws the instruction"):
        other.reset(seed=2, options={"episode": wrong})


def test_success_ends_the_episode(make):
    environment = make("point2block", observation_keys=())
    environment.reset(seed=5)
    truth = environment.privileged()
    for _ in range(30):
        way = truth.position(truth.task.block) - truth.effector_target
        _, reward, terminated, _, info = environment.step(np.clip(way, -0.05, 0.05))
        if terminated:
            break
    assert (reward, terminated, info["success"]) == (100.0, True, True)
    assert truth.solved()


@pytest.mark.usefixtures("hurried")
def test_only_what_is_asked_for_is_drawn(make, monkeypatch):
    class Forbidden:
        def __init__(self, *args):
            raise AssertionError("drew a frame that nobody asked for")

    monkeypatch.setattr(env_module, "Scene", Forbidden)
    environment = make(observation_keys=STATE_ONLY, render_mode="rgb_array")
    environment.reset(seed=0)
    environment.step([0.01, 0.0])
    with pytest.raises(AssertionError, match="nobody asked"):
        environment.render()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"family": "juggle"}, "Unknown task family"),
        ({"mode": "BLOCK_1"}, "needs two blocks"),
        ({"mode": "BLOCK_8_WPOLE"}, "does not run"),
        ({"observation_keys": ("smell",)}, "smell"),
        ({"visuals": "cubist"}, "cubist"),
        ({"render_mode": "human"}, "render_mode"),
    ],
)
def test_wrong_arguments_are_refused_before_a_simulator_starts(make, monkeypatch, arguments, message):
    monkeypatch.setattr(env_module, "World", None)
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.usefixtures("hurried")
def test_wrong_calls_are_explained(make):
    environment = make(observation_keys=())
    with pytest.raises(RuntimeError, match="reset"):
        environment.step([0, 0])
    with pytest.raises(ValueError, match="unknown reset options"):
        environment.reset(seed=0, options={"famly": "play"})
    with pytest.raises(ValueError, match="generator takes 0 to"):
        environment.reset(seed=2**40)
    environment.reset(seed=0)
    for action in ([1.0], [np.nan, 0.0]):
        with pytest.raises(ValueError, match="two finite numbers"):
            environment.step(action)
