"""Actions that have changed nothing are not tried again."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agents.thinkjepa.distances import Objective
from agents.thinkjepa.planner.config import CEM
from agents.thinkjepa.planner.futile import UNCHANGED, expect, unchanged
from agents.thinkjepa.planner.latent import LatentPlanner, Look
from agents.thinkjepa.planner.shooting import ActionBox
from tests.agents.thinkjepa.tiny import ACTION_DIM, IDENTITY_POINT, world_model


def test_the_same_action_costs_what_staying_costs_and_a_far_one_what_is_predicted():
    candidates = torch.tensor([[0.5, 0.5], [0.5, 0.6], [-1.0, -1.0]])
    costs = expect(torch.zeros(3), torch.tensor(2.0), candidates, torch.tensor([[0.5, 0.5], [0.4, 0.9]]), 0.1)
    torch.testing.assert_close(costs, torch.tensor([2.0, 2.0 * 0.6065307, 0.0]), atol=1e-5, rtol=0)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=2), st.floats(0.01, 1), st.floats(0, 3), st.floats(0, 3))
def test_an_expected_cost_lies_between_the_predicted_and_that_of_staying(candidate, radius, cost, stay):
    found = expect(
        torch.tensor([cost]), torch.tensor(stay), torch.tensor([candidate]), torch.tensor([[0.1, -0.2]]), radius
    ).item()
    assert min(cost, stay) - 1e-5 <= found <= max(cost, stay) + 1e-5


def test_states_are_the_same_within_the_measured_bound():
    state = torch.randn(16, 24)
    assert unchanged(state, state + 0.9 * UNCHANGED**0.5)
    assert not unchanged(state, state + 1.1 * UNCHANGED**0.5)


def test_units_are_the_inverse_of_actions_and_zero_where_nothing_is_searched_for():
    box = ActionBox([0.0, -2.0, 1.0], [1.0, 2.0, 5.0], fixed=[(2, 0.5)])
    units = torch.tensor([[0.3, -0.7, 0.0]])
    torch.testing.assert_close(box.to_units(box.to_actions(units)), units)


def test_staying_is_priced_in_the_pictures_that_candidates_are(monkeypatch: pytest.MonkeyPatch):
    model = world_model()
    config = replace(CEM, population=64, horizon=1, iterations=1, futile=0.3)
    objective = Objective(distance="token_cosine")
    planner = LatentPlanner(model, config, objective, low=[-1.0] * ACTION_DIM, high=[1.0] * ACTION_DIM)
    states, goals = (model.normalise(torch.randn(2, 1, 16, 24)) for _ in range(2))
    priced = []
    monkeypatch.setattr(planner, "_expect", lambda costs, stay, *_: priced.append(stay) or costs)
    tried = (torch.zeros(ACTION_DIM),)
    planner.plan(states[0], goals[0], [3], futile=[tried], looks=[Look(states[1], goals[1])])
    torch.testing.assert_close(priced[0], objective(states, goals).mean())


@pytest.mark.parametrize("points", [(), (IDENTITY_POINT,)])
def test_planning_leaves_the_neighbourhood_of_what_changed_nothing(points):
    """Of two lanes in the same state one has tried its plan in vain."""
    model = world_model(action_points=points)
    config = replace(CEM, population=256, horizon=1, iterations=4, elite_fraction=0.1, execute="best", futile=0.3)
    planner = LatentPlanner(model, config, low=[-1.0] * ACTION_DIM, high=[1.0] * ACTION_DIM)
    with torch.no_grad():
        state = model.normalise(torch.randn(1, 16, 24)).expand(2, -1, -1)
        goal = model.rollout(state, torch.full((2, 1, ACTION_DIM), 0.4))[:, -1]
    first = planner.plan(state, goal, [3, 3])
    again = planner.plan(state, goal, [3, 3], futile=[(), (first.actions[1, 0],)])
    decisive = [points[0].x, points[0].y] if points else list(range(ACTION_DIM))
    assert torch.equal(again.actions[0], first.actions[0])
    assert (again.actions[1, 0] - first.actions[1, 0])[decisive].norm() > 0.3
    believed = LatentPlanner(model, replace(config, futile=0.0), low=[-1.0] * ACTION_DIM, high=[1.0] * ACTION_DIM)
    tried = believed.plan(state, goal, [3, 3], futile=[(), (first.actions[1, 0],)])
    assert torch.equal(tried.actions, first.actions)
    with pytest.raises(ValueError, match="1 futile for 2 lanes"):
        planner.plan(state, goal, [3, 3], futile=[()])
