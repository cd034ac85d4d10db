"""The world model under another package's solvers."""

import warnings

import pytest
import torch

from agents.thinkjepa.distances import Objective
from tests.agents.thinkjepa.tiny import ACTION_DIM, world_model
from tests.benchmarks.bench_planner import cem_solver, solve


def test_the_cem_solver_of_stable_worldmodel_plans_in_the_model(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of that package's imports
        solver_class = cem_solver()
    if solver_class is None:
        pytest.skip("stable-worldmodel is not installed; tests/benchmarks/bench_planner.py says how")
    model = world_model()
    monkeypatch.setattr("tests.benchmarks.bench_planner.LOW", [-1.0] * ACTION_DIM)
    monkeypatch.setattr("tests.benchmarks.bench_planner.HIGH", [1.0] * ACTION_DIM)
    with torch.no_grad():
        state = model.normalise(torch.randn(2, 16, 24))
        goal = model.rollout(state, torch.rand(2, 2, ACTION_DIM))[:, -1]
        found = solve(solver_class, model, state, goal)
        reached, idle = (
            Objective()(model.rollout(state, actions)[:, -1], goal) for actions in (found, torch.zeros_like(found))
        )
    assert found.shape == (2, 2, ACTION_DIM)
    assert (reached < 0.5 * idle).all()
