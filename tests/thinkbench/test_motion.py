"""Metric targets: grasps, free places, and the arm's room beside tall piles."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.tabletop.scene import Colour, Kind, Size, ZoneSpec
from envs.tabletop.shapes import FINGER_GAP, WORKSPACE_X, WORKSPACE_Y
from thinkbench.abstraction import container_grid, domain_of, zone_grid
from thinkbench.geometry import distance_to_polygon, footprint, radius
from thinkbench.ideal import carry_out, ideal_state
from thinkbench.literals import Literal
from thinkbench.motion import free_spot, grasp_yaw, next_placement
from thinkbench.symbolic import Move, UnsolvableError

from .worlds import thing, world

ON = (Literal("on", ("a", "b")),)


@given(st.floats(-0.7, 0.7), st.integers(-2, 2))
def test_a_lone_cube_is_grasped_with_the_smallest_turn(yaw: float, quarters: int) -> None:
    state = world(thing("a", yaw=yaw + quarters * math.pi / 2))
    assert grasp_yaw(state, "a") == pytest.approx(yaw, abs=1e-9)


def test_a_neighbour_on_the_fingers_side_turns_the_grasp() -> None:
    beside = world(thing("a"), thing("b", position=(0.0, 0.065, 0.02)))
    ahead = world(thing("a"), thing("b", position=(0.065, 0.0, 0.02)))
    assert abs(grasp_yaw(beside, "a")) == pytest.approx(math.pi / 2)
    assert grasp_yaw(ahead, "a") == pytest.approx(0.0)


@given(st.floats(-0.2, 0.2), st.floats(-0.1, 0.1), st.floats(-0.2, 0.2))
def test_objects_are_lined_up_with_the_table_when_they_are_put_down(yaw: float, x: float, y: float) -> None:
    scene = world(thing("a", position=(x, y, 0.02), yaw=yaw), thing("b", position=(x, y - 0.1, 0.02))).scene
    state = ideal_state(scene)
    placement = next_placement(state, domain_of(scene, ON, ()), ON)
    assert placement is not None
    assert placement.move == Move("a", "b")
    assert placement.end == (x, y - 0.1)
    state = carry_out(state, placement)
    assert next_placement(state, domain_of(scene, ON, ()), ON) is None
    assert math.sin(2 * grasp_yaw(state, "a")) == pytest.approx(0.0, abs=1e-9)


@given(st.floats(-0.12, 0.12), st.floats(-0.24, 0.24))
def test_free_places_are_free(x: float, y: float) -> None:
    zone = ZoneSpec("z", Colour.RED, (0.0, 0.1), (0.05, 0.05))
    state = world(
        thing("a", position=(x, y, 0.02)), thing("b"), thing("c", Kind.BIN, (0.05, -0.15, 0.025)), zones=[zone]
    )
    (end_x, end_y), room = free_spot(state, (), "a")
    assert room > 0
    margin = radius(Kind.CUBE, Size.MEDIUM)
    assert WORKSPACE_X[0] + margin <= end_x <= WORKSPACE_X[1] - margin
    assert WORKSPACE_Y[0] + margin <= end_y <= WORKSPACE_Y[1] - margin
    for other in "bc":
        distance = distance_to_polygon(footprint(state, other), np.array([[end_x, end_y]]))[0]
        assert distance >= margin + FINGER_GAP
    assert max(abs(end_x) - 0.05, abs(end_y - 0.1) - 0.05) >= margin


def test_nothing_is_put_down_where_the_hand_would_hit_a_tall_pile() -> None:
    """The gripper closes along ``y`` and is wide there: beside a low object is free, beside a pile is not."""
    pile = [thing(f"p{i}", position=(0.0, 0.0, 0.02 + 0.04 * i)) for i in range(3)]
    low = world(thing("a", position=(0.0, 0.09, 0.02)), pile[0])
    tall = world(thing("a", position=(0.0, 0.09, 0.02)), *pile)
    (x, y), _ = free_spot(low, (), "a")
    assert (abs(x), y) == pytest.approx((0.0, 0.09), abs=0.01)
    (x, y), _ = free_spot(tall, (), "a")
    assert abs(y) > 0.11 or abs(x) > 0.05


def test_free_places_keep_off_a_tower_to_be() -> None:
    state = world(thing("a", position=(0.0, 0.09, 0.02)), thing("b"))
    (x, y), _ = free_spot(state, (Literal("on", ("c", "b")),), "a")
    assert abs(y) > 0.11 or abs(x) > 0.05


def test_the_highest_is_taken_first() -> None:
    goal = (Literal("clear", ("b",)), Literal("clear", ("d",)), Literal("clear", ("e",)))
    scene = world(
        thing("a", position=(0.1, 0.2, 0.06)),
        thing("b", position=(0.1, 0.2, 0.02)),
        thing("c", position=(0.1, -0.2, 0.10)),
        thing("d", position=(0.1, -0.2, 0.06)),
        thing("e", position=(0.1, -0.2, 0.02)),
    ).scene
    placement = next_placement(ideal_state(scene), domain_of(scene, goal, ()), goal)
    assert placement is not None
    assert placement.move.item == "c"


@pytest.mark.parametrize("yaw", [0.15, 1.4, -1.5])
def test_a_plank_is_turned_so_that_it_lies_across_its_posts(yaw: float) -> None:
    """The posts are a little off their sites, and so is the direction from one to the other."""
    sites = [ZoneSpec(name, Colour.RED, (0.05, y), (0.035, 0.035)) for name, y in (("west", 0.055), ("east", -0.055))]
    state = world(
        thing("a", position=(0.056, 0.05, 0.025), size=Size.LARGE),
        thing("b", position=(0.044, -0.055, 0.025), size=Size.LARGE),
        thing("p", Kind.PLANK, (-0.08, 0.0, 0.008), yaw=yaw),
        zones=sites,
    )
    goal = (Literal("at_zone", ("a", "west")), Literal("at_zone", ("b", "east")), Literal("bridges", ("p", "a", "b")))
    domain = domain_of(state.scene, goal, ())
    state = ideal_state(state.scene)
    placement = next_placement(state, domain, goal)
    assert placement is not None
    assert placement.move == Move("p", "a+b")
    assert placement.end == pytest.approx((0.05, -0.0025))
    assert abs(placement.turn) <= math.pi / 2
    done = carry_out(state, placement)
    axis = footprint(done, "p")
    along = np.array([0.012, 0.105]) / np.hypot(0.012, 0.105)
    assert np.ptp(axis @ along) == pytest.approx(0.16, abs=1e-6)
    assert next_placement(done, domain, goal) is None


def test_walls_that_the_fingers_do_not_reach_leave_them_room() -> None:
    """A medium cube is held above a tray's rim, a small one below: beside a wall only the first can be taken."""
    for size, expected in ((Size.MEDIUM, True), (Size.SMALL, False)):
        height = 0.006 + (0.02 if size is Size.MEDIUM else 0.015)
        tray = thing("t", Kind.TRAY, (0.0, 0.0, 0.01))
        state = ideal_state(world(tray, thing("a", position=(0.055, 0.03, height), size=size)).scene)
        goal = (Literal("on_table", ("a",)),)
        placement = next_placement(state, domain_of(state.scene, goal, ()), goal)
        assert placement is not None
        assert (placement.room >= 0) is expected


def test_unreachable_goals_are_reported() -> None:
    scene = world(thing("a"), thing("b", Kind.PYRAMID, (0.1, 0.0, 0.02))).scene
    with pytest.raises(UnsolvableError):
        next_placement(ideal_state(scene), domain_of(scene, ON, ()), ON)


@pytest.mark.parametrize(
    ("size", "edge", "grid"), [(Size.MEDIUM, 0.04, (2, 1)), (Size.LARGE, 0.04, (3, 2)), (Size.SMALL, 0.05, (1, 1))]
)
def test_containers_leave_room_for_fingers_along_y(size: Size, edge: float, grid: tuple[int, int]) -> None:
    assert container_grid(thing("c", Kind.BIN, size=size), edge) == grid


def test_zones_leave_room_for_fingers_along_y() -> None:
    assert zone_grid(ZoneSpec("z", Colour.RED, (0.0, 0.0), (0.06, 0.06)), 0.05) == (2, 1)
