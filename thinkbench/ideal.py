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
    """The world after ``placement``: the object lies on the highest thing below its new centre."""
    name, end = placement.move.item, np.array([placement.end])
    spec, body = spec_of(state, name), state.objects[name]
    floor = 0.0
    for other in state.objects:
        if other != name and distance_to_polygon(footprint(state, other), end)[0] <= 0:
            kind = spec_of(state, other).kind
            base = world_points(state, other)[:, 2]
            floor = max(floor, float(base.min()) + floor_height(kind) if is_container(kind) else float(base.max()))
    x, y, z, w = body.orientation
    s, c = math.sin(placement.turn / 2), math.cos(placement.turn / 2)
    moved = replace(
        body,
        position=(placement.end[0], placement.end[1], floor + dimensions(spec.kind, spec.size)[2] / 2),
        orientation=(c * x - s * y, c * y + s * x, c * z + s * w, c * w - s * z),
    )
    return _with_contacts(replace(state, objects={**state.objects, name: moved}))


def _with_contacts(state: WorldState) -> WorldState:
    spans = {
        name: (points[:, 2].min(), points[:, 2].max())
        for name in state.objects
        for points in [world_points(state, name)]
    }
    outlines = {name: footprint(state, name) for name in state.objects}
    touching: dict[str, set[str]] = {name: {"table"} if spans[name][0] <= _CONTACT else set() for name in state.objects}
    for upper, (low, _) in spans.items():
        for lower, (bottom, top) in spans.items():
            kind = spec_of(state, lower).kind
            surface = bottom + floor_height(kind) if is_container(kind) else top
            if upper != lower and abs(low - surface) <= _CONTACT:
                centre = np.array([state.objects[upper].position[:2]])
                if distance_to_polygon(outlines[lower], centre)[0] <= 0:
                    touching[upper].add(lower)
                    touching[lower].add(upper)
    objects = {name: replace(body, touching=frozenset(touching[name])) for name, body in state.objects.items()}
    return replace(state, objects=objects)
