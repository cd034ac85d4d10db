"""Routes on the board."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.language_table.routes import cell_of, cost_to_go, crowding, edge_crowding, next_point, straight_is_clear

POINTS = st.tuples(st.floats(0.16, 0.59), st.floats(-0.29, 0.29))


@settings(max_examples=30)
@given(POINTS, POINTS)
def test_free_routes_are_as_long_as_grid_distance(start, goal):
    field = cost_to_go(goal, np.ones_like(crowding([], 0.05)))
    di, dj = (abs(a - b) for a, b in zip(cell_of(start), cell_of(goal), strict=True))
    octile = 0.01 * (max(di, dj) + (math.sqrt(2) - 1) * min(di, dj))
    assert field[cell_of(start)] == pytest.approx(octile)


def test_a_wall_without_a_gap_cannot_be_passed():
    wall = [np.array([0.38, y]) for y in np.arange(-0.32, 0.33, 0.04)]
    cost = np.where(crowding(wall, 0.03) > 0, np.inf, 1.0)
    field = cost_to_go((0.5, 0.0), cost)
    assert math.isinf(field[cell_of((0.2, 0.0))])
    gap = [centre for centre in wall if abs(centre[1] - 0.2) > 0.05]
    field = cost_to_go((0.5, 0.0), np.where(crowding(gap, 0.03) > 0, np.inf, 1.0))
    assert 0.45 < field[cell_of((0.2, 0.0))] < 0.8


def test_following_the_field_reaches_the_goal_and_keeps_clear():
    obstacle = np.array([0.38, 0.0])
    field = cost_to_go((0.55, 0.0), 1 + 40 * crowding([obstacle], 0.06))
    point = np.array([0.2, 0.0])
    for _ in range(40):
        point = next_point(field, point, 0.02)
        assert np.linalg.norm(point - obstacle) > 0.045
    assert cell_of(point) == cell_of((0.55, 0.0))


@settings(max_examples=50)
@given(POINTS, POINTS, POINTS, st.floats(0.01, 0.1))
def test_straight_is_clear_agrees_with_dense_sampling(start, end, centre, clearance):
    a, b, c = map(np.array, (start, end, centre))
    nearest = min(float(np.linalg.norm(a + share * (b - a) - c)) for share in np.linspace(0, 1, 400))
    if abs(nearest - clearance) > 2e-3:
        assert straight_is_clear(a, b, [c], clearance) == (nearest > clearance)


def test_edges_are_crowded():
    field = edge_crowding(0.05)
    assert field[cell_of((0.15, 0.0))] == 1
    assert field[cell_of((0.375, 0.0))] == 0
    assert 0 < field[cell_of((0.58, 0.0))] < 1
