"""What the shapes of a scene are in metres: sizes, masses, friction, and what can be done with them.

Everything a generator or a planner needs to know about objects without a simulator. The convex parts given here are
also exactly what the simulator is built from.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from envs.tabletop.linear import around, product
from envs.tabletop.scene import Colour, Kind, Size

Vector = tuple[float, float, float]
Rgba = tuple[float, float, float, float]

WORKSPACE_X = (-0.16, 0.16)
"""Reachable range of ``x`` in metres; skill actions in [-1, 1] map onto it."""

WORKSPACE_Y = (-0.28, 0.28)
"""Reachable range of ``y`` in metres."""

WORKSPACE = (WORKSPACE_X, WORKSPACE_Y)
"""Every point of this rectangle is reached by a vertical gripper at every height up to `REACH_HEIGHT`."""

REACH_HEIGHT = 0.40
"""Highest tool position in metres over all of `WORKSPACE`: seven medium cubes (0.28 m), one more held above them."""

BASE_POSITION: Vector = (-0.48, 0.0, 0.0)
"""Where the robot's base stands on the table."""

GRIPPER_OPENING = 0.08
"""Widest opening of the gripper in metres."""

MAX_GRASP_WIDTH = 0.07
"""Widest extent that the gripper can close around, with clearance, in metres."""

FINGER_GAP = 0.025
"""Free room beside an object that a finger needs to go down, in metres."""

FRICTION = 0.8
"""Coulomb coefficient of objects and table; Bullet multiplies those of the two bodies in contact (0.64)."""

FINGER_FRICTION = 1.2
"""Coulomb coefficient of the finger pads (0.96 against an object)."""

DENSITY = 600.0
"""Kilograms per cubic metre, dry wood."""

CONTAINER_MASS = 0.6
"""Kilograms of a bowl, tray or bin: heavy enough to stay when something is put in, light enough to be pushed."""

RGBA: dict[Colour, Rgba] = {
    Colour.RED: (0.86, 0.13, 0.13, 1.0),
    Colour.ORANGE: (0.98, 0.50, 0.06, 1.0),
    Colour.YELLOW: (0.98, 0.85, 0.10, 1.0),
    Colour.GREEN: (0.16, 0.64, 0.22, 1.0),
    Colour.CYAN: (0.10, 0.76, 0.82, 1.0),
    Colour.BLUE: (0.13, 0.30, 0.86, 1.0),
    Colour.PURPLE: (0.55, 0.20, 0.72, 1.0),
    Colour.WHITE: (0.94, 0.94, 0.94, 1.0),
}
"""The eight named colours."""

TABLE_RGBA: Rgba = (0.62, 0.56, 0.48, 1.0)
"""The table's paint."""

_BLOCK = {Size.SMALL: 0.03, Size.MEDIUM: 0.04, Size.LARGE: 0.05}
_DIMENSIONS: dict[Kind, dict[Size, Vector]] = {
    **{
        kind: {size: (edge, edge, edge) for size, edge in _BLOCK.items()}
        for kind in (Kind.CUBE, Kind.CYLINDER, Kind.PYRAMID, Kind.WEDGE)
    },
    Kind.PLANK: {Size.SMALL: (0.12, 0.03, 0.015), Size.MEDIUM: (0.16, 0.04, 0.016), Size.LARGE: (0.20, 0.05, 0.02)},
    Kind.BOWL: {Size.SMALL: (0.12, 0.12, 0.035), Size.MEDIUM: (0.14, 0.14, 0.04), Size.LARGE: (0.16, 0.16, 0.045)},
    Kind.TRAY: {Size.SMALL: (0.14, 0.10, 0.02), Size.MEDIUM: (0.18, 0.13, 0.02), Size.LARGE: (0.22, 0.16, 0.02)},
    Kind.BIN: {Size.SMALL: (0.11, 0.11, 0.05), Size.MEDIUM: (0.14, 0.14, 0.05), Size.LARGE: (0.17, 0.17, 0.05)},
}

_WALL = 0.006  # thickness of the walls and floors of containers
_PLINTH = 0.5  # share of a pyramid's or wedge's height that is upright, for the fingers to hold
_BOWL_SIDES = 12
_BOWL_FLOOR = 0.75  # radius of a bowl's flat floor over its rim's
_CYLINDER_SIDES = 24

