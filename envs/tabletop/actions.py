"""What action vectors mean, in one place for the environment and everything that plans for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box

from envs.tabletop.shapes import WORKSPACE

Control = Literal["skill", "delta"]

DELTA_POSITION = 0.02
"""Metres per unit of a delta action."""

DELTA_ROTATION = 0.05
"""Radians per unit of a delta action."""

MAX_TURN = math.pi / 2
"""Radians of turn at yaw 1 of a skill action."""

_LOW = np.array([axis[0] for axis in WORKSPACE])
_HIGH = np.array([axis[1] for axis in WORKSPACE])


class Primitive(StrEnum):
    """What a skill action does."""

    PICK_AND_PLACE = "pick_and_place"
    PUSH = "push"


@dataclass(frozen=True)
class Skill:
    """A skill in metres and radians: see `envs.tabletop.skills`. ``turn`` has no meaning for a push."""

    primitive: Primitive
    start: tuple[float, float]
    end: tuple[float, float]
    turn: float = 0.0


def action_space(control: Control) -> Box:
    """The space of actions: ``(6,)`` in [-1, 1] for skills, ``(7,)`` for relative Cartesian control.

    Raises:
        ValueError: There is no such control mode.
    """
    if control not in ("skill", "delta"):
        raise ValueError(f"There is no control mode '{control}'; choose 'skill' or 'delta'")
    return Box(-1.0, 1.0, (6 if control == "skill" else 7,), np.float32)


def to_unit(point: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """From metres on the table ``(..., 2)`` to action units; outside the workspace it is beyond [-1, 1]."""
    return np.asarray(2 * (np.asarray(point, dtype=np.float64) - _LOW) / (_HIGH - _LOW) - 1)


def from_unit(unit: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """From action units ``(..., 2)`` to metres on the table."""
    return np.asarray(_LOW + (np.asarray(unit, dtype=np.float64) + 1) / 2 * (_HIGH - _LOW))


def skill_action(
    primitive: Primitive, start: npt.ArrayLike, end: npt.ArrayLike, turn: float = 0.0
) -> npt.NDArray[np.float32]:
    """The action vector ``(6,)`` of a skill given in metres and radians; clipped to [-1, 1].

    Args:
        primitive: What to do.
        start: ``(2,)`` metres.
        end: ``(2,)`` metres.
        turn: How far to turn the picked object about the vertical, radians.
    """
    head = -1.0 if primitive is Primitive.PICK_AND_PLACE else 1.0
    action = np.concatenate([[head], to_unit(start), to_unit(end), [turn / MAX_TURN]])
    return np.asarray(np.clip(action, -1.0, 1.0), dtype=np.float32)


def parse_skill(action: npt.ArrayLike) -> Skill:
    """The skill that an action vector ``(6,)`` means.

    ``(primitive, start x, start y, end x, end y, yaw)``: a primitive above 0 pushes, else it picks and places; yaw
    turns the picked object by up to a quarter turn either way.
    """
    values = _checked(action, 6)
    start, end = from_unit(values[1:3]), from_unit(values[3:5])
    return Skill(
        primitive=Primitive.PUSH if values[0] > 0 else Primitive.PICK_AND_PLACE,
        start=(float(start[0]), float(start[1])),
        end=(float(end[0]), float(end[1])),
        turn=float(values[5]) * MAX_TURN,
    )


def parse_delta(action: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], bool]:
    """Metres ``(3,)``, Euler angles ``(3,)`` and whether the gripper opens, of an action vector ``(7,)``.

    The scaling is CALVIN's: 0.02 m and 0.05 rad per unit, gripper +1 open, -1 close.
    """
    values = _checked(action, 7)
    return values[:3] * DELTA_POSITION, values[3:6] * DELTA_ROTATION, bool(values[6] > 0)


def delta_action(shift: npt.ArrayLike, angles: npt.ArrayLike, opens: bool) -> npt.NDArray[np.float32]:
    """The action vector ``(7,)`` of metres ``(3,)`` and Euler angles ``(3,)``; clipped to [-1, 1]."""
    position, rotation = np.asarray(shift) / DELTA_POSITION, np.asarray(angles) / DELTA_ROTATION
    action = np.concatenate([position, rotation, [1.0 if opens else -1.0]])
    return np.asarray(np.clip(action, -1.0, 1.0), dtype=np.float32)


def _checked(action: npt.ArrayLike, size: int) -> npt.NDArray[np.float64]:
    values = np.asarray(action, dtype=np.float64)
    if values.shape != (size,) or not np.isfinite(values).all():
        raise ValueError(f"An action must be {size} finite numbers in [-1, 1]; got {values!r}")
    return np.clip(values, -1.0, 1.0)
