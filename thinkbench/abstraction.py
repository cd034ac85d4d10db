"""From scenes and ground truth to the abstract domain: what may rest on what, and what rests on what now."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from envs.tabletop.scene import Kind, ObjectSpec, SceneSpec, WorldState, ZoneSpec
from envs.tabletop.shapes import (
    FINGER_GAP,
    OPEN_CONTAINERS,
    can_support,
    dimensions,
    graspable_width,
    inner_dimensions,
    is_container,
)
from thinkbench.geometry import Points, world_points
from thinkbench.literals import Goal, Literal
from thinkbench.predicates import CONTACT_TOLERANCE, ZONE_TOLERANCE, at_zone, bridges, fits_on, inside, on, on_table
from thinkbench.symbolic import TABLE, Domain, Span, SymbolicState, span_name

SIDE_GAP = 0.01
"""Free room in metres between objects on the sides where no finger goes."""

_DEFAULT_EDGE = 0.04  # metres; the size of object that capacities are for where the goal wants none there


def domain_of(scene: SceneSpec, goal: Goal, rules: Goal) -> Domain:
    """What can be moved where in ``scene`` without breaking one of ``rules``.

    The capacities of zones and containers are those for the objects that ``goal`` wants in them; where goal or rules
    forbid to share a zone, each holds one object.

    Raises:
        ValueError: A rule has no abstract reading, or the goal wants something across posts that it wants on no zones.
    """
    by_name = {spec.name: spec for spec in scene.objects}
    movable = [spec for spec in scene.objects if graspable_width(spec.kind, spec.size) is not None]
    exclusive = any(literal.predicate == "shares_zone" and not literal.positive for literal in (*goal, *rules))

    def edges(place: str) -> list[float]:
        wanted = [literal.args[0] for literal in goal if literal.positive and literal.args[1:] == (place,)]
        return [max(dimensions(by_name[name].kind, by_name[name].size)[:2]) for name in wanted] or [_DEFAULT_EDGE]

    return Domain(
        movable=tuple(spec.name for spec in movable),
        bearers={base.name: frozenset(item.name for item in movable if may_rest(item, base)) for base in movable},
        containers={
            spec.name: math.prod(container_grid(spec, max(edges(spec.name))))
            for spec in scene.objects
            if is_container(spec.kind)
        },
        zones={zone.name: 1 if exclusive else zone_capacity(zone, min(edges(zone.name))) for zone in scene.zones},
        open_containers=frozenset(spec.name for spec in scene.objects if spec.kind in OPEN_CONTAINERS),
        spans=_spans(scene, goal, movable),
        barred=frozenset(pair for rule in rules for pair in _barred(rule, scene)),
        too_large=frozenset(_too_large(scene, movable)),
    )


def _too_large(scene: SceneSpec, movable: Sequence[ObjectSpec]) -> Iterator[tuple[str, str]]:
    """Pairs of an object and a container or zone that does not take it, however it is turned."""
    rooms = {
        spec.name: sorted(inner_dimensions(spec.kind, spec.size)[:2])
        for spec in scene.objects
        if is_container(spec.kind)
    }
    rooms |= {zone.name: sorted(2 * (half + ZONE_TOLERANCE) for half in zone.half_extents) for zone in scene.zones}
    for item in movable:
        edges = sorted(dimensions(item.kind, item.size)[:2])
        for place, room in rooms.items():
            if any(edge > length + 1e-9 for edge, length in zip(edges, room, strict=True)):
                yield item.name, place


def _spans(scene: SceneSpec, goal: Goal, movable: Sequence[ObjectSpec]) -> dict[str, Span]:
    """The places across posts that ``goal`` asks for."""
    sites = {
        literal.args[0]: literal.args[1] for literal in goal if literal.positive and literal.predicate == "at_zone"
    }
    centres = {zone.name: zone.centre for zone in scene.zones}
    spans = {}
    for literal in goal:
        if literal.predicate == "bridges" and literal.positive:
            one, other = sorted(literal.args[1:])
            if not {one, other} <= set(sites):
                raise ValueError(f"the goal {literal} needs at_zone literals that say where {one} and {other} stand")
            length = math.dist(centres[sites[one]], centres[sites[other]])
            long_enough = frozenset(
                spec.name
                for spec in movable
                if spec.kind is Kind.PLANK and dimensions(spec.kind, spec.size)[0] >= length
            )
            spans[span_name(one, other)] = Span((one, other), (sites[one], sites[other]), long_enough)
    return spans


def _barred(rule: Literal, scene: SceneSpec) -> list[tuple[str, str]]:
    """Pairs (item, place) that a rule forbids; ``shares_zone`` is a matter of capacity instead."""
    item = rule.args[0]
    match rule.predicate, rule.positive:
        case "on_bare_table", False:
            return [(item, TABLE)]
        case "at_any_zone", True:
            return [(item, TABLE), *((item, spec.name) for spec in scene.objects)]
        case "on_smaller", False:
            mine = next(spec for spec in scene.objects if spec.name == item)
            return [
                (item, spec.name) for spec in scene.objects if not is_container(spec.kind) and not fits_on(mine, spec)
            ]
        case "shares_zone", False:
            return []
    raise ValueError(
        f"the rule {rule} cannot be planned for; rules may be at_any_zone, not on_bare_table, not on_smaller, "
        "not shares_zone"
    )


def may_rest(item: ObjectSpec, base: ObjectSpec) -> bool:
    """The stability rule: ``base`` has a flat top, and ``item`` is no wider than it in either direction."""
    return item.name != base.name and can_support(base.kind) and fits_on(item, base)


def zone_capacity(zone: ZoneSpec, edge: float) -> int:
    """Most objects of footprint ``edge`` x ``edge`` metres that can be `at_zone` at once, however they are packed."""
    along_x, along_y = (math.floor((2 * (half + ZONE_TOLERANCE)) / edge + 1e-9) for half in zone.half_extents)
    return along_x * along_y


def container_grid(container: ObjectSpec, edge: float) -> tuple[int, int]:
    """Objects of footprint ``edge`` x ``edge`` metres that are put into a container along x and y; at least one.

    The gripper closes along ``y``: there each object needs room for a finger on both sides, walls included.
    """
    room_x, room_y, _ = inner_dimensions(container.kind, container.size)
    return _count(room_x, edge, SIDE_GAP, SIDE_GAP), _count(room_y, edge, FINGER_GAP, 2 * FINGER_GAP)


def zone_grid(zone: ZoneSpec, edge: float) -> tuple[int, int]:
    """Objects of footprint ``edge`` x ``edge`` metres that are put into a zone along x and y; at least one."""
    along_x, along_y = (2 * half for half in zone.half_extents)
    return _count(along_x, edge, SIDE_GAP, 0.0), _count(along_y, edge, FINGER_GAP, 0.0)


def grid_points(lengths: tuple[float, float], counts: tuple[int, int]) -> Points:
    """Centres of ``counts`` cells of a rectangle of some ``lengths`` around 0, ``(N, 2)`` metres."""
    x, y = (length * ((np.arange(count) + 0.5) / count - 0.5) for length, count in zip(lengths, counts, strict=True))
    return np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)


def _count(length: float, edge: float, between: float, ends: float) -> int:
    """Objects that stand in ``length`` metres with gaps ``between`` them and ``ends`` metres shared by both ends."""
    return max(1, math.floor((length - ends + between) / (edge + between) + 1e-9))


def abstract(state: WorldState, domain: Domain) -> SymbolicState:
    """What each movable object rests on now.

    An object that leans on others or lies half across a top counts as resting on the highest of those it touches, so
    that it is cleared away before they are picked up. One that is held counts as being on the table.
    """
    return tuple(_support(state, domain, name) for name in domain.movable)


def _support(state: WorldState, domain: Domain, name: str) -> str:
    bases: Iterable[str] = (other for other in domain.movable if on(state, name, other))
    spans = (place for place, span in domain.spans.items() if bridges(state, name, *span.posts))
    containers = (container for container in domain.containers if inside(state, name, container))
    zones = (zone for zone in domain.zones if at_zone(state, name, zone))
    for place in (*bases, *spans, *containers, *zones):
        return place
    if state.held == name or on_table(state, name):
        return TABLE
    low = world_points(state, name)[:, 2].min() + CONTACT_TOLERANCE
    tops = {
        other: world_points(state, other)[:, 2].max()
        for other in domain.movable
        if other in state.objects[name].touching
    }
    beneath = [other for other in tops if world_points(state, other)[:, 2].min() < low - 2 * CONTACT_TOLERANCE]
    return max(beneath, key=lambda other: tops[other], default=TABLE)