CONTAINERS = frozenset({Kind.BOWL, Kind.TRAY, Kind.BIN})
"""Kinds that things are put into; too wide for the gripper, so they are pushed but never picked."""

OPEN_CONTAINERS = frozenset({Kind.TRAY})
"""Containers with walls so low that the fingers can take out again what lies in them."""

SLOPED = frozenset({Kind.PYRAMID, Kind.WEDGE})
"""Kinds that nothing rests on: every face that looks up slopes by 45 degrees, and friction holds up to 33.

A pyramid ends in a point, a wedge in a ridge along its own ``y`` (a gable roof).
"""


class PartKind(StrEnum):
    """How a convex part is given to the simulator."""

    BOX = "box"
    CYLINDER = "cylinder"
    HULL = "hull"


@dataclass(frozen=True)
class Part:
    """One convex part of a shape, in the frame of the shape's bounding box centre.

    Attributes:
        kind: Exact primitive or convex hull.
        extents: Full sizes along the part's own axes (the hull's bounding box).
        offset: Centre of the part.
        rpy: Roll, pitch, yaw of the part.
        vertices: Corners in the shape's frame, ``(N, 3)``; for a cylinder, points on both rims.
    """

    kind: PartKind
    extents: Vector
    offset: Vector
    rpy: Vector
    vertices: npt.NDArray[np.float64]


# ------------------------------------------------------------------------------------------------ facts


def dimensions(kind: Kind, size: Size) -> Vector:
    """Full extents ``(x, y, z)`` of the bounding box in metres. A plank is long along its own ``x``."""
    return _DIMENSIONS[kind][size]


def mass(kind: Kind, size: Size) -> float:
    """Mass in kilograms."""
    if kind in CONTAINERS:
        return CONTAINER_MASS
    x, y, z = dimensions(kind, size)
    share = {
        Kind.CUBE: 1.0,
        Kind.PLANK: 1.0,
        Kind.CYLINDER: math.pi / 4,
        Kind.PYRAMID: _PLINTH + (1 - _PLINTH) / 3,
        Kind.WEDGE: _PLINTH + (1 - _PLINTH) / 2,
    }[kind]
    return DENSITY * share * x * y * z


def can_support(kind: Kind) -> bool:
    """Whether something can rest on top of it (a container's inside does not count as its top)."""
    return kind not in SLOPED and kind not in CONTAINERS


def is_container(kind: Kind) -> bool:
    """Whether things can be put into it."""
    return kind in CONTAINERS


def inner_dimensions(kind: Kind, size: Size) -> Vector:
    """Room inside a container: ``(x, y, depth)`` in metres; for a bowl, ``x`` and ``y`` of its flat floor's square.

    Raises:
        ValueError: The kind is no container.
    """
    x, y, z = dimensions(kind, size)
    if kind is Kind.BOWL:
        side = math.sqrt(2) * (x / 2) * _BOWL_FLOOR
        return (side, side, z - _WALL)
    if kind in (Kind.TRAY, Kind.BIN):
        return (x - 2 * _WALL, y - 2 * _WALL, z - _WALL)
    raise ValueError(f"A {kind} is no container; containers are: {', '.join(sorted(CONTAINERS))}")


def floor_height(kind: Kind) -> float:
    """Height of a container's inner floor above what it stands on, in metres.

    Raises:
        ValueError: The kind is no container.
    """
    if kind not in CONTAINERS:
        raise ValueError(f"A {kind} is no container; containers are: {', '.join(sorted(CONTAINERS))}")
    return _WALL


def graspable_width(kind: Kind, size: Size) -> float | None:
    """Width that the gripper closes around when the object stands upright, or ``None`` if it cannot be picked."""
    if kind in CONTAINERS:
        return None
    x, y, _ = dimensions(kind, size)
    return min(x, y)


# ---------------------------------------------------------------------------------------------- geometry


@functools.cache
def parts(kind: Kind, size: Size) -> tuple[Part, ...]:
    """The convex parts that make up a shape, in a fixed order."""
    x, y, z = dimensions(kind, size)
    if kind in (Kind.CUBE, Kind.PLANK):
        return (box((x, y, z)),)
    if kind is Kind.CYLINDER:
        return (_cylinder(x / 2, z),)
    if kind in SLOPED:
        plinth = box((x, y, _PLINTH * z), (0.0, 0.0, (_PLINTH - 1) * z / 2))
        ridge = [(0.0, 0.0, z / 2)] if kind is Kind.PYRAMID else [(0.0, -y / 2, z / 2), (0.0, y / 2, z / 2)]
        return plinth, _hull([*_rectangle(x, y, (_PLINTH - 0.5) * z), *ridge])
    if kind is Kind.BOWL:
        return _bowl(x / 2, z)
    return _open_box(x, y, z)


