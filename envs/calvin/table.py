"""What an environment needs of the simulator of a play table, whoever wrote it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray
from envs.bullet.digest import dynamic_state
from envs.calvin.layouts import Layout
from envs.calvin.tasks import Bodies, SceneInfo

BLOCKS = ("block_red", "block_blue", "block_pink")


class PlayTable(Protocol):
    """A play table that can be reset, stepped and read: `envs.calvin.world.World`, or the public simulator."""

    @property
    def layout(self) -> Layout:
        """The table's geometry."""
        ...

    @property
    def bodies(self) -> Bodies:
        """Uids and links of the contact records."""
        ...

    def reset(self, robot_obs: FloatArray, scene_obs: FloatArray) -> None:
        """Put the world into a state, as a fresh process would give it."""
        ...

    def step_relative(self, action: npt.NDArray[np.floating[Any]]) -> None:
        """One control step (1/30 s) with a relative action ``(7,)``."""
        ...

    def step_absolute(self, action: npt.NDArray[np.floating[Any]]) -> None:
        """One control step (1/30 s) with an absolute action ``(7,)``."""
        ...

    def robot_obs(self) -> FloatArray:
        """``(15,)``; see `envs.calvin.world.World.robot_obs`."""
        ...

    def scene_obs(self) -> FloatArray:
        """``(24,)``; see `envs.calvin.world.World.scene_obs`."""
        ...

    def info(self, blocks: Collection[str] = BLOCKS, robot: bool = True) -> SceneInfo:
        """The moment's record for the task oracle; see `envs.calvin.world.World.info`."""
        ...

    def commanded_pose(self) -> tuple[FloatArray, FloatArray]:
        """Commanded tcp position (m) and Euler angles xyz (rad), ``(3,)`` each, which relative actions move."""
        ...

    def block_pose(self, name: str) -> tuple[FloatArray, FloatArray]:
        """Position ``(3,)`` in metres and quaternion xyzw ``(4,)`` of ``block_<colour>``."""
        ...

    def digest(self) -> str:
        """SHA-256 of the exact state."""
        ...

    def close(self) -> None:
        """Stop the simulator. Closing twice is fine."""
        ...


def table_digest(client: Any, memory: Iterable[float]) -> str:
    """SHA-256 over a server's exact dynamic state and what the simulator remembers beside it.

    Args:
        client: Physics server.
        memory: Commanded position and Euler angles (3 each), gripper command, light bulb, led, then as 0 or 1 whether
            the button has turned on, was pressed, and whether the switch has turned on.
    """
    remembered = np.array([float(value) for value in memory], dtype=np.float64)
    return hashlib.sha256(dynamic_state(client).tobytes() + remembered.tobytes()).hexdigest()
