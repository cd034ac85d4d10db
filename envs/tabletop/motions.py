"""Motions of the hand: what pick-and-place and push do from one control step to the next, whoever commands the arm.

A motion is a generator of tool targets, one per control step. It looks at the world between two of them, so it stops
at contact and goes where things are, and it commands nothing itself: `envs.tabletop.skills` sends the targets to the
arm, and an agent in delta control turns each one into an action (`envs.tabletop.actions.delta_action`).

Heights come from what is there. A grasp that misses, an object that slips and a tower that falls are outcomes that
show in the world's state; nothing here raises because of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.tabletop import geometry, kinematics, shapes
from envs.tabletop.actions import DELTA_POSITION, DELTA_ROTATION
from envs.tabletop.geometry import Grasp
from envs.tabletop.linear import norm, product
from envs.tabletop.robot import FINGER_SPEED, HOME_JOINTS, HOME_POSITION
from envs.tabletop.scene import ObjectSpec
from envs.tabletop.world import CONTROL_HZ, TabletopWorld

_CLEARANCE = 0.03  # metres between what is carried and what it passes over
_CORRIDOR = 0.07  # metres beside the path that count as passed over
_SLOW_ZONE = 0.02  # metres above the expected contact from which to go slowly
_PUSH_HEIGHT = 0.012  # tool height above the surface when pushing; the finger tips are 5 mm above it
_CLOSE_STEPS = 8
_OPEN_STEPS = 4
_YAW_CENTRE = 0.75  # middle of the wrist's range of yaw, relative to the arm's azimuth
_HALF_WAY_YAW = 2.5  # radians from home beyond which the wrist turns back in two moves
_WIDTH_PER_STEP = 2 * FINGER_SPEED / CONTROL_HZ  # metres by which the gripper's opening changes in a control step
_PEAK = 1.5  # highest speed of a smooth motion over its mean speed


class ToolTarget(NamedTuple):
    """Where the tool shall be at the end of a control step.

    Attributes:
        position: ``(3,)`` metres.
        orientation: ``(3, 3)``.
        width: The gripper's opening, metres; 0 closes with full force.
    """

    position: FloatArray
    orientation: FloatArray
    width: float


Motion = Generator[ToolTarget, None, None]


@dataclass(frozen=True)
class Manner:
    """How fast the hand moves, and how far it opens.

    Attributes:
        travel_speed: Metres per second through free space; like all speeds, the mean over a smooth start and stop.
        approach_speed: Metres per second near objects.
        contact_speed: Metres per second where contact is expected.
        push_speed: Metres per second of a push.
        turn_speed: Radians per second.
        acceleration: Metres per second squared at the ends of a smooth motion.
        turn_acceleration: Radians per second squared.
        opening_margins: By how much the gripper opens wider than what it takes, metres; the first that has room.
        release_margins: By how much it opens to let go.
        room: Metres that are enough beside the open fingers.
    """

    travel_speed: float
    approach_speed: float
    contact_speed: float
    push_speed: float
    turn_speed: float
    acceleration: float
    turn_acceleration: float
    opening_margins: tuple[float, ...]
    release_margins: tuple[float, ...]
    room: float


SKILL = Manner(
    travel_speed=0.6,
    approach_speed=0.25,
    contact_speed=0.06,
    push_speed=0.12,
    turn_speed=2.5,
    acceleration=6.0,  # beyond it the wrist's motors saturate and the tool swerves
    turn_acceleration=20.0,
    opening_margins=geometry.OPENING_MARGINS,
    release_margins=geometry.OPENING_MARGINS,
    room=geometry.ENOUGH_ROOM,
)
"""As skill actions are carried out."""

DELTA = Manner(
    travel_speed=DELTA_POSITION * CONTROL_HZ / _PEAK,
    approach_speed=0.25,
    contact_speed=0.06,
    push_speed=0.12,
    turn_speed=DELTA_ROTATION * CONTROL_HZ / _PEAK,
    acceleration=6.0,
    turn_acceleration=20.0,
    opening_margins=(shapes.GRIPPER_OPENING, _WIDTH_PER_STEP + 0.003),
    release_margins=(shapes.GRIPPER_OPENING, _WIDTH_PER_STEP - 0.001),
    room=0.01,  # fingers that open all the way with full force must not get wedged between walls
)
"""Within what delta actions can command.

