"""What a sub-goal asks for, roughly: where to pick and where to place, from true positions and without any planning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from envs.tabletop.linear import norm, product
from envs.tabletop.scene import WorldState
from envs.tabletop.shapes import WORKSPACE_X, WORKSPACE_Y
from thinkbench.geometry import footprint
from thinkbench.literals import Literal
from thinkbench.motion import Point
from thinkbench.predicates import EDGE_STRIP, NEAR_DISTANCE, zone_of

_SIDES = {"left_of": (0.0, 1.0), "right_of": (0.0, -1.0), "behind": (1.0, 0.0), "in_front_of": (-1.0, 0.0)}
_EDGES = {
    "at_left_edge": (1, WORKSPACE_Y[1] - EDGE_STRIP / 2),
    "at_right_edge": (1, WORKSPACE_Y[0] + EDGE_STRIP / 2),
    "at_back_edge": (0, WORKSPACE_X[1] - EDGE_STRIP / 2),
    "at_front_edge": (0, WORKSPACE_X[0] + EDGE_STRIP / 2),
}


@dataclass(frozen=True)
class Target:
    """Where to pick and where to place, metres; ``place`` is ``None`` where any place will do."""

    pick: Point
    place: Point | None


def target_of(state: WorldState, literal: Literal) -> Target:
    """The centre of the named object, and the ideal point for its centre.

    That is the middle of a base, container, zone or gap; beside something, half of `NEAR_DISTANCE` from outline to
    outline, on the named side or straight towards where the object is; at an edge, the middle of the strip, straight
    across. To clear something, what is at its position is picked.

    Raises:
        ValueError: No sub-goal has such a literal.
    """
    names = literal.args[::-1] if literal.predicate == "supports" else literal.args
    pick = _centre(state, names[0])
    match literal.predicate:
        case "on_table" | "on_bare_table" | "clear":
            place = None
        case "on" | "supports" | "inside":
            place = _centre(state, names[1])
        case "at_zone":
            place = zone_of(state, names[1]).centre
        case "bridges":
            one, other = (np.array(_centre(state, name)) for name in names[1:])
            place = _point((one + other) / 2)
        case "near":
            away = np.array(pick) - np.array(_centre(state, names[1]))
            place = _beside(state, names[0], names[1], away / max(norm(away), 1e-6))
        case side if side in _SIDES:
            place = _beside(state, names[0], names[1], np.array(_SIDES[side]))
        case edge if edge in _EDGES:
            axis, value = _EDGES[edge]
            place = (value, pick[1]) if axis == 0 else (pick[0], value)
        case _:
            raise ValueError(f"{literal} is no sub-goal")
    return Target(pick, place)


def _beside(state: WorldState, item: str, other: str, direction: npt.NDArray[np.float64]) -> Point:
    middle = np.array(_centre(state, other))
    reach = float(product(footprint(state, other) - middle, direction).max())
    own = float(product(footprint(state, item) - np.array(_centre(state, item)), -direction).max())
    return _point(middle + (reach + NEAR_DISTANCE / 2 + own) * direction)


def _centre(state: WorldState, name: str) -> Point:
    x, y, _ = state.objects[name].position
    return x, y


def _point(values: npt.NDArray[np.float64]) -> Point:
    x, y = values.tolist()
    return x, y
