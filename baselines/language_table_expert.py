"""The expert for Language-Table: routes around obstacles, then pushes through the block's centre, in closed loop.

It reads positions from the ground truth at every step and acts through the same ``(dx, dy)`` actions as every agent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.language_table import families, geometry
from envs.language_table.routes import cost_to_go, crowding, edge_crowding, next_point, straight_is_clear
from envs.language_table.truth import BoardTruth
from harness.interfaces import Action, Observation, TaskView

Vector = npt.NDArray[np.float64]

PUSH_SPEED = 0.022
"""Metres per action while pushing."""
TRAVEL_SPEED = 0.05
"""Metres per action while moving without contact."""

_STANDOFF = 0.05
"""Distance from a block's centre at which a push begins."""
_ROD_CLEARANCE = 0.043
"""Nearer than this to a block's centre the rod may touch the block."""
_BLOCK_CLEARANCE = 0.055
"""Two blocks whose centres are nearer than this may touch."""
_CROWDING_COST = 40.0
_ARRIVED = 0.012
_SLIPPED = math.radians(50)
_LOST = 0.085
"""Farther than this from the block the rod has lost it."""
_STUCK_STEPS = 14
_STUCK_DISTANCE = 0.008
_APPROACH_STEPS = 25
"""An approach that takes longer is given up for another direction."""
_DETOUR_STEPS = 5
"""Pushes in another direction than the goal's end after so many steps."""
_SHORT_PUSH = 4
"""A push that ends within so many steps was begun from a bad side."""
_LATERAL_GAIN = 0.8
_IN_LINE = 0.012
"""Distance of the rod from the line through the block's centre at which a push slows down."""
_OFFSETS = tuple(math.radians(angle) for angle in (0, 20, -20, 40, -40, 60, -60, 85, -85))
_SEPARATE_ANGLES = tuple(np.linspace(0, 2 * math.pi, 24, endpoint=False))
_EDGE_ZONE = 0.075
"""Routes of blocks avoid the edges by about this much."""
_EDGE = 0.05
"""Blocks are not meant to get nearer than this to the edge of the effector's range."""


@dataclass
class _Memory:
    """What the expert remembers of one episode."""

    start: dict[str, Vector]
    block: str
    pushing: bool = False
    direction: Vector | None = None
    goal_angle: float | None = None
    since_progress: int = 0
    approach_steps: int = 0
    push_steps: int = 0
    best: float = math.inf
    attempts: int = 0
    free_goal: Vector | None = None

    def start_over(self) -> None:
        """Forget the present push; the next one begins with an approach."""
        self.pushing = False
        self.direction = None
        self.goal_angle = None
        self.since_progress = 0
        self.approach_steps = 0
        self.push_steps = 0
        self.best = math.inf


@dataclass(frozen=True)
class _Aim:
    """Which block has to go where, and which others it must keep clear of."""

    block: str
    goal: Vector
    obstacles: tuple[str, ...]


