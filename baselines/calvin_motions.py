"""The CALVIN expert's basic motions, and how it reads where a block lies."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from math import pi

import numpy as np
import numpy.typing as npt

from envs.calvin.layouts import BLOCK_LENGTH, BLOCK_WIDTH
from envs.calvin.robot import ORIENTATION_SCALE, POSITION_SCALE
from envs.calvin.truth import PlayTableTruth
from harness.interfaces import Action

Vector = npt.NDArray[np.float64]
Motion = Generator[Action, None, None]

OPEN, CLOSE = 1.0, -1.0
ROLL = pi
UPRIGHT, TILTED = 0.0, -0.45
YAW = pi / 2


@dataclass
class Motions:
    """The arm's basic motions in one world; each yields actions until it is done."""

    truth: PlayTableTruth
    grip: float = OPEN
    pitch: float = UPRIGHT
    yaw: float = YAW

    def tcp(self) -> Vector:
        """Measured tcp position."""
        return self.truth.robot_obs()[:3]

    def go(
        self, x: float, y: float, z: float, *, speed: float = 1.0, tolerance: float = 0.006, limit: int = 70
    ) -> Motion:
        """Move in a straight line to a position, turning to the wanted pitch and yaw on the way."""
        goal = np.array([x, y, z])
        stalled, before = 0, np.inf
        for _ in range(limit):
            euler = np.array([ROLL, self.pitch, self.yaw]) - self.truth.target_euler
            # Angles are commanded component by component, so the short way round has to be chosen here.
            euler[0] = (euler[0] + pi) % (2 * pi) - pi
            shift = (goal - self.truth.target_position) / POSITION_SCALE
            largest = np.abs(shift).max()
            if largest > speed:
                shift *= speed / largest
            turn = np.clip(euler / ORIENTATION_SCALE, -1.0, 1.0)
            arrived = largest < 0.05 and np.abs(euler).max() < 0.02
            if arrived:
                error = float(np.linalg.norm(self.tcp() - goal))
                stalled = stalled + 1 if error > before - 5e-4 else 0
                before = error
                if error < tolerance or stalled > 3:
                    return
            yield self._action(shift, turn)

    def wait(self, steps: int) -> Motion:
        """Hold the pose."""
        for _ in range(steps):
            yield self._action(np.zeros(3), np.zeros(3))

    def close(self, steps: int = 8) -> Motion:
        """Close the gripper."""
        self.grip = CLOSE
        yield from self.wait(steps)

    def open(self, steps: int = 6) -> Motion:
        """Open the gripper."""
        self.grip = OPEN
        yield from self.wait(steps)

    def _action(self, shift: Vector, turn: Vector) -> Action:
        action: Action = np.concatenate([shift, turn, [self.grip]]).astype(np.float32).clip(-1.0, 1.0)
        return action


@dataclass(frozen=True)
class Block:
    """One block now.

    Attributes:
        name: ``block_<colour>``.
        position: Centre, metres.
        grasp_yaws: Gripper yaws at which the fingers close on an extent that fits between them.
        half_height: Half of its vertical extent.
        yaw: Direction of its longest horizontal axis.
    """

    name: str
    position: Vector
    grasp_yaws: tuple[float, ...]
    half_height: float
    yaw: float


def read_block(truth: PlayTableTruth, name: str) -> Block:
    """Pose of a block, whichever of its sides it lies on."""
    position, quaternion = truth.block_pose(name)
    size = dict(truth.layout.blocks)[name.removeprefix("block_")]
    extents = np.array([BLOCK_LENGTH[size], BLOCK_WIDTH, BLOCK_WIDTH])
    axes = rotation_matrix(quaternion)
    vertical = int(np.argmax(np.abs(axes[2])))
    horizontal = sorted((index for index in range(3) if index != vertical), key=lambda index: extents[index])
    # At gripper yaw psi the fingers close along (sin psi, -cos psi).
    yaws = []
    for index in horizontal:
        if extents[index] < 0.06:
            direction = float(np.arctan2(axes[0, index], -axes[1, index]))
            yaws += [direction + turn * pi for turn in range(-2, 3)]
    longest = axes[:, horizontal[-1]]
    return Block(name, position, tuple(yaws), extents[vertical] / 2, float(np.arctan2(longest[1], longest[0])))


def rotation_matrix(quaternion: Vector) -> Vector:
    """``(3, 3)`` of a quaternion xyzw; its columns are the body's axes."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def lowest_corner(truth: PlayTableTruth, name: str) -> float:
    """Height of a block's lowest corner."""
    position, quaternion = truth.block_pose(name)
    size = dict(truth.layout.blocks)[name.removeprefix("block_")]
    half = np.array([BLOCK_LENGTH[size], BLOCK_WIDTH, BLOCK_WIDTH]) / 2
    return float(position[2] - np.abs(rotation_matrix(quaternion)[2]) @ half)
