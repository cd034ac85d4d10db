"""The Panda arm: how it is loaded, reset, observed and driven.

Rules and constants of the public simulator (``robot.py``, ``mixed_ik.py``), in the exact order of its calls: another
order of the same calls gives other floating-point results.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.interfaces import Action

BASE_POSITION = (-0.34, -0.46, 0.24)
REST_JOINTS = (-1.21779206, 1.03987646, 2.11978261, -2.34205014, -0.87015947, 1.64119353, 0.55344866)
LOWER_LIMITS = np.array((-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973))
UPPER_LIMITS = np.array((2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973))
ARM_JOINTS = tuple(range(7))
FINGER_JOINTS = (9, 11)
TCP_LINK = 15
FINGER_OPEN = 0.04
ARM_FORCE = 200.0
ARM_VELOCITY = 2.0
GRIPPER_FORCE = 200.0
GRIPPER_OPEN_FORCE = GRIPPER_FORCE / 100
POSITION_SCALE = 0.02
ORIENTATION_SCALE = 0.05
_DOF = 9


def load_base_cylinder(client: Any) -> None:
    """The cylinder that the arm stands on; it is only seen, nothing touches it."""
    cylinder = client.createVisualShape(
        shapeType=client.GEOM_CYLINDER,
        rgbaColor=[1, 1, 1, 1],
        radius=0.13,
        length=BASE_POSITION[2],
        visualFramePosition=[BASE_POSITION[0] - 0.05, BASE_POSITION[1], BASE_POSITION[2] / 2],
    )
    client.createMultiBody(baseVisualShapeIndex=cylinder)


class Robot:
    """The arm in one world.

    Relative actions move a commanded pose, not the measured one: targets add up (also against an obstacle) until
    ``reset`` sets them to the measured pose. Nothing is clipped.
    """

    def __init__(self, client: Any, urdf: str) -> None:
        self._client = client
        self._urdf = urdf
        self.uid = -1
        self.gripper_action = 1
        self.target_position: npt.NDArray[np.float64] = np.zeros(3)
        self.target_euler: npt.NDArray[np.float64] = np.zeros(3)
        self._set_motor = client.setJointMotorControl2
        self._joint_states = client.getJointStates
        self._link_state = client.getLinkState
        self._euler = client.getEulerFromQuaternion
        self._quaternion = client.getQuaternionFromEuler
        self._inverse_kinematics = client.calculateInverseKinematics
        self._position_control = client.POSITION_CONTROL

    def load(self, flags: int = 0) -> None:
        """Load the arm, the (visual) cylinder that it stands on, and the gear that keeps the fingers centred."""
        client = self._client
        self.uid = client.loadURDF(
            fileName=self._urdf,
            basePosition=BASE_POSITION,
            baseOrientation=client.getQuaternionFromEuler((0, 0, 0)),
            useFixedBase=True,
            flags=flags,
        )
        load_base_cylinder(client)
        gear = client.createConstraint(
            self.uid,
            FINGER_JOINTS[0],
            self.uid,
            FINGER_JOINTS[1],
            jointType=client.JOINT_GEAR,
            jointAxis=[1, 0, 0],
            parentFramePosition=[0, 0, 0],
            childFramePosition=[0, 0, 0],
        )
        client.changeConstraint(gear, gearRatio=-1, erp=0.1, maxForce=50)
        self.gripper_action = 1
        self.reset(REST_JOINTS, FINGER_OPEN)

    def reset(self, joints: Any, finger: float) -> None:
        """Put the arm's joints (7, rad) and each finger (m) there and hold them; the commanded pose is the tcp's."""
        for joint, value in zip(ARM_JOINTS, joints, strict=True):
            self._client.resetJointState(self.uid, joint, value)
            self._drive(joint, value, ARM_FORCE, ARM_VELOCITY)
        for joint in FINGER_JOINTS:
            self._client.resetJointState(self.uid, joint, finger)
            self._drive(joint, finger, GRIPPER_FORCE, 1.0)
        position, orientation = self._link_state(self.uid, TCP_LINK)[:2]
        self.target_position = np.array(position)
        self.target_euler = np.array(self._euler(orientation))

    def act_relative(self, action: Action) -> None:
        """Move the commanded pose by ``action`` (7,): xyz in 0.02 m, Euler xyz in 0.05 rad, gripper +1 open / -1 close.

        Scaling happens in the action's own precision, as in the public code; the protocol's actions are ``float32``.
        """
        self.target_position += action[:3] * POSITION_SCALE
        self.target_euler += action[3:6] * ORIENTATION_SCALE
        self._move_to(self.target_position, self._quaternion(self.target_euler), action[6])

    def act_absolute(self, action: Action) -> None:
        """Go to ``action``: position (3, m), Euler xyz (3, rad) or quaternion (4), gripper +1 / -1.

        The commanded pose of relative actions stays where it was.
        """
        orientation = action[3:-1]
        if len(orientation) == 3:
            orientation = self._quaternion(orientation)
        self._move_to(action[:3], orientation, action[-1])

    def _move_to(self, position: Any, orientation: Any, gripper: float) -> None:
        if gripper not in (-1, 1):
            raise ValueError(f"the gripper action must be -1 (close) or 1 (open), not {gripper}")
        joints = self._inverse_kinematics(
            self.uid,
            TCP_LINK,
            position,
            orientation,
            [-7] * _DOF,
            [7] * _DOF,
            [7] * _DOF,
            [*REST_JOINTS, FINGER_OPEN, FINGER_OPEN],
        )
        targets = np.clip(joints[:7], LOWER_LIMITS, UPPER_LIMITS).tolist()
        for joint, target in zip(ARM_JOINTS, targets, strict=True):
            self._drive(joint, target, ARM_FORCE, ARM_VELOCITY)
        self.gripper_action = int(gripper)
        opening = self.gripper_action == 1
        for joint in FINGER_JOINTS:
            self._drive(joint, FINGER_OPEN if opening else 0.0, GRIPPER_OPEN_FORCE if opening else GRIPPER_FORCE, 1.0)

    def _drive(self, joint: int, target: float, force: float, velocity: float) -> None:
        self._set_motor(
            bodyIndex=self.uid,
            jointIndex=joint,
            controlMode=self._position_control,
            targetPosition=target,
            force=force,
            maxVelocity=velocity,
        )

    def observe(self) -> npt.NDArray[np.float64]:
        """``robot_obs`` (15,): tcp position, tcp Euler xyz, gripper width, 7 arm joints, last gripper command."""
        position, orientation = self._link_state(self.uid, TCP_LINK)[:2]
        states = self._joint_states(self.uid, (*ARM_JOINTS, *FINGER_JOINTS))
        joints = [state[0] for state in states]
        width = joints[7] + joints[8]
        return np.array([*position, *self._euler(orientation), width, *joints[:7], self.gripper_action])
