"""Exploration for collecting data on the tabletop: a mixture of behaviours, one skill action at a time.

What came of an action is told by the world's predicates, whatever was intended: they are recorded with every row (see
`thinkbench.subgoals.env`). Where a sub-goal was aimed at and holds now, the stretch is labelled with its instruction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from baselines.play import label
from envs.arrays import FloatArray
from envs.tabletop.actions import MAX_TURN, Primitive, from_unit, skill_action
from envs.tabletop.linear import norm
from envs.tabletop.scene import WorldState
from envs.tabletop.shapes import WORKSPACE, is_container
from harness.interfaces import Action, AgentEvent, Observation, SingleLaneAgent, TaskView
from thinkbench.geometry import distance_to_polygon, footprint
from thinkbench.predicates import goal_holds
from thinkbench.subgoals.env import SubgoalTruth
from thinkbench.subgoals.goals import KINDS, SubGoal, holding
from thinkbench.subgoals.solver import next_action
from thinkbench.symbolic import UnsolvableError

NEAR_MISS = (0.01, 0.07)
"""How far beside an object's outline a near miss picks, metres; the skill itself forgives 0.02, so some are none."""

_AIM = 0.02  # standard deviation in metres of a pick that is meant to hit, and of a place at something
_AT_SOMETHING = 0.6  # share of places that are at another object or zone; the others are anywhere
_UNTURNED = 0.5  # share of objects that are not turned
_PUSH_FROM, _PUSH_BY = (0.03, 0.06), (0.04, 0.14)  # where a push starts beside an outline, and how far it goes, metres
_TRIES = 20


@dataclass
class _Memory:
    """One lane: the sub-goal that is aimed at, since when, and what is to be reported."""

    step: int = 0
    goal: SubGoal | None = None
    began: int = 0
    events: list[AgentEvent] = field(default_factory=list)


