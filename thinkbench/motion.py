"""From abstract moves to metric ones: which optimal move to make next, and exactly where to put things down.

The generator certifies episodes with it (an episode whose plan has no room is redrawn), and the expert acts by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from envs.tabletop.actions import Primitive, skill_action
from envs.tabletop.linear import product
from envs.tabletop.scene import Kind, WorldState
from envs.tabletop.shapes import (
    FINGER_GAP,
    MAX_GRASP_WIDTH,
    SLOPED,
    WORKSPACE_X,
    WORKSPACE_Y,
    dimensions,
    inner_dimensions,
)
from thinkbench.abstraction import SIDE_GAP, abstract, container_grid, grid_points, zone_grid
from thinkbench.geometry import (
    Points,
    distance_to_polygon,
    footprint,
    obstacles,
    radius,
    rectangle,
    rotation_matrix,
    separation,
    spec_of,
    world_points,
)
from thinkbench.literals import Goal
from thinkbench.predicates import zone_of
from thinkbench.symbolic import (
    TABLE,
    Domain,
    Move,
    SymbolicState,
    UnsolvableError,
    shortest_plan,
    useful_moves,
    useful_places,
    wanted_supports,
)

Point = tuple[float, float]
"""A place on the table ``(x, y)``, metres."""

GRASP_HEIGHT = 0.02
"""Height above the table of the point between the finger pads when they hold something that stands there, metres."""


@dataclass(frozen=True)
class _Body:
    """A part of the arm above the fingers, as a box that turns with them.

    Attributes:
        lift: Height of its underside above the point between the finger pads, metres.
        half_extents: Half sizes across and along the closing direction, metres.
    """

    lift: float
    half_extents: tuple[float, float]


_HAND = _Body(0.030, (0.038, 0.110))  # the arm's collision shapes with 2 to 5 mm to spare
_WRIST = _Body(0.095, (0.096, 0.123))

_FINGER_OPENING = 0.02  # metres that the gripper opens wider than what it takes
_FINGER_HALF_BREADTH = 0.0105
_FINGER_THICKNESS = 0.02
_TIP_BELOW_GRASP = 0.0052  # metres that the finger tips reach below the point between the pads, less what may be grazed
_ENOUGH_ROOM = 0.02  # metres beside the fingers beyond which the gripper's choice does not depend on room

_GRID = 0.01  # metres between places that are tried
_COMFORT = 0.022  # metres of free room beyond `FINGER_GAP` that are preferred
_ZONE_GAP = 0.01  # metres that parked objects keep from zones


@dataclass(frozen=True)
class Placement:
    """A move with its metric targets.

    Attributes:
        move: The abstract move.
        start: Centre of the object to pick up ``(x, y)``, metres.
        end: Where its centre goes.
        turn: How far to turn it about the vertical, radians.
        room: Least distance in metres by which gripper and object clear what is around, beyond what the fingers need;
            negative if something is likely to be hit.
    """

    move: Move
    start: tuple[float, float]
    end: tuple[float, float]
    turn: float
    room: float

    def action(self) -> npt.NDArray[np.float32]:
        """As a skill action ``(6,)``."""
        return skill_action(Primitive.PICK_AND_PLACE, self.start, self.end, self.turn)


def next_placement(state: WorldState, domain: Domain, goal: Goal) -> Placement | None:
    """The first action of a shortest plan from ``state``, or ``None`` if the goal is reached.

    Of all moves that a shortest plan can start with, one with enough room is taken; among these, one that picks from
    the greatest height, so that the gripper does not have to reach down between tall piles.

    Raises:
        UnsolvableError: No plan reaches the goal.
    """
    current = abstract(state, domain)
    plan = shortest_plan(domain, current, goal)
    if not plan:
        return None
    moves = list(useful_moves(domain, current, useful_places(domain, wanted_supports(domain, goal))))
    moves.sort(key=lambda move: -round(float(world_points(state, move.item)[:, 2].max()), 3))
    cramped = []
    for move in moves:
        if _reaches(domain, domain.apply(current, move), goal, len(plan) - 1):
            placement = placement_of(state, domain, goal, move)
            if placement.room >= 0:
                return placement
            cramped.append(placement)
    return max(cramped, key=lambda placement: placement.room)


def _reaches(domain: Domain, state: SymbolicState, goal: Goal, limit: int) -> bool:
    """Whether ``limit`` moves are enough."""
    try:
        shortest_plan(domain, state, goal, limit)
    except UnsolvableError:
        return False
    return True


def placement_of(
    state: WorldState, domain: Domain, goal: Goal, move: Move, accepts: Callable[[Point], bool] | None = None
) -> Placement:
    """Where to take hold for ``move`` and where to put down: the place with the most room for it.

    Where the move goes to the table, ``accepts`` says which places there will do; see `free_spot`.
    """
    x, y, _ = state.objects[move.item].position
    yaw = grasp_yaw(state, move.item)
    final = _release_yaw(state, domain, move, yaw)
    turn = _half_turn(final - yaw)
    pick_room = _room_for_arm(state, move.item, np.array([[x, y]]), _grasp_point(state, move.item), yaw=yaw)
    if move.destination == TABLE:
        end, place_room = free_spot(state, goal, move.item, final, accepts)
    else:
        end, place_room = _destination(state, domain, move, yaw=final)
    room = min(float(pick_room[0]), place_room, _room_for_fingers(state, move.item, yaw))
    return Placement(move, (x, y), end, turn, room)


def _release_yaw(state: WorldState, domain: Domain, move: Move, yaw: float) -> float:
    """The gripper's yaw when it lets go of what it took at ``yaw``: along two posts, or lined up with the table."""
    if move.destination not in domain.spans:
        return round(yaw / (math.pi / 2)) * math.pi / 2
    start, end = (state.objects[post].position for post in domain.spans[move.destination].posts)
    return _half_turn(math.atan2(end[1] - start[1], end[0] - start[0]))


