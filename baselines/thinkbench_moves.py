"""Moves on the table as actions: what the privileged ThinkBench agents share, in both control modes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from envs.tabletop import kinematics
from envs.tabletop.actions import Primitive, delta_action, skill_action
from envs.tabletop.linear import product
from envs.tabletop.motions import DELTA, Motions, ToolTarget
from envs.tabletop.shapes import GRIPPER_OPENING
from envs.tabletop.world import CONTROL_HZ, TabletopWorld
from harness.interfaces import Action, Observation, TaskView
from thinkbench.abstraction import domain_of
from thinkbench.env import ThinkBenchTruth
from thinkbench.motion import Placement
from thinkbench.symbolic import Domain

_SKILL_SHAPE = (6,)
_REST_STEPS = 2 * CONTROL_HZ  # control steps to wait for rest before the next move


@dataclass
class MoverMemory:
    """What a mover remembers of one episode: what can be moved where, and the rest of the motion under way."""

    domain: Domain
    motion: Iterator[ToolTarget]


class ThinkBenchMover(ABC):
    """Chooses one pick-and-place after another, from the true state, and carries it out.

    In skill control a choice is one action. In delta control the hand goes through the same motions in closed loop, one
    relative action per control step, and the next choice is made when everything is at rest again. Where there is no
    choice it does nothing.
    """

    @abstractmethod
    def choose(self, truth: ThinkBenchTruth, domain: Domain, rng: np.random.Generator) -> Placement | None:
        """The next move, or ``None`` if there is none to make."""

    def begin(self, view: TaskView, observation: Observation) -> MoverMemory:  # noqa: ARG002
        """What can be moved where."""
        truth: ThinkBenchTruth = view.privileged
        return MoverMemory(domain_of(truth.state().scene, truth.goal, truth.rules), iter(()))

    def decide(
        self,
        memory: MoverMemory,
        view: TaskView,
        observation: Observation,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> Action:
        """The next action of the control mode."""
        truth: ThinkBenchTruth = view.privileged
        if view.action_space.shape == _SKILL_SHAPE:
            placement = self.choose(truth, memory.domain, rng)
            if placement is None:
                return skill_action(Primitive.PUSH, (0.0, 0.0), (0.0, 0.0))
            return placement.action()
        target = next(memory.motion, None)
        if target is None:
            memory.motion = _motion(truth.world, self.choose(truth, memory.domain, rng))
            target = next(memory.motion)
        return towards(truth.world, target)


def _motion(world: TabletopWorld, placement: Placement | None) -> Iterator[ToolTarget]:
    """The hand's way through a move until all is at rest; one step of waiting if there is no move."""
    if placement is None:
        yield ToolTarget(*world.tool_target, world.width_target)
        return
    yield from Motions(world, DELTA).pick_and_place(placement.start, placement.end, placement.turn)
    for _ in range(_REST_STEPS):
        if world.resting():
            return
        yield ToolTarget(*world.tool_target, world.width_target)


def towards(world: TabletopWorld, target: ToolTarget) -> Action:
    """The delta action ``(7,)`` that brings the arm's commanded pose to a target, or as near as one step can.

    The gripper only opens and closes; an opening between is kept by doing both in turn.
    """
    position, orientation = world.tool_target
    turn = kinematics.euler(product(target.orientation, orientation.T))
    opens = target.width >= GRIPPER_OPENING or world.robot.gripper_width() < target.width
    return delta_action(target.position - position, turn, opens)
