"""Planning without a hierarchy: one goal from the whole instruction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agents.planning import Goals, Lane, PlanningAgent
from harness.interfaces import AgentEvent, Observation, TaskView


class FlatCEM(PlanningAgent[Lane]):
    """Projects the instruction itself, as if it were one sub-goal, and plans towards it with the cross-entropy method.

    No reasoner breaks it down and nothing says where to look. The weights, the search and its budget are those of
    `agents.thinkjepa.agent.ThinkJEPAAgent`, so the difference between the two is what sub-goals are worth. It reads no
    ground truth. Besides `PlanningAgent`'s events it reports ``subgoal`` (``text``, ``left``) once.

    For the arguments see `PlanningAgent`.

    Raises:
        ValueError: See `PlanningAgent`; or the checkpoint was trained on a language model's embeddings.
    """

    needs_words = True

    def begin(self, view: TaskView, observation: Observation) -> Lane:  # noqa: ARG002
        """The instruction is the only sub-goal."""
        return Lane(view, events=[AgentEvent("subgoal", {"text": view.instruction, "left": 1})])

    def goals(
        self,
        lanes: Sequence[Lane],
        observations: Sequence[Observation],  # noqa: ARG002
        states: Tensor,
    ) -> Goals[Lane]:
        """The instruction's projection from what is seen now."""
        return Goals(self.aim(lanes, states), lanes)

    def aim(self, lanes: Sequence[Lane], states: Tensor, shift: tuple[int, int] = (0, 0)) -> Tensor:  # noqa: ARG002
        """See `PlanningAgent.aim`."""
        everywhere = torch.ones(states.shape[:2], device=states.device)
        instructions = self.embed([lane.view.instruction for lane in lanes])
        return self.project(instructions, everywhere, states)
