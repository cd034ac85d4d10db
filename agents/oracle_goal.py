"""Planning towards a picture of the goal: the world model and the planner by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agents.planning import Goals, Lane, PlanningAgent
from harness.interfaces import Observation, ShowsGoal, TaskView


@dataclass(kw_only=True)
class _Lane(Lane):
    goal: Tensor


class OracleGoal(PlanningAgent[_Lane]):
    """Plans towards the encoding of a true picture of the goal, in place of one that is projected from words.

    The search, its budget and the weights are those of `agents.thinkjepa.agent.ThinkJEPAAgent`; so the difference
    between the two is what the Goal Projection Interface costs. For the arguments see `PlanningAgent`.
    """

    privileged: ClassVar[bool] = True

    def begin(self, view: TaskView, observation: Observation) -> _Lane:  # noqa: ARG002
        """Look at the goal.

        Raises:
            ValueError: The environment has no picture of the goal.
        """
        if not isinstance(view.privileged, ShowsGoal):
            raise ValueError("agent=oracle_goal needs a picture of the goal; use it with benchmark=subgoals")
        return _Lane(view, goal=self.encode([view.privileged.goal_image()])[0])

    def goals(
        self,
        lanes: Sequence[_Lane],
        observations: Sequence[Observation],  # noqa: ARG002
        states: Tensor,  # noqa: ARG002
    ) -> Goals[_Lane]:
        """The same at every decision."""
        return Goals(torch.stack([lane.goal for lane in lanes]), lanes)
