"""The expert on ThinkBench: through real contact, in as many actions as the horizon."""

from collections.abc import Iterator

import numpy as np
import pytest
from gymnasium.spaces import Box

from baselines.expert import Expert
from envs.tabletop.actions import Primitive, parse_skill, skill_action
from harness.interfaces import SeedPath, TaskView
from thinkbench.env import ThinkBenchEnv
from thinkbench.generator import generate
from thinkbench.specs import to_spec
from thinkbench.templates import load_templates

TEMPLATES = load_templates()


@pytest.fixture(scope="module")
def env() -> Iterator[ThinkBenchEnv]:
    made = ThinkBenchEnv(observation_keys=())
    yield made
    made.close()


def play(env: ThinkBenchEnv, name: str, index: int) -> tuple[bool, int]:
    """Whether the expert succeeds, and with how many actions."""
    spec = to_spec(generate(TEMPLATES[name], index, 0))
    observation, _ = env.reset(seed=spec.seed, options={"episode": spec})
    stage, agent = spec.stages[0], Expert()
    view = TaskView(
        stage.instruction, env.action_space, None, stage.max_steps, 0, SeedPath(0, "e", 0), env.privileged()
    )
    agent.reset(0, view, observation)
    for step in range(stage.max_steps):
        observation, _, terminated, _, info = env.step(agent.act({0: observation})[0])
        if terminated:
            return info["success"], step + 1
    return False, stage.max_steps


@pytest.mark.parametrize("name", [name for name in TEMPLATES if TEMPLATES[name].horizon == 5])
def test_solves_each_family_by_the_shortest_plan(env: ThinkBenchEnv, name: str) -> None:
    assert play(env, name, 0) == (True, 5)


@pytest.mark.slow
def test_solves_the_suite(env: ThinkBenchEnv) -> None:
    results = {(name, index): play(env, name, index) for name in TEMPLATES for index in range(5)}
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


def test_acts_in_skills_only(env: ThinkBenchEnv) -> None:
    env.reset(seed=0)
    delta = Box(-1.0, 1.0, (7,), np.float32)
    with pytest.raises(ValueError, match="control: skill"):
        Expert().reset(0, TaskView("", delta, 20.0, 8, 0, SeedPath(0, "e", 0), env.privileged()), {})


def test_unknown_worlds_are_named() -> None:
    with pytest.raises(ValueError, match=r"does not know worlds whose ground truth is a builtins\.NoneType"):
        Expert().reset(0, TaskView("", Box(-1, 1, (6,)), None, 8, 0, SeedPath(0, "e", 0)), {})
