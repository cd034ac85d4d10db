"""Where objects are, as skills need it: footprints, what lies under a point, how to take hold of something."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from envs.arrays import FloatArray
from envs.tabletop import shapes
from envs.tabletop.linear import product
from envs.tabletop.scene import Kind, ObjectSpec
from envs.tabletop.world import TabletopWorld

SNAP_RADIUS = 0.02
"""Metres by which a skill's start point may miss an object and still take it."""

OPENING_MARGINS = (0.02, 0.014, 0.008, 0.005)
"""Metres by which the gripper opens wider than an object; the widest that has room decides how it is taken."""

ENOUGH_ROOM = 0.002
"""Metres beside the fingers beyond which they open as wide as wanted."""

_TIP_BELOW_TOOL = 0.0072  # metres by which the finger tips reach below the tool frame
_GRASP_HEIGHT = 0.010  # least height of the tool above the object's lowest point
_FINGER_HALF_BREADTH = 0.0105
_FINGER_THICKNESS = 0.02
_AXIS_SAMPLES = (-1.0, 0.0, 1.0)


@dataclass(frozen=True)
class Grasp:
    """How to take hold of an object from above.

    Attributes:
        name: The object.
        centre: Where the tool goes ``(x, y)``.
        height: Height of the tool.
        yaw: Turn of the vertical gripper, radians; the same grasp exists at ``yaw + pi``.
        width: The object's extent along the closing direction, metres.
        opening: How wide to open before going down.
        room: Distance from the fingers' places to the next obstacle, metres; negative where they overlap.
    """

    name: str
    centre: FloatArray
    height: float
    yaw: float
    width: float
    opening: float
    room: float


def corners(world: TabletopWorld, spec: ObjectSpec) -> FloatArray:
    """The object's corner points in the world, ``(N, 3)``."""
    position, rotation = world.pose(spec.name)
    return product(shapes.outline(spec.kind, spec.size), rotation.T) + position


def object_at(world: TabletopWorld, point: FloatArray) -> ObjectSpec | None:
    """The object that a grasp at ``point (2,)`` takes.

    The topmost of the graspable objects that cover the point; where none does, the nearest within `SNAP_RADIUS`, or
    rather the topmost of what is stacked there.
    """
    candidates = []
    for spec in world.scene.objects:
        if shapes.graspable_width(spec.kind, spec.size) is None:
            continue
        points = corners(world, spec)
        distance = footprint_distance(points[:, :2], point[None])[0]
        if distance <= SNAP_RADIUS:
            candidates.append((float(distance), float(points[:, 2].max()), spec))
    if not candidates:
        return None
    nearest = max(0.0, min(distance for distance, _, _ in candidates))
    within = [item for item in candidates if item[0] <= nearest + 0.005]
    return max(within, key=lambda item: (item[1], item[2].name))[2]


def plan_grasp(world: TabletopWorld, spec: ObjectSpec) -> Grasp | None:
    """The grasp of an object with the most room for the fingers; ``None`` if it is too wide as it lies."""
    points = corners(world, spec)
    low, high = float(points[:, 2].min()), float(points[:, 2].max())
    height = low + max(_GRASP_HEIGHT, min((high - low) / 2, 0.025))
    if spec.kind in shapes.SLOPED:
        height = low + max(_GRASP_HEIGHT, (high - low) / 4)
    obstacles = _obstacles(world, spec, above=height - _TIP_BELOW_TOOL + 0.002)
    grasps = [
        grasp
        for yaw in _closing_yaws(world, spec)
        if (grasp := _grasp_along(spec.name, points[:, :2], height, yaw, obstacles)) is not None
    ]
    if not grasps:
        return None
    return max(grasps, key=lambda grasp: (round(min(grasp.room, 0.02), 3), -round(grasp.opening, 4), -abs(grasp.yaw)))


def free_opening(
    world: TabletopWorld,
    spec: ObjectSpec,
    tool: FloatArray,
    yaw: float,
    *,
    width: float,
    margins: Sequence[float],
    room: float,
) -> float:
    """How wide to open around an object without knocking over its neighbours, metres.

    Args:
        world: The world.
        spec: The object between the fingers.
        tool: Tool position ``(3,)``.
        yaw: The vertical gripper's turn.
        width: The opening at which the fingers touch the object.
        margins: By how much more to open, metres; the first that has enough room.
        room: What is enough beside the fingers, metres.
    """
    obstacles = _obstacles(world, spec, above=float(tool[2]) - _TIP_BELOW_TOOL + 0.002)
    return _widest_opening(tool[:2], yaw, width, obstacles, margins=margins, enough=room)[0]


