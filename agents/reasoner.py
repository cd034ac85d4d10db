"""The slow half: what breaks an instruction down into sub-goals and says where each of them is.

`ScriptedReasoner` stands in for a perfect one, so that the fast half can be measured by itself. A vision-language model
takes its place by implementing `Reasoner`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from agents.thinkjepa.relevance import spot_maps
from harness.interfaces import Observation, SubGoalTruth, TaskView


@dataclass(frozen=True)
class SubGoal:
    """What is to be reached next.

    Attributes:
        text: In words.
        attention: Where the reasoner looks for it in the current picture, ``(N,)`` with mean 1 over the world model's
            grid; ``None`` if it does not say.
    """

    text: str
    attention: Tensor | None


class Reasoner(Protocol):
    """Proposes sub-goals."""

    def propose(self, view: TaskView, observation: Observation, grid: int) -> Sequence[SubGoal]:
        """The sub-goals that are left, in the order in which they are to be reached; at least one.

        Args:
            view: The task.
            observation: What is seen now.
            grid: Side of the world model's token grid, which attention maps are wanted for.
        """

    def look(self, subgoal: SubGoal, view: TaskView, observation: Observation, grid: int) -> SubGoal:
        """The same sub-goal with attention to where it is in the current picture."""


class ScriptedReasoner:
    """States the true sub-goals and looks where the things are that they are about. Privileged.

    Args:
        attention: Whether it says where it looks.
    """

    def __init__(self, *, attention: bool = True) -> None:
        self._attention = attention

    def propose(self, view: TaskView, observation: Observation, grid: int) -> Sequence[SubGoal]:  # noqa: ARG002
        """See `Reasoner`.

        Raises:
            ValueError: The environment's ground truth states no sub-goals.
        """
        truth = view.privileged
        if not isinstance(truth, SubGoalTruth):
            raise ValueError("reasoner=scripted needs a world that states sub-goals; use it with benchmark=subgoals")
        stated = truth.stated_subgoals()
        if not self._attention:
            return [SubGoal(subgoal.text, None) for subgoal in stated]
        return [SubGoal(subgoal.text, _spots(subgoal.points, grid)) for subgoal in stated]

    def look(self, subgoal: SubGoal, view: TaskView, observation: Observation, grid: int) -> SubGoal:
        """See `Reasoner`; a sub-goal that is stated no more stays as it was."""
        stated = {now.text: now for now in self.propose(view, observation, grid)}
        return stated.get(subgoal.text, subgoal)


def _spots(points: Sequence[tuple[float, float]], grid: int) -> Tensor:
    return spot_maps(grid * np.array(points, dtype=np.float64).reshape(1, -1, 2), grid)[0]
