"""An episode's way to its goal without physics: states that a shortest plan passes, and scenes that begin there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from envs.tabletop.scene import SceneSpec, WorldState
from thinkbench.ideal import carry_out, ideal_state
from thinkbench.literals import Goal
from thinkbench.motion import Placement, next_placement
from thinkbench.symbolic import Domain


def rehearse(
    scene: SceneSpec, domain: Domain, goal: Goal, most: int
) -> Iterator[tuple[WorldState, tuple[Placement, ...]]]:
    """The state at the start and after each of at most ``most`` moves, with the moves that led to it."""
    state = ideal_state(scene)
    made: tuple[Placement, ...] = ()
    yield state, made
    while len(made) < most:
        placement = next_placement(state, domain, goal)
        if placement is None:
            return
        state, made = carry_out(state, placement), (*made, placement)
        yield state, made


def as_scene(state: WorldState) -> SceneSpec:
    """A scene that begins as a state of the world without physics is."""
    objects = tuple(
        replace(
            spec,
            position=state.objects[spec.name].position,
            yaw=2 * math.atan2(state.objects[spec.name].orientation[2], state.objects[spec.name].orientation[3]),
        )
        for spec in state.scene.objects
    )
    return replace(state.scene, objects=objects)
