"""A world without physics: objects rest exactly where they are put. For certificates and tests."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from envs.tabletop.scene import ObjectState, SceneSpec, WorldState
from envs.tabletop.shapes import dimensions, floor_height, is_container
from thinkbench.geometry import distance_to_polygon, footprint, spec_of, world_points
from thinkbench.motion import Placement

_CONTACT = 1e-4  # metres between surfaces that count as touching


def ideal_state(scene: SceneSpec) -> WorldState:
    """The ground truth of a scene in which nothing moves; objects touch what is exactly below them."""
    objects = {
        spec.name: ObjectState(
            position=spec.position,
            orientation=(0.0, 0.0, math.sin(spec.yaw / 2), math.cos(spec.yaw / 2)),
            linear_velocity=(0.0, 0.0, 0.0),
            angular_velocity=(0.0, 0.0, 0.0),
            touching=frozenset(),
        )
        for spec in scene.objects
    }
    return _with_contacts(WorldState(scene=scene, objects=objects, held=None, time=0.0))


def carry_out(state: WorldState, placement: Placement) -> WorldState:
    """The world after ``placement``: the object lies on the highest thing below it."""
    name = placement.move.item
    spec, body = spec_of(state, name), state.objects[name]
    x, y, z, w = body.orientation
    s, c = math.sin(placement.turn / 2), math.cos(placement.turn / 2)
    turned = replace(
        body,
        position=(*placement.end, 0.0),
        orientation=(c * x - s * y, c * y + s * x, c * z + s * w, c * w - s * z),
    )
    above = replace(state, objects={**state.objects, name: turned})
    surfaces = [_surface(state, other) for other in state.objects if other != name and _covers(above, name, other)]
    height = max([0.0, *surfaces]) + dimensions(spec.kind, spec.size)[2] / 2
    moved = replace(turned, position=(*placement.end, height))
    return _with_contacts(replace(state, objects={**state.objects, name: moved}))


def _surface(state: WorldState, name: str) -> float:
    """Height of the surface on which things rest that are put onto or into an object."""
    heights, kind = world_points(state, name)[:, 2], spec_of(state, name).kind
    return float(heights.min()) + floor_height(kind) if is_container(kind) else float(heights.max())


def _covers(state: WorldState, upper: str, lower: str) -> bool:
    """Whether, seen from above, the centre of one of two objects is within the outline of the other."""
    return any(
        distance_to_polygon(footprint(state, one), np.array([state.objects[other].position[:2]]))[0] <= 0
        for one, other in ((lower, upper), (upper, lower))
    )


def _with_contacts(state: WorldState) -> WorldState:
    """The state with its ``touching``: objects touch what is exactly below them."""
    lows = {name: float(world_points(state, name)[:, 2].min()) for name in state.objects}
    surfaces = {name: _surface(state, name) for name in state.objects}
    touching: dict[str, set[str]] = {name: {"table"} if lows[name] <= _CONTACT else set() for name in state.objects}
    for upper, low in lows.items():
        for lower, surface in surfaces.items():
            if upper != lower and abs(low - surface) <= _CONTACT and _covers(state, upper, lower):
                touching[upper].add(lower)
                touching[lower].add(upper)
    objects = {name: replace(body, touching=frozenset(touching[name])) for name, body in state.objects.items()}
    return replace(state, objects=objects)
