"""Skills: parametrised motions, executed by the arm in real contact through `TabletopWorld.step_control`.

Heights come from what is there. A grasp that misses, an object that slips and a tower that falls are outcomes that
show in the world's state; nothing here raises because of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from envs.tabletop import geometry, kinematics, shapes
from envs.tabletop.geometry import Grasp
from envs.tabletop.robot import HOME_JOINTS, HOME_POSITION
from envs.tabletop.world import CONTROL_HZ, TabletopWorld

FloatArray = npt.NDArray[np.float64]

_TRAVEL_SPEED = 0.6  # m/s, mean over a smooth start and stop
_APPROACH_SPEED = 0.25
_CONTACT_SPEED = 0.06
_PUSH_SPEED = 0.12
_TURN_SPEED = 2.5  # rad/s
_ACCELERATION = 6.0  # m/s^2 at the ends of a smooth motion; beyond it the wrist's motors saturate and the tool swerves
_TURN_ACCELERATION = 20.0  # rad/s^2
_CLEARANCE = 0.03  # metres between what is carried and what it passes over
_CORRIDOR = 0.07  # metres beside the path that count as passed over
_SLOW_ZONE = 0.02  # metres above the expected contact from which to go slowly
_PUSH_HEIGHT = 0.012  # tool height above the surface when pushing; the finger tips are 5 mm above it
_CLOSE_STEPS = 8
_OPEN_STEPS = 4
_YAW_CENTRE = 0.75  # middle of the wrist's range of yaw, relative to the arm's azimuth
_HALF_WAY_YAW = 2.5  # radians from home beyond which the wrist turns back in two moves
_SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class SkillResult:
    """What a skill did.

    Attributes:
        picked: The object that was lifted, if any.
        steps: Control steps that it took.
        settled: Whether all objects had come to rest at its end.
    """

    picked: str | None
    steps: int
    settled: bool


def pick_and_place(world: TabletopWorld, start: npt.ArrayLike, end: npt.ArrayLike, turn: float = 0.0) -> SkillResult:
    """Take the topmost object at ``start`` and put it down on whatever is at ``end``.

    The grasp snaps to the object that covers the start point or lies within 2 cm of it; its centre is put at the end
    point. Where there is no such object, the gripper closes on nothing and the motion goes on.

    Args:
        world: The world; at the end the arm is back home and the world is rebased.
        start: ``(2,)`` metres.
        end: ``(2,)`` metres.
        turn: How far to turn the object about the vertical, radians in [-pi/2, pi/2].

    Raises:
        SimulationError: The world exploded.
    """
    begin = world.time
    start, end = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    spec = geometry.object_at(world, start)
    grasp = geometry.plan_grasp(world, spec) if spec is not None else None
    if grasp is None:
        height = max(0.0, float(world.heights(start[None])[0])) + _PUSH_HEIGHT
        grasp = Grasp("", start, height, 0.0, shapes.GRIPPER_OPENING, 0.0)
    yaw = _reachable_yaw(grasp.yaw, turn, grasp.centre, end)
    _go_above(world, grasp.centre, grasp.height, yaw, grasp.opening)
    _descend(world, grasp.height, grasp.opening, touching=None)
    _close(world)
    _raise_to(world, min(shapes.REACH_HEIGHT, grasp.height + 0.02), 0.0, _APPROACH_SPEED)
    picked = world.held()
    if picked is None:
        _raise_to(world, _cruise_height(world, grasp.centre, np.array(HOME_POSITION[:2])), 0.0, _TRAVEL_SPEED)
    else:
        _carry(world, picked, end, turn)
    return _finish(world, begin, picked)


def push(world: TabletopWorld, start: npt.ArrayLike, end: npt.ArrayLike) -> SkillResult:
    """Lower the closed gripper at ``start`` and move it in a straight line to ``end``.

    It goes down to just above the surface at ``start`` and keeps that height; its broad side points ahead.

    Args:
        world: The world; at the end the arm is back home and the world is rebased.
        start: ``(2,)`` metres, free room beside what is to be pushed.
        end: ``(2,)`` metres, where the gripper stops.

    Raises:
        SimulationError: The world exploded.
    """
    begin = world.time
    start, end = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    heading = math.atan2(end[1] - start[1], end[0] - start[0])
    yaw = _reachable_yaw(heading, 0.0, start, end)
    height = max(0.0, float(world.heights(start[None])[0])) + _PUSH_HEIGHT
    _go_above(world, start, height, yaw, 0.0)
    _descend(world, height, 0.0, touching=None)
    _move(world, np.append(end, height), kinematics.vertical(yaw), 0.0, _PUSH_SPEED)
    _raise_to(world, height + 0.05, 0.0, _APPROACH_SPEED)
    return _finish(world, begin, None)


# ------------------------------------------------------------------------------------------------ phases


def _go_above(world: TabletopWorld, point: FloatArray, height: float, yaw: float, width: float) -> None:
    """Travel at a safe height to above a point."""
    here, _ = world.tool_target
    cruise = max(_cruise_height(world, here[:2], point), min(height + _CLEARANCE, shapes.REACH_HEIGHT))
    if here[2] < cruise:
        _raise_to(world, cruise, width, _TRAVEL_SPEED)
    _move(world, np.append(point, cruise), kinematics.vertical(yaw), width, _TRAVEL_SPEED)


def _descend(world: TabletopWorld, height: float, width: float, touching: str | None) -> None:
    """Go straight down, slowly at the end; stop when the object named ``touching`` meets something."""
    here, orientation = world.tool_target
    slow = min(float(here[2]), height + _SLOW_ZONE)
    _move(world, np.append(here[:2], slow), orientation, width, _TRAVEL_SPEED)
    stop = None if touching is None else (lambda: world.touches(touching))
    speed = _APPROACH_SPEED / 2 if touching is None else _CONTACT_SPEED
    _move(world, np.append(here[:2], height), orientation, width, speed, stop=stop, smooth=touching is None)


def _close(world: TabletopWorld) -> None:
    """Close until the fingers have stopped."""
    position, orientation = world.tool_target
    previous = math.inf
    for _ in range(_CLOSE_STEPS):
        world.step_control(position, orientation, 0.0)
        width = world.robot.gripper_width()
        if previous - width < 2e-4:
            return
        previous = width


def _carry(world: TabletopWorld, name: str, end: FloatArray, turn: float) -> None:
    """Bring the held object over ``end``, lower it until it touches, and let go."""
    spec = next(item for item in world.scene.objects if item.name == name)
    here, _ = world.tool_target
    hanging = float(here[2]) - float(geometry.corners(world, spec)[:, 2].min())
    reach = max(shapes.dimensions(spec.kind, spec.size)[:2]) / 2
    top = geometry.tallest_near_path(world, here[:2], end, _CORRIDOR + reach, ignore=(name,))
    cruise = min(shapes.REACH_HEIGHT + 0.02, max(float(here[2]), top + _CLEARANCE + hanging))
    _raise_to(world, cruise, 0.0, _TRAVEL_SPEED)
    here, orientation = world.tool_target
    position, _ = world.pose(name)
    target = end - _turned(position[:2] - here[:2], turn)
    final = _about_vertical(turn) @ orientation
    _move(world, np.append(target, cruise), final, 0.0, _TRAVEL_SPEED)
    if world.held() == name:
        _centre(world, name, end)
        points = geometry.corners(world, spec)
        low = float(points[:, 2].min())
        support = geometry.support_height(world, points[:, :2], low - 0.001)
        here, _ = world.tool_target
        _descend(world, float(here[2]) - low + support - 0.003, 0.0, touching=name)
    width = world.robot.gripper_width()
    here, orientation = world.tool_target
    release = geometry.release_opening(world, spec, here, math.atan2(orientation[1, 0], orientation[0, 0]), width)
    for _ in range(_OPEN_STEPS):
        world.step_control(here, orientation, release)
    _raise_to(world, min(float(here[2]) + 0.06, shapes.REACH_HEIGHT + 0.02), release, _APPROACH_SPEED)


def _centre(world: TabletopWorld, name: str, end: FloatArray) -> None:
    """Take out what the object slipped in the fingers while it was carried."""
    world.hold(2)
    here, orientation = world.tool_target
    position, _ = world.pose(name)
    target = np.append(here[:2] + end - position[:2], here[2])
    _move(world, target, orientation, 0.0, _CONTACT_SPEED)


def _finish(world: TabletopWorld, begin: float, picked: str | None) -> SkillResult:
    """Go home, wait for rest, and make the present the next action's exact starting point."""
    here, _ = world.tool_target
    home = np.array(HOME_POSITION)
    cruise = _cruise_height(world, here[:2], home[:2])
    if here[2] < cruise:
        _raise_to(world, cruise, world.width_target, _TRAVEL_SPEED)
    yaw = _unwrapped_yaw(world)
    if abs(yaw) > _HALF_WAY_YAW:
        here, _ = world.tool_target
        _move(world, here, kinematics.vertical(yaw / 2), world.width_target, _TRAVEL_SPEED)
    _move(world, home, kinematics.vertical(0.0), shapes.GRIPPER_OPENING, _TRAVEL_SPEED)
    settled = world.settle(_SETTLE_SECONDS)
    steps = round((world.time - begin) * CONTROL_HZ)
    world.rebase()
    return SkillResult(picked, steps, settled)


