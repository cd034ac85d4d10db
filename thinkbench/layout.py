"""Drawing where everything starts: zones, piles and loose objects on the table, with room for the gripper."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from envs.tabletop.scene import ObjectSpec, SceneSpec, ZoneSpec
from envs.tabletop.shapes import FINGER_GAP, WORKSPACE_X, WORKSPACE_Y, dimensions, is_container
from thinkbench.binding import Cast, RejectedError
from thinkbench.geometry import Points, distance_to_polygon, radius, rectangle
from thinkbench.predicates import ZONE_TOLERANCE
from thinkbench.templates import Template, ZoneRole

MAX_YAW = 0.2
"""Largest yaw of a pile at the start, radians."""

MIN_GAP = FINGER_GAP + 0.003
"""Least free room between piles at the start, metres."""

_TRIES = 60  # places tried for one thing before the whole episode is drawn again

Point = tuple[float, float]


def lay_out(template: Template, cast: Cast, rng: np.random.Generator) -> SceneSpec:
    """Draw a place for every zone and pile: zones first, then containers, then the rest.

    Raises:
        RejectedError: Something found no place.
    """
    zones = _place_zones(template, cast, rng)
    objects = _fill_zones(template, cast, zones)
    taken = [rectangle(zone.centre, zone.half_extents) for zone in zones.values()]
    for pile in _loose_piles(template, cast):
        base = cast.objects[pile[0]]
        margin = max(radius(cast.objects[role].kind, cast.objects[role].size) for role in pile)
        yaw = 0.0 if is_container(base.kind) else round(float(rng.uniform(-MAX_YAW, MAX_YAW)), 3)
        centre = _find(rng, (margin, margin), functools.partial(_is_free, taken, margin + MIN_GAP))
        objects += _stack(cast, pile, centre, yaw)
        x, y, _ = dimensions(base.kind, base.size)
        taken.append(rectangle(centre, (x / 2, y / 2), yaw))
    order = {spec.name: i for i, spec in enumerate(cast.objects.values())}
    return SceneSpec(tuple(sorted(objects, key=lambda spec: order[spec.name])), tuple(zones.values()))


def zone_half_extents(role: ZoneRole, edge: float) -> Point:
    """Half sizes of a zone for ``role.slots`` objects ``edge`` metres wide, too small for one more, however packed."""
    # Half of the width that would let one more object in is left free, because placing is not perfect.
    x, y = (count * edge + (edge - 2 * ZONE_TOLERANCE) * (0.9 if count > 1 else 0.5) for count in role.slots)
    return round(x / 2, 4), round(y / 2, 4)


def _place_zones(template: Template, cast: Cast, rng: np.random.Generator) -> dict[str, ZoneSpec]:
    zones: dict[str, ZoneSpec] = {}
    for name, role in template.zones.items():
        wanted = [literal.args[0] for literal in template.goal if literal.positive and literal.args[1:] == (name,)]
        edge = min(max(dimensions(cast.objects[item].kind, cast.objects[item].size)[:2]) for item in wanted)
        half = zone_half_extents(role, edge)
        apart = functools.partial(_is_apart, list(zones.values()), half)
        zones[name] = ZoneSpec(cast.names[name], cast.colours[role.colour], _find(rng, half, apart), half)
    return zones


def _fill_zones(template: Template, cast: Cast, zones: dict[str, ZoneSpec]) -> list[ObjectSpec]:
    """The piles that start in zones, in their slots."""
    objects: list[ObjectSpec] = []
    for name, zone in zones.items():
        slots = template.zones[name].slots
        centres = [
            (
                zone.centre[0] + 2 * zone.half_extents[0] * ((i + 0.5) / slots[0] - 0.5),
                zone.centre[1] + 2 * zone.half_extents[1] * ((j + 0.5) / slots[1] - 0.5),
            )
            for i in range(slots[0])
            for j in range(slots[1])
        ]
        piles = [pile[1:] for pile in template.start if pile[0] == name]
        for pile, centre in zip(piles, centres, strict=False):
            objects += _stack(cast, pile, centre, 0.0)
    return objects


def _loose_piles(template: Template, cast: Cast) -> list[tuple[str, ...]]:
    """Piles outside zones and distractors, containers first."""
    piles = [pile for pile in template.start if pile[0] not in template.zones]
    piles += [(role,) for role in cast.objects if role not in template.objects]
    return sorted(piles, key=lambda pile: not is_container(cast.objects[pile[0]].kind))


def _stack(cast: Cast, pile: tuple[str, ...], centre: Point, yaw: float) -> list[ObjectSpec]:
    height = 0.0
    stack = []
    for role in pile:
        spec = cast.objects[role]
        thickness = dimensions(spec.kind, spec.size)[2]
        position = (round(centre[0], 4), round(centre[1], 4), round(height + thickness / 2, 5))
        stack.append(replace(spec, position=position, yaw=yaw))
        height += thickness
    return stack


def _find(rng: np.random.Generator, half_extents: Point, valid: Callable[[Point], bool]) -> Point:
    """A valid centre for something of these half sizes that lies in the workspace altogether."""
    low = np.array([WORKSPACE_X[0] + half_extents[0], WORKSPACE_Y[0] + half_extents[1]])
    high = np.array([WORKSPACE_X[1] - half_extents[0], WORKSPACE_Y[1] - half_extents[1]])
    for _ in range(_TRIES):
        x, y = np.round(rng.uniform(low, high), 4).tolist()
        if valid((x, y)):
            return x, y
    raise RejectedError("the table is too full")


def _is_free(taken: list[Points], margin: float, point: Point) -> bool:
    """Whether a point is at least ``margin`` from every outline."""
    return all(float(distance_to_polygon(outline, np.array([point]))[0]) >= margin for outline in taken)


def _is_apart(zones: list[ZoneSpec], half_extents: Point, centre: Point) -> bool:
    """Whether a new zone would leave `MIN_GAP` to the others along ``x`` or ``y``."""
    return all(
        any(
            abs(centre[axis] - zone.centre[axis]) >= half_extents[axis] + zone.half_extents[axis] + MIN_GAP
            for axis in (0, 1)
        )
        for zone in zones
    )
