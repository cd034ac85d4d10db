"""The expert on ThinkBench: through real contact, in as many actions as the horizon."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from gymnasium.spaces import Box

import configs
from baselines.expert import Expert
from envs.tabletop.actions import Primitive, parse_skill, skill_action
from harness.interfaces import EpisodeSpec, SeedPath, TaskView
from thinkbench.env import ThinkBenchEnv
from thinkbench.generator import generate
from thinkbench.specs import to_spec
from thinkbench.templates import load_templates

TEMPLATES = load_templates()
SHORTEST = {template.family: name for name, template in sorted(TEMPLATES.items(), key=lambda item: -item[1].horizon)}


@pytest.fixture(scope="module")
def env() -> Iterator[ThinkBenchEnv]:
    made = ThinkBenchEnv(observation_keys=())
    yield made
    made.close()


@pytest.fixture(scope="module")
def delta_env() -> Iterator[ThinkBenchEnv]:
    made = ThinkBenchEnv(observation_keys=(), control="delta")
    yield made
    made.close()


def play(env: ThinkBenchEnv, spec: EpisodeSpec) -> tuple[bool, int]:
    """Whether the expert succeeds, and with how many actions."""
    observation, _ = env.reset(seed=spec.seed, options={"episode": spec})
    stage, agent = spec.stages[0], Expert()
    view = TaskView(
        stage.instruction, env.action_space, None, stage.max_steps, 0, SeedPath(0, "e", 0), env.privileged()
    )
    agent.reset(0, view, observation)
    for step in range(stage.max_steps):
        action = agent.act({0: observation})[0]
        assert env.action_space.contains(action)
        observation, _, terminated, _, info = env.step(action)
        if terminated:
            return info["success"], step + 1
    return False, stage.max_steps


def skill_episode(name: str, index: int) -> EpisodeSpec:
    return to_spec(generate(TEMPLATES[name], index, 0))


def delta_episode(name: str, index: int) -> EpisodeSpec:
    protocol = yaml.safe_load((Path(configs.__path__[0]) / "protocol" / "thinkbench-delta.yaml").read_text("utf-8"))
    return to_spec(generate(TEMPLATES[name], index, 0), protocol["step_factor"], protocol["step_slack"])


@pytest.mark.parametrize("name", sorted(SHORTEST.values()))
def test_solves_each_family_by_the_shortest_plan(env: ThinkBenchEnv, name: str) -> None:
    assert play(env, skill_episode(name, 0)) == (True, TEMPLATES[name].horizon)


@pytest.mark.parametrize("name", ["unearth-h3", pytest.param("sort-h5", marks=pytest.mark.slow)])
def test_solves_episodes_in_relative_actions(delta_env: ThinkBenchEnv, name: str) -> None:
    spec = delta_episode(name, 0)
    success, steps = play(delta_env, spec)
    assert success
    assert 60 * spec.meta["horizon"] < steps < spec.stages[0].max_steps


@pytest.mark.slow
@pytest.mark.parametrize("control", ["skill", "delta"])
def test_solves_the_suite(env: ThinkBenchEnv, delta_env: ThinkBenchEnv, control: str) -> None:
    world, episode = (env, skill_episode) if control == "skill" else (delta_env, delta_episode)
    results = {(name, index): play(world, episode(name, index)) for name in TEMPLATES for index in range(5)}
    failures = [episode for episode, (success, _) in results.items() if not success]
    assert len(failures) <= 0.05 * len(results), failures


def test_does_nothing_where_the_goal_is_out_of_reach(env: ThinkBenchEnv) -> None:
    """A cover in the bin cannot be taken out again."""
    spec = to_spec(generate(TEMPLATES["unearth-h3"], 0, 0))
    env.reset(options={"episode": spec})
    truth = env.privileged()
    cover = truth.plan[0].item
    container = truth.goal[0].args[1]
    where = truth.state().objects
    env.step(skill_action(Primitive.PICK_AND_PLACE, where[cover].position[:2], where[container].position[:2]))
    agent = Expert()
    agent.reset(0, TaskView("", env.action_space, None, 8, 0, SeedPath(0, "e", 0), truth), {})
    skill = parse_skill(agent.act({0: {}})[0])
    assert skill.primitive is Primitive.PUSH
    assert skill.start == skill.end


def test_takes_up_a_move_where_the_hand_was_stopped(delta_env: ThinkBenchEnv) -> None:
    """A new stage's memory starts from what is there: an object that is still in the fingers is placed."""
    spec = delta_episode("tower-h3", 0)
    delta_env.reset(options={"episode": spec})
    truth = delta_env.privileged()
    view = TaskView("", delta_env.action_space, 20.0, 2000, 0, SeedPath(0, "e", 0), truth)
    first, second = Expert(), Expert()
    first.reset(0, view, {})
    while truth.state().held is None:
        delta_env.step(first.act({0: {}})[0])
    second.reset(0, view, {})
    for _ in range(spec.stages[0].max_steps):
        terminated, info = delta_env.step(second.act({0: {}})[0])[2::2]
        if terminated:
            break
    assert info["success"]


def test_unknown_worlds_are_named() -> None:
    with pytest.raises(ValueError, match=r"does not know worlds whose ground truth is a builtins\.NoneType"):
        Expert().reset(0, TaskView("", Box(-1, 1, (6,)), None, 8, 0, SeedPath(0, "e", 0)), {})
