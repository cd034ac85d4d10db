"""The expert for ThinkBench: shortest plans over the true state, one move at a time."""

from __future__ import annotations

import numpy as np

from baselines.thinkbench_moves import ThinkBenchMover
from thinkbench.env import ThinkBenchTruth
from thinkbench.motion import Placement, next_placement
from thinkbench.symbolic import Domain, UnsolvableError


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
        """The first move of a shortest plan from here."""
        try:
            return next_placement(truth.state(), domain, truth.goal)
        except UnsolvableError:
            return None
