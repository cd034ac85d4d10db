"""Small world states built by hand, for tests of what is computed from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from envs.tabletop.scene import Colour, Kind, ObjectSpec, ObjectState, SceneSpec, Size, WorldState, ZoneSpec

Vector = tuple[float, float, float]


def thing(
    name: str, kind: Kind = Kind.CUBE, position: Vector = (0.0, 0.0, 0.02), size: Size = Size.MEDIUM, yaw: float = 0.0
) -> ObjectSpec:
    """A red object of the scene."""
    return ObjectSpec(name, kind, Colour.RED, size, position, yaw)


def world(
    *objects: ObjectSpec,
    touching: Mapping[str, Sequence[str]] | None = None,
    zones: Sequence[ZoneSpec] = (),
    held: str | None = None,
) -> WorldState:
    """A state in which every object is where its spec says and at rest; ``touching`` lists contacts."""
    touching = touching or {}
    states = {
        spec.name: ObjectState(
            position=spec.position,
            orientation=(0.0, 0.0, math.sin(spec.yaw / 2), math.cos(spec.yaw / 2)),
            linear_velocity=(0.0, 0.0, 0.0),
            angular_velocity=(0.0, 0.0, 0.0),
            touching=frozenset(touching.get(spec.name, ())),
        )
        for spec in objects
    }
    return WorldState(SceneSpec(tuple(objects), tuple(zones)), states, held, 0.0)


def changed(
    state: WorldState,
    name: str,
    *,
    tilt: float | None = None,
    linear_velocity: Vector | None = None,
    angular_velocity: Vector | None = None,
) -> WorldState:
    """``state`` with one object tilted about ``x`` or moving."""
    body = state.objects[name]
    if tilt is not None:
        body = replace(body, orientation=(math.sin(tilt / 2), 0.0, 0.0, math.cos(tilt / 2)))
    if linear_velocity is not None:
        body = replace(body, linear_velocity=linear_velocity)
    if angular_velocity is not None:
        body = replace(body, angular_velocity=angular_velocity)
    return replace(state, objects={**state.objects, name: body})
