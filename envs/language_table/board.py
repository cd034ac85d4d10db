"""The public simulator's life cycle: lay out a board, draw a task, act, score.

A `Board` is one upstream environment without its rendering: constructing it draws a first board without a task, each
`reset` continues from what came before (motor targets survive a reset), exactly as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from envs.language_table import geometry
from envs.language_table.blocks import BLOCK_INDEX, LOAD_ORDER, BlockMode, subsets
from envs.language_table.families import BoardState, Family, Task
from envs.language_table.world import Vector, World

BLOCK_CLEARANCE: Final = 0.0175
"""Centres of two blocks start farther apart than this, metres (blocks may touch)."""
ARM_CLEARANCE: Final = 0.06
"""Blocks start farther than this from the commanded effector position, metres."""

_PLACING_TRIES: Final = 21
_MOVE_STEPS: Final = 100
_SETTLE_STEPS: Final = 200
_AWAY: Final = (5.0, 5.0, 0.0)
_AWAY_ORIENTATION: Final = (0.7071067811865475, 0.0, 0.0, 0.7071067811865476)

_X_RANGE: Final = (geometry.X_MIN + geometry.SPAWN_MARGIN, geometry.X_MAX - geometry.SPAWN_MARGIN)
_Y_RANGE: Final = (geometry.Y_MIN + geometry.SPAWN_MARGIN, geometry.Y_MAX - geometry.SPAWN_MARGIN)


class BoardError(ValueError):
    """No board for this seed: a block found no free place in 21 tries. The public simulator raises here too."""


class Board:
    """One table whose boards and tasks come from one seed.

    Args:
        world: The simulated table.
        family: Draws tasks and scores boards.
        mode: Block mode.
        training: Which half of ``N_CHOOSE_K`` block sets to draw from.
    """

    on_table: tuple[str, ...]
    target_position: Vector
    """Commanded position of link 6, ``(3,)``."""

    def __init__(self, world: World, family: Family, mode: BlockMode, training: bool = True) -> None:
        self.world = world
        self.family = family
        self._subsets = subsets(mode, training)
        self._rng = family.draws.task
        self._lay_out(with_task=False)

    def reset(self) -> Task:
        """A new board and task.

        Raises:
            BoardError: Blocks could not be placed.
        """
        self._lay_out(with_task=True)
        self.family.update(self.state())
        return self.family.task

    def _lay_out(self, with_task: bool) -> None:
        world, rng = self.world, self._rng
        self.on_table = self._subsets[rng.choice(len(self._subsets))]
        visible = [BLOCK_INDEX[name] for name in self.on_table]
        world.restore_loaded()
        for index in visible:
            world.place_block(index, _AWAY, _AWAY_ORIENTATION)
        world.step(_MOVE_STEPS)
        self._move_arm(self._draw_position(geometry.EFFECTOR_HEIGHT))
        world.step(_MOVE_STEPS)
        for index in range(len(LOAD_ORDER)):
            if index not in visible:
                world.place_block(index, _AWAY, _AWAY_ORIENTATION)
        # Positions of rejected boards stay in this list: later boards keep clear of them too.
        taken: list[Vector] = []
        while True:
            for index in visible:
                self._place(index, taken)
            world.step(_SETTLE_STEPS)
            if not with_task or self.family.draw(self.state(), self.on_table) is not None:
                return

    def _draw_position(self, height: float) -> Vector:
        low, high = zip(_X_RANGE, _Y_RANGE, (height, height), strict=True)
        position: Vector = self._rng.uniform(low=low, high=high)
        return position

    def _move_arm(self, position: Vector) -> None:
        position[2] = geometry.EFFECTOR_HEIGHT
        self.target_position = position
        self.world.command(position.tolist())

    def _place(self, index: int, taken: list[Vector]) -> None:
        for _ in range(_PLACING_TRIES):
            position = self._draw_position(0.0)
            yaw = self._rng.uniform(low=0.0, high=2 * np.pi)
            if taken and min(np.linalg.norm(position - other) for other in taken) <= BLOCK_CLEARANCE:
                continue
            if np.linalg.norm(position[:2] - self.target_position[:2]) <= ARM_CLEARANCE:
                continue
            taken.append(position)
            self.world.place_block(index, position.tolist(), self.world.upright(yaw))
            return
        raise BoardError(f"No free place for block '{LOAD_ORDER[index]}' in {_PLACING_TRIES} tries; use another seed")

    def step(self, action: Sequence[float] | npt.NDArray[np.floating]) -> tuple[float, bool]:
        """Shift the commanded position by ``action`` (metres), advance 0.1 s; returns reward and done.

        The target is clipped to the board, the action is not.
        """
        position = self.target_position + np.array([action[0], action[1], 0.0])
        position[:2] = np.clip(position[:2], (geometry.X_MIN, geometry.Y_MIN), (geometry.X_MAX, geometry.Y_MAX))
        self._move_arm(position)
        self.world.step(geometry.SUBSTEPS)
        state = self.state()
        self.family.update(state)
        return self.family.reward(state)

    def state(self) -> BoardState:
        """Block positions and commanded effector position as the task sees them."""
        positions = {
            name: np.array(self.world.block_pose(BLOCK_INDEX[name])[0][:2], np.float32) for name in self.on_table
        }
        return BoardState(positions, np.array(self.target_position[:2], np.float32))
