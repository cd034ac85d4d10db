"""The Panda arm in a Bullet world: loading, motors and what its joints say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from envs.arrays import FloatArray
from envs.bullet import BulletClient
from envs.tabletop import kinematics
from envs.tabletop.lowpoly import lowpoly_urdf, stock_urdf
from envs.tabletop.shapes import BASE_POSITION, FINGER_FRICTION, GRIPPER_OPENING

Visuals = Literal["lowpoly", "stock"]

ARM = tuple(range(7))
FINGERS = (9, 10)
MOVING = (*ARM, *FINGERS)
HAND = 8

HOME_POSITION = (-0.16, 0.0, 0.42)
"""Where the tool waits between skills, behind and above the workspace."""

HOME_JOINTS: FloatArray = kinematics.inverse(
    kinematics.POSTURE, np.array(HOME_POSITION), kinematics.vertical(0.0), iterations=200
)

_ARM_FORCES = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)  # N m, the effort limits of the URDF
_FINGER_FORCE = 10.0  # N, half its effort limit; more drives the pads into objects of ten grams
_FINGER_STIFFNESS, _FINGER_DAMPING = 1e5, 1e3  # of their contacts; the URDF's softer pads let small objects turn
FINGER_SPEED = 0.15
"""Speed of each finger in metres per second, below the URDF's limit of 0.2."""

_POSITION_GAINS = (0.3,) * 7
_VELOCITY_GAINS = (1.0,) * 7


class Panda:
    """The arm, loaded into a client's world.

    Args:
        client: Whose world.
        visuals: What it looks like; the physics is the same.
    """

    def __init__(self, client: BulletClient, visuals: Visuals) -> None:
        self._client = client
        urdf = lowpoly_urdf() if visuals == "lowpoly" else stock_urdf()
        self.body: int = client.loadURDF(str(urdf), basePosition=BASE_POSITION, useFixedBase=True)
        for finger in FINGERS:
            client.changeDynamics(
                self.body,
                finger,
                lateralFriction=FINGER_FRICTION,
                contactStiffness=_FINGER_STIFFNESS,
                contactDamping=_FINGER_DAMPING,
            )
        self._couple_fingers()
        self.reset(np.stack([np.append(HOME_JOINTS, (GRIPPER_OPENING / 2,) * 2), np.zeros(9)], axis=1))

    def reset(self, joints: FloatArray) -> None:
        """Put the joints somewhere at once: positions and velocities ``(9, 2)``, arm then fingers."""
        for joint, (position, velocity) in zip(MOVING, joints.tolist(), strict=True):
            self._client.resetJointState(self.body, joint, position, velocity)

    def joints(self) -> FloatArray:
        """Positions and velocities ``(9, 2)`` of arm and fingers; radians and metres."""
        return np.array([state[:2] for state in self._client.getJointStates(self.body, MOVING)])

    def drive_arm(self, positions: Sequence[float], velocities: Sequence[float]) -> None:
        """Set the arm motors' targets: ``(7,)`` radians and radians per second."""
        self._client.setJointMotorControlArray(
            self.body,
            ARM,
            self._client.POSITION_CONTROL,
            targetPositions=positions,
            targetVelocities=velocities,
            forces=_ARM_FORCES,
            positionGains=_POSITION_GAINS,
            velocityGains=_VELOCITY_GAINS,
        )

    def drive_gripper(self, width: float) -> None:
        """Set the gripper motors' target opening in metres."""
        for finger in FINGERS:
            self._client.setJointMotorControl2(
                self.body,
                finger,
                self._client.POSITION_CONTROL,
                targetPosition=width / 2,
                force=_FINGER_FORCE,
                maxVelocity=FINGER_SPEED,
            )

    def gripper_width(self) -> float:
        """The gripper's opening in metres."""
        return float(sum(state[0] for state in self._client.getJointStates(self.body, FINGERS)))

    def tool(self) -> tuple[FloatArray, FloatArray]:
        """The tool's measured position ``(3,)`` and rotation ``(3, 3)``."""
        position, rotation, _ = kinematics.forward(self.joints()[:7, 0])
        return position, rotation

    def _couple_fingers(self) -> None:
        """The URDF's mimic joint, which Bullet ignores: without it the closed pair drifts along its axis."""
        gear: Any = self._client.createConstraint(
            self.body,
            FINGERS[0],
            self.body,
            FINGERS[1],
            jointType=self._client.JOINT_GEAR,
            jointAxis=[1, 0, 0],
            parentFramePosition=[0, 0, 0],
            childFramePosition=[0, 0, 0],
        )
        self._client.changeConstraint(gear, gearRatio=-1, erp=0.1, maxForce=50)
