"""Geometric relations over the simulator's ground truth, with tolerances in metres and radians.

Every predicate is a pure function of a `WorldState` and names; none looks at what was commanded or planned. Directions
are the robot's: it looks along ``+x``, its left is ``+y``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.tabletop.linear import norm, product
from envs.tabletop.scene import Kind, ObjectSpec, WorldState, ZoneSpec
from envs.tabletop.shapes import WORKSPACE, dimensions, inner_dimensions, is_container
from thinkbench.geometry import (
    distance_to_polygon,
    footprint,
    in_frame_of,
    spec_of,
    tilt,
    world_points,
)
from thinkbench.literals import Literal

CONTACT_TOLERANCE = 0.008
"""Largest vertical gap or overlap, in metres, between an object's lowest point and what it rests on."""

ZONE_TOLERANCE = 0.005
"""How far, in metres, an object's outline may reach over the edge of its zone."""

RIM_TOLERANCE = 0.005
"""How far, in metres, an object's lowest point must be below a container's rim."""

UPRIGHT_TOLERANCE = 0.26
"""Largest tilt of an upright object, in radians (15 degrees)."""

SIDE_MARGIN = 0.02
"""Least distance, in metres, between the centres of two objects of which one is beside the other."""

NEAR_DISTANCE = 0.05
"""Largest gap, in metres, between the outlines of two objects that are near each other."""

EDGE_STRIP = 0.06
"""Width, in metres, of the strip along an edge of the workspace in which an object is at that edge."""

LEVEL_TOLERANCE = 0.05
"""Largest tilt of something that bridges two posts, in radians (3 degrees)."""

LINEAR_REST = 0.01
"""Largest speed of an object at rest, in metres per second."""

ANGULAR_REST = 0.1
"""Largest angular speed of an object at rest, in radians per second."""


def held(state: WorldState, name: str) -> bool:
    """Both fingers touch ``name``."""
    return state.held == name


def on(state: WorldState, item: str, base: str) -> bool:
    """``item`` rests on the top of ``base``.

    They touch, the item's centre is over the base's outline, and its lowest point is level with the base's highest
    within `CONTACT_TOLERANCE`. Nothing that is held rests on anything.
    """
    if item == base or held(state, item) or base not in state.objects[item].touching:
        return False
    gap = world_points(state, item)[:, 2].min() - world_points(state, base)[:, 2].max()
    centre = np.array([state.objects[item].position[:2]])
    return bool(abs(gap) <= CONTACT_TOLERANCE and distance_to_polygon(footprint(state, base), centre)[0] <= 0)


def inside(state: WorldState, item: str, container: str) -> bool:
    """``item`` lies in ``container``.

    Its centre is within the walls (in the container's own frame), its lowest point is at least `RIM_TOLERANCE` below
    the rim, the container stands upright, and the item is not held.

    Raises:
        ValueError: ``container`` is no container.
    """
    spec = spec_of(state, container)
    if not is_container(spec.kind):
        raise ValueError(f"{container} is a {spec.kind}, which nothing can be inside of; name a bowl, tray or bin")
    if item == container or held(state, item) or not upright(state, container):
        return False
    x, y, _ = in_frame_of(state, container, state.objects[item].position)
    if spec.kind is Kind.BOWL:
        within = np.hypot(x, y) <= dimensions(spec.kind, spec.size)[0] / 2
    else:
        room_x, room_y, _ = inner_dimensions(spec.kind, spec.size)
        within = abs(x) <= room_x / 2 and abs(y) <= room_y / 2
    points, walls = world_points(state, item)[:, 2], world_points(state, container)[:, 2]
    return bool(within and walls.min() - CONTACT_TOLERANCE <= points.min() <= walls.max() - RIM_TOLERANCE)


def on_table(state: WorldState, item: str) -> bool:
    """``item`` stands or lies on the table: it touches it at height 0 within `CONTACT_TOLERANCE` and is not held."""
    if held(state, item) or "table" not in state.objects[item].touching:
        return False
    return bool(abs(world_points(state, item)[:, 2].min()) <= CONTACT_TOLERANCE)


def at_zone(state: WorldState, item: str, zone: str) -> bool:
    """``item`` is on the table and its whole outline is in ``zone``, give or take `ZONE_TOLERANCE`."""
    if not on_table(state, item):
        return False
    area = zone_of(state, zone)
    over = np.abs(footprint(state, item) - np.array(area.centre)) - np.array(area.half_extents)
    return bool((over <= ZONE_TOLERANCE).all())


