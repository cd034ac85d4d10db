"""The ceiling for planning with a learned model: search with the simulator itself as the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from baselines.subgoal_expert import nothing
from baselines.subgoal_targets import target_of
from envs.bullet import SimulationError
from envs.tabletop.actions import Primitive, from_unit, parse_skill, skill_action
from envs.tabletop.scene import WorldState
from envs.tabletop.skills import pick_and_place
from envs.tabletop.world import CONTROL_HZ, TabletopWorld, WorldSnapshot
from harness.interfaces import Action, AgentEvent, Observation, SingleLaneAgent, TaskView
from thinkbench.literals import Goal
from thinkbench.predicates import goal_holds
from thinkbench.subgoals.env import SubgoalTruth

_HORIZON = 2
_SETTLE_STEPS = 2 * CONTROL_HZ
_AIMED = 0.5
"""Share of candidate actions that are aimed; the others pick at a named object and place anywhere."""


@dataclass
class _Search:
    """One lane's memory: what is left of a plan that succeeds, and what the last decision cost."""

    plan: list[Action] = field(default_factory=list)
    events: list[AgentEvent] = field(default_factory=list)


class Simulator(SingleLaneAgent):
    """Random shooting on a true copy of the world, judged by the true predicates.

    A candidate is a sequence of up to two pick-and-places. Half of the actions pick the object that is to be moved and
    place it near where it belongs (`baselines.subgoal_targets`), half pick at any object that the goal names and place
    anywhere. The first candidate after which the sub-goal holds, and lasts, is executed; where none is found, nothing
    is done and the search goes on at the next decision. It bounds what a planner with these candidates and a perfect
    model can reach.

    Args:
        samples: Candidates per decision.
        spread: What is near, metres.

    Raises:
        ValueError: There are no candidates, or ``spread`` is negative.
    """

    privileged: ClassVar[bool] = True
    observation_keys = ()

    def __init__(self, samples: int = 32, spread: float = 0.05) -> None:
        super().__init__()
        if samples < 1 or spread < 0:
            raise ValueError(f"samples={samples}, spread={spread}: at least 1 candidate, and a radius of 0 or more")
        self._samples = samples
        self._spread = spread
        self._copy = TabletopWorld()

    @classmethod
    def check_truth(cls, settings: Mapping[str, Any], truth: type) -> None:  # noqa: ARG003
        """See `Agent.check_truth`: whether sub-goals are stated."""
        if not issubclass(truth, SubgoalTruth):
            raise ValueError("agent=simulator judges its candidates by sub-goals; use it with benchmark=subgoals")

    def begin(self, view: TaskView, observation: Observation) -> _Search:  # noqa: ARG002
        """Nothing is planned yet.

        Raises:
            ValueError: The environment states no sub-goals.
        """
        self.check_truth({}, type(view.privileged))
        return _Search()

    def decide(
        self,
        memory: _Search,
        view: TaskView,
        observation: Observation,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> Action:
        """The next action of a sequence that was seen to succeed, or none."""
        truth: SubgoalTruth = view.privileged
        simulated = 0
        if not memory.plan:
            start = truth.world.get_state()
            for _ in range(self._samples):
                plan, steps = self._roll_out(start, truth.goal, rng)
                simulated += steps
                if plan:
                    memory.plan = plan
                    break
        memory.events.append(AgentEvent("compute", {"simulated_actions": simulated}))
        return memory.plan.pop(0) if memory.plan else nothing()

    def close(self) -> None:
        """Release the copy."""
        self._copy.close()

    def _roll_out(self, start: WorldSnapshot, goal: Goal, rng: np.random.Generator) -> tuple[list[Action], int]:
        """A random sequence, up to where the goal is reached, or an empty one; and how many actions were simulated."""
        world = self._copy
        world.set_state(start)
        plan: list[Action] = []
        try:
            while len(plan) < _HORIZON:
                plan.append(self._draw(world.state(), goal, rng))
                skill = parse_skill(plan[-1])
                pick_and_place(world, skill.start, skill.end, skill.turn)
                if goal_holds(world.state(), goal):
                    world.hold(_SETTLE_STEPS)
                    return (plan if goal_holds(world.state(), goal) else []), len(plan)
        except SimulationError:
            pass  # a candidate that blows up the copy is a bad one
        return [], len(plan)

    def _draw(self, state: WorldState, goal: Goal, rng: np.random.Generator) -> Action:
        if rng.random() < _AIMED:
            target = target_of(state, goal[0])
            if target.place is not None:
                angle, distance = rng.uniform(0.0, 2 * math.pi), self._spread * math.sqrt(rng.uniform())
                end = np.array(target.place) + distance * np.array([math.cos(angle), math.sin(angle)])
                return skill_action(Primitive.PICK_AND_PLACE, target.pick, end)
        named = sorted({name for literal in goal for name in literal.args if name in state.objects})
        x, y, _ = state.objects[named[int(rng.integers(len(named)))]].position
        return skill_action(Primitive.PICK_AND_PLACE, (x, y), from_unit(rng.uniform(-1.0, 1.0, 2)))
