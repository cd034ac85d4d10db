"""Drawing where everything starts: zones, piles and loose objects on the table, with room for the gripper."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from envs.tabletop.cameras import STATIC_EYE
from envs.tabletop.linear import norm
from envs.tabletop.scene import Kind, ObjectSpec, SceneSpec, ZoneSpec
from envs.tabletop.shapes import FINGER_GAP, WORKSPACE, dimensions, floor_height, inner_dimensions, is_container
from thinkbench.abstraction import container_grid, grid_points
from thinkbench.binding import Cast, RejectedError
from thinkbench.geometry import Points, radius, rectangle, separation
from thinkbench.predicates import ZONE_TOLERANCE
from thinkbench.templates import Rows, Template, ZoneRole

MAX_YAW = 0.2
"""Largest yaw of a pile at the start, radians."""

MIN_GAP = FINGER_GAP + 0.003
"""Least free room between piles at the start, metres."""

_SCREEN_REACH = 0.02  # metres beyond the least distance at which something may stand that hides another thing
_TRIES = 60  # places tried for one thing before the whole episode is drawn again

Point = tuple[float, float]


def lay_out(template: Template, cast: Cast, rng: np.random.Generator) -> SceneSpec:
    """Draw a place for every zone and pile: zones first, then containers, then the rest.

    Raises:
        RejectedError: Something found no place.
    """
    zones = _place_zones(template, cast, rng)
    placed = {spec.name: spec for spec in _fill_zones(template, cast, zones)}
    taken = [rectangle(zone.centre, zone.half_extents) for zone in zones.values()]
    for pile in _loose_piles(template, cast):
        base = cast.objects[pile[0]]
        fixed = is_container(base.kind)
        along_y = math.pi / 2 if base.kind is Kind.PLANK else 0.0
        yaw = 0.0 if fixed else round(along_y + float(rng.uniform(-MAX_YAW, MAX_YAW)), 3)
        x, y, _ = dimensions(base.kind, base.size)
        outline = rectangle((0.0, 0.0), (x / 2, y / 2), yaw)
        free = functools.partial(_is_free, taken, outline)
        hidden = _hidden_by(template, pile)
        if hidden is None:
            centre = _find(rng, (float(outline[:, 0].max()), float(outline[:, 1].max())), free)
        else:
            centre = _in_front_of(placed[cast.names[hidden]], base, free)
        placed |= {spec.name: spec for spec in _stack(cast, pile, centre, yaw)}
        placed |= {spec.name: spec for spec in _fill_container(template, cast, pile[0], centre)} if fixed else {}
        taken.append(outline + np.array(centre))
    return SceneSpec(tuple(placed[spec.name] for spec in cast.objects.values()), tuple(zones.values()))


def zone_half_extents(role: ZoneRole, edge: float) -> Point:
    """Half sizes of a zone for ``role.slots`` objects ``edge`` metres wide, too small for one more, however packed."""
    # Half of the width that would let one more object in is left free, because placing is not perfect.
    x, y = (count * edge + (edge - 2 * ZONE_TOLERANCE) * (0.9 if count > 1 else 0.5) for count in role.slots)
    return round(x / 2, 4), round(y / 2, 4)


def _place_zones(template: Template, cast: Cast, rng: np.random.Generator) -> dict[str, ZoneSpec]:
    half_extents = {name: _zone_size(template, cast, name) for name in template.zones}
    zones: dict[str, ZoneSpec] = {}

    def place(name: str, centre: Point) -> None:
        colour = cast.colours[template.zones[name].colour]
        zones[name] = ZoneSpec(cast.names[name], colour, centre, half_extents[name])

    if template.rows is not None:
        for name, centre in _line_up(template.rows, half_extents, rng).items():
            place(name, centre)
    for name in template.zones:
        if name not in zones:
            apart = functools.partial(_is_apart, list(zones.values()), half_extents[name])
            place(name, _find(rng, half_extents[name], apart))
    return {name: zones[name] for name in template.zones}


def _zone_size(template: Template, cast: Cast, name: str) -> Point:
    """Half sizes of a zone: for the smallest object that the goal wants there, or for all objects if it is lined up."""
    in_row = template.rows is not None and any(name in row for row in template.rows.zones)
    wanted = [literal.args[0] for literal in template.goal if literal.positive and literal.args[1:] == (name,)]
    own = [role for role in template.objects if not is_container(cast.objects[role].kind)]
    specs = [cast.objects[role] for role in (own if in_row else wanted)]
    edges = [max(dimensions(spec.kind, spec.size)[:2]) for spec in specs if spec.kind is not Kind.PLANK]
    return zone_half_extents(template.zones[name], max(edges) if in_row else min(edges))


def _line_up(rows: Rows, half_extents: Mapping[str, Point], rng: np.random.Generator) -> dict[str, Point]:
    """Centres of the zones in rows, which are put somewhere in the workspace together."""
    half_x, half_y = (max(half_extents[name][axis] for row in rows.zones for name in row) for axis in (0, 1))
    pitch_x, pitch_y = 2 * half_x + rows.gap, 2 * half_y + rows.gap
    deep, wide = (len(rows.zones) - 1) / 2, (max(map(len, rows.zones)) - 1) / 2
    x, y = _find(rng, (deep * pitch_x + half_x, wide * pitch_y + half_y), lambda _: True)
    return {
        name: (round(x + (deep - i) * pitch_x, 4), round(y + ((len(row) - 1) / 2 - j) * pitch_y, 4))
        for i, row in enumerate(rows.zones)
        for j, name in enumerate(row)
    }


def _fill_zones(template: Template, cast: Cast, zones: Mapping[str, ZoneSpec]) -> list[ObjectSpec]:
    """The piles that start in zones, in their slots."""
    objects: list[ObjectSpec] = []
    for name, zone in zones.items():
        lengths = (2 * zone.half_extents[0], 2 * zone.half_extents[1])
        slots = grid_points(lengths, template.zones[name].slots) + np.array(zone.centre)
        piles = [pile[1:] for pile in template.start if pile[0] == name]
        for pile, (x, y) in zip(piles, slots.tolist(), strict=False):
            objects += _stack(cast, pile, (x, y), 0.0)
    return objects


def _fill_container(template: Template, cast: Cast, name: str, centre: Point) -> list[ObjectSpec]:
    """The piles that start in a container, in its slots."""
    piles = [pile[1:] for pile in template.start if pile[0] == name and len(pile) > 1]
    if not piles:
        return []
    spec = cast.objects[name]
    edge = max(max(dimensions(item.kind, item.size)[:2]) for pile in piles for item in [cast.objects[pile[0]]])
    room_x, room_y, _ = inner_dimensions(spec.kind, spec.size)
    slots = grid_points((room_x, room_y), container_grid(spec, edge)) + np.array(centre)
    if len(slots) < len(piles):
        raise RejectedError(f"{name} has no room for {len(piles)} piles")
    chosen = zip(piles, slots.tolist(), strict=False)
    return [item for pile, (x, y) in chosen for item in _stack(cast, pile, (x, y), 0.0, floor_height(spec.kind))]


def _loose_piles(template: Template, cast: Cast) -> list[tuple[str, ...]]:
    """What stands on the table outside zones: containers, piles, distractors, and last what hides something."""
    containers = [(role,) for role in template.objects if is_container(cast.objects[role].kind)]
    bases = {*template.zones, *(name for (name,) in containers)}
    piles = [pile for pile in template.start if pile[0] not in bases]
    piles += [(role,) for role in cast.objects if role not in template.objects]
    return [*containers, *sorted(piles, key=lambda pile: _hidden_by(template, pile) is not None)]


def _hidden_by(template: Template, pile: Sequence[str]) -> str | None:
    """The role, if any, that a pile is there to hide."""
    return next((role.hides for name in pile if (role := template.objects.get(name)) and role.hides), None)


def _stack(cast: Cast, pile: Sequence[str], centre: Point, yaw: float, height: float = 0.0) -> list[ObjectSpec]:
    """A pile whose lowest object stands at ``height`` metres."""
    stack = []
    for role in pile:
        spec = cast.objects[role]
        thickness = dimensions(spec.kind, spec.size)[2]
        position = (round(centre[0], 4), round(centre[1], 4), round(height + thickness / 2, 5))
        stack.append(replace(spec, position=position, yaw=yaw))
        height += thickness
    return stack


def _in_front_of(hidden: ObjectSpec, screen: ObjectSpec, valid: Callable[[Point], bool]) -> Point:
    """The valid centre nearest to ``hidden`` on the line from it to the static camera."""
    x, y, _ = hidden.position
    to_camera = np.array([STATIC_EYE[0] - x, STATIC_EYE[1] - y])
    to_camera /= norm(to_camera)
    nearest = dimensions(hidden.kind, hidden.size)[0] / 2 + dimensions(screen.kind, screen.size)[0] / 2 + MIN_GAP
    for distance in np.arange(nearest, nearest + _SCREEN_REACH, 0.002):
        centre = np.round(np.array([x, y]) + distance * to_camera, 4).tolist()
        reach = radius(screen.kind, screen.size)
        inside = all(low + reach <= c <= high - reach for c, (low, high) in zip(centre, WORKSPACE, strict=True))
        if inside and valid((centre[0], centre[1])):
            return centre[0], centre[1]
    raise RejectedError(f"there is no room in front of {hidden.name}")


def _find(rng: np.random.Generator, half_extents: Point, valid: Callable[[Point], bool]) -> Point:
    """A valid centre for something of these half sizes that lies in the workspace altogether."""
    low = np.array([axis[0] + half for axis, half in zip(WORKSPACE, half_extents, strict=True)])
    high = np.array([axis[1] - half for axis, half in zip(WORKSPACE, half_extents, strict=True)])
    if (low > high).any():
        raise RejectedError("the workspace is too small")
    for _ in range(_TRIES):
        x, y = np.round(rng.uniform(low, high), 4).tolist()
        if valid((x, y)):
            return x, y
    raise RejectedError("the table is too full")


def _is_free(taken: Sequence[Points], outline: Points, centre: Point) -> bool:
    """Whether a thing of a convex ``outline`` would have `MIN_GAP` to all others."""
    here = outline + np.array(centre)
    return all(separation(other, here) >= MIN_GAP for other in taken)


def _is_apart(zones: list[ZoneSpec], half_extents: Point, centre: Point) -> bool:
    """Whether a new zone would leave `MIN_GAP` to the others along ``x`` or ``y``."""
    return all(
        any(
            abs(centre[axis] - zone.centre[axis]) >= half_extents[axis] + zone.half_extents[axis] + MIN_GAP
            for axis in (0, 1)
        )
        for zone in zones
    )