def at_any_zone(state: WorldState, item: str) -> bool:
    """``item`` is `at_zone` of some zone of the scene."""
    return any(at_zone(state, item, zone.name) for zone in state.scene.zones)


def on_bare_table(state: WorldState, item: str) -> bool:
    """``item`` is on the table, but not `at_any_zone`."""
    return on_table(state, item) and not at_any_zone(state, item)


def shares_zone(state: WorldState, item: str) -> bool:
    """``item`` and another object are `at_zone` of the same zone."""
    return any(
        at_zone(state, item, zone.name)
        and any(at_zone(state, other, zone.name) for other in state.objects if other != item)
        for zone in state.scene.zones
    )


def on_smaller(state: WorldState, item: str) -> bool:
    """``item`` rests on an object that is narrower than it in some direction, by the shapes' nominal sizes."""
    return any(
        on(state, item, other) and not fits_on(spec_of(state, item), spec_of(state, other)) for other in state.objects
    )


def fits_on(item: ObjectSpec, base: ObjectSpec) -> bool:
    """Whether ``item`` is no wider than ``base``, in either direction, by the shapes' nominal sizes."""
    item_edges, base_edges = (sorted(dimensions(spec.kind, spec.size)[:2]) for spec in (item, base))
    return all(mine <= its for mine, its in zip(item_edges, base_edges, strict=True))


def bridges(state: WorldState, item: str, one: str, other: str) -> bool:
    """``item`` lies across the posts ``one`` and ``other``.

    It touches both, its centre is between theirs and over neither of them, its lowest point is level with both tops
    within `CONTACT_TOLERANCE`, and it is level within `LEVEL_TOLERANCE`. Nothing that is held rests on anything.
    """
    body = state.objects[item]
    if len({item, one, other}) < 3 or held(state, item) or not {one, other} <= body.touching:
        return False
    low, centre = world_points(state, item)[:, 2].min(), np.array(body.position[:2])
    start, end = (np.array(state.objects[post].position[:2]) for post in (one, other))
    along = end - start
    share = float(product(centre - start, along)) / max(float(product(along, along)), 1e-12)
    return bool(
        0 < share < 1
        and all(distance_to_polygon(footprint(state, post), centre[None])[0] > 0 for post in (one, other))
        and all(abs(low - world_points(state, post)[:, 2].max()) <= CONTACT_TOLERANCE for post in (one, other))
        and tilt(state, item) <= LEVEL_TOLERANCE
    )


def supports(state: WorldState, base: str, item: str) -> bool:
    """``item`` rests on ``base``, directly or through others between them."""
    return any(
        on(state, other, base) and (other == item or supports(state, other, item))
        for other in state.objects
        if other != base
    )


def clear(state: WorldState, base: str) -> bool:
    """Nothing rests on ``base``: no object has it directly below (what lies in a container does not count)."""
    return not any(on(state, other, base) for other in state.objects)


def upright(state: WorldState, name: str) -> bool:
    """The object's own vertical is within `UPRIGHT_TOLERANCE` of the world's."""
    return tilt(state, name) <= UPRIGHT_TOLERANCE


def at_rest(state: WorldState, name: str) -> bool:
    """The object moves no faster than `LINEAR_REST` and turns no faster than `ANGULAR_REST`."""
    body = state.objects[name]
    return norm(body.linear_velocity) <= LINEAR_REST and norm(body.angular_velocity) <= ANGULAR_REST


def left_of(state: WorldState, item: str, other: str) -> bool:
    """``item`` is on the robot's left of ``other``: by `SIDE_MARGIN` at least, and more to its side than before it."""
    dx, dy = _offset(state, item, other)
    return dy >= SIDE_MARGIN and abs(dx) <= abs(dy)


def right_of(state: WorldState, item: str, other: str) -> bool:
    """`left_of` with the two exchanged."""
    return left_of(state, other, item)


def behind(state: WorldState, item: str, other: str) -> bool:
    """``item`` is farther from the robot than ``other``: by `SIDE_MARGIN` at least, and more behind than beside it."""
    dx, dy = _offset(state, item, other)
    return dx >= SIDE_MARGIN and abs(dy) <= abs(dx)


def in_front_of(state: WorldState, item: str, other: str) -> bool:
    """`behind` with the two exchanged."""
    return behind(state, other, item)