class LanguageTableExpert:
    """A privileged push planner for all families; in ``play`` it pushes blocks to random places."""

    def begin(self, view: TaskView, observation: Observation) -> _Memory:  # noqa: ARG002
        """A new episode."""
        truth: BoardTruth = view.privileged
        start = {name: truth.position(name) for name in truth.on_table}
        return _Memory(start=start, block=truth.task.block)

    def decide(
        self,
        memory: _Memory,
        view: TaskView,
        observation: Observation,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> Action:
        """The next shift of the commanded position, metres ``(2,)``."""
        truth: BoardTruth = view.privileged
        if truth.family == "point2block":
            shift = self._travel(truth, truth.position(truth.task.block), ignore=(truth.task.block,))
        else:
            shift = self._push_towards(truth, memory, self._aim(truth, memory, rng), rng)
        limit = np.asarray(view.action_space.high, np.float64)
        return np.clip(shift, -limit, limit).astype(np.float32)

    # ------------------------------------------------------------------------------------------- where to

    def _aim(self, truth: BoardTruth, memory: _Memory, rng: np.random.Generator) -> _Aim:
        task = truth.task
        others = tuple(name for name in truth.on_table if name != task.block)
        match truth.family:
            case "block2block":
                assert task.target_block is not None
                partner = task.target_block if memory.block == task.block else task.block
                clear = tuple(name for name in truth.on_table if name not in (task.block, task.target_block))
                return _Aim(memory.block, truth.position(partner), clear)
            case "block2block_relative_location":
                return self._aim_beside(truth, memory, others)
            case "separate_blocks":
                return self._aim_apart(truth, memory, others)
            case "play":
                return self._aim_anywhere(truth, memory, rng)
            case "block2absolutelocation":
                radius = families.CENTER_RADIUS if task.location == "center" else families.LOCATION_RADIUS
            case "block1_to_corner":
                radius = families.CORNER_RADIUS
            case _:
                radius = families.RELATIVE_RADIUS
        assert task.target is not None
        return _Aim(task.block, _short_of(np.asarray(task.target), truth.position(task.block), radius * 0.5), others)

    def _aim_beside(self, truth: BoardTruth, memory: _Memory, others: tuple[str, ...]) -> _Aim:
        task = truth.task
        assert task.target_block is not None
        assert task.target is not None
        reference = truth.position(task.target_block)
        start = memory.start[task.target_block]
        if float(np.linalg.norm(reference - start)) > families.DRAGGED * 0.9:
            clear = tuple(name for name in truth.on_table if name != task.target_block)
            return _Aim(task.target_block, start, clear)
        return _Aim(task.block, _on_board(reference + 1.05 * (np.asarray(task.target) - reference)), others)

    def _aim_apart(self, truth: BoardTruth, memory: _Memory, others: tuple[str, ...]) -> _Aim:
        """A point at the right distance from the neighbours' centroid, on the side that is easiest to push to."""
        task = truth.task
        centroid = np.mean([truth.position(name) for name in task.avoid], axis=0)
        position = truth.position(task.block)
        if memory.goal_angle is None:
            centres = [truth.position(name) for name in others]

            def cost(angle: float) -> float:
                goal = centroid + families.SEPARATION * _unit(angle)
                way = goal - position
                length = float(np.linalg.norm(way))
                behind = position - _STANDOFF * way / max(length, 1e-6)
                crowd = 3 * _crowd(behind, centres, _ROD_CLEARANCE) + 2 * _crowd(goal, centres, _BLOCK_CLEARANCE)
                return length / 0.1 + crowd + 5 * _outside(goal) + 5 * _outside(behind)

            memory.goal_angle = sorted(_SEPARATE_ANGLES, key=cost)[memory.attempts % 4]
        return _Aim(task.block, centroid + families.SEPARATION * _unit(memory.goal_angle), ())

    def _aim_anywhere(self, truth: BoardTruth, memory: _Memory, rng: np.random.Generator) -> _Aim:
        reached = memory.free_goal is not None and (
            float(np.linalg.norm(truth.position(memory.block) - memory.free_goal)) < 0.03 or memory.attempts > 2
        )
        if memory.free_goal is None or reached:
            memory.block = truth.on_table[int(rng.integers(len(truth.on_table)))]
            low = (geometry.X_MIN + geometry.SPAWN_MARGIN, geometry.Y_MIN + geometry.SPAWN_MARGIN)
            high = (geometry.X_MAX - geometry.SPAWN_MARGIN, geometry.Y_MAX - geometry.SPAWN_MARGIN)
            memory.free_goal = rng.uniform(low, high)
            memory.start_over()
            memory.attempts = 0
        others = tuple(name for name in truth.on_table if name != memory.block)
        return _Aim(memory.block, memory.free_goal, others)

    # -------------------------------------------------------------------------------------------- how to

    def _push_towards(self, truth: BoardTruth, memory: _Memory, aim: _Aim, rng: np.random.Generator) -> Vector:
        position = truth.position(aim.block)
        if aim.block != memory.block:
            memory.block = aim.block
            memory.start_over()
        ahead = self._heading(truth, aim, position)
        self._watch_progress(truth, memory, aim, position)
        if memory.block != aim.block:
            return np.zeros(2)
        if memory.pushing:
            ahead = self._watch_contact(truth, memory, position, ahead)
        if not memory.pushing:
            shift = self._approach(truth, memory, aim.block, ahead, rng)
            if shift is not None:
                return shift
            memory.pushing = True
        return _through_centre(truth.tip(), position, ahead)

    def _watch_contact(self, truth: BoardTruth, memory: _Memory, position: Vector, ahead: Vector) -> Vector:
        """The direction to push in; starts over where the rod slipped off or the block is about to leave the board."""
        assert memory.direction is not None
        to_block = position - truth.tip()
        memory.push_steps += 1
        if _angle_between(to_block, ahead) > _SLIPPED and memory.push_steps <= _DETOUR_STEPS:
            # The free side was not right behind the block: push on as begun for a few centimetres.
            ahead = memory.direction
        lost = float(np.linalg.norm(to_block)) > _LOST or _angle_between(to_block, ahead) > _SLIPPED
        # Near the edge and on its way out: the rod could not fetch the block back from there.
        overboard = (position - _on_board(position, _EDGE / 2)) @ ahead > 0
        if lost or overboard:
            memory.attempts += memory.push_steps < _SHORT_PUSH
            memory.start_over()
        return ahead

    def _approach(
        self, truth: BoardTruth, memory: _Memory, block: str, ahead: Vector, rng: np.random.Generator
    ) -> Vector | None:
        """A step towards the place from which to push, or ``None`` once there."""
        memory.approach_steps += 1
        if memory.approach_steps > _APPROACH_STEPS:
            memory.attempts += 1
            memory.start_over()
        if memory.direction is None:
            memory.direction = self._approach_direction(truth, block, ahead, rng if memory.attempts else None)
        position, tip = truth.position(block), truth.tip()
        behind = position - _STANDOFF * memory.direction
        arrived = float(np.linalg.norm(tip - behind)) <= _ARRIVED
        if arrived or _in_place(tip, position, memory.direction):
            return None
        return self._travel(truth, behind)

    def _heading(self, truth: BoardTruth, aim: _Aim, position: Vector) -> Vector:
        """Direction in which the block has to move now."""
        centres = [truth.position(name) for name in aim.obstacles]
        waypoint: Vector = aim.goal
        if not straight_is_clear(position, aim.goal, centres, _BLOCK_CLEARANCE * 0.85):
            # Near the edge the rod cannot get behind a block.
            crowded = crowding(centres, _BLOCK_CLEARANCE) + edge_crowding(_EDGE_ZONE)
            field = cost_to_go(aim.goal, 1 + _CROWDING_COST * crowded)
            waypoint = np.asarray(next_point(field, position, 0.06), np.float64)
        way = waypoint - position
        length = float(np.linalg.norm(way))
        ahead: Vector = way / max(length, 1e-9)
        return ahead

    @staticmethod
    def _approach_direction(truth: BoardTruth, block: str, ahead: Vector, rng: np.random.Generator | None) -> Vector:
        """A push direction near ``ahead`` whose starting point is free and on the board; ``rng`` adds variety."""
        position = truth.position(block)
        centres = [truth.position(name) for name in truth.on_table if name != block]
        off_board = float(np.linalg.norm(position - _on_board(position)))

        def cost(offset: float) -> float:
            behind = position - _STANDOFF * _turned(ahead, offset)
            noise = float(rng.uniform(0, 0.5)) if rng is not None else 0.0
            pushed = position + 0.05 * _turned(ahead, offset)
            outward = 2 * (_outside(pushed) and float(np.linalg.norm(pushed - _on_board(pushed))) > off_board)
            crowd = 4 * _crowd(behind, centres, _ROD_CLEARANCE)
            return abs(offset) + crowd + 10 * _outside(behind, 0.0) + outward + noise

        return _turned(ahead, min(_OFFSETS, key=cost))

    def _watch_progress(self, truth: BoardTruth, memory: _Memory, aim: _Aim, position: Vector) -> None:
        """Start over after a while without getting nearer; in block2block push the other block then."""
        remaining = float(np.linalg.norm(aim.goal - position))
        if not memory.pushing or remaining < memory.best - _STUCK_DISTANCE:
            memory.best = remaining
            memory.since_progress = 0
            return
        memory.since_progress += 1
        if memory.since_progress < _STUCK_STEPS:
            return
        memory.attempts += 1
        memory.start_over()
        if truth.family == "block2block" and truth.task.target_block is not None:
            memory.block = truth.task.target_block if memory.block == truth.task.block else truth.task.block

    def _travel(self, truth: BoardTruth, goal: Vector, ignore: Sequence[str] = ()) -> Vector:
        """A step of the rod towards ``goal``, around the blocks."""
        tip, commanded = truth.tip(), truth.effector_target
        centres = [truth.position(name) for name in truth.on_table if name not in ignore]
        waypoint: Vector = goal
        if not straight_is_clear(tip, goal, centres, _ROD_CLEARANCE * 0.95):
            field = cost_to_go(goal, 1 + _CROWDING_COST * crowding(centres, _ROD_CLEARANCE * 1.15))
            waypoint = np.asarray(next_point(field, tip, TRAVEL_SPEED), np.float64)
        way = waypoint - commanded
        length = float(np.linalg.norm(way))
        return way * min(1.0, TRAVEL_SPEED / max(length, 1e-9))


def _through_centre(tip: Vector, position: Vector, ahead: Vector) -> Vector:
    """A step that pushes a block in the direction ``ahead``, keeping the rod in line with its centre."""
    across = np.array([-ahead[1], ahead[0]])
    offset = float((tip - position) @ across)
    # Off the line through the centre the block would turn and drift: get back in line before pushing on.
    speed = PUSH_SPEED * min(1.0, max(0.2, 1.3 - abs(offset) / _IN_LINE))
    shift: Vector = speed * ahead - np.clip(_LATERAL_GAIN * offset, -0.015, 0.015) * across
    return shift


def _unit(angle: float) -> Vector:
    return np.array([math.cos(angle), math.sin(angle)])


def _turned(direction: Vector, angle: float) -> Vector:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([cosine * direction[0] - sine * direction[1], sine * direction[0] + cosine * direction[1]])


def _angle_between(a: Vector, b: Vector) -> float:
    cosine = float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12)
    return math.acos(min(1.0, max(-1.0, cosine)))


