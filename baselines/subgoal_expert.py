"""The expert for sub-goals: the certified solver, asked anew before every action."""

from __future__ import annotations

import numpy as np

from envs.tabletop.actions import Primitive, skill_action
from harness.interfaces import Action, Observation, TaskView
from thinkbench.subgoals.env import SubgoalTruth
from thinkbench.subgoals.solver import next_action
from thinkbench.symbolic import UnsolvableError


class SubgoalExpert:
    """Makes the solver's next move from the true state; where the sub-goal is out of reach, it does nothing."""

    def begin(self, view: TaskView, observation: Observation) -> None:
        """There is nothing to remember."""

    def decide(
        self,
        memory: None,  # noqa: ARG002
        view: TaskView,
        observation: Observation,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Action:
        """The next move as a skill action."""
        truth: SubgoalTruth = view.privileged
        try:
            placement = next_action(truth.state(), truth.goal)
        except UnsolvableError:
            placement = None
        return nothing() if placement is None else placement.action()


def nothing() -> Action:
    """The skill action that moves nothing."""
    return skill_action(Primitive.PICK_AND_PLACE, (0.0, 0.0), (0.0, 0.0))
