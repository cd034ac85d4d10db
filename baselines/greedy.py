"""Greedy choice on ThinkBench: what planning is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from baselines.thinkbench_moves import MoverMemory, ThinkBenchMover
from harness.interfaces import Observation, SingleLaneAgent, TaskView
from thinkbench.abstraction import abstract
from thinkbench.env import ThinkBenchTruth
from thinkbench.literals import Goal
from thinkbench.motion import Placement, placement_of
from thinkbench.subgoals.env import SubgoalTruth
from thinkbench.symbolic import Domain, Move, SymbolicState, holds


class Greedy(ThinkBenchMover, SingleLaneAgent):
    """Always makes the legal move after which the most literals of the goal hold; it never looks further ahead.

    It knows the true state and the goal, and its hand is the expert's: what it lacks is planning. Equals are decided by
    lot, among those with room for the gripper where there are any.
    """

    privileged: ClassVar[bool] = True
    observation_keys = ()

    @classmethod
    def check_truth(cls, settings: Mapping[str, Any], truth: type) -> None:  # noqa: ARG003
        """See `Agent.check_truth`: whether there are literals to count."""
        if not issubclass(truth, ThinkBenchTruth) or issubclass(truth, SubgoalTruth):
            raise ValueError("agent=greedy counts goal literals, which only benchmark=thinkbench has")

    def begin(self, view: TaskView, observation: Observation) -> MoverMemory:
        """What can be moved where.

        Raises:
            ValueError: The environment is not ThinkBench.
        """
        self.check_truth({}, type(view.privileged))
        return super().begin(view, observation)

    def choose(self, truth: ThinkBenchTruth, domain: Domain, rng: np.random.Generator) -> Placement | None:
        """One of the best moves from here."""
        state = truth.state()
        best = best_moves(domain, abstract(state, domain), truth.goal)
        cramped = None
        for index in rng.permutation(len(best)):
            placement = placement_of(state, domain, truth.goal, best[index])
            if placement.room >= 0:
                return placement
            cramped = cramped or placement
        return cramped


def best_moves(domain: Domain, state: SymbolicState, goal: Goal) -> list[Move]:
    """All legal moves after which the most literals of the goal hold, in a fixed order."""

    def satisfied(move: Move) -> int:
        after = domain.apply(state, move)
        return sum(holds(domain, after, literal) for literal in goal)

    scores = {move: satisfied(move) for move in domain.moves(state)}
    return [move for move, score in scores.items() if score == max(scores.values())]
