"""The simulated table: arm, rod, table and blocks, and the few operations that episodes need of it.

Body order, load order and the order of calls are those of the public simulator, because Bullet's contact order (and so
every bit of a trajectory) depends on them. One world owns one Bullet server; several live side by side in a process.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pybullet
import pybullet_data

from envs.bullet import BulletClient
from envs.language_table import geometry
from envs.language_table.assets import AssetSet
from envs.language_table.blocks import LOAD_ORDER

Vector = npt.NDArray[np.float64]
Quaternion = Sequence[float]

_SHIPPED = Path(pybullet_data.getDataPath())
ARM_URDF: Final = _SHIPPED / "xarm" / "xarm6_robot_white.urdf"
GROUND_URDF: Final = _SHIPPED / "plane.urdf"
ARM_JOINTS: Final = (1, 2, 3, 4, 5, 6)
GROUND_POSITION: Final = (0.0, 0.0, -0.001)
BOARD_POSITION: Final = (0.35, 0.0, 0.0)

_EFFECTOR_LINK: Final = 6
_ROD_TIP_LINK: Final = 0
_MOTOR_FORCE: Final = 5 * 240.0
_GRIP_FORCE: Final = 1000.0
_IK_LIMIT: Final = 17.0
_IK_ITERATIONS: Final = 100
_IK_RESIDUAL: Final = 1e-10
_STABILISE_STEPS: Final = 100


class World:
    """A Bullet server with the scene of the public simulator loaded and stabilised.

    Args:
        assets: Models of blocks, rod and board; the arm and the ground are those that PyBullet ships.
        visible: Load what is drawn, too. Physics is the same without, and loading faster; a `Scene` draws the table.
    """

    def __init__(self, assets: AssetSet, visible: bool = False) -> None:
        self._flags = 0 if visible else pybullet.URDF_IGNORE_VISUAL_SHAPES
        self.client = BulletClient("tiny")
        self.client.resetSimulation()
        self.client.setPhysicsEngineParameter(enableFileCaching=0)
        self.client.setGravity(0, 0, -9.8)
        self._load(GROUND_URDF, GROUND_POSITION)
        self.table = self._load(assets.table, BOARD_POSITION)
        self.arm = self._load_arm(ARM_URDF)
        self.rod = self._load_rod(assets.rod)
        self.blocks = [self._load(assets.block(name)) for name in LOAD_ORDER]
        self.step(_STABILISE_STEPS)
        self._loaded_state: int = self.client.saveState()

    def _load(self, path: Path, position: Sequence[float] = (0, 0, 0), orientation: Quaternion = (0, 0, 0, 1)) -> int:
        return int(self.client.loadURDF(str(path), position, orientation, flags=self._flags))

    def _load_arm(self, path: Path) -> int:
        arm = self._load(path)
        for joint in ARM_JOINTS:
            self.client.changeDynamics(arm, joint, linearDamping=0, angularDamping=0)
        for joint, angle in zip(ARM_JOINTS, geometry.INITIAL_JOINTS, strict=True):
            self.client.resetJointState(arm, joint, angle)
        self.arm = arm
        self.set_motors(geometry.INITIAL_JOINTS)
        return arm

    def _load_rod(self, path: Path) -> int:
        position, orientation = self.effector_pose()
        rod = self._load(path, position, orientation)
        constraint = self.client.createConstraint(
            parentBodyUniqueId=self.arm,
            parentLinkIndex=_EFFECTOR_LINK,
            childBodyUniqueId=rod,
            childLinkIndex=-1,
            jointType=pybullet.JOINT_FIXED,
            jointAxis=(0, 0, 0),
            parentFramePosition=(0, 0, 0),
            childFramePosition=(0, 0, 0),
        )
        self.client.changeConstraint(constraint, maxForce=_GRIP_FORCE)
        return rod

    def restore_loaded(self) -> None:
        """Back to the state after loading. Motor targets stay as they are: Bullet does not save them."""
        self.client.restoreState(self._loaded_state)

    def step(self, count: int) -> None:
        """Advance ``count`` Bullet steps of 1/240 s."""
        advance = self.client.stepSimulation
        for _ in range(count):
            advance()

    def set_motors(self, angles: Sequence[float]) -> None:
        """Joint angles that the motors drive to, radians ``(6,)``."""
        self.client.setJointMotorControlArray(
            self.arm,
            ARM_JOINTS,
            pybullet.POSITION_CONTROL,
            targetPositions=angles,
            forces=[_MOTOR_FORCE] * len(ARM_JOINTS),
        )

    def solve_ik(self, position: Sequence[float]) -> Sequence[float]:
        """Joint angles that bring link 6 to ``position``, pointing down; depends on the arm's present pose."""
        rest = [0.0, 0.0, *self.joint_angles()[2:]]
        return tuple(
            self.client.calculateInverseKinematics(
                self.arm,
                _EFFECTOR_LINK,
                position,
                geometry.EFFECTOR_ORIENTATION,
                lowerLimits=[-_IK_LIMIT] * 6,
                upperLimits=[_IK_LIMIT] * 6,
                jointRanges=[_IK_LIMIT] * 6,
                restPoses=rest,
                maxNumIterations=_IK_ITERATIONS,
                residualThreshold=_IK_RESIDUAL,
            )
        )

    def command(self, position: Sequence[float]) -> None:
        """Drive link 6 to ``position`` (metres)."""
        self.set_motors(self.solve_ik(position))

    def joint_angles(self) -> list[float]:
        """Measured joint angles, radians, six of them."""
        return [state[0] for state in self.client.getJointStates(self.arm, ARM_JOINTS)]

    def effector_pose(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Position and orientation of link 6's centre of mass."""
        state = self.client.getLinkState(self.arm, _EFFECTOR_LINK, computeForwardKinematics=1)
        return state[0], state[1]

    def tip_position(self) -> tuple[float, ...]:
        """Centre of the rod's cylinder."""
        position: tuple[float, ...] = self.client.getLinkState(self.rod, _ROD_TIP_LINK, computeForwardKinematics=1)[0]
        return position

    def rod_pose(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Position and quaternion of the rod's base."""
        position, orientation = self.client.getBasePositionAndOrientation(self.rod)
        return position, orientation

    def place_block(self, index: int, position: Sequence[float], orientation: Quaternion) -> None:
        """Put a block somewhere, at rest."""
        self.client.resetBasePositionAndOrientation(self.blocks[index], position, orientation)

    def block_pose(self, index: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Position and quaternion of a block's base."""
        position, orientation = self.client.getBasePositionAndOrientation(self.blocks[index])
        return position, orientation

    def block_poses(self) -> Vector:
        """All blocks in load order, position and quaternion, ``(16, 7)``."""
        rows = []
        for body in self.blocks:
            position, orientation = self.client.getBasePositionAndOrientation(body)
            rows.append((*position, *orientation))
        return np.asarray(rows)

    def block_yaw(self, index: int) -> float:
        """Rotation of a block about the vertical, radians."""
        return float(self.client.getEulerFromQuaternion(self.block_pose(index)[1])[2])

    def upright(self, yaw: float) -> Quaternion:
        """Orientation of a standing block turned by ``yaw`` (the meshes are y-up)."""
        orientation: Quaternion = self.client.getQuaternionFromEuler([np.pi / 2, 0, yaw])
        return orientation

    def close(self) -> None:
        """Stop the server."""
        self.client.close()

    def __getstate__(self) -> Any:
        raise TypeError("A World holds a simulator process state and cannot be pickled; make one where it is used")
