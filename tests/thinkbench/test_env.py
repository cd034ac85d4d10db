"""The environment: Gymnasium's rules, verdicts after settling, progress, metrics, determinism."""

from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.tabletop.actions import Primitive, skill_action
from envs.tabletop.world import CONTROL_HZ
from harness.interfaces import EpisodeSpec, TaskEnv
from thinkbench.abstraction import domain_of
from thinkbench.env import ThinkBenchEnv
from thinkbench.generator import generate
from thinkbench.literals import Literal
from thinkbench.milestones import MilestoneTracker
from thinkbench.motion import free_spot, next_placement
from thinkbench.specs import to_spec
from thinkbench.templates import load_templates

from .worlds import thing, world


@pytest.fixture(scope="module")
def env() -> Iterator[ThinkBenchEnv]:
    made = ThinkBenchEnv(observation_keys=("robot_obs",))
    yield made
    made.close()


@pytest.fixture(scope="module")
def spec() -> EpisodeSpec:
    return to_spec(generate(load_templates()["tower-h3"], 0, 0))


def expert_action(env: ThinkBenchEnv) -> np.ndarray:
    truth = env.privileged()
    state = truth.state()
    placement = next_placement(state, domain_of(state.scene, truth.goal, truth.rules), truth.goal)
    assert placement is not None
    return placement.action()


def play_to_last_action(env: ThinkBenchEnv, spec: EpisodeSpec) -> None:
    env.reset(seed=spec.seed, options={"episode": spec})
    for done in range(spec.meta["horizon"] - 1):
        _, reward, terminated, truncated, info = env.step(expert_action(env))
        assert (reward, terminated, truncated, info["success"]) == (0.0, False, False, False)
        assert info["progress"] == pytest.approx((done + 1) / spec.meta["horizon"])
        assert info["metrics"]["first_missing_milestone"] == done + 2


def test_obeys_gymnasium() -> None:
    made = gymnasium.make("thinkbench:thinkjepa/ThinkBench-v0", image_size=16, render_mode="rgb_array")
    assert isinstance(made.unwrapped, TaskEnv)
    check_env(made.unwrapped, skip_render_check=True)
    assert made.unwrapped.render().shape == (16, 16, 3)
    made.close()


def test_optimal_play_succeeds_in_as_many_actions_as_the_horizon(env: ThinkBenchEnv, spec: EpisodeSpec) -> None:
    play_to_last_action(env, spec)
    _, reward, terminated, truncated, info = env.step(expert_action(env))
    assert (reward, terminated, truncated, info["success"], info["progress"]) == (1.0, True, False, True, 1.0)
    assert info["metrics"] == {
        "milestones": 3,
        "milestones_reached": 3,
        "first_missing_milestone": None,
        "first_missing_literal": None,
        "goals_lost_while_settling": 0,
        "objects_off_table": 0,
        "picks": 3,
        "broken_rule": None,
    }


