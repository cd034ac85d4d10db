"""From scenes and ground truth to the abstract domain: what may rest on what, and what rests on what now."""

from __future__ import annotations

import math
from collections.abc import Iterable

from envs.tabletop.scene import ObjectSpec, SceneSpec, WorldState, ZoneSpec
from envs.tabletop.shapes import FINGER_GAP, can_support, dimensions, graspable_width, inner_dimensions, is_container
from thinkbench.geometry import world_points
from thinkbench.literals import Goal
from thinkbench.predicates import CONTACT_TOLERANCE, ZONE_TOLERANCE, at_zone, inside, on, on_table
from thinkbench.symbolic import TABLE, Domain, SymbolicState

SIDE_GAP = 0.01
"""Free room in metres between objects on the sides where no finger goes."""

_DEFAULT_EDGE = 0.04  # metres; the size of object that capacities are for where the goal wants none there


def domain_of(scene: SceneSpec, goal: Goal) -> Domain:
    """What can be moved where in ``scene``.

    The capacities of zones and containers are those for the objects that ``goal`` wants in them.
    """
    by_name = {spec.name: spec for spec in scene.objects}
    movable = [spec for spec in scene.objects if graspable_width(spec.kind, spec.size) is not None]

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
        zones={zone.name: zone_capacity(zone, min(edges(zone.name))) for zone in scene.zones},
    )


def may_rest(item: ObjectSpec, base: ObjectSpec) -> bool:
    """The stability rule: ``base`` has a flat top, and ``item`` is no wider than it in either direction."""
    if item.name == base.name or not can_support(base.kind):
        return False
    item_edges = sorted(dimensions(item.kind, item.size)[:2])
    base_edges = sorted(dimensions(base.kind, base.size)[:2])
    return all(mine <= its for mine, its in zip(item_edges, base_edges, strict=True))


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
    containers = (container for container in domain.containers if inside(state, name, container))
    zones = (zone for zone in domain.zones if at_zone(state, name, zone))
    for place in (*bases, *containers, *zones):
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
