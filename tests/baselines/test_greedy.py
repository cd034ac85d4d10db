"""Greedy: the most goal literals now, and no thought of what comes after."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from baselines.greedy import Greedy, best_moves
from harness.interfaces import EpisodeSpec, SeedPath, TaskView
from thinkbench.env import ThinkBenchEnv
from thinkbench.generator import generate
from thinkbench.literals import Literal
from thinkbench.specs import to_spec
from thinkbench.symbolic import TABLE, Domain, Move
from thinkbench.templates import load_templates

A_ON_B, B_ON_C = Literal("on", ("a", "b")), Literal("on", ("b", "c"))
DOMAIN = Domain(
    movable=("a", "b", "c"),
    bearers={"a": frozenset("bc"), "b": frozenset("ac"), "c": frozenset("ab")},
    containers={},
    zones={},
)


@pytest.fixture(scope="module")
def env() -> Iterator[ThinkBenchEnv]:
    made = ThinkBenchEnv(observation_keys=())
    yield made
    made.close()


def play(env: ThinkBenchEnv, spec: EpisodeSpec, run_seed: int = 0) -> tuple[bool, list[list[float]]]:
    observation, _ = env.reset(seed=spec.seed, options={"episode": spec})
    agent, stage = Greedy(), spec.stages[0]
    seeds = SeedPath(run_seed, spec.episode_id, 0)
    agent.reset(0, TaskView("", env.action_space, None, stage.max_steps, 0, seeds, env.privileged()), observation)
    actions = []
    for _ in range(stage.max_steps):
        actions.append(agent.act({0: observation})[0].tolist())
        observation, _, ended, _, info = env.step(actions[-1])
        if ended:
            break
    return info["success"], actions


def test_prefers_what_satisfies_most_now() -> None:
    """Putting a on b at once looks as good as putting b on c, though it costs two more moves."""
    start = (TABLE, TABLE, TABLE)
    assert best_moves(DOMAIN, start, (A_ON_B, B_ON_C)) == [Move("a", "b"), Move("b", "c")]


def test_destroys_nothing_unless_it_gains_as_much() -> None:
    start = ("b", TABLE, TABLE)  # a on b, b and c on the table: to put b on c, a has to be taken off again
    best = best_moves(DOMAIN, start, (A_ON_B, B_ON_C))
    assert Move("c", "a") in best
    assert all(move.item == "c" for move in best)


def test_solves_what_needs_no_planning(env: ThinkBenchEnv) -> None:
    success, actions = play(env, to_spec(generate(load_templates()["sort-h3"], 0, 0)))
    assert success
    assert len(actions) == 3


def test_fails_where_a_plan_is_needed_and_decides_equals_by_lot(env: ThinkBenchEnv) -> None:
    spec = to_spec(generate(load_templates()["bridge-h3"], 0, 0))
    success, actions = play(env, spec)
    assert not success
    assert play(env, spec) == (success, actions)
    assert play(env, spec, run_seed=1)[1] != actions


def test_knows_thinkbench_only(env: ThinkBenchEnv) -> None:
    spec = to_spec(generate(load_templates()["sort-h3"], 0, 0))
    env.reset(options={"episode": spec})
    view = TaskView("", env.action_space, None, 8, 0, SeedPath(0, "e", 0), env.privileged())
    with pytest.raises(ValueError, match="only benchmark=thinkbench"):
        Greedy().reset(0, replace(view, privileged=object()), {})
