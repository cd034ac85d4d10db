"""Skills: parametrised motions, executed by the arm in real contact through `TabletopWorld.step_control`."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from envs.tabletop.motions import SKILL, Motions, ToolTarget
from envs.tabletop.world import CONTROL_HZ, TabletopWorld

_SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class SkillResult:
    """What a skill did.

    Attributes:
        picked: The object that was lifted, if any.
        steps: Control steps that it took.
        settled: Whether all objects had come to rest at its end.
    """

    picked: str | None
    steps: int
    settled: bool


def pick_and_place(world: TabletopWorld, start: npt.ArrayLike, end: npt.ArrayLike, turn: float = 0.0) -> SkillResult:
    """Take the topmost object at ``start`` and put it down on whatever is at ``end``; see `Motions.pick_and_place`.

    Args:
        world: The world; at the end the arm is back home and the world is rebased.
        start: ``(2,)`` metres.
        end: ``(2,)`` metres.
        turn: How far to turn the object about the vertical, radians in [-pi/2, pi/2].

    Raises:
        SimulationError: The world exploded.
    """
    return _execute(world, Motions(world, SKILL).pick_and_place(start, end, turn))


def push(world: TabletopWorld, start: npt.ArrayLike, end: npt.ArrayLike) -> SkillResult:
    """Lower the closed gripper at ``start`` and move it in a straight line to ``end``; see `Motions.push`.

    Args:
        world: The world; at the end the arm is back home and the world is rebased.
        start: ``(2,)`` metres, free room beside what is to be pushed.
        end: ``(2,)`` metres, where the gripper stops.

    Raises:
        SimulationError: The world exploded.
    """
    return _execute(world, Motions(world, SKILL).push(start, end))


def _execute(world: TabletopWorld, motion: Generator[ToolTarget, None, Any]) -> SkillResult:
    """Follow the motion, wait for rest, and make the present the next action's exact starting point."""
    begin = world.time
    picked = None
    while True:
        try:
            target = next(motion)
        except StopIteration as end:
            picked = end.value
            break
        world.step_control(*target)
    settled = world.settle(_SETTLE_SECONDS)
    steps = round((world.time - begin) * CONTROL_HZ)
    world.rebase()
    return SkillResult(picked, steps, settled)
