"""Play on Language-Table: draw a task of any family on the board as it is, push until it is solved, draw the next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from baselines.language_table_expert import LanguageTableExpert
from baselines.play import label
from envs.language_table.families import FAMILIES, Draws, Family
from envs.language_table.truth import BoardTruth
from harness.interfaces import Action, AgentEvent, TaskView

PATIENCE = 80
"""Actions after which a task that is not solved is given up."""
PLAYED_FAMILIES = (
    "block2block",
    "block2absolutelocation",
    "block2relativelocation",
    "block2block_relative_location",
    "separate_blocks",
    "point2block",
)
_TRIES = 50


class LanguageTablePlayer:
    """Tasks, their instructions and the verdict are those of the families; the pushing is the expert's."""

    def __init__(self) -> None:
        self.labels: list[AgentEvent] = []
        self._expert = LanguageTableExpert()
        self._family: Family | None = None
        self._memory: Any = None
        self._began = 0

    def decide(self, view: TaskView, step: int, rng: np.random.Generator) -> Action:
        """The next shift ``(2,)``, metres."""
        board: BoardTruth = view.privileged
        if self._family is not None:
            state = board.state()
            self._family.update(state)
            if self._family.solved(state):
                task = self._family.task
                self.labels.append(label(self._family.name, task.instruction, self._began, step))
                self._family = None
        if self._family is None or step - self._began >= PATIENCE:
            self._family = draw_task(board, rng)
            self._began = step
            self._memory = self._expert.begin(self._view(view), {})
        return self._expert.decide(self._memory, self._view(view), {}, rng)

    def _view(self, view: TaskView) -> TaskView:
        """The view with the present task as ground truth."""
        return replace(view, privileged=view.privileged.judged_by(self._family))


def draw_task(board: BoardTruth, rng: np.random.Generator) -> Family:
    """A task that can be drawn on the board as it is and is not solved yet.

    Raises:
        RuntimeError: None was found in many draws.
    """
    for _ in range(_TRIES):
        name = PLAYED_FAMILIES[int(rng.integers(len(PLAYED_FAMILIES)))]
        family = FAMILIES[name](Draws.from_seed(int(rng.integers(2**31))), board.mode)
        state = board.state()
        if family.draw(state, board.on_table) is None:
            continue
        family.update(state)
        if not family.solved(state):
            return family
    raise RuntimeError(f"no family of {', '.join(PLAYED_FAMILIES)} has a task for this board in {_TRIES} draws")
