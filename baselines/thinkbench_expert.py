"""The expert for ThinkBench: shortest plans over the true state, one move at a time."""

from __future__ import annotations

import math

import numpy as np

from baselines.thinkbench_moves import ThinkBenchMover
from thinkbench.env import ThinkBenchTruth
from thinkbench.motion import Placement, next_placement, placement_of
from thinkbench.symbolic import TABLE, Domain, Move, UnsolvableError

_SAME_PLACE = 0.01  # metres


class ThinkBenchExpert(ThinkBenchMover):
    """Plans anew from the true state before every move, so that it recovers from what slips or falls.

    Where the goal is out of reach (a target fell off the table, or something is in a container that must not be) it
    does nothing.
    """

    def choose(
        self,
        truth: ThinkBenchTruth,
        domain: Domain,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Placement | None:
        """The first move of a shortest plan from here.

        Something that is to go where it is already lies badly there, for example on a rim, and is put aside first.
        """
        state = truth.state()
        try:
            placement = next_placement(state, domain, truth.goal)
        except UnsolvableError:
            return None
        if placement is None or math.dist(placement.start, placement.end) > _SAME_PLACE:
            return placement
        return placement_of(state, domain, truth.goal, Move(placement.move.item, TABLE))