The gripper opens all the way where there is room. Where there is not, its commands alternate, and its opening stays
within a step's change of what is wanted: it must not touch what it is about to take, nor what is beside what it let go.
"""


@dataclass(frozen=True)
class Motions:
    """The hand's motions in one world."""

    world: TabletopWorld
    manner: Manner

    def pick_and_place(
        self, start: npt.ArrayLike, end: npt.ArrayLike, turn: float
    ) -> Generator[ToolTarget, None, str | None]:
        """Take the topmost object at ``start``, put it down on whatever is at ``end``, and go home.

        The grasp snaps to the object that covers the start point or lies within 2 cm of it; its centre is put at the
        end point. Where there is no such object, the gripper closes on nothing and the motion goes on.

        Args:
            start: ``(2,)`` metres.
            end: ``(2,)`` metres.
            turn: How far to turn the object about the vertical, radians in [-pi/2, pi/2].

        Returns:
            The object that was lifted, if any.
        """
        world, speed = self.world, self.manner
        start, end = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
        grasp = self._plan_grasp(start)
        yaw = _reachable_yaw(grasp.yaw, turn, grasp.centre, end)
        yield from self._go_above(grasp.centre, grasp.height, yaw, grasp.opening)
        yield from self._descend(grasp.height, grasp.opening, touching=None)
        yield from self._close()
        yield from self._raise_to(min(shapes.REACH_HEIGHT, grasp.height + 0.02), 0.0, speed.approach_speed)
        picked = world.held()
        if picked is None:
            cruise = self._cruise_height(grasp.centre, np.array(HOME_POSITION[:2]))
            yield from self._raise_to(cruise, 0.0, speed.travel_speed)
            yield from self._go_home(0.0)
        else:
            release = yield from self._carry(picked, end, turn)
            yield from self._go_home(release)
        return picked

    def push(self, start: npt.ArrayLike, end: npt.ArrayLike) -> Motion:
        """Lower the closed gripper at ``start``, move it in a straight line to ``end``, and go home.

        It goes down to just above the surface at ``start`` and keeps that height; its broad side points ahead.

        Args:
            start: ``(2,)`` metres, free room beside what is to be pushed.
            end: ``(2,)`` metres, where the gripper stops.
        """
        start, end = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
        heading = math.atan2(end[1] - start[1], end[0] - start[0])
        yaw = _reachable_yaw(heading, 0.0, start, end)
        height = max(0.0, float(self.world.heights(start[None])[0])) + _PUSH_HEIGHT
        yield from self._go_above(start, height, yaw, 0.0)
        yield from self._descend(height, 0.0, touching=None)
        yield from self._move(np.append(end, height), kinematics.vertical(yaw), 0.0, self.manner.push_speed)
        yield from self._raise_to(height + 0.05, 0.0, self.manner.approach_speed)
        yield from self._go_home(0.0)

    # -------------------------------------------------------------------------------------------- phases

    def _plan_grasp(self, point: FloatArray) -> Grasp:
        """How to take what is at a point; where nothing can be taken, the open gripper goes down to the surface."""
        spec = geometry.object_at(self.world, point)
        grasp = geometry.plan_grasp(self.world, spec) if spec is not None else None
        if spec is None or grasp is None:
            height = max(0.0, float(self.world.heights(point[None])[0])) + _PUSH_HEIGHT
            return Grasp("", point, height, 0.0, 0.0, shapes.GRIPPER_OPENING, 0.0)
        tool = np.append(grasp.centre, grasp.height)
        return replace(grasp, opening=self._opening(spec, tool, grasp.yaw, grasp.width, self.manner.opening_margins))

    def _opening(
        self, spec: ObjectSpec, tool: FloatArray, yaw: float, width: float, margins: tuple[float, ...]
    ) -> float:
        room = self.manner.room
        return geometry.free_opening(self.world, spec, tool, yaw, width=width, margins=margins, room=room)

    def _go_above(self, point: FloatArray, height: float, yaw: float, width: float) -> Motion:
        """Travel at a safe height to above a point."""
        here, _ = self.world.tool_target
        cruise = max(self._cruise_height(here[:2], point), min(height + _CLEARANCE, shapes.REACH_HEIGHT))
        if here[2] < cruise:
            yield from self._raise_to(cruise, width, self.manner.travel_speed)
        yield from self._move(np.append(point, cruise), kinematics.vertical(yaw), width, self.manner.travel_speed)

    def _descend(self, height: float, width: float, touching: str | None) -> Motion:
        """Go straight down, slowly at the end; stop when the object named ``touching`` meets something."""
        world = self.world
        here, orientation = world.tool_target
        slow = min(float(here[2]), height + _SLOW_ZONE)
        yield from self._move(np.append(here[:2], slow), orientation, width, self.manner.travel_speed)
        stop = None if touching is None else (lambda: world.touches(touching))
        speed = self.manner.approach_speed / 2 if touching is None else self.manner.contact_speed
        end = np.append(here[:2], height)
        yield from self._move(end, orientation, width, speed, stop=stop, smooth=touching is None)

    def _close(self) -> Motion:
        """Close until the fingers have stopped."""
        position, orientation = self.world.tool_target
        previous = math.inf
        for _ in range(_CLOSE_STEPS):
            yield ToolTarget(position, orientation, 0.0)
            width = self.world.robot.gripper_width()
            if previous - width < 2e-4:
                return
            previous = width

    def _carry(self, name: str, end: FloatArray, turn: float) -> Generator[ToolTarget, None, float]:
        """Bring the held object over ``end``, lower it until it touches, and let go; how wide the hand is open then."""
        world, speed = self.world, self.manner
        spec = next(item for item in world.scene.objects if item.name == name)
        here, _ = world.tool_target
        hanging = float(here[2]) - float(geometry.corners(world, spec)[:, 2].min())
        reach = max(shapes.dimensions(spec.kind, spec.size)[:2]) / 2
        top = geometry.tallest_near_path(world, here[:2], end, _CORRIDOR + reach, ignore=(name,))
        cruise = min(shapes.REACH_HEIGHT + 0.02, max(float(here[2]), top + _CLEARANCE + hanging))
        yield from self._raise_to(cruise, 0.0, speed.travel_speed)
        here, orientation = world.tool_target
        position, _ = world.pose(name)
        target = end - _turned(position[:2] - here[:2], turn)
        final = product(_about_vertical(turn), orientation)
        yield from self._move(np.append(target, cruise), final, 0.0, speed.travel_speed)
        if world.held() == name:
            yield from self._centre(name, end)
            points = geometry.corners(world, spec)
            low = float(points[:, 2].min())
            support = geometry.support_height(world, points[:, :2], low - 0.001)
            here, _ = world.tool_target
            yield from self._descend(float(here[2]) - low + support - 0.003, 0.0, touching=name)
        width = world.robot.gripper_width()
        here, orientation = world.tool_target
        yaw = math.atan2(orientation[1, 0], orientation[0, 0])
        release = self._opening(spec, here, yaw, width, speed.release_margins)
        for _ in range(_OPEN_STEPS):
            yield ToolTarget(here, orientation, release)
        yield from self._raise_to(min(float(here[2]) + 0.06, shapes.REACH_HEIGHT + 0.02), release, speed.approach_speed)
        return release

    def _centre(self, name: str, end: FloatArray) -> Motion:
        """Take out what the object slipped in the fingers while it was carried."""
        here, orientation = self.world.tool_target
        for _ in range(2):
            yield ToolTarget(here, orientation, 0.0)
        position, _ = self.world.pose(name)
        target = np.append(here[:2] + end - position[:2], here[2])
        yield from self._move(target, orientation, 0.0, self.manner.contact_speed)

    def _go_home(self, width: float) -> Motion:
        """Back to where the tool waits, over everything that stands in the way; it opens when all is below it."""
        world, speed = self.world, self.manner.travel_speed
        here, _ = world.tool_target
        home = np.array(HOME_POSITION)
        cruise = self._cruise_height(here[:2], home[:2])
        if here[2] < cruise:
            yield from self._raise_to(cruise, width, speed)
        yaw = _unwrapped_yaw(world)
        if abs(yaw) > _HALF_WAY_YAW:
            here, _ = world.tool_target
            yield from self._move(here, kinematics.vertical(yaw / 2), width, speed)
        yield from self._move(home, kinematics.vertical(0.0), shapes.GRIPPER_OPENING, speed)

    # ------------------------------------------------------------------------------------------- straight

    def _move(
        self,
        position: FloatArray,
        orientation: FloatArray,
        width: float,
        speed: float,
        *,
        stop: Callable[[], bool] | None = None,
        smooth: bool = True,
    ) -> Motion:
        """Straight line from the present target to a pose, with a smooth start and stop unless told otherwise."""
        start, from_orientation = self.world.tool_target
        rotation = kinematics.rotation_vector(product(orientation, from_orientation.T))
        angle = norm(rotation)
        distance = norm(position - start)
        seconds = max(distance / speed, angle / self.manner.turn_speed)
        if smooth:
            from_rest = math.sqrt(6 * distance / self.manner.acceleration)
            seconds = max(seconds, from_rest, math.sqrt(6 * angle / self.manner.turn_acceleration))
        steps = max(1, math.ceil(seconds * CONTROL_HZ))
        for step in range(1, steps + 1):
            share = step / steps
            if smooth:
                share = share * share * (3 - 2 * share)
            turn = kinematics.rotation_matrix(share * rotation)
            yield ToolTarget(start + share * (position - start), product(turn, from_orientation), width)
            if stop is not None and stop():
                return

    def _raise_to(self, height: float, width: float, speed: float) -> Motion:
        here, orientation = self.world.tool_target
        yield from self._move(np.append(here[:2], height), orientation, width, speed)

    def _cruise_height(self, start: FloatArray, end: FloatArray) -> float:
        """Tool height at which the empty gripper passes over everything between two points."""
        top = geometry.tallest_near_path(self.world, start, end, _CORRIDOR)
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
    return product(_about_vertical(angle)[:2, :2], vector)


def _about_vertical(angle: float) -> FloatArray:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
