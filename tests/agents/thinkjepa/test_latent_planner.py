"""The planner on a world model: lanes, pieces, compilation, sub-goals."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from agents.thinkjepa.distances import DISTANCES, Objective, calibrate, l1, l2, pooled_cosine, token_cosine
from agents.thinkjepa.planner import latent
from agents.thinkjepa.planner.config import CEM, ICEM
from agents.thinkjepa.planner.latent import LatentPlanner, Look
from agents.thinkjepa.planner.sampling import draw_noise
from agents.thinkjepa.planner.shooting import ActionBox, plan, shift
from agents.thinkjepa.planner.subgoals import SubgoalMonitor, Verdict
from tests.agents.thinkjepa.tiny import ACTION_DIM, IDENTITY_POINT, world_model

CONFIG = replace(CEM, population=32, horizon=2, iterations=2, elite_fraction=0.25)
LOW, HIGH = [0.0] * ACTION_DIM, [1.0] * ACTION_DIM


def planner(model, config=CONFIG, **settings):
    return LatentPlanner(model, config, low=LOW, high=HIGH, **settings)


def lanes(model, count):
    return model.normalise(torch.randn(2, count, 16, 24))


def test_planning_comes_closer_to_a_state_that_can_be_reached():
    """The goal is where an action sequence leads, so its distance has a known least value: 0."""
    model = world_model(action_points=(IDENTITY_POINT,))
    state, _ = lanes(model, 2)
    with torch.no_grad():
        goal = model.rollout(state, torch.rand(2, 2, ACTION_DIM))[:, -1]
        config = replace(CONFIG, population=128, iterations=5, elite_fraction=0.1, execute="best")
        found = planner(model, config).plan(state, goal, seeds=[0, 1])
        reached = Objective()(model.rollout(state, found.actions)[:, -1], goal)
        idle = Objective()(model.rollout(state, torch.full((2, 2, ACTION_DIM), 0.5))[:, -1], goal)
    torch.testing.assert_close(reached, found.costs[:, -1], rtol=1e-3, atol=1e-5)
    assert (reached < 0.2 * idle).all()


@pytest.mark.parametrize("config", [CONFIG, replace(ICEM, population=32, horizon=2, iterations=2, elite_fraction=0.25)])
def test_a_lanes_plan_depends_on_no_other_lane(config):
    model = world_model()
    state, goal = lanes(model, 3)
    relevance = torch.rand(3, 16) + 0.5
    rest = [None, torch.full((2, ACTION_DIM), 0.3), None]
    together = planner(model, config).plan(state, goal, [7, 8, 9], relevance=relevance, warm_start=rest)
    for lane in range(3):
        one = slice(lane, lane + 1)
        alone = planner(model, config).plan(
            state[one], goal[one], [7 + lane], relevance=relevance[one], warm_start=rest[one]
        )
        for part, whole in zip(alone, together, strict=True):
            assert torch.equal(part[0], whole[lane])


def test_a_candidate_costs_the_mean_over_all_looks():
    model = world_model(action_points=(IDENTITY_POINT,))
    state, goal = lanes(model, 2)
    shift = torch.full((2, 2), 0.1)
    other = Look(*lanes(model, 2), shift=shift)
    found = planner(model, replace(CONFIG, execute="best", keep_elites=0)).plan(state, goal, [1, 2], looks=[other])
    actions = found.actions.unsqueeze(1)
    costs = [
        model.cost(look.state, look.goal, actions, Objective(), shift=look.shift)[:, 0]
        for look in (Look(state, goal), other)
    ]
    torch.testing.assert_close(found.costs[:, -1], (costs[0] + costs[1]) / 2, rtol=1e-3, atol=1e-5)
    assert not torch.allclose(costs[1], model.cost(other.state, other.goal, actions, Objective())[:, 0])


def test_pieces_do_not_change_the_plan(monkeypatch):
    model = world_model()
    state, goal = lanes(model, 2)
    whole = planner(model).plan(state, goal, [0, 1])
    monkeypatch.setattr(latent, "_CPU_TOKENS", {4: 5 * 16})  # 32 candidates in pieces of 5, the last one of 2
    in_pieces = planner(model).plan(state, goal, [0, 1])
    torch.testing.assert_close(in_pieces.costs, whole.costs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(in_pieces.actions, whole.actions, rtol=1e-3, atol=1e-4)


def test_actions_are_embedded_once_per_candidate_and_nothing_is_encoded(monkeypatch):
    model = world_model()
    state, goal = lanes(model, 2)
    embedded = []
    original = model.predictor.action_mlp.forward
    monkeypatch.setattr(model.predictor.action_mlp, "forward", lambda x: embedded.append(len(x)) or original(x))
    monkeypatch.setattr(model.encoder, "forward", lambda *_: pytest.fail("encoded while planning"))
    planner(model).plan(state, goal, [0, 1])
    assert sum(embedded) == 2 * 2 * 32  # lanes, iterations, candidates


def test_reduced_precision_plans_with_nearly_the_same_costs():
    model = world_model()
    state, goal = lanes(model, 1)
    actions = torch.rand(1, 200, 2, ACTION_DIM)
    objective = Objective()
    with torch.no_grad():
        exact = model.cost(state, goal, actions, objective)
        expected = planner(model).plan(state, goal, [0])
        reduced = planner(model.cast_weights(torch.bfloat16)).plan(state, goal, [0])
        rough = model.cost(state, goal, actions, objective)
    assert reduced.costs.dtype == reduced.actions.dtype == torch.float32
    torch.testing.assert_close(reduced.costs, expected.costs, rtol=0.02, atol=0)
    ranks = torch.stack([costs[0].argsort().argsort().float() for costs in (exact, rough)])
    assert torch.corrcoef(ranks)[0, 1] > 0.98


def test_a_warm_start_continues_the_plan_before():
    model = world_model()
    state, goal = lanes(model, 1)
    first = planner(model).plan(state, goal, [0])
    rest = shift(first.mean, 1)[0]
    again = planner(model).plan(state, goal, [1], warm_start=[rest])
    cold = planner(model).plan(state, goal, [1])
    assert not torch.equal(again.actions, cold.actions)
    assert not again.actions.requires_grad


def test_what_does_not_fit_is_named():
    model = world_model()
    with pytest.raises(ValueError, match="action_block=2 actions of 3 components do not make up the 3"):
        planner(model, replace(CONFIG, action_block=2))
    state, goal = lanes(model, 2)
    with pytest.raises(ValueError, match="1 seeds for 2 lanes"):
        planner(model).plan(state, goal, [0])
    with pytest.raises(ValueError, match="1 warm_start for 2 lanes"):
        planner(model).plan(state, goal, [0, 1], warm_start=[None])
    with pytest.raises(ValueError, match=r"training mode.*call eval"):
        planner(model.train()).plan(state, goal, [0, 1])


def test_the_whole_plan_is_one_graph():
    """Static shapes and no question to the host: what ``torch.compile`` and CUDA graphs need."""
    model = world_model(action_points=(IDENTITY_POINT,))
    state, goal = lanes(model, 2)
    relevance = torch.ones(2, 16)
    config = replace(CONFIG, iterations=2, keep_elites=2)
    box, noise = ActionBox(LOW, HIGH), draw_noise(config, ACTION_DIM, [0, 1])
    objective = Objective(steps="all", relevance=True)

    def decide(state, goal, relevance, noise):
        return plan(lambda a: model.cost(state, goal, a, objective, relevance), config, box, noise)

    with torch.no_grad():
        compiled = torch.compile(decide, backend="eager", fullgraph=True, dynamic=False)(state, goal, relevance, noise)
        expected = decide(state, goal, relevance, noise)
    torch.testing.assert_close(compiled.actions, expected.actions)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.slow
def test_any_number_of_lanes_and_candidates_is_compiled(monkeypatch):
    """As on a GPU, where each is a shape of its own; but for the backend, which is the slow part."""

    def traced(call, **how):
        kept = {key: value for key, value in how.items() if key not in ("mode", "options")}
        return compile_(call, backend="eager", **kept)

    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", traced)
    torch._dynamo.reset()
    several = planner(
        world_model(), replace(ICEM, population=40, horizon=2, iterations=3, elite_fraction=0.25), compile=True
    )
    several._piece = None
    populations = len(set(several.config.populations))
    assert populations > 1
    for count in range(1, 2 + 8 // populations):
        state, goal = lanes(several.world_model, count)
        assert len(several.plan(state, goal, list(range(count))).actions) == count


def test_compiled_plans_are_the_plans():
    model = world_model()
    state, goal = lanes(model, 2)
    expected = planner(model).plan(state, goal, [0, 1])
    compiled = planner(model, compile=True).plan(state, goal, [0, 1])
    torch.testing.assert_close(compiled.costs, expected.costs, rtol=1e-3, atol=1e-4)


# ------------------------------------------------------------------------------------------------ distances


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_are_zero_at_the_goal_and_positive_elsewhere(name):
    state, goal = torch.randn(2, 5, 4, 8)
    weight = torch.rand(5, 4)
    for given in (None, weight):
        assert DISTANCES[name](goal, goal, given).abs().max() < 1e-5
        assert DISTANCES[name](state, goal, given).min() > 0
    ones = torch.ones(5, 4)
    torch.testing.assert_close(DISTANCES[name](state, goal, ones), DISTANCES[name](state, goal))


def test_distances_are_their_formulas():
    state, goal, weight = torch.randn(4, 8), torch.randn(4, 8), torch.rand(4)
    s, g, w = (x.double().numpy() for x in (state, goal, weight))

    def cosine(a, b):
        return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)

    assert token_cosine(state, goal, weight).item() == pytest.approx(np.mean(w * (1 - cosine(s, g))), rel=1e-5)
    assert l1(state, goal, weight).item() == pytest.approx(np.mean(w[:, None] * np.abs(s - g)), rel=1e-5)
    assert l2(state, goal, weight).item() == pytest.approx(np.mean(w[:, None] * (s - g) ** 2), rel=1e-5)
    pooled = 1 - cosine((w[:, None] * s).mean(0), (w[:, None] * g).mean(0))
    assert pooled_cosine(state, goal, weight).item() == pytest.approx(pooled, rel=1e-5)


def test_the_pooled_distance_is_blind_to_where_something_is():
    state = torch.randn(1, 16, 8)
    elsewhere = state[:, torch.randperm(16)]
    assert pooled_cosine(state, elsewhere).item() == pytest.approx(0, abs=1e-5)
    assert token_cosine(state, elsewhere).item() > 0.3


def test_changes_are_compared_by_their_direction():
    start, wanted, other = torch.randn(3, 1, 16, 8)
    other = other - (other * wanted).sum() / wanted.square().sum() * wanted  # at a right angle
    compare = partial(Objective(distance="change_cosine"), start=start)
    goal = start + 5 * wanted
    changes = {"nothing": 0.0, "little": 0.05, "too much": 50.0, "opposite": -50.0}
    cost = {name: compare(start + size * wanted, goal).item() for name, size in changes.items()}
    assert cost == pytest.approx({"nothing": 1, "little": 0.5, "too much": 0, "opposite": 2}, abs=0.08)
    assert compare(start + 50 * other, goal).item() == pytest.approx(1, abs=0.01)
    nearly = start + 0.01 * wanted
    assert compare(start + 0.5 * wanted, nearly) < compare(start, nearly) < compare(start - 0.5 * wanted, nearly)
    assert token_cosine(start, nearly) < token_cosine(start + 0.5 * wanted, nearly), "what directions are for"
    far = torch.zeros(1, 16)
    far[0, 3] = 16
    elsewhere = start.clone()
    elsewhere[0, 5] += 1
    weighted = Objective(distance="change_cosine", relevance=True)
    assert weighted(elsewhere, start + wanted, far, start).item() == pytest.approx(1), "no weight, no change"
    assert compare(start, start).isfinite()
    assert torch.equal(Objective(distance="change_cosine")(start, goal), token_cosine(start, goal))
    with pytest.raises(ValueError, match="give forgiven=0"):
        Objective(distance="change_cosine", forgiven=0.3)


def test_step_weights():
    assert Objective().step_weights(3) == [0, 0, 1]
    assert Objective(steps="all").step_weights(4) == [0.25] * 4
    assert Objective(steps="all", discount=0.5).step_weights(3) == pytest.approx([1 / 7, 2 / 7, 4 / 7])


# ------------------------------------------------------------------------------------------------ sub-goals


def test_thresholds_lie_between_equal_and_different_states():
    same, apart = torch.linspace(0, 1, 101), torch.linspace(2, 3, 101)
    assert calibrate(same, apart) == pytest.approx((0.9 + 2.1) / 2)
    with pytest.raises(ValueError, match=r"do not separate states: 90% of equal pairs are below 2\.9"):
        calibrate(apart, same)


def verdicts(distances, **settings):
    monitor = SubgoalMonitor(threshold=1.0, **settings)
    return [monitor.observe(distance) for distance in distances]


def test_a_sub_goal_is_reached_after_hits_in_a_row():
    on, reached = Verdict.GO_ON, Verdict.REACHED
    assert verdicts([0.5], hits=1) == [reached]
    assert verdicts([0.5, 1.5, 0.5, 0.5]) == [on, on, on, reached]
    assert verdicts([1.0], hits=1) == [on]  # the threshold itself is outside


def test_patience_ends_within_the_loop():
    assert verdicts([2, 2, 2], hits=1, patience=3) == [Verdict.GO_ON, Verdict.GO_ON, Verdict.REPLAN]
    assert verdicts([2, 2, 0.5], hits=1, patience=3)[-1] is Verdict.REACHED
    with pytest.raises(ValueError, match="hits=2 and patience=1"):
        SubgoalMonitor(threshold=1.0, patience=1)
