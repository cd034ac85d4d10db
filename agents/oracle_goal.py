"""Planning towards a picture of the goal: the world model and the planner by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from agents.devices import Device
from agents.planning import Goals, Lane, PlanningAgent, Precision
from agents.thinkjepa.distances import Objective
from agents.thinkjepa.planner.config import PlannerConfig
from harness.interfaces import Observation, ShowsGoal, TaskView


@dataclass(kw_only=True)
class _Lane(Lane):
    """As `Lane`, and the goal state, where it stays the same."""

    goal: Tensor | None


class OracleGoal(PlanningAgent[_Lane]):
    """Plans towards the encoding of a true picture of the goal, in place of one that is projected from words.

    The search, its budget and the weights are those of `agents.thinkjepa.agent.ThinkJEPAAgent`; so the difference
    between the two is what the Goal Projection Interface costs.

    Args:
        checkpoint: See `PlanningAgent`.
        planner: See `PlanningAgent`.
        goal: ``final``, the state in which the whole task is done; or ``next``, at every decision the state after the
            next step of a solution.
        objective: See `PlanningAgent`.
        device: See `PlanningAgent`.
        precision: See `PlanningAgent`.

    Raises:
        ValueError: See `PlanningAgent`.
    """

    privileged: ClassVar[bool] = True

    def __init__(
        self,
        *,
        checkpoint: str,
        planner: PlannerConfig,
        goal: Literal["final", "next"] = "final",
        objective: Objective | None = None,
        device: Device = "auto",
        precision: Precision = "auto",
    ) -> None:
        super().__init__(
            checkpoint=checkpoint, planner=planner, objective=objective, device=device, precision=precision
        )
        self._goal = goal

    def begin(self, view: TaskView, observation: Observation) -> _Lane:  # noqa: ARG002
        """Look at the final goal.

        Raises:
            ValueError: The environment has no picture of the goal.
        """
        truth = view.privileged
        if not isinstance(truth, ShowsGoal):
            raise ValueError(
                "agent=oracle_goal needs a picture of the goal; use it with benchmark=thinkbench or subgoals"
            )
        return _Lane(view, goal=self.encode([truth.goal_image()])[0] if self._goal == "final" else None)

    def goals(
        self,
        lanes: Sequence[_Lane],
        observations: Sequence[Observation],  # noqa: ARG002
        states: Tensor,  # noqa: ARG002
    ) -> Goals[_Lane]:
        """The final one at every decision, or the next."""
        return Goals(torch.stack([self._next(lane) if lane.goal is None else lane.goal for lane in lanes]), lanes)

    def _next(self, lane: _Lane) -> Tensor:
        return self.encode([lane.view.privileged.next_image()])[0]
