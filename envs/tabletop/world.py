"""The tabletop world: physics, low-level control, ground truth and exact states. No Gymnasium here.

**Exact states.** Bullet's own save and restore do not reproduce a world bit for bit, because contact caches, the
broadphase and the solver keep history. Here a world is always a *function* of a `WorldSnapshot`: a keyframe (poses,
velocities, joints, targets), from which everything is rebuilt in one fixed order into an emptied server, and the
low-level commands given since, which are replayed. Taking a snapshot costs nothing and disturbs nothing. `rebase`
moves the keyframe to the present, by rebuilding the running world from it; after each skill action it is called, so
that restoring replays at most one unfinished action.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.bullet import BulletClient, Camera, Frame, Renderer, SimulationError, digest, require_finite
from envs.tabletop import bodies, cameras, kinematics
from envs.tabletop.conditions import Conditions
from envs.tabletop.robot import FINGERS, HOME_JOINTS, Panda, Visuals
from envs.tabletop.scene import ObjectState, SceneSpec, WorldState
from envs.tabletop.shapes import GRIPPER_OPENING

WORLD_VERSION = 2
"""Raised by every change after which the same actions have other consequences."""

TIME_STEP = 1 / 240
"""Seconds of one physics step."""

SUBSTEPS = 12
"""Physics steps of one control step."""

CONTROL_HZ = 20
"""Control steps per second."""

_SOLVER_ITERATIONS = 50
_TOUCHING = 1e-3  # metres between surfaces that count as contact
_REACH = 30.0  # metres from the origin beyond which a body has left all physics
_QUIET_LINEAR = 0.005  # m/s below which an object rests
_QUIET_ANGULAR = 0.1  # rad/s
_QUIET_STEPS = 6  # control steps in a row; what balances for a moment falls within them


@dataclass(frozen=True)
class Command:
    """What one control step asks of the motors: arm angles ``(7,)`` reached by its end, and the gripper's opening."""

    arm: tuple[float, ...]
    width: float


@dataclass(frozen=True)
class Keyframe:
    """All that a world is rebuilt from.

    Attributes:
        scene: What is on the table.
        conditions: Under which it is seen and touched.
        bodies: Position, quaternion, linear and angular velocity of each object, ``(N, 13)``; ``None`` for the scene's
            own start.
        joints: Positions and velocities of arm and fingers, ``(9, 2)``; ``None`` for the home posture.
        command: The motors' targets.
        steps: Control steps since the scene was loaded.
        asleep: Whether the objects start asleep, because they rest; they wake when touched by what moves.
    """

    scene: SceneSpec
    conditions: Conditions
    bodies: FloatArray | None
    joints: FloatArray | None
    command: Command
    steps: int
    asleep: bool


@dataclass(frozen=True)
class WorldSnapshot:
    """An exact state of a world; picklable, valid in any process on the same platform."""

    keyframe: Keyframe
    log: tuple[Command, ...]


