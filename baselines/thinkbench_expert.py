"""The expert for ThinkBench: shortest plans over the true state, one skill action at a time."""

from __future__ import annotations

import numpy as np

from envs.tabletop.actions import Primitive, skill_action
from harness.interfaces import Action, Observation, TaskView
from thinkbench.abstraction import domain_of
from thinkbench.env import ThinkBenchTruth
from thinkbench.motion import next_placement
from thinkbench.symbolic import Domain, UnsolvableError

_SKILL_SHAPE = (6,)


class ThinkBenchExpert:
    """Plans anew from the true state before every action, so that it recovers from what slips or falls.

    Where the goal is out of reach (a target fell off the table, or something is in a container that must not be) it
    does nothing, as an action from a point to itself.
    """

    def begin(self, view: TaskView, observation: Observation) -> Domain:  # noqa: ARG002
        """What can be moved where.

        Raises:
            ValueError: The environment is not in skill control.
        """
        if view.action_space.shape != _SKILL_SHAPE:
            raise ValueError("the ThinkBench expert acts in skills only; use a protocol with control: skill")
        truth: ThinkBenchTruth = view.privileged
        return domain_of(truth.state().scene, truth.goal, truth.rules)

    def decide(
        self,
        domain: Domain,
        view: TaskView,
        observation: Observation,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Action:
        """The first action of a shortest plan from here."""
        truth: ThinkBenchTruth = view.privileged
        try:
            placement = next_placement(truth.state(), domain, truth.goal)
        except UnsolvableError:
            placement = None
        if placement is None:
            return skill_action(Primitive.PUSH, (0.0, 0.0), (0.0, 0.0))
        return skill_action(Primitive.PICK_AND_PLACE, placement.start, placement.end, placement.turn)