def _half_turn(angle: float) -> float:
    """The angle modulo a half turn, in (-pi/2, pi/2]."""
    return math.pi / 2 - (math.pi / 2 - angle) % math.pi


def grasp_yaw(state: WorldState, name: str) -> float:
    """Yaw at which the pick-and-place skill takes hold of an object, in (-pi/2, pi/2] radians.

    The gripper lines up with the object's sides (a cylinder's eighth turns), where the fingers have most room; with
    enough room in several directions it turns as little as it can.
    """
    matrix = rotation_matrix(state.objects[name].orientation)
    axis = next(axis for axis in matrix.T if math.hypot(axis[0], axis[1]) > 0.5)
    steps = 4 if spec_of(state, name).kind is Kind.CYLINDER else 2
    base = math.atan2(axis[1], axis[0])
    yaws = [_half_turn(base + math.pi * step / steps) for step in range(steps)]
    yaws = [yaw for yaw in yaws if _width(state, name, yaw) <= MAX_GRASP_WIDTH] or yaws
    return max(yaws, key=lambda yaw: (round(min(_room_for_fingers(state, name, yaw), _ENOUGH_ROOM), 3), -abs(yaw)))


def _width(state: WorldState, name: str, yaw: float) -> float:
    """How far the fingers are apart that hold an object, closing at ``yaw``, metres."""
    return float(np.ptp(product(world_points(state, name)[:, :2], np.array([-math.sin(yaw), math.cos(yaw)]))))


def _room_for_fingers(state: WorldState, name: str, yaw: float) -> float:
    """Distance from where the fingers come down, closing at ``yaw``, to the nearest object that is as high, metres."""
    closing, across = np.array([-math.sin(yaw), math.cos(yaw)]), np.array([math.cos(yaw), math.sin(yaw)])
    points = world_points(state, name)
    spread = product(points[:, :2], closing)
    centre = closing * (spread.max() + spread.min()) / 2 + across * np.mean(product(points[:, :2], across))
    offset = float(np.ptp(spread) + _FINGER_OPENING + _FINGER_THICKNESS) / 2
    half_extents = (_FINGER_HALF_BREADTH, _FINGER_THICKNESS / 2)
    fingers = [rectangle(tuple(centre + side * offset * closing), half_extents, yaw) for side in (-1, 1)]
    low = _grasp_point(state, name) - _TIP_BELOW_GRASP
    outlines = [outline for other in state.objects if other != name for outline in obstacles(state, other, low)]
    return min((separation(outline, finger) for outline in outlines for finger in fingers), default=1.0)


