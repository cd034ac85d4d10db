"""The eight task families: what a reset draws, and when a board counts as solved.

Every draw, its order and its generator are those of the public simulator, so that a seed gives the same task there and
here. Positions enter as float32, as they do there; thresholds are strict and compared in float64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from envs.language_table import blocks, geometry, play_texts, wording
from envs.language_table.blocks import BlockMode

Point = npt.NDArray[np.floating[Any]]

GOAL_REWARD: Final = 100.0

TOUCHING: Final = 0.05
"""Distance of block2block and point2block, metres."""
LOCATION_RADIUS: Final = 0.115
CENTER_RADIUS: Final = 0.1
RELATIVE_RADIUS: Final = 0.1
BESIDE_RADIUS: Final = 0.04
CORNER_RADIUS: Final = 0.08
SEPARATE_RADIUS: Final = 0.025
JOINED: Final = 0.08
"""Blocks nearer than this need separating."""
SEPARATION: Final = 0.1
"""Distance of the separation target from the centroid of the blocks to leave."""
DRAGGED: Final = 0.05
"""block2block_relative_location fails while the reference block is farther than this from where it started."""

_X = (geometry.X_MIN - 0.025, geometry.X_MAX - 0.025)
_Y = (geometry.Y_MIN, geometry.Y_MAX)
_CENTER_X = (_X[1] - _X[0]) / 2.0 + _X[0]
_CENTER_Y = (_Y[1] - _Y[0]) / 2.0 + _Y[0]
LOCATIONS: Final = {
    "top": (_X[0], _CENTER_Y),
    "top_left": (_X[0], _Y[0]),
    "top_right": (_X[0], _Y[1]),
    "center": (_CENTER_X, _CENTER_Y),
    "center_left": (_CENTER_X, _Y[0]),
    "center_right": (_CENTER_X, _Y[1]),
    "bottom": (_X[1], _CENTER_Y),
    "bottom_left": (_X[1], _Y[0]),
    "bottom_right": (_X[1], _Y[1]),
}
CORNER: Final = (geometry.X_MAX - 0.08, geometry.Y_MIN + 0.08)

DIRECTIONS: Final = {
    "up": (-1.0, 0.0),
    "down": (1.0, 0.0),
    "left": (0.0, -1.0),
    "right": (0.0, 1.0),
    "diagonal_up_left": (-1.0, -1.0),
    "diagonal_up_right": (-1.0, 1.0),
    "diagonal_down_left": (1.0, -1.0),
    "diagonal_down_right": (1.0, 1.0),
}
MAGNITUDES: Final = {"near": 0.15, "far": 0.25}
BESIDE_OFFSET: Final = 0.08
BESIDE_OFFSET_DIAGONAL: Final = 0.04


@dataclass(frozen=True)
class BoardState:
    """What success depends on.

    Attributes:
        positions: ``(x, y)`` of each block by name, float32 ``(2,)``, metres.
        effector_target: Commanded effector position, float32 ``(2,)``, metres.
    """

    positions: Mapping[str, Point]
    effector_target: Point


@dataclass(frozen=True)
class Task:
    """One drawn task.

    Attributes:
        instruction: In words.
        block: The block to move (or to point at).
        target_block: The block that it is moved to or placed beside, if any.
        target: Where it is moved to, metres ``(2,)``, if the family has a target point; it moves with other blocks for
            block2block_relative_location and separate_blocks.
        location: Name of an absolute location, if any.
        direction: Name of a direction, if any.
        avoid: The blocks to separate from.
    """

    instruction: str
    block: str
    target_block: str | None = None
    target: Point | None = None
    location: str | None = None
    direction: str | None = None
    avoid: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draws:
    """The two generators of an episode.

    Attributes:
        task: Draws boards and tasks.
        text: Draws words of separate_blocks, for which the public simulator uses NumPy's global generator.
    """

    task: np.random.RandomState
    text: np.random.RandomState

    @classmethod
    def from_seed(cls, seed: int) -> Draws:
        """Both from one seed, as when the global generator is seeded alike before the environment is made."""
        return cls(np.random.RandomState(seed), np.random.RandomState(seed))


def _pick(rng: np.random.RandomState, options: Sequence[str]) -> str:
    return options[rng.choice(len(options))]


def _distance(a: Point | Sequence[float], b: Point | Sequence[float]) -> float:
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b)))


class Family(ABC):
    """Draws tasks of one family and scores boards.

    Args:
        draws: The episode's generators.
        mode: The block mode, which some families need for their texts.
        delay_steps: Further steps that a board must have been solved for before it is rewarded. As in the public
            simulator the count does not start again when the board is left and re-entered.
    """

    name: ClassVar[str]
    task: Task

    def __init__(self, draws: Draws, mode: BlockMode, delay_steps: int = 0) -> None:
        self.draws = draws
        self.mode = mode
        self.delay_steps = delay_steps
        self._solved_steps = 0

    def draw(self, state: BoardState, on_table: Sequence[str]) -> Task | None:
        """A task for this board, or ``None`` if the board has to be laid out anew."""
        self._solved_steps = 0
        task = self._draw(state, on_table)
        if task is not None:
            self.task = task
        return task

    def update(self, state: BoardState) -> None:  # noqa: B027
        """Move a target that depends on other blocks; called once per step before `reward`."""

    def reward(self, state: BoardState) -> tuple[float, bool]:
        """Reward (0 or 100) and whether the task is done. Counts a step towards ``delay_steps``."""
        if not self.solved(state):
            return 0.0, False
        if self._solved_steps < self.delay_steps:
            self._solved_steps += 1
            return 0.0, False
        return GOAL_REWARD, True

    @abstractmethod
    def solved(self, state: BoardState) -> bool:
        """Whether the board satisfies the task now."""

    @abstractmethod
    def _draw(self, state: BoardState, on_table: Sequence[str]) -> Task | None: ...

    def _name(self, block: str, on_table: Sequence[str]) -> str:
        return _pick(self.draws.task, blocks.synonyms(block, on_table))

    def _two_blocks(self, on_table: Sequence[str]) -> tuple[str, str]:
        first, second = self.draws.task.choice(len(on_table), 2, replace=False)
        return on_table[first], on_table[second]

    def _two_distant_blocks(self, state: BoardState, on_table: Sequence[str]) -> tuple[str, str] | None:
        for _ in range(11):
            block, target = self._two_blocks(on_table)
            if _distance(state.positions[block], state.positions[target]) >= TOUCHING + 0.01:
                return block, target
        return None


class BlockToBlock(Family):
    """Bring two blocks together; either may move."""

    name = "block2block"

    def _draw(self, state: BoardState, on_table: Sequence[str]) -> Task | None:
        pair = self._two_distant_blocks(state, on_table)
        if pair is None:
            return None
        verb = _pick(self.draws.task, wording.PUSH_VERBS)
        first, second = (self._name(block, on_table) for block in pair)
        preposition = _pick(self.draws.task, wording.PREPOSITIONS)
        return Task(f"{verb} {first} {preposition} {second}", pair[0], target_block=pair[1])

    def solved(self, state: BoardState) -> bool:
        """See `Family.solved`."""
        assert self.task.target_block is not None
        return _distance(state.positions[self.task.block], state.positions[self.task.target_block]) < TOUCHING


class Play(BlockToBlock):
    """Long-horizon texts; never solved. Two blocks are drawn as for block2block and mean nothing."""

    name = "play"

    def _draw(self, state: BoardState, on_table: Sequence[str]) -> Task | None:
        pair = self._two_distant_blocks(state, on_table)
        if pair is None:
            return None
        return Task(play_texts.draw(self.draws.task, self.mode), pair[0], target_block=pair[1])

    def solved(self, state: BoardState) -> bool:  # noqa: ARG002
        """Never."""
        return False


class BlockToAbsoluteLocation(Family):
    """Push a block to one of nine places of the board."""

    name = "block2absolutelocation"

    def _draw(self, state: BoardState, on_table: Sequence[str]) -> Task | None:
        rng = self.draws.task
        block = _pick(rng, on_table)
        location = _pick(rng, sorted(LOCATIONS))
        verb = _pick(rng, wording.PUSH_VERBS)
        name = self._name(block, on_table)
        place = _pick(rng, wording.LOCATIONS[location])
        target = np.asarray(LOCATIONS[location])
        self.task = Task(f"{verb} {name} to the {place}", block, target=target, location=location)
        return None if self.solved(state) else self.task

    def solved(self, state: BoardState) -> bool:
        """See `Family.solved`."""
        assert self.task.target is not None
        radius = CENTER_RADIUS if self.task.location == "center" else LOCATION_RADIUS
        return _distance(state.positions[self.task.block], self.task.target) < radius


class BlockToCorner(Family):
    """Push a block to the bottom left corner."""

    name = "block1_to_corner"

    def _draw(self, state: BoardState, on_table: Sequence[str]) -> Task | None:
        rng = self.draws.task
        block = _pick(rng, on_table)
        location = _pick(rng, ("bottom_left",))
        verb = _pick(rng, wording.PUSH_VERBS)
        name = self._name(block, on_table)
        place = _pick(rng, wording.CORNER)
        target = np.asarray(CORNER)
        self.task = Task(f"{verb} {name} to the {place}", block, target=target, location=location)
        # A delayed reward accepts a solved board here and has counted its first step: the public simulator's rule.
        return None if self.reward(state)[1] else self.task

    def solved(self, state: BoardState) -> bool:
        """See `Family.solved`."""
        assert self.task.target is not None
        return _distance(state.positions[self.task.block], self.task.target) < CORNER_RADIUS


class BlockToRelativeLocation(Family):
    """Push a block some way in one of eight directions."""

    name = "block2relativelocation"

    def _draw(self, state: BoardState, on_table: Sequence[str]) -> Task | None:
        rng = self.draws.task
        for _ in range(101):
            block = _pick(rng, on_table)
            direction = _pick(rng, sorted(DIRECTIONS))
            magnitude = _pick(rng, sorted(MAGNITUDES))
            vector = np.asarray(DIRECTIONS[direction])
            if direction.startswith("diagonal"):
                vector = vector / np.linalg.norm(vector)
            target = state.positions[block] + vector * MAGNITUDES[magnitude]
            if geometry.inside_spawn_area(*map(float, target)):
                instruction = self._instruction(block, direction, magnitude, on_table)
                return Task(instruction, block, target=target, direction=direction)
        return None

    def _instruction(self, block: str, direction: str, magnitude: str, on_table: Sequence[str]) -> str:
        rng = self.draws.task
        verb = _pick(rng, wording.LOCATION_VERBS)
        name = self._name(block, on_table)
        if direction.startswith("diagonal"):
            first, second = (_pick(rng, wording.DIRECTIONS[part]) for part in direction.split("_")[1:])
            words = _pick(rng, wording.DIAGONALS) % (first, second)
        else:
            words = _pick(rng, wording.DIRECTIONS[direction])
        if magnitude == "far":
            return f"{verb} {name} {words}"
        place = _pick(rng, ("first", "before", "after"))
        if place == "first":
            return f"slightly {verb} {name} {words}"
        slightly = _pick(rng, wording.SLIGHTLY)
        return f"{verb} {name} {slightly} {words}" if place == "before" else f"{verb} {name} {words} {slightly}"

    def solved(self, state: BoardState) -> bool:
        """See `Family.solved`."""
        assert self.task.target is not None
        return _distance(state.positions[self.task.block], self.task.target) < RELATIVE_RADIUS


class BlockBesideBlock(Family):
    """Put a block on one side of another, without dragging that one along."""

    name = "block2block_relative_location"

    def __init__(self, draws: Draws, mode: BlockMode, delay_steps: int = 0) -> None:
        super().__init__(draws, mode, delay_steps)
        self._reference_start: Point = np.zeros(2)

    def _draw(self, state: BoardState, on_table: Sequence[str]) -> Task | None:
        rng = self.draws.task
        for _ in range(101):
            block, reference = self._two_blocks(on_table)
            direction = _pick(rng, tuple(DIRECTIONS))
            target = self._target(state, reference, direction)
            if geometry.inside_spawn_area(*map(float, target)):
                break
        else:
            return None
        self._reference_start = np.copy(state.positions[reference])
        verb = _pick(rng, wording.PUSH_VERBS)
        first, second = self._name(block, on_table), self._name(reference, on_table)
        words = _pick(rng, wording.BESIDE[direction])
        self.task = Task(f"{verb} {first} {words} {second}", block, reference, target, direction=direction)
        return None if self.solved(state) else self.task

    @staticmethod
    def _target(state: BoardState, reference: str, direction: str) -> Point:
        offset = BESIDE_OFFSET_DIAGONAL if direction.startswith("diagonal") else BESIDE_OFFSET
        target: Point = state.positions[reference] + np.asarray(DIRECTIONS[direction]) * offset
        return target

    def update(self, state: BoardState) -> None:
        """The target follows the reference block."""
        task = self.task
        assert task.target_block is not None
        assert task.direction is not None
        target = self._target(state, task.target_block, task.direction)
        self.task = Task(task.instruction, task.block, task.target_block, target, direction=task.direction)

    def solved(self, state: BoardState) -> bool:
        """Near one of ten points on the line from half to 1.1 times the offset, the reference block not dragged."""
        task = self.task
        assert task.target_block is not None
        assert task.direction is not None
        reference = state.positions[task.target_block]
        offset = self._target(state, task.target_block, task.direction) - reference
        position = state.positions[task.block]
        near = any(
            float(np.linalg.norm(reference + step - position)) < BESIDE_RADIUS
            for step in np.linspace(offset * 0.5, offset * 1.1, 10)
        )
        return near and _distance(self._reference_start, reference) <= DRAGGED


class SeparateBlocks(Family):
    """Move a block away from its neighbours. The target moves with them; overshooting fails."""

    name = "separate_blocks"

    def _draw(self, state: BoardState, on_table: Sequence[str]) -> Task | None:
        block, avoid = self._most_crowded(state, on_table)
        if not avoid:
            return None
        target = self._target(state, block, avoid)
        if not geometry.inside_spawn_area(*map(float, target)):
            return None
        instruction = self._instruction(block, avoid, on_table)
        return Task(instruction, block, target=target, avoid=avoid)

    @staticmethod
    def _most_crowded(state: BoardState, on_table: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """The block whose joined neighbours are nearest on average, and those neighbours, nearest first."""
        crowded = []
        for block in on_table:
            here = state.positions[block]
            distances = [(b, np.linalg.norm(here - state.positions[b])) for b in on_table if b != block]
            joined = sorted((d for d in distances if float(d[1]) < JOINED), key=lambda d: float(d[1]))
            mean = float(np.mean([d[1] for d in joined])) if joined else np.inf
            crowded.append((block, tuple(d[0] for d in joined), mean))
        block, avoid, _ = min(crowded, key=lambda c: c[2])
        return block, avoid

    @staticmethod
    def _target(state: BoardState, block: str, avoid: Sequence[str]) -> Point:
        centroid = np.mean([state.positions[name] for name in avoid], axis=0)
        away = centroid - state.positions[block]
        # float32 throughout, as in the public simulator: the target's last bits depend on it.
        away = away / (np.linalg.norm(away) + np.finfo(np.float32).eps)
        target: Point = centroid + -away * np.float32(SEPARATION)
        return target

    def _instruction(self, block: str, avoid: Sequence[str], on_table: Sequence[str]) -> str:
        name = self._name(block, on_table)
        names = [self._name(other, on_table) for other in avoid]
        group = _pick(self.draws.text, wording.GROUPS)
        if len(names) == 1:
            others = names[0]
        elif len(names) == 2:
            others = f"{names[0]} and {names[1]}"
        elif len(names) == 3:
            others = _pick(self.draws.text, (f"{names[0]}, {names[1]}, and {names[2]}", group))
        else:
            others = group
        return _pick(self.draws.text, wording.SEPARATE) % (name, others)

    def update(self, state: BoardState) -> None:
        """The target follows the blocks to separate from."""
        task = self.task
        target = self._target(state, task.block, task.avoid)
        self.task = Task(task.instruction, task.block, target=target, avoid=task.avoid)

    def solved(self, state: BoardState) -> bool:
        """See `Family.solved`; uses the target of the last `update`."""
        assert self.task.target is not None
        return _distance(state.positions[self.task.block], self.task.target) < SEPARATE_RADIUS


class PointToBlock(Family):
    """Command the effector to a block."""

    name = "point2block"

    def _draw(self, state: BoardState, on_table: Sequence[str]) -> Task | None:
        for _ in range(11):
            block = _pick(self.draws.task, on_table)
            if _distance(state.positions[block], state.effector_target) >= TOUCHING + 0.01:
                name = self._name(block, on_table)
                phrase = _pick(self.draws.task, wording.POINT_PHRASES)
                return Task(f"{phrase} {name}", block, target_block=block)
        return None

    def solved(self, state: BoardState) -> bool:
        """Measured from the commanded, not the real, effector position."""
        return _distance(state.positions[self.task.block], state.effector_target) < TOUCHING


FAMILIES: Final[Mapping[str, type[Family]]] = {
    family.name: family
    for family in (
        BlockToBlock,
        BlockToAbsoluteLocation,
        BlockToRelativeLocation,
        BlockBesideBlock,
        SeparateBlocks,
        PointToBlock,
        BlockToCorner,
        Play,
    )
}


def check_combination(family: str, mode: str) -> BlockMode:
    """Refuse families and modes that the public simulator cannot run together.

    Returns:
        The parsed block mode.

    Raises:
        ValueError: An unknown family or mode, or a combination that cannot make a task.
    """
    if family not in FAMILIES:
        raise ValueError(f"Unknown task family '{family}'; use one of {', '.join(FAMILIES)}")
    parsed = blocks.parse_mode(mode)
    two_blocks = ("block2block", "block2block_relative_location", "separate_blocks", "play")
    if parsed is BlockMode.BLOCK_1 and family in two_blocks:
        raise ValueError(f"'{family}' needs two blocks and BLOCK_1 has one; use BLOCK_4, BLOCK_8 or N_CHOOSE_K")
    if parsed is BlockMode.N_CHOOSE_K and family == "play":
        raise ValueError("'play' has no instructions for N_CHOOSE_K; use BLOCK_4 or BLOCK_8")
    return parsed