def footprint_distance(footprint: FloatArray, points: FloatArray) -> FloatArray:
    """Signed distance of points ``(M, 2)`` from the convex hull of ``(N, 2)``; a lower bound outside, ``(M,)``."""
    equations = ConvexHull(footprint).equations
    return np.asarray((product(points, equations[:, :2].T) + equations[:, 2]).max(axis=1))


def support_height(world: TabletopWorld, footprint: FloatArray, below: float) -> float:
    """The highest surface under a footprint ``(N, 2)``, seen from the height ``below``."""
    low, high = footprint.min(axis=0), footprint.max(axis=0)
    counts = np.maximum(3, np.ceil((high - low) / 0.01).astype(int) + 1)
    x, y = np.meshgrid(np.linspace(low[0], high[0], counts[0]), np.linspace(low[1], high[1], counts[1]))
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    inside = grid[footprint_distance(footprint, grid) <= 1e-6]
    return float(world.heights(np.concatenate([footprint, inside]), below).max())


def tallest_near_path(
    world: TabletopWorld, start: FloatArray, end: FloatArray, radius: float, ignore: Iterable[str] = ()
) -> float:
    """Top of the tallest object within ``radius`` of the segment between two points ``(2,)``; 0 for the bare table."""
    travel = end - start
    length = float(product(travel, travel))
    top = 0.0
    for spec in world.scene.objects:
        if spec.name in ignore:
            continue
        points = corners(world, spec)
        centre = points[:, :2].mean(axis=0)
        share = 0.0 if length < 1e-12 else min(1.0, max(0.0, float(product(centre - start, travel)) / length))
        nearest = start + share * travel
        if footprint_distance(points[:, :2], nearest[None])[0] <= radius:
            top = max(top, float(points[:, 2].max()))
    return top


def _closing_yaws(world: TabletopWorld, spec: ObjectSpec) -> list[float]:
    """Gripper yaws that line up with the object, in (-pi/2, pi/2]."""
    _, rotation = world.pose(spec.name)
    axes = [rotation[:2, index] for index in range(3) if math.hypot(*rotation[:2, index]) > 0.5]
    base = math.atan2(axes[0][1], axes[0][0])
    quarters = 4 if spec.kind is Kind.CYLINDER and abs(rotation[2, 2]) > 0.9 else 2
    return [_half_turn(base + quarter * math.pi / quarters) for quarter in range(quarters)]


def _half_turn(angle: float) -> float:
    """The angle modulo a half turn, in (-pi/2, pi/2]."""
    return math.pi / 2 - (math.pi / 2 - angle) % math.pi


def _grasp_along(
    name: str, footprint: FloatArray, height: float, yaw: float, obstacles: list[FloatArray]
) -> Grasp | None:
    closing = np.array([-math.sin(yaw), math.cos(yaw)])
    across = np.array([math.cos(yaw), math.sin(yaw)])
    spread = product(footprint, closing)
    width = float(np.ptp(spread))
    if width > shapes.MAX_GRASP_WIDTH:
        return None
    along = product(footprint, across)
    centre = closing * (spread.max() + spread.min()) / 2 + across * (along.max() + along.min()) / 2
    opening, room = _widest_opening(centre, yaw, width, obstacles, margins=OPENING_MARGINS, enough=ENOUGH_ROOM)
    return Grasp(name, centre, height, yaw, width, opening, room)


def _widest_opening(
    centre: FloatArray,
    yaw: float,
    width: float,
    obstacles: list[FloatArray],
    *,
    margins: Sequence[float],
    enough: float,
) -> tuple[float, float]:
    """How wide to open around something of a width, and the room that the fingers have then, in metres."""
    closing = np.array([-math.sin(yaw), math.cos(yaw)])
    across = np.array([math.cos(yaw), math.sin(yaw)])
    best = (0.0, -math.inf)
    for margin in margins:
        opening = min(shapes.GRIPPER_OPENING, width + margin)
        reach = np.linspace(opening / 2, opening / 2 + _FINGER_THICKNESS, 3)
        samples = np.array(
            [
                centre + side * distance * closing + breadth * _FINGER_HALF_BREADTH * across
                for side in (-1, 1)
                for distance in reach
                for breadth in _AXIS_SAMPLES
            ]
        )
        room = min((float(footprint_distance(obstacle, samples).min()) for obstacle in obstacles), default=1.0)
        if room > best[1]:
            best = (opening, room)
        if room >= enough:
            break
    return best


def _obstacles(world: TabletopWorld, spec: ObjectSpec, above: float) -> list[FloatArray]:
    """Footprints of the convex parts of other objects that reach higher than the finger tips."""
    found = []
    for other in world.scene.objects:
        if other.name == spec.name:
            continue
        position, rotation = world.pose(other.name)
        for part in shapes.parts(other.kind, other.size):
            points = product(part.vertices, rotation.T) + position
            if points[:, 2].max() > above:
                found.append(points[:, :2])
    return found