def test_a_tower_that_falls_while_settling_is_no_success(
    env: ThinkBenchEnv, spec: EpisodeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    play_to_last_action(env, spec)
    tabletop = env.privileged()._world.world
    hold = tabletop.hold
    top = env.privileged().plan[-1].item

    def hold_and_nudge(steps: int) -> None:
        if steps == 2 * CONTROL_HZ:  # the two seconds for which the goal must last
            tabletop.client.resetBaseVelocity(tabletop.objects[top], [0.8, 0.0, 0.5], [0.0, 0.0, 0.0])
        hold(steps)

    monkeypatch.setattr(tabletop, "hold", hold_and_nudge)
    _, _, terminated, _, info = env.step(expert_action(env))
    assert not terminated
    assert not info["success"]
    assert info["metrics"]["goals_lost_while_settling"] == 1


def test_the_expert_recovers_after_a_setback(env: ThinkBenchEnv, spec: EpisodeSpec) -> None:
    """The tower loses a piece halfway, and is finished nevertheless; progress does not fall."""
    play_to_last_action(env, spec)
    truth = env.privileged()
    item, base = truth.goal[2].args
    x, y, _ = truth.state().objects[item].position
    _, _, _, _, info = env.step(skill_action(Primitive.PICK_AND_PLACE, (x, y), (0.12 if x < 0 else -0.12, 0.25)))
    assert info["metrics"]["picks"] == 3
    assert Literal("on", (item, base)) in truth.goal
    assert info["progress"] == pytest.approx(2 / 3)
    for _ in range(2):
        _, _, terminated, _, info = env.step(expert_action(env))
    assert terminated
    assert info["success"]


def test_breaking_a_rule_ends_the_episode(env: ThinkBenchEnv) -> None:
    """A piece set down beside the pegs: failure, with the progress that was made until then."""
    puzzle = to_spec(generate(load_templates()["hanoi-h5"], 0, 0))
    env.reset(options={"episode": puzzle})
    _, _, terminated, _, info = env.step(expert_action(env))
    assert not terminated
    assert info["metrics"]["broken_rule"] is None
    assert info["progress"] == pytest.approx(1 / 5)
    truth = env.privileged()
    state = truth.state()
    item = truth.plan[0].item
    end, _ = free_spot(state, truth.goal, item)
    action = skill_action(Primitive.PICK_AND_PLACE, state.objects[item].position[:2], end)
    _, reward, terminated, truncated, info = env.step(action)
    assert (reward, terminated, truncated, info["success"]) == (0.0, True, False, False)
    assert info["metrics"]["broken_rule"] == f"not on_bare_table({item})"
    assert info["progress"] == pytest.approx(1 / 5)


def test_same_episode_and_actions_give_the_same_world(env: ThinkBenchEnv, spec: EpisodeSpec) -> None:
    other = ThinkBenchEnv(observation_keys=())
    env.reset(options={"episode": spec.to_dict()})  # as JSON data, too
    other.reset(options={"episode": spec})
    assert env.state_digest() == other.state_digest()
    action = expert_action(env)
    env.step(action)
    other.step(action)
    assert env.state_digest() == other.state_digest()
    other.close()


def test_delta_control_is_judged_too(spec: EpisodeSpec) -> None:
    made = ThinkBenchEnv(control="delta", observation_keys=())
    made.reset(options={"episode": spec})
    _, _, terminated, truncated, info = made.step(np.zeros(7, np.float32))
    assert (terminated, truncated, info["progress"]) == (False, False, 0.0)
    assert "picks" not in info["metrics"]
    made.close()


def test_goal_images_show_what_the_expert_brings_about(spec: EpisodeSpec) -> None:
    """From every state on the way, and without touching the world."""
    env = ThinkBenchEnv(image_size=48, observation_keys=("rgb_static",))
    env.reset(seed=spec.seed, options={"episode": spec})
    truth, ended = env.privileged(), False
    goal = truth.goal_image()
    assert goal is truth.goal_image()
    while not ended:
        before = env.state_digest()
        foreseen = truth.next_image()
        assert env.state_digest() == before
        observation, _, ended, _, _ = env.step(expert_action(env))
        assert np.abs(observation["rgb_static"].astype(int) - foreseen).mean() < 1
    np.testing.assert_array_equal(observation["rgb_static"], truth.next_image())
    assert np.abs(observation["rgb_static"].astype(int) - goal).mean() < 1
    env.close()


def test_misuse_is_explained(env: ThinkBenchEnv) -> None:
    with pytest.raises(ValueError, match="no stage 1"):
        env.begin_stage(1)
    fresh = ThinkBenchEnv(observation_keys=())
    with pytest.raises(RuntimeError, match="call reset"):
        fresh.privileged()
    fresh.close()


def test_milestones_stay_reached_and_wait_for_earlier_ones_of_the_same_object() -> None:
    """``a`` starts on ``b``, has to step aside, and comes back: being there at the start does not count."""
    on, off = Literal("on", ("a", "b")), Literal("on", ("a", "b"), positive=False)
    together = world(thing("a", position=(0, 0, 0.06)), thing("b"), touching={"a": ["b"], "b": ["a", "table"]})
    apart = world(thing("a", position=(0.1, 0, 0.02)), thing("b"), touching={"a": ["table"], "b": ["table"]})
    tracker = MilestoneTracker((off, on))
    expected = [(together, 0.0, 0), (apart, 0.5, 1), (together, 1.0, None), (apart, 1.0, None)]
    for state, progress, missing in expected:
        tracker.update(state)
        assert (tracker.progress, tracker.first_missing) == (progress, missing)