# ----------------------------------------------------------------------------------------------- motions


def _move(
    world: TabletopWorld,
    position: FloatArray,
    orientation: FloatArray,
    width: float,
    speed: float,
    *,
    stop: Callable[[], bool] | None = None,
    smooth: bool = True,
) -> None:
    """Straight line from the present target to a pose, with a smooth start and stop unless told otherwise."""
    start, from_orientation = world.tool_target
    rotation = kinematics.rotation_vector(orientation @ from_orientation.T)
    angle = float(np.linalg.norm(rotation))
    distance = float(np.linalg.norm(position - start))
    seconds = max(distance / speed, angle / _TURN_SPEED)
    if smooth:
        seconds = max(seconds, math.sqrt(6 * distance / _ACCELERATION), math.sqrt(6 * angle / _TURN_ACCELERATION))
    steps = max(1, math.ceil(seconds * CONTROL_HZ))
    for step in range(1, steps + 1):
        share = step / steps
        if smooth:
            share = share * share * (3 - 2 * share)
        turn = kinematics.rotation_matrix(share * rotation)
        world.step_control(start + share * (position - start), turn @ from_orientation, width)
        if stop is not None and stop():
            return


def _raise_to(world: TabletopWorld, height: float, width: float, speed: float) -> None:
    here, orientation = world.tool_target
    _move(world, np.append(here[:2], height), orientation, width, speed)