@functools.cache
def outline(kind: Kind, size: Size) -> npt.NDArray[np.float64]:
    """Corner points of all parts in the shape's frame, ``(N, 3)``; their convex hull encloses the shape."""
    return np.concatenate([part.vertices for part in parts(kind, size)])


def _rectangle(x: float, y: float, z: float) -> list[Vector]:
    return [(sx * x / 2, sy * y / 2, z) for sx in (-1, 1) for sy in (-1, 1)]


def box(extents: Vector, offset: Vector = (0.0, 0.0, 0.0), rpy: Vector = (0.0, 0.0, 0.0)) -> Part:
    """A box of full sizes ``extents`` somewhere in a shape's frame."""
    x, y, z = extents
    corners = np.array([*_rectangle(x, y, -z / 2), *_rectangle(x, y, z / 2)])
    return Part(PartKind.BOX, extents, offset, rpy, product(corners, rotation(rpy).T) + np.array(offset))


def _cylinder(radius: float, height: float, offset: Vector = (0.0, 0.0, 0.0)) -> Part:
    angles = np.arange(_CYLINDER_SIDES) * (2 * math.pi / _CYLINDER_SIDES)
    rim = radius * around(angles.tolist())
    vertices = np.concatenate([np.insert(rim, 2, -height / 2, axis=1), np.insert(rim, 2, height / 2, axis=1)])
    extents = (2 * radius, 2 * radius, height)
    return Part(PartKind.CYLINDER, extents, offset, (0.0, 0.0, 0.0), vertices + np.array(offset))


def _hull(corners: list[Vector]) -> Part:
    vertices = np.array(corners)
    x, y, z = np.ptp(vertices, axis=0).tolist()
    centre_x, centre_y, centre_z = ((vertices.min(axis=0) + vertices.max(axis=0)) / 2).tolist()
    return Part(PartKind.HULL, (x, y, z), (centre_x, centre_y, centre_z), (0.0, 0.0, 0.0), vertices)


def _open_box(x: float, y: float, z: float) -> tuple[Part, ...]:
    floor = box((x, y, _WALL), (0.0, 0.0, (_WALL - z) / 2))
    height, lift = z - _WALL, _WALL / 2
    walls_x = [box((_WALL, y, height), (side * (x - _WALL) / 2, 0.0, lift)) for side in (-1, 1)]
    walls_y = [box((x - 2 * _WALL, _WALL, height), (0.0, side * (y - _WALL) / 2, lift)) for side in (-1, 1)]
    return (floor, *walls_x, *walls_y)


def _bowl(radius: float, height: float) -> tuple[Part, ...]:
    """A flat floor and a ring of boxes that lean outwards; the rim's outer edge has ``radius``."""
    foot = radius * _BOWL_FLOOR
    wall = height - _WALL  # the staves start on the floor, so that only the floor touches the table
    lean = math.atan2(radius - foot, wall)
    slant = (wall - _WALL * math.sin(lean)) / math.cos(lean)
    middle = (radius + foot) / 2 - _WALL * math.cos(lean) / 2
    staves = []
    for side in range(_BOWL_SIDES):
        angle = 2 * math.pi * side / _BOWL_SIDES
        width = 2 * radius * math.tan(math.pi / _BOWL_SIDES)
        offset = (middle * math.cos(angle), middle * math.sin(angle), _WALL / 2)
        staves.append(box((_WALL, width, slant), offset, (0.0, lean, angle)))
    return (_cylinder(foot, _WALL, (0.0, 0.0, (_WALL - height) / 2)), *staves)


def rotation(rpy: Vector) -> npt.NDArray[np.float64]:
    """Rotation matrix ``(3, 3)`` of roll, pitch, yaw (rotations about the fixed x, y, z axes in that order)."""
    (cr, sr), (cp, sp), (cy, sy) = ((math.cos(angle), math.sin(angle)) for angle in rpy)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )
