"""The heuristic that planning with a learned model has to beat: the right object in the right part of the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from baselines.subgoal_targets import target_of
from envs.tabletop.actions import Primitive, from_unit, skill_action, to_unit
from harness.interfaces import Action, Observation, SingleLaneAgent, TaskView
from thinkbench.subgoals.env import SubgoalTruth


class Heuristic(SingleLaneAgent):
    """Picks the named object exactly, and puts it down somewhere in the ideal place's cell of a coarse grid.

    It knows the true positions and the goal (`baselines.subgoal_targets`), and nothing of physics, obstacles or what is
    in the way: what is covered it takes hold of at its position, which lifts whatever lies on top. It turns nothing. It
    decides anew, with a new draw, before every action; where any place will do, it draws from the whole workspace.

    Args:
        cells: The grid has ``cells`` x ``cells`` cells: with 3, places like "at the front, on the left".

    Raises:
        ValueError: There is no cell.
    """

    privileged: ClassVar[bool] = True
    observation_keys = ()

    def __init__(self, cells: int = 3) -> None:
        super().__init__()
        if cells < 1:
            raise ValueError(f"cells={cells}: must be at least 1")
        self._cells = cells

    @classmethod
    def check_truth(cls, settings: Mapping[str, Any], truth: type) -> None:  # noqa: ARG003
        """See `Agent.check_truth`: whether sub-goals are stated."""
        if not issubclass(truth, SubgoalTruth):
            raise ValueError("agent=heuristic knows what sub-goals ask for; use it with benchmark=subgoals")

    def begin(self, view: TaskView, observation: Observation) -> None:  # noqa: ARG002
        """Nothing is remembered.

        Raises:
            ValueError: The environment states no sub-goals.
        """
        self.check_truth({}, type(view.privileged))

    def decide(
        self,
        memory: None,  # noqa: ARG002
        view: TaskView,
        observation: Observation,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> Action:
        """One pick-and-place."""
        truth: SubgoalTruth = view.privileged
        target = target_of(truth.state(), truth.goal[0])
        low, width = np.full(2, -1.0), 2.0
        if target.place is not None:
            width = 2.0 / self._cells
            low += width * np.clip(np.floor((to_unit(target.place) + 1.0) / width), 0, self._cells - 1)
        end = from_unit(low + width * rng.uniform(size=2))
        return skill_action(Primitive.PICK_AND_PLACE, target.pick, end)