def near(state: WorldState, item: str, other: str) -> bool:
    """Seen from above, a corner of one outline is within `NEAR_DISTANCE` of the other's sides."""
    a, b = footprint(state, item), footprint(state, other)
    return bool(min(distance_to_polygon(a, b).min(), distance_to_polygon(b, a).min()) <= NEAR_DISTANCE)


def at_left_edge(state: WorldState, item: str) -> bool:
    """The object's centre is within `EDGE_STRIP` of the workspace's edge on the robot's left, or beyond it."""
    return state.objects[item].position[1] >= WORKSPACE[1][1] - EDGE_STRIP


def at_right_edge(state: WorldState, item: str) -> bool:
    """`at_left_edge` for the edge on the robot's right."""
    return state.objects[item].position[1] <= WORKSPACE[1][0] + EDGE_STRIP


def at_back_edge(state: WorldState, item: str) -> bool:
    """`at_left_edge` for the edge that is farthest from the robot."""
    return state.objects[item].position[0] >= WORKSPACE[0][1] - EDGE_STRIP


def at_front_edge(state: WorldState, item: str) -> bool:
    """`at_left_edge` for the edge that is nearest to the robot."""
    return state.objects[item].position[0] <= WORKSPACE[0][0] + EDGE_STRIP


def _offset(state: WorldState, item: str, other: str) -> tuple[float, float]:
    (ax, ay, _), (bx, by, _) = state.objects[item].position, state.objects[other].position
    return ax - bx, ay - by


def zone_of(state: WorldState, name: str) -> ZoneSpec:
    """The zone ``name``.

    Raises:
        KeyError: The scene has no such zone; the message lists those that it has.
    """
    for zone in state.scene.zones:
        if zone.name == name:
            return zone
    raise KeyError(
        f"no zone {name!r} in the scene; it has {', '.join(zone.name for zone in state.scene.zones) or 'none'}"
    )


# ----------------------------------------------------------------------------------------------- by name


@dataclass(frozen=True)
class Predicate:
    """A relation that goals may name: ``test(state, *names)`` and how many names it takes."""

    test: Callable[..., bool]
    arity: int


PREDICATES: dict[str, Predicate] = {
    **{
        test.__name__: Predicate(test, 2)
        for test in (on, inside, at_zone, supports, left_of, right_of, behind, in_front_of, near)
    },
    bridges.__name__: Predicate(bridges, 3),
    **{
        test.__name__: Predicate(test, 1)
        for test in (held, on_table, clear, upright, at_rest, at_any_zone, on_bare_table, shares_zone, on_smaller)
    },
    **{test.__name__: Predicate(test, 1) for test in (at_left_edge, at_right_edge, at_back_edge, at_front_edge)},
}


def check(literal: Literal) -> None:
    """Refuse a literal that cannot be evaluated.

    Raises:
        ValueError: Unknown predicate or wrong number of arguments.
    """
    if literal.predicate not in PREDICATES:
        raise ValueError(f"{literal}: no predicate {literal.predicate!r}; there are {', '.join(sorted(PREDICATES))}")
    arity = PREDICATES[literal.predicate].arity
    if len(literal.args) != arity:
        raise ValueError(f"{literal}: {literal.predicate} takes {arity} name(s), not {len(literal.args)}")


def evaluate(state: WorldState, literal: Literal) -> bool:
    """Whether ``literal`` is true of the world.

    Raises:
        ValueError: See `check`.
        KeyError: An argument is not in the scene.
    """
    check(literal)
    arguments: tuple[Any, ...] = literal.args
    return PREDICATES[literal.predicate].test(state, *arguments) == literal.positive


def broken_rule(state: WorldState, rules: tuple[Literal, ...]) -> Literal | None:
    """The first of ``rules`` that is violated; ``None`` while something is held or an object of theirs still moves."""
    named = {name for literal in rules for name in literal.args if name in state.objects}
    if state.held is not None or not all(at_rest(state, name) for name in named):
        return None
    return next((rule for rule in rules if not evaluate(state, rule)), None)


def goal_holds(state: WorldState, goal: tuple[Literal, ...]) -> bool:
    """Whether every literal of ``goal`` is true, nothing is held, and all objects that the goal names are at rest.

    A tower that is about to fall, or that only the gripper keeps upright, is no tower.
    """
    named = {name for literal in goal for name in literal.args if name in state.objects}
    if state.held is not None or not all(at_rest(state, name) for name in named):
        return False
    return all(evaluate(state, literal) for literal in goal)
