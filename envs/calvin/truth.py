"""Ground truth of a play table for privileged agents: live and read-only."""

from __future__ import annotations

from collections.abc import Callable

from envs.arrays import FloatArray
from envs.calvin.language import INSTRUCTIONS
from envs.calvin.layouts import Layout
from envs.calvin.table import PlayTable
from envs.calvin.tasks import Bodies, SceneInfo
from harness.interfaces import StatedSubGoal, TaskEnv


class PlayTableTruth:
    """What a privileged agent may read of a world at any moment. Reading never changes the world.

    Args:
        world: The play table.
        task: Name of the task.
        instruction: The task in words.
        start: The record against which it is judged.
        rehearse: See `rehearsal`.
    """

    def __init__(
        self, world: PlayTable, task: str, instruction: str, start: SceneInfo, rehearse: Callable[[], TaskEnv]
    ) -> None:
        self._world = world
        self._task = task
        self._instruction = instruction
        self._start = start
        self._rehearse = rehearse

    @property
    def layout(self) -> Layout:
        """The table's geometry."""
        return self._world.layout

    @property
    def bodies(self) -> Bodies:
        """Uids and links of the contact records."""
        return self._world.bodies

    @property
    def task(self) -> str:
        """Name of the current stage's task."""
        return self._task

    @property
    def start(self) -> SceneInfo:
        """The record against which the current stage is judged."""
        return self._start

    def retargeted(self, task: str) -> PlayTableTruth:
        """The same world, judged from this moment on by another task."""
        return PlayTableTruth(self._world, task, INSTRUCTIONS[task], self._world.info(), self._rehearse)

    def stated_subgoals(self) -> tuple[StatedSubGoal]:
        """The stage's instruction, which is one sub-goal; see `harness.interfaces.StatesSubGoals`."""
        return (StatedSubGoal(self._instruction, ()),)

    def rehearsal(self) -> TaskEnv:
        """See `harness.interfaces.Rehearses`. It has the episode's actions behind it, so it is the same bit for bit.

        Raises:
            ValueError: In the public simulator.
        """
        return self._rehearse()

    @property
    def target_position(self) -> FloatArray:
        """Commanded tcp position ``(3,)`` in metres, which relative actions move."""
        return self._world.commanded_pose()[0]

    @property
    def target_euler(self) -> FloatArray:
        """Commanded tcp Euler angles xyz ``(3,)`` in radians, which relative actions move."""
        return self._world.commanded_pose()[1]

    def robot_obs(self) -> FloatArray:
        """``(15,)``; see `envs.calvin.world.World.robot_obs`."""
        return self._world.robot_obs()

    def scene_obs(self) -> FloatArray:
        """``(24,)``; see `envs.calvin.world.World.scene_obs`."""
        return self._world.scene_obs()

    def info(self) -> SceneInfo:
        """Contacts, velocities, doors and lights now."""
        return self._world.info()

    def block_pose(self, name: str) -> tuple[FloatArray, FloatArray]:
        """Position ``(3,)`` and quaternion xyzw ``(4,)`` of ``block_<colour>``."""
        return self._world.block_pose(name)
