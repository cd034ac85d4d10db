"""Which boards an evaluation accepts: not solved yet, and with a way to solve them.

The public evaluation lays out a new board until its oracle finds a motion plan, with an unseeded planner. Here the
rule is geometric and deterministic: the block must have a route to the goal on which it comes no nearer to another
block than it already is or than both can be without touching, and the rod must have a free place to push from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from envs.language_table import families, geometry
from envs.language_table.board import Board
from envs.language_table.routes import Point, cell_of, cost_to_go, crowding, edge_crowding
from envs.language_table.truth import BoardTruth

_BLOCK_CLEARANCE: Final = 0.04
"""Centres of two blocks that just pass each other, metres."""
_ROD_CLEARANCE: Final = 0.034
"""Centres of the rod and of a block that it is not meant to touch: both radii."""
_STANDOFF: Final = 0.045
_DIRECTIONS: Final = tuple(np.linspace(0, 2 * math.pi, 16, endpoint=False))


def rejection(board: Board) -> str | None:
    """Why an evaluation does not use this board: ``solved``, ``no way``, ``no room``, or ``None`` if it does."""
    truth = BoardTruth(board)
    if truth.solved():
        return "solved"
    if truth.family in ("point2block", "play"):
        return None
    task = truth.task
    if not _has_room(truth, task.block):
        return "no room"
    partner = (task.target_block,) if truth.family == "block2block" else ()
    obstacles = [truth.position(name) for name in truth.on_table if name not in (task.block, *partner)]
    return None if _has_way(truth.position(task.block), _goals(truth), obstacles) else "no way"


def _goals(truth: BoardTruth) -> list[Point]:
    """Points of the success region, one of which the block has to reach."""
    task = truth.task
    match truth.family:
        case "block2block":
            assert task.target_block is not None
            return _circle(truth.position(task.target_block), families.TOUCHING * 0.9)
        case "separate_blocks":
            centroid = np.mean([truth.position(name) for name in task.avoid], axis=0)
            return _circle(centroid, families.SEPARATION)
        case "block2absolutelocation":
            radius = families.CENTER_RADIUS if task.location == "center" else families.LOCATION_RADIUS
        case "block1_to_corner":
            radius = families.CORNER_RADIUS
        case "block2relativelocation":
            radius = families.RELATIVE_RADIUS
        case _:
            radius = families.BESIDE_RADIUS
    assert task.target is not None
    return [np.asarray(task.target), *_circle(np.asarray(task.target), radius * 0.9)]


def _circle(centre: Point, radius: float) -> list[Point]:
    return [centre + radius * np.array([math.cos(a), math.sin(a)]) for a in _DIRECTIONS]


def _has_way(position: Point, goals: Sequence[Point], obstacles: Sequence[Point]) -> bool:
    clearances = [min(_BLOCK_CLEARANCE, float(np.linalg.norm(position - centre)) - 0.005) for centre in obstacles]
    blocked = crowding(obstacles, clearances) > 0
    cost = np.where(blocked, np.inf, 1.0 + edge_crowding(0.01))
    to_block = cost_to_go(position, cost)
    return any(_on_board(goal) and math.isfinite(to_block[cell_of(goal)]) for goal in goals)


def _on_board(point: Point) -> bool:
    x, y = map(float, point)
    return geometry.X_MIN <= x <= geometry.X_MAX and geometry.Y_MIN <= y <= geometry.Y_MAX


def _has_room(truth: BoardTruth, block: str) -> bool:
    centres = [truth.position(name) for name in truth.on_table if name != block]
    places = _circle(truth.position(block), _STANDOFF)
    return any(
        _on_board(place) and all(float(np.linalg.norm(place - centre)) >= _ROD_CLEARANCE for centre in centres)
        for place in places
    )