class Explore(SingleLaneAgent):
    """Draws a behaviour for every action.

    Args:
        random: Weight of actions drawn evenly from the action space.
        directed: Weight of picks at an object with some error, placed at something or anywhere, and of pushes.
        near_miss: Weight of picks beside an object; see `NEAR_MISS`.
        expert: Weight of the expert's moves towards a sub-goal, with noise.
        aimed: Share of these sub-goals that are of the kind that the scene was drawn for (`play_spec`); those of the
            others are of evenly drawn kinds.
        pushes: Share of pushes among directed actions.
        noise: Standard deviation of what is added to the expert's points, metres.

    Raises:
        ValueError: A weight or ``noise`` is negative, all weights are zero, or ``pushes`` or ``aimed`` is no share.
    """

    privileged: ClassVar[bool] = True
    plays: ClassVar[bool] = True
    observation_keys = ()

    def __init__(
        self,
        *,
        random: float = 0.15,
        directed: float = 0.3,
        near_miss: float = 0.22,
        expert: float = 0.33,
        aimed: float = 0.5,
        pushes: float = 0.2,
        noise: float = 0.01,
    ) -> None:
        super().__init__()
        self._weights = {"random": random, "directed": directed, "near_miss": near_miss, "expert": expert}
        if min(self._weights.values()) < 0 or not any(self._weights.values()):
            raise ValueError(f"weights {self._weights}: none may be negative, and one must be above 0")
        if not 0.0 <= pushes <= 1.0 or not 0.0 <= aimed <= 1.0 or noise < 0:
            raise ValueError(f"pushes={pushes}, aimed={aimed}, noise={noise}: shares from 0 to 1, at least 0 metres")
        self._pushes = pushes
        self._aimed = aimed
        self._noise = noise

    def begin(self, view: TaskView, observation: Observation) -> _Memory:  # noqa: ARG002
        """Nothing is aimed at yet.

        Raises:
            ValueError: The environment states no sub-goals.
        """
        if not isinstance(view.privileged, SubgoalTruth):
            raise ValueError("agent=explore needs the ground truth of benchmark=subgoals")
        return _Memory()

    def decide(
        self,
        memory: _Memory,
        view: TaskView,
        observation: Observation,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> Action:
        """One skill action."""
        truth: SubgoalTruth = view.privileged
        state = truth.state()
        _judge(memory, state, rng)
        weights = np.array(list(self._weights.values()))
        behaviour = str(rng.choice(list(self._weights), p=weights / weights.sum()))
        action = self._act(behaviour, memory, truth, state, rng)
        if action is None:  # nothing to be done in that way here
            behaviour, action = "random", _anything(view, rng)
        memory.events.append(AgentEvent("behaviour", {"name": behaviour}))
        memory.step += 1
        return action

    def _act(
        self, behaviour: str, memory: _Memory, truth: SubgoalTruth, state: WorldState, rng: np.random.Generator
    ) -> Action | None:
        match behaviour:
            case "directed" if rng.random() < self._pushes:
                return _push(state, rng)
            case "directed":
                return _pick(state, rng, miss=False)
            case "near_miss":
                return _pick(state, rng, miss=True)
            case "expert":
                return self._expert(memory, truth, state, rng)
        return None

    def _expert(
        self, memory: _Memory, truth: SubgoalTruth, state: WorldState, rng: np.random.Generator
    ) -> Action | None:
        """The solver's move, with noise, towards the sub-goal that is aimed at, or towards a new one."""
        open_goals: list[SubGoal] | None = None
        for _ in range(_TRIES):
            if memory.goal is None:
                if open_goals is None:
                    now = holding(state, truth.subgoals)
                    open_goals = [goal for goal, holds in zip(truth.subgoals, now, strict=True) if not holds]
                if not open_goals:
                    return None
                aim = truth.episode.meta.get("aim")
                pool = open_goals
                if aim is not None and rng.random() < self._aimed:
                    pool = [goal for goal in open_goals if goal.kind == aim] or open_goals
                memory.goal, memory.began = _one_of_any_kind(pool, rng), memory.step
            try:
                placement = next_action(state, memory.goal.literals)
            except UnsolvableError:
                placement = None
            if placement is not None:
                start, end = (
                    np.array(point) + self._noise * rng.normal(size=2) for point in (placement.start, placement.end)
                )
                return skill_action(Primitive.PICK_AND_PLACE, start, end, placement.turn)
            memory.goal = None
        return None


def _judge(memory: _Memory, state: WorldState, rng: np.random.Generator) -> None:
    """Label the stretch at whose end the sub-goal that was aimed at holds."""
    if memory.goal is not None and goal_holds(state, memory.goal.literals):
        paraphrases = KINDS[memory.goal.kind].standard
        text = memory.goal.text(paraphrases[int(rng.integers(len(paraphrases)))])
        memory.events.append(label(memory.goal.kind, text, memory.began, memory.step))
        memory.goal = None


def _one_of_any_kind(goals: Sequence[SubGoal], rng: np.random.Generator) -> SubGoal:
    """One of the sub-goals; every kind is as likely as any other."""
    kinds = sorted({goal.kind for goal in goals})
    kind = kinds[int(rng.integers(len(kinds)))]
    options = [goal for goal in goals if goal.kind == kind]
    return options[int(rng.integers(len(options)))]


def _anything(view: TaskView, rng: np.random.Generator) -> Action:
    space = view.action_space
    return rng.uniform(space.low, space.high).astype(np.float32)


def _pick(state: WorldState, rng: np.random.Generator, *, miss: bool) -> Action | None:
    """Pick at an object that can be picked, or beside it; place at something or anywhere."""
    names = [spec.name for spec in state.scene.objects if not is_container(spec.kind)]
    if not names:
        return None
    name = names[int(rng.integers(len(names)))]
    start = _beside(state, name, NEAR_MISS, rng) if miss else _centre(state, name) + _AIM * rng.normal(size=2)
    if start is None:
        return None
    targets = [_centre(state, other) for other in state.objects if other != name]
    targets += [np.array(zone.centre) for zone in state.scene.zones]
    if targets and rng.random() < _AT_SOMETHING:
        end = targets[int(rng.integers(len(targets)))] + _AIM * rng.normal(size=2)
    else:
        end = from_unit(rng.uniform(-1.0, 1.0, 2))
    turn = 0.0 if rng.random() < _UNTURNED else float(rng.uniform(-MAX_TURN, MAX_TURN))
    return skill_action(Primitive.PICK_AND_PLACE, start, end, turn)


def _push(state: WorldState, rng: np.random.Generator) -> Action | None:
    """Push any object from beside it, through its middle."""
    names = list(state.objects)
    name = names[int(rng.integers(len(names)))]
    start = _beside(state, name, _PUSH_FROM, rng)
    if start is None:
        return None
    ahead = _centre(state, name) - start
    length = norm(ahead)
    end = start + ahead / length * (length + float(rng.uniform(*_PUSH_BY)))
    return skill_action(Primitive.PUSH, start, end)


def _beside(state: WorldState, name: str, gap: tuple[float, float], rng: np.random.Generator) -> FloatArray | None:
    """A point of the workspace whose distance from an object's outline is within ``gap``; ``None`` if none is found."""
    outline, centre = footprint(state, name), _centre(state, name)
    reach = float(np.linalg.norm(outline - centre, axis=1).max()) + gap[1]
    low, high = np.array(WORKSPACE).T
    for _ in range(_TRIES):
        angle, distance = rng.uniform(0.0, 2 * math.pi), reach * math.sqrt(rng.uniform())
        point: FloatArray = centre + distance * np.array([math.cos(angle), math.sin(angle)])
        free = gap[0] <= float(distance_to_polygon(outline, point[None])[0]) <= gap[1]
        if free and (point >= low).all() and (point <= high).all():
            return point
    return None


def _centre(state: WorldState, name: str) -> FloatArray:
    return np.array(state.objects[name].position[:2])