def _cruise_height(world: TabletopWorld, start: FloatArray, end: FloatArray) -> float:
    """Tool height at which the empty gripper passes over everything between two points."""
    top = geometry.tallest_near_path(world, start, end, _CORRIDOR)
    return min(shapes.REACH_HEIGHT + 0.02, top + _CLEARANCE + 0.01)


def _reachable_yaw(yaw: float, turn: float, start: FloatArray, end: FloatArray) -> float:
    """The equivalent of a grasp's yaw (modulo a half turn) that keeps the wrist farthest from its limits."""
    azimuths = [math.atan2(point[1], point[0] - shapes.BASE_POSITION[0]) for point in (start, end)]

    def strain(candidate: float) -> float:
        return max(
            abs(candidate - azimuths[0] - _YAW_CENTRE),
            abs(candidate + turn - azimuths[1] - _YAW_CENTRE),
            abs(candidate - _YAW_CENTRE),
        )

    return min((yaw - math.pi, yaw, yaw + math.pi), key=strain)


def _unwrapped_yaw(world: TabletopWorld) -> float:
    """The tool's yaw as it was turned since home, which may be more than half a turn.

    The shortest way home from there leads through the wrist's limit.
    """
    _, orientation = world.tool_target
    yaw = math.atan2(orientation[1, 0], orientation[0, 0])
    joints = world.arm_target - HOME_JOINTS
    turned = float(joints[0] - joints[6])
    return yaw + 2 * math.pi * round((turned - yaw) / (2 * math.pi))


def _turned(vector: FloatArray, angle: float) -> FloatArray:
    return _about_vertical(angle)[:2, :2] @ vector


def _about_vertical(angle: float) -> FloatArray:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