class TabletopWorld:
    """A Panda arm at a table with objects.

    Args:
        visuals: The arm's looks.
        renderer: What renders camera images.

    Attributes:
        client: The physics server.
        scene: What was loaded.
        conditions: Under which it is seen and touched.
        robot: The arm.
        objects: Body id of each object by name.
        zones: The same of zones.
        renders: Pictures rendered so far.
        render_seconds: Wall-clock time that they took.
        after_step: Called after every control step, for example to film it; ``None`` for nothing.
    """

    client: BulletClient
    visuals: Visuals
    renders: int
    render_seconds: float
    after_step: Callable[[], None] | None

    scene: SceneSpec
    conditions: Conditions
    robot: Panda
    objects: dict[str, int]
    _names: dict[int, str]
    _keyframe: Keyframe
    _command: Command
    _steps: int
    _log: list[Command]

    def __init__(self, visuals: Visuals = "lowpoly", renderer: Renderer = "tiny") -> None:
        self.client = BulletClient(renderer)
        self.visuals = visuals
        self.renders = 0
        self.render_seconds = 0.0
        self.after_step = None
        self.load(SceneSpec(objects=()))

    # ------------------------------------------------------------------------------------ life cycle

    def load(self, scene: SceneSpec, conditions: Conditions | None = None) -> None:
        """Empty the world, build a scene in it and let it settle. Nothing of what was there before remains.

        ``conditions`` are the standard ones unless given.

        Raises:
            ValueError: The scene is malformed (names not unique).
            SimulationError: The scene explodes, for example because objects overlap.
        """
        bodies.check(scene)
        command = Command(tuple(HOME_JOINTS.tolist()), GRIPPER_OPENING)
        self._build(Keyframe(scene, conditions or Conditions(), None, None, command, 0, False))
        self.settle()
        self.rebase()

    def close(self) -> None:
        """Release the physics server."""
        self.client.close()

    def get_state(self) -> WorldSnapshot:
        """The exact state; the running world is not disturbed."""
        return WorldSnapshot(self._keyframe, tuple(self._log))

    def set_state(self, snapshot: WorldSnapshot) -> None:
        """Go to an exact state: from here the same commands give bit-identical futures."""
        self._build(snapshot.keyframe)
        for command in snapshot.log:
            self.execute(command)

    def rebase(self) -> None:
        """Make the present the keyframe, by rebuilding the world from it.

        It keeps poses and velocities and forgets contact caches; if all objects rest, what speed is left of them is
        dropped and they fall asleep. So call it only at moments that are part of the episode's definition: a world
        that was rebased and one that was not differ in the last bits afterwards.
        """
        asleep = self.resting()
        states = self._body_states()
        if asleep:
            states[:, 7:] = 0.0
        joints = self.robot.joints()
        self._build(Keyframe(self.scene, self.conditions, states, joints, self._command, self._steps, asleep))

    def digest(self) -> str:
        """SHA-256 of all poses, velocities and joints: equal digests mean bit-identical worlds."""
        return digest(self.client)

    # --------------------------------------------------------------------------------------- control

    def step_control(self, position: npt.ArrayLike, orientation: FloatArray, width: float) -> None:
        """One control step (0.05 s) towards a tool pose.

        Args:
            position: Tool target ``(3,)`` in metres.
            orientation: Tool target ``(3, 3)``.
            width: Gripper opening to go for, metres; 0 closes with full force.

        Raises:
            SimulationError: The world exploded.
        """
        target = kinematics.inverse(self.arm_target, np.asarray(position, dtype=np.float64), orientation)
        self.execute(Command(tuple(target.tolist()), float(min(max(width, 0.0), GRIPPER_OPENING))))

    def hold(self, steps: int, until: Callable[[], bool] | None = None) -> None:
        """Keep the motors' targets for some control steps, or until a condition holds."""
        for _ in range(steps):
            self.execute(self._command)
            if until is not None and until():
                return

    def settle(self, max_seconds: float = 3.0) -> bool:
        """Wait until all objects rest; returns whether they do."""
        quiet = 0
        for _ in range(round(max_seconds * CONTROL_HZ)):
            self.execute(self._command)
            quiet = quiet + 1 if self.resting() else 0
            if quiet >= _QUIET_STEPS:
                return True
        return False

    def execute(self, command: Command) -> None:
        """One control step; every motion of the arm comes through here, and it is what a snapshot replays.

        Raises:
            SimulationError: The world exploded.
        """
        start = self._command.arm
        duration = SUBSTEPS * TIME_STEP
        travel = [target - begin for begin, target in zip(start, command.arm, strict=True)]
        velocities = [value / duration for value in travel]
        self.robot.drive_gripper(command.width)
        for substep in range(1, SUBSTEPS + 1):
            share = substep / SUBSTEPS
            angles = [begin + share * value for begin, value in zip(start, travel, strict=True)]
            self.robot.drive_arm(angles, velocities)
            self.client.stepSimulation()
        self._command = command
        self._steps += 1
        self._log.append(command)
        require_finite(self.client, self._names, reach=_REACH)
        if not np.isfinite(self.robot.joints()).all():
            raise SimulationError(f"The arm's joints are not finite after {self.time:.2f} s")
        if self.after_step is not None:
            self.after_step()

    # ----------------------------------------------------------------------------------------- truth

    @property
    def time(self) -> float:
        """Simulated seconds since the scene was loaded."""
        return self._steps / CONTROL_HZ

    @property
    def arm_target(self) -> FloatArray:
        """Joint angles that the motors go for, ``(7,)``."""
        return np.array(self._command.arm)

    @property
    def tool_target(self) -> tuple[FloatArray, FloatArray]:
        """Tool pose that the motors go for: position ``(3,)`` and rotation ``(3, 3)``."""
        position, rotation, _ = kinematics.forward(self.arm_target)
        return position, rotation

    @property
    def width_target(self) -> float:
        """Gripper opening that the motors go for, metres."""
        return self._command.width

    def state(self) -> WorldState:
        """Ground truth of this moment."""
        touching: dict[int, set[str]] = {body: set() for body in self.objects.values()}
        for contact in self.client.getContactPoints():
            first, second, distance = contact[1], contact[2], contact[8]
            if distance < _TOUCHING:
                if first in touching:
                    touching[first].add(self._names[second])
                if second in touching:
                    touching[second].add(self._names[first])
        states = {}
        for (name, body), row in zip(self.objects.items(), self._body_states().tolist(), strict=True):
            states[name] = ObjectState(
                position=(row[0], row[1], row[2]),
                orientation=(row[3], row[4], row[5], row[6]),
                linear_velocity=(row[7], row[8], row[9]),
                angular_velocity=(row[10], row[11], row[12]),
                touching=frozenset(touching[body]),
            )
        return WorldState(scene=self.scene, objects=states, held=self.held(), time=self.time)

    def held(self) -> str | None:
        """The object that both fingers touch, if any."""
        touched = [
            {
                contact[2]
                for contact in self.client.getContactPoints(bodyA=self.robot.body, linkIndexA=finger)
                if contact[8] < _TOUCHING and contact[2] != self.robot.body
            }
            for finger in FINGERS
        ]
        both = touched[0] & touched[1]
        return next((name for name, body in self.objects.items() if body in both), None)

    def resting(self) -> bool:
        """Whether no object moves noticeably."""
        for body in self.objects.values():
            linear, angular = self.client.getBaseVelocity(body)
            if math.hypot(*linear) > _QUIET_LINEAR or math.hypot(*angular) > _QUIET_ANGULAR:
                return False
        return True

    def pose(self, name: str) -> tuple[FloatArray, FloatArray]:
        """Position ``(3,)`` and rotation ``(3, 3)`` of an object."""
        position, orientation = self.client.getBasePositionAndOrientation(self.objects[name])
        matrix = np.array(self.client.getMatrixFromQuaternion(orientation)).reshape(3, 3)
        return np.array(position), matrix

    def heights(self, points: FloatArray, below: float = 1.0) -> FloatArray:
        """Height of the highest surface at each point, seen from above; the arm is not seen.

        Args:
            points: ``(N, 2)`` metres.
            below: Only surfaces lower than this.

        Returns:
            ``(N,)`` metres.
        """
        starts = np.insert(points, 2, below, axis=1).tolist()
        ends = np.insert(points, 2, -1.0, axis=1).tolist()
        hits = self.client.rayTestBatch(starts, ends, collisionFilterMask=bodies.VISIBLE_TO_RAYS)
        return np.array([hit[3][2] if hit[0] >= 0 else -1.0 for hit in hits])

    def touches(self, name: str) -> bool:
        """Whether an object touches anything but the arm."""
        contacts = self.client.getContactPoints(bodyA=self.objects[name])
        return any(contact[2] != self.robot.body and contact[8] < _TOUCHING for contact in contacts)

    # --------------------------------------------------------------------------------------- looking

    def render(self, name: cameras.CameraName, size: int = 224) -> Frame:
        """What a camera sees now, ``size`` pixels square. It does not influence the physics."""
        start = perf_counter()
        frame = cameras.render(self.client, self._camera(name, size), self.conditions.light)
        self.renders += 1
        self.render_seconds += perf_counter() - start
        return frame

    def project(self, name: cameras.CameraName, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Where a camera sees points ``(..., 3)``: ``(..., 2)`` from 0 to 1, u to the right and v down."""
        return self._camera(name).project(points)

    def _camera(self, name: cameras.CameraName, size: int = 224) -> Camera:
        return cameras.camera(name, self.conditions.views, size, *self.robot.tool())

    # -------------------------------------------------------------------------------------- building

    def _build(self, keyframe: Keyframe) -> None:
        """Everything in one fixed order into an emptied server."""
        self.scene, self.conditions = keyframe.scene, keyframe.conditions
        self._keyframe = keyframe
        self._command = keyframe.command
        self._steps = keyframe.steps
        self._log = []
        client = self.client
        client.resetSimulation()
        client.setGravity(0, 0, -9.81)
        client.setPhysicsEngineParameter(
            fixedTimeStep=TIME_STEP, numSolverIterations=_SOLVER_ITERATIONS, deterministicOverlappingPairs=1
        )
        self.robot = Panda(client, self.visuals)
        self.objects = {
            spec.name: bodies.build_object(client, spec, self.conditions) for spec in keyframe.scene.objects
        }
        self.zones = bodies.build_zones(client, keyframe.scene.zones, self.conditions)
        furniture = bodies.build_table(client, self.conditions)
        self._names = {body: name for name, body in self.objects.items()}
        self._names |= {furniture: "table", self.robot.body: "robot"}
        if keyframe.joints is not None:
            self.robot.reset(keyframe.joints)
        if keyframe.bodies is not None:
            for body, row in zip(self.objects.values(), keyframe.bodies.tolist(), strict=True):
                client.resetBasePositionAndOrientation(body, row[:3], row[3:7])
                client.resetBaseVelocity(body, row[7:10], row[10:13])
        client.performCollisionDetection()
        if keyframe.asleep:
            for body in self.objects.values():
                client.changeDynamics(body, -1, activationState=client.ACTIVATION_STATE_SLEEP)

    def _body_states(self) -> FloatArray:
        rows = []
        for body in self.objects.values():
            position, orientation = self.client.getBasePositionAndOrientation(body)
            linear, angular = self.client.getBaseVelocity(body)
            rows.append([*position, *orientation, *linear, *angular])
        return np.array(rows).reshape(len(rows), 13)
