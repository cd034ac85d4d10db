"""Ground truth of a board for privileged agents: live and read-only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from envs.language_table.blocks import BLOCK_INDEX, BlockMode
from envs.language_table.board import Board
from envs.language_table.families import BoardState, Family, Task
from harness.interfaces import StatedSubGoal, TaskEnv

Point = npt.NDArray[np.float64]


class BoardTruth:
    """What a privileged agent may read of a board at any moment. Reading never changes the world."""

    def __init__(self, board: Board, family: Family | None = None) -> None:
        self._board = board
        self._family = family or board.family

    def judged_by(self, family: Family) -> BoardTruth:
        """The same board under a task of another family, which has been drawn on it."""
        return BoardTruth(self._board, family)

    @property
    def mode(self) -> BlockMode:
        """The block mode."""
        return self._board.family.mode

    def state(self) -> BoardState:
        """What success depends on, now."""
        return self._board.state()

    @property
    def family(self) -> str:
        """Name of the task family."""
        return self._family.name

    @property
    def task(self) -> Task:
        """The task; its target follows the blocks where the family says so."""
        return self._family.task

    @property
    def on_table(self) -> tuple[str, ...]:
        """Names of the blocks on the table."""
        return self._board.on_table

    @property
    def effector_target(self) -> Point:
        """Commanded effector position ``(2,)``, metres, which actions shift."""
        return self._board.target_position[:2].copy()

    def effector(self) -> Point:
        """Measured effector position ``(2,)``, metres."""
        return np.asarray(self._board.world.effector_pose()[0][:2])

    def tip(self) -> Point:
        """Position of the rod's axis ``(2,)``, metres; some millimetres off the effector's."""
        return np.asarray(self._board.world.tip_position()[:2])

    def position(self, block: str) -> Point:
        """Position of a block ``(2,)``, metres."""
        return np.asarray(self._board.world.block_pose(BLOCK_INDEX[block])[0][:2])

    def yaw(self, block: str) -> float:
        """Rotation of a block about the vertical, radians."""
        return self._board.world.block_yaw(BLOCK_INDEX[block])

    def solved(self) -> bool:
        """Whether the board satisfies the task now."""
        return self._family.solved(self._board.state())

    def stated_subgoals(self) -> tuple[StatedSubGoal]:
        """The instruction, which is one sub-goal; see `harness.interfaces.StatesSubGoals`."""
        return (StatedSubGoal(self.task.instruction, ()),)


class EpisodeTruth(BoardTruth):
    """Ground truth of a board that an environment has laid out, and can lay out again.

    Args:
        board: The board.
        rehearse: See `rehearsal`.
    """

    def __init__(self, board: Board, rehearse: Callable[[], TaskEnv]) -> None:
        super().__init__(board)
        self._rehearse = rehearse

    def rehearsal(self) -> TaskEnv:
        """See `harness.interfaces.Rehearses`. It has the episode's actions behind it, so it is the same bit for bit."""
        return self._rehearse()
