"""What happens if nothing is done."""

from __future__ import annotations

import numpy as np

from harness.interfaces import Action, Observation, SingleLaneAgent, TaskView


class Noop(SingleLaneAgent):
    """Always the zero action, or the nearest to it that the action space has.

    In relative control that keeps the arm where it is. Where an action is a whole skill on the tabletop, it is a
    pick-and-place that ends where it starts, which moves nothing.
    """

    observation_keys = ()

    def begin(self, view: TaskView, observation: Observation) -> None:
        """Nothing to remember."""

    def decide(
        self,
        memory: None,  # noqa: ARG002
        view: TaskView,
        observation: Observation,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Action:
        """Zeros within the space's bounds."""
        space = view.action_space
        return np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
