"""Ways across the board: cheapest routes for a point among round obstacles, on a grid.

Used to decide whether a board is solvable and by the expert. Pure NumPy, deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from envs.language_table import geometry

Point = npt.NDArray[np.floating[Any]]
Field = npt.NDArray[np.float64]

CELL: Final = 0.01
_XS: Final = np.arange(geometry.X_MIN, geometry.X_MAX + 1e-9, CELL)
_YS: Final = np.arange(geometry.Y_MIN, geometry.Y_MAX + 1e-9, CELL)
_GRID: Final = np.stack(np.meshgrid(_XS, _YS, indexing="ij"), axis=-1)
_MOVES: Final = tuple((dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy)


def cell_of(point: Sequence[float] | Point) -> tuple[int, int]:
    """The grid cell nearest to a point; points outside the board belong to its edge."""
    i = int(np.clip(round((float(point[0]) - geometry.X_MIN) / CELL), 0, len(_XS) - 1))
    j = int(np.clip(round((float(point[1]) - geometry.Y_MIN) / CELL), 0, len(_YS) - 1))
    return i, j


def crowding(obstacles: Sequence[Point], clearance: float | Sequence[float]) -> Field:
    """How deep each cell lies in the obstacles' surroundings, from 0 (clear) to 1 (at a centre), ``(46, 61)``."""
    depth = np.zeros(_GRID.shape[:2])
    radii = [clearance] * len(obstacles) if isinstance(clearance, float) else clearance
    for centre, radius in zip(obstacles, radii, strict=True):
        distance = np.linalg.norm(_GRID - np.asarray(centre), axis=-1)
        depth = np.maximum(depth, 1 - distance / radius)
    return depth


def edge_crowding(margin: float) -> Field:
    """How near each cell lies to the edge, from 0 (``margin`` metres away or more) to 1 (on it), ``(46, 61)``."""
    x, y = _GRID[..., 0], _GRID[..., 1]
    nearest = np.minimum.reduce([x - geometry.X_MIN, geometry.X_MAX - x, y - geometry.Y_MIN, geometry.Y_MAX - y])
    depth: Field = np.clip(1 - nearest / margin, 0.0, 1.0)
    return depth


def cost_to_go(goal: Sequence[float] | Point, cost: Field) -> Field:
    """Cost of the cheapest way from every cell to ``goal``; moves go to the eight neighbours.

    Args:
        goal: A point on the board.
        cost: Cost per metre in each cell; infinite where no way leads through.

    Returns:
        Metres times cost, infinite where there is no way.
    """
    field = np.full(cost.shape, np.inf)
    field[cell_of(goal)] = 0.0
    while True:
        padded = np.pad(field, 1, constant_values=np.inf)
        best = field
        for dx, dy in _MOVES:
            there = np.roll(padded, (-dx, -dy), axis=(0, 1))[1:-1, 1:-1]
            best = np.minimum(best, there + cost * (CELL * float(np.hypot(dx, dy))))
        if np.array_equal(best, field):
            return field
        field = best


def next_point(field: Field, position: Sequence[float] | Point, reach: float) -> Point:
    """The point about ``reach`` metres along the cheapest way from ``position``, as found in ``cost_to_go``."""
    i, j = cell_of(position)
    for _ in range(max(1, round(reach / CELL))):
        moves = [
            (field[i + dx, j + dy], i + dx, j + dy)
            for dx, dy in _MOVES
            if 0 <= i + dx < field.shape[0] and 0 <= j + dy < field.shape[1]
        ]
        value, next_i, next_j = min(moves)
        if value >= field[i, j]:
            break
        i, j = next_i, next_j
    point: Point = _GRID[i, j].copy()
    return point


def straight_is_clear(
    start: Sequence[float] | Point, end: Sequence[float] | Point, obstacles: Sequence[Point], clearance: float
) -> bool:
    """Whether no obstacle's centre comes nearer than ``clearance`` to the segment."""
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    along = b - a
    length = float(along @ along)
    for centre in obstacles:
        share = 0.0 if length == 0.0 else float(np.clip((centre - a) @ along / length, 0.0, 1.0))
        if float(np.linalg.norm(a + share * along - centre)) < clearance:
            return False
    return True