# ------------------------------------------------------------------------------------------ destinations


def _destination(state: WorldState, domain: Domain, move: Move, yaw: float) -> tuple[Point, float]:
    """Where to put the object's centre off the table, and how much room there is.

    ``yaw`` is the gripper's turn when it lets go.
    """
    if move.destination in domain.containers:
        points = _container_points(state, move)
    elif move.destination in domain.zones:
        points = _zone_points(state, move)
    else:
        return _top(state, domain, move, yaw)
    spec = spec_of(state, move.item)
    half = max(dimensions(spec.kind, spec.size)[:2]) / 2
    free = _distances(state, points, move.item, move.destination) - half - SIDE_GAP / 2
    room = np.minimum(free, _room_for_arm(state, move.item, points, GRASP_HEIGHT, yaw=yaw, ignore={move.destination}))
    end, best = _choose(points, room)
    crosswise = abs(yaw) > math.pi / 4  # slots have room for fingers along y only
    return end, min(best, -FINGER_GAP) if crosswise else best


def _top(state: WorldState, domain: Domain, move: Move, yaw: float) -> tuple[Point, float]:
    """The middle of an object's top, or between two posts, and how much room there is."""
    bases = domain.spans[move.destination].posts if move.destination in domain.spans else (move.destination,)
    x, y = np.mean([state.objects[base].position[:2] for base in bases], axis=0).tolist()
    height = max(float(world_points(state, base)[:, 2].max()) for base in bases) + GRASP_HEIGHT
    room = _room_for_arm(state, move.item, np.array([[x, y]]), height, yaw=yaw, ignore=set(bases))
    return (x, y), float(room[0])


def _container_points(state: WorldState, move: Move) -> Points:
    """Places in a container, as a grid with room for the fingers, in the world ``(N, 2)``."""
    spec, item = spec_of(state, move.destination), spec_of(state, move.item)
    edge = max(dimensions(item.kind, item.size)[:2])
    room_x, room_y, _ = inner_dimensions(spec.kind, spec.size)
    local = grid_points((room_x, room_y), container_grid(spec, edge))
    body = state.objects[move.destination]
    turned: Points = product(local, rotation_matrix(body.orientation)[:2, :2].T) + np.array(body.position[:2])
    return turned


def _zone_points(state: WorldState, move: Move) -> Points:
    """Places in a zone, in a grid with room for the fingers, ``(N, 2)``."""
    zone, item = zone_of(state, move.destination), spec_of(state, move.item)
    edge = max(dimensions(item.kind, item.size)[:2])
    lengths = (2 * zone.half_extents[0], 2 * zone.half_extents[1])
    points: Points = grid_points(lengths, zone_grid(zone, edge)) + np.array(zone.centre)
    return points


def free_spot(
    state: WorldState, goal: Goal, item: str, yaw: float = 0.0, accepts: Callable[[Point], bool] | None = None
) -> tuple[Point, float]:
    """The nearest place on the table where ``item`` can be put down with comfortable room, and how much room that is.

    It keeps clear of zones, of everything that stands there, of the way of the gripper's body to tall piles, and of
    where the goal wants a tower to grow. Without such a place, the one with the most room is returned. ``yaw`` is the
    gripper's turn when it lets go; only places that ``accepts`` says yes to are considered.

    Raises:
        UnsolvableError: No place is accepted.
    """
    spec = spec_of(state, item)
    margin = radius(spec.kind, spec.size)
    (x0, x1), (y0, y1) = WORKSPACE_X, WORKSPACE_Y
    x = np.arange(x0 + margin, x1 - margin + 1e-9, _GRID)
    y = np.arange(y0 + margin, y1 - margin + 1e-9, _GRID)
    points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    room = np.minimum(
        _distances(state, points, item) - margin - FINGER_GAP,
        _room_for_arm(state, item, points, GRASP_HEIGHT, yaw=yaw, tall=_bases(goal)),
    )
    for zone in state.scene.zones:
        room = np.minimum(room, _outside(points, zone.centre, zone.half_extents) - margin - _ZONE_GAP)
    near = np.linalg.norm(points - np.array(state.objects[item].position[:2]), axis=1)
    return _choose(points, np.minimum(room, _COMFORT), near, accepts)


