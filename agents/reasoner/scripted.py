"""A perfect reasoner, so that the fast half can be measured by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from agents.reasoner.protocol import Attempt, ReasonerError, SubGoal
from agents.thinkjepa.config import WorldModelConfig
from agents.thinkjepa.relevance import spot_maps
from harness.interfaces import Observation, StatedSubGoal, StatesSubGoals, TaskView


class ScriptedReasoner:
    """States the true sub-goals and looks where the things are that they are about. Privileged.

    Args:
        world: Whose grid its attention maps are over.
    """

    def __init__(self, world: WorldModelConfig) -> None:
        self._world = world

    def propose(
        self,
        view: TaskView,
        observation: Observation,  # noqa: ARG002
        history: Sequence[Attempt] = (),  # noqa: ARG002
    ) -> Sequence[SubGoal]:
        """See `Reasoner`. The truth needs no history.

        Raises:
            ReasonerError: The environment's ground truth states no sub-goals.
        """
        return [self._subgoal(stated) for stated in _stated(view)]

    def look(self, subgoal: SubGoal, view: TaskView, observation: Observation) -> SubGoal:  # noqa: ARG002
        """See `Reasoner`, or the same with one of the ``objects`` of a sub-goal for a text.

        What is stated no more stays as it was.
        """
        stated = _stated(view)
        points = [pair for one in stated for pair in zip(_called(one), one.points, strict=True)]
        alone = [SubGoal(name, self._spots([point])) for name, point in points]
        return next((seen for seen in (*map(self._subgoal, stated), *alone) if seen.text == subgoal.text), subgoal)

    def _subgoal(self, stated: StatedSubGoal) -> SubGoal:
        return SubGoal(stated.text, self._spots(stated.points), objects=_called(stated))

    def _spots(self, points: Sequence[tuple[float, float]]) -> Tensor:
        left, top, right, bottom = self._world.encoder.crop
        seen = (np.array(points, dtype=np.float64).reshape(1, -1, 2) - (left, top)) / (right - left, bottom - top)
        return spot_maps(self._world.grid * seen, self._world.grid)[0]


def _stated(view: TaskView) -> Sequence[StatedSubGoal]:
    truth = view.privileged
    if not isinstance(truth, StatesSubGoals):
        raise ReasonerError(
            "reasoner=scripted needs a world that states sub-goals; use it with benchmark=thinkbench or subgoals"
        )
    return truth.stated_subgoals()


def _called(stated: StatedSubGoal) -> tuple[str, ...]:
    """What the things of a sub-goal are called, in the order of its points: here they have places, and no words."""
    return tuple(f"thing {number} of {stated.text}" for number in range(1, len(stated.points) + 1))
