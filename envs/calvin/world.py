"""One play table in one physics client: load, reset, step, and the ground truth.

Follows the public simulator call by call (``play_table_env.py``, ``play_table_scene.py`` and its objects), except that
``reset`` always loads the world anew. Upstream keeps the old world and so carries its history into the next episode;
here every episode is the one that a fresh process would give, bit for bit.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.bullet.client import BulletClient, Renderer
from envs.calvin.assets import AssetSet
from envs.calvin.layouts import LAYOUTS, Layout, Scene
from envs.calvin.robot import Robot
from envs.calvin.table import BLOCKS, table_digest
from envs.calvin.tasks import BlockInfo, Bodies, SceneInfo

CONTROL_HZ = 30
PHYSICS_HZ = 240
SUBSTEPS = PHYSICS_HZ // CONTROL_HZ
GLOBAL_SCALING = 0.8
BRAKE_FORCE = 4.0
BUTTON_THRESHOLD = 0.010
SWITCH_THRESHOLD = 0.044

# Indices of the table's joints and links; the same in all four tables.
BUTTON, SWITCH, SLIDE, DRAWER, LED, LIGHT, PLANK = range(7)
TABLE_LINKS = {
    "button_link": BUTTON,
    "switch_link": SWITCH,
    "slide_link": SLIDE,
    "drawer_link": DRAWER,
    "led_link": LED,
    "light_link": LIGHT,
    "plank_link": PLANK,
    "base_link": -1,
}
LIGHT_COLOURS = {LIGHT: (1, 1, 0, 1), LED: (0, 1, 0, 1)}
LIGHT_OFF = (1, 1, 1, 1)


class LedVariant(StrEnum):
    """How the button treats a led that is on at reset.

    The public benchmark's pinned simulator forgets that it is on: the first press "turns on" a lit led, and turning it
    off takes two presses. The simulator's later head corrects this.
    """

    PINNED = "pinned"
    HEAD = "head"


class World:
    """A play table with its arm and blocks. Several worlds live in one process.

    Args:
        scene: Which of the four tables.
        assets: Where the models are.
        led: Behaviour of the button after a reset with the led on.
        visuals: Whether frames will be rendered. Without, nothing visual is loaded; physics is the same.
        renderer: ``tiny`` (CPU) or ``egl`` (GPU).
    """

    def __init__(
        self,
        scene: Scene,
        assets: AssetSet,
        *,
        led: LedVariant = LedVariant.PINNED,
        visuals: bool = False,
        renderer: Renderer = "tiny",
    ) -> None:
        self.layout: Layout = LAYOUTS[scene]
        self.client = BulletClient(renderer)
        self.assets = assets
        self.led = led
        self.visuals = visuals
        self.robot = Robot(self.client, str(assets.robot))
        self.bodies = Bodies(robot=-1, table=-1, blocks={}, links=TABLE_LINKS)
        self.lights: dict[int, int] = {LIGHT: 0, LED: 0}
        self._button_on = False
        self._button_was_pressed = False
        self._switch_on = False
        # The order of these calls is upstream's; the parameter must be set before the world is (re)created.
        self.client.resetSimulation()
        self.client.setPhysicsEngineParameter(deterministicOverlappingPairs=1)
        self.client.setTimeStep(1.0 / PHYSICS_HZ)

    # ------------------------------------------------------------------------------------------ set-up

    def reset(self, robot_obs: FloatArray, scene_obs: FloatArray) -> None:
        """Load the world anew and put it into a state.

        Args:
            robot_obs: ``(15,)``; gripper width and arm joints (entries 6 to 13) are used.
            scene_obs: ``(24,)``; see `scene_obs`.

        Raises:
            ValueError: An array has another shape.
        """
        if robot_obs.shape != (15,) or scene_obs.shape != (24,):
            raise ValueError(f"expected robot_obs (15,) and scene_obs (24,), got {robot_obs.shape}, {scene_obs.shape}")
        self._load()
        client, table = self.client, self.bodies.table
        client.resetJointState(table, SLIDE, scene_obs[0])
        client.resetJointState(table, DRAWER, scene_obs[1])
        self._set_light(LIGHT, bool(scene_obs[4]))
        self._set_light(LED, bool(scene_obs[5]))
        client.resetJointState(table, BUTTON, scene_obs[2])
        client.resetJointState(table, SWITCH, scene_obs[3])
        self._button_on = self.led is LedVariant.HEAD and bool(self.lights[LED])
        self._button_was_pressed = False
        self._switch_on = False
        for name, pose in zip(self.layout.block_names, scene_obs[6:].reshape(3, 6), strict=True):
            client.resetBasePositionAndOrientation(
                self.bodies.blocks[name], pose[:3], client.getQuaternionFromEuler(pose[3:])
            )
        self.robot.reset(robot_obs[7:14], robot_obs[6] / 2)
        client.stepSimulation()

    def _load(self) -> None:
        client, layout = self.client, self.layout
        flags = 0 if self.visuals else client.URDF_IGNORE_VISUAL_SHAPES
        client.resetSimulation()
        client.setGravity(0, 0, -9.8)
        self.robot.load(flags)
        # Where a block is loaded leaks into later results through the order of collision pairs, although it is moved
        # before the first step. So the public simulator's draws are repeated: seed 0, the same calls.
        random = np.random.default_rng(0)
        surfaces = list(layout.spawn)
        blocks = {}
        for name, (colour, size) in zip(layout.block_names, layout.blocks, strict=True):
            low, high = layout.spawn[str(random.choice(surfaces))]
            position = random.uniform(low, high)
            yaw = random.uniform([0, 0, -np.pi], [0, 0, np.pi])
            blocks[name] = client.loadURDF(
                str(self.assets.block(colour, size)),
                position,
                client.getQuaternionFromEuler(yaw),
                globalScaling=GLOBAL_SCALING,
                flags=flags,
            )
        table = client.loadURDF(
            str(self.assets.table(layout.scene)),
            [0, 0, 0],
            client.getQuaternionFromEuler([0, 0, 0]),
            globalScaling=GLOBAL_SCALING,
            flags=flags,
        )
        for joint in (SLIDE, DRAWER):
            client.setJointMotorControl2(table, joint, controlMode=client.VELOCITY_CONTROL, force=BRAKE_FORCE)
        client.setJointMotorControl2(
            table, BUTTON, controlMode=client.POSITION_CONTROL, targetPosition=0, force=BRAKE_FORCE
        )
        client.setJointMotorControl2(table, SWITCH, controlMode=client.VELOCITY_CONTROL, force=BRAKE_FORCE)
        client.loadURDF(str(self.assets.plane), flags=flags)
        self.bodies = Bodies(robot=self.robot.uid, table=table, blocks=blocks, links=TABLE_LINKS)

    def close(self) -> None:
        """Stop the physics server. Closing twice is fine."""
        self.client.close()

    # ----------------------------------------------------------------------------------------- stepping

    def step_relative(self, action: npt.NDArray[np.floating[Any]]) -> None:
        """One control step (1/30 s) with a relative action; see `Robot.act_relative`."""
        self.robot.act_relative(action)
        self._advance()

    def step_absolute(self, action: npt.NDArray[np.floating[Any]]) -> None:
        """One control step (1/30 s) with an absolute action; see `Robot.act_absolute`."""
        self.robot.act_absolute(action)
        self._advance()

    def _advance(self) -> None:
        step = self.client.stepSimulation
        for _ in range(SUBSTEPS):
            step()
        button, switch = self.client.getJointStates(self.bodies.table, (BUTTON, SWITCH))
        # The button acts on its rising edge, the switch on its level; both once per control step.
        pressed = button[0] > BUTTON_THRESHOLD
        if pressed and not self._button_was_pressed:
            self._button_on = not self._button_on
            self._set_light(LED, self._button_on)
        self._button_was_pressed = pressed
        on = switch[0] > SWITCH_THRESHOLD
        if on != self._switch_on:
            self._set_light(LIGHT, on)
        self._switch_on = on

    def _set_light(self, link: int, on: bool) -> None:
        self.lights[link] = int(on)
        if self.visuals:
            self.client.changeVisualShape(self.bodies.table, link, rgbaColor=LIGHT_COLOURS[link] if on else LIGHT_OFF)

    # ------------------------------------------------------------------------------------- ground truth

    def robot_obs(self) -> FloatArray:
        """``(15,)``: tcp position (m) and Euler xyz (rad), gripper width (m), 7 arm joints (rad), gripper command."""
        return self.robot.observe()

    def scene_obs(self) -> FloatArray:
        """``(24,)``: slide, drawer, button, switch joints (m), light bulb, led, then position and Euler xyz per block.

        Blocks come in the order of the scene's layout, as upstream.
        """
        joints = self.client.getJointStates(self.bodies.table, (SLIDE, DRAWER, BUTTON, SWITCH))
        values = [joint[0] for joint in joints]
        values += (self.lights[LIGHT], self.lights[LED])
        for uid in self.bodies.blocks.values():
            position, orientation = self.client.getBasePositionAndOrientation(uid)
            values += (*position, *self.client.getEulerFromQuaternion(orientation))
        return np.array(values, dtype=np.float64)

    def info(self, blocks: Collection[str] = BLOCKS, robot: bool = True) -> SceneInfo:
        """The moment's record for the task oracle.

        Args:
            blocks: Which blocks to include; contact queries are the costly part.
            robot: Whether to query the robot's contacts; without, the record says that it touches nothing.
        """
        slide, drawer = self.client.getJointStates(self.bodies.table, (SLIDE, DRAWER))
        touched = [point[2] for point in self.client.getContactPoints(bodyA=self.robot.uid)] if robot else ()
        return SceneInfo(
            blocks={name: self._block_info(self.bodies.blocks[name]) for name in blocks},
            robot_contacts=frozenset(touched),
            doors={"base__slide": slide[0], "base__drawer": drawer[0]},
            lights={"lightbulb": self.lights[LIGHT], "led": self.lights[LED]},
        )

    def _block_info(self, uid: int) -> BlockInfo:
        position, orientation = self.client.getBasePositionAndOrientation(uid)
        linear, angular = self.client.getBaseVelocity(uid)
        contacts = frozenset((point[2], point[4]) for point in self.client.getContactPoints(bodyA=uid))
        return BlockInfo(position, orientation, linear, angular, contacts)

    def commanded_pose(self) -> tuple[FloatArray, FloatArray]:
        """Commanded tcp position (m) and Euler angles xyz (rad), ``(3,)`` each, which relative actions move."""
        return self.robot.target_position.copy(), self.robot.target_euler.copy()

    def block_pose(self, name: str) -> tuple[FloatArray, FloatArray]:
        """Position ``(3,)`` in metres and quaternion xyzw ``(4,)`` of ``block_<colour>``."""
        position, orientation = self.client.getBasePositionAndOrientation(self.bodies.blocks[name])
        return np.array(position), np.array(orientation)

    def digest(self) -> str:
        """SHA-256 over the exact dynamic state, the lights and the controller's memory."""
        memory = (
            *self.robot.target_position,
            *self.robot.target_euler,
            self.robot.gripper_action,
            *self.lights.values(),
            self._button_on,
            self._button_was_pressed,
            self._switch_on,
        )
        return table_digest(self.client, memory)