def _choose(
    points: Points, room: Points, cost: Points | None = None, accepts: Callable[[Point], bool] | None = None
) -> tuple[Point, float]:
    """The accepted point with the most room; among equals, the one of least cost."""
    order = np.lexsort((np.zeros(len(points)) if cost is None else np.round(cost, 6), -np.round(room, 4)))
    for best in order.tolist():
        point = (float(points[best, 0]), float(points[best, 1]))
        if accepts is None or accepts(point):
            return point, float(room[best])
    raise UnsolvableError("there is no such place on the table")


def _bases(goal: Goal) -> frozenset[str]:
    """Objects that the goal wants something on."""
    return frozenset(literal.args[1] for literal in goal if literal.positive and literal.predicate == "on")


# ------------------------------------------------------------------------------------------------- room


def _distances(state: WorldState, points: Points, *ignored: str) -> Points:
    """Distance of points ``(N, 2)`` from the nearest outline of an object that is not ignored, ``(N,)`` metres."""
    nearest = np.full(len(points), np.inf)
    for other in state.objects:
        if other not in ignored:
            nearest = np.minimum(nearest, distance_to_polygon(footprint(state, other), points))
    return nearest


def _room_for_arm(
    state: WorldState,
    item: str,
    points: Points,
    height: float,
    *,
    yaw: float = 0.0,
    ignore: Collection[str] = (),
    tall: frozenset[str] = frozenset(),
) -> Points:
    """Distance of hand and wrist, the gripper being at ``points (N, 2)``, from all that reaches up to them, ``(N,)``.

    Args:
        state: The world.
        item: What is held; it does not count.
        points: Where the gripper is.
        height: Height of the point between its finger pads, metres.
        yaw: The gripper's turn; at 0 it closes along ``y``.
        ignore: Objects that do not count.
        tall: Objects that count for the hand whatever their height.
    """
    room = np.full(len(points), np.inf)
    turn = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
    for other in state.objects:
        if other == item or other in ignore:
            continue
        top = float(world_points(state, other)[:, 2].max())
        for body in (_HAND, _WRIST):
            if top > height + body.lift or (other in tall and body is _HAND):
                corners = product(footprint(state, other), turn)
                middle, half = (corners.max(axis=0) + corners.min(axis=0)) / 2, np.ptp(corners, axis=0) / 2
                reach = (body.half_extents[0] + half[0], body.half_extents[1] + half[1])
                room = np.minimum(room, _outside(product(points, turn), (middle[0], middle[1]), reach))
    return room


def _outside(points: Points, centre: tuple[float, float], half_extents: tuple[float, float]) -> Points:
    """Distance of points ``(N, 2)`` from a rectangle along its nearer axis, negative inside, ``(N,)``."""
    over: Points = (np.abs(points - np.array(centre)) - np.array(half_extents)).max(axis=1)
    return over


def _grasp_point(state: WorldState, name: str) -> float:
    """Height of the point between the finger pads when they hold an object: at half its height, within limits."""
    heights = world_points(state, name)[:, 2]
    half = float(np.ptp(heights)) / 2
    if spec_of(state, name).kind in SLOPED:
        half /= 2
    return float(heights.min()) + min(max(half, GRASP_HEIGHT / 2), GRASP_HEIGHT)
