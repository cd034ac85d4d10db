"""The floor: actions drawn uniformly, whatever the instruction says."""

from __future__ import annotations

import numpy as np

from harness.interfaces import Action, Observation, SingleLaneAgent, TaskView


class Random(SingleLaneAgent):
    """Draws each action uniformly from the action space; looks at nothing."""

    observation_keys = ()

    def begin(self, view: TaskView, observation: Observation) -> None:
        """Nothing to remember."""

    def decide(
        self,
        memory: None,  # noqa: ARG002
        view: TaskView,
        observation: Observation,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> Action:
        """An action between the space's bounds."""
        space = view.action_space
        return rng.uniform(space.low, space.high).astype(space.dtype)