def _in_place(tip: Vector, position: Vector, direction: Vector) -> bool:
    """Whether the rod is already behind the block, near enough and in line."""
    to_block = position - tip
    return float(np.linalg.norm(to_block)) < _STANDOFF + _ARRIVED and _angle_between(to_block, direction) < 0.3


def _crowd(point: Vector, centres: Sequence[Any], clearance: float) -> float:
    """How deep ``point`` lies in the nearest block's surroundings, 0 to 1."""
    return max((max(0.0, 1 - float(np.linalg.norm(point - centre)) / clearance) for centre in centres), default=0.0)


def _outside(point: Vector, margin: float = _EDGE) -> float:
    """1 if ``point`` is off the effector's range shrunk by ``margin``, else 0."""
    return float(not np.array_equal(point, _on_board(point, margin)))


def _on_board(point: Vector, margin: float = _EDGE) -> Vector:
    low = (geometry.X_MIN + margin, geometry.Y_MIN + margin)
    high = (geometry.X_MAX - margin, geometry.Y_MAX - margin)
    return np.clip(point, low, high)


def _short_of(target: Vector, position: Vector, distance: float) -> Vector:
    """The point ``distance`` before ``target`` as seen from ``position``, on the board."""
    back = position - target
    length = float(np.linalg.norm(back))
    return _on_board(target + back * min(1.0, distance / max(length, 1e-9)))
