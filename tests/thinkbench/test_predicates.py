"""Every predicate on both sides of its tolerances."""

import math
from dataclasses import replace

import pytest

from envs.tabletop.scene import Colour, Kind, Size, ZoneSpec
from envs.tabletop.shapes import WORKSPACE, dimensions, inner_dimensions
from thinkbench import predicates as p
from thinkbench.literals import Literal
from thinkbench.predicates import (
    ANGULAR_REST,
    CONTACT_TOLERANCE,
    EDGE_STRIP,
    LEVEL_TOLERANCE,
    LINEAR_REST,
    NEAR_DISTANCE,
    PREDICATES,
    RIM_TOLERANCE,
    SIDE_MARGIN,
    UPRIGHT_TOLERANCE,
    ZONE_TOLERANCE,
)

from .worlds import changed, thing, world

EPSILON = 1e-4
JUST_INSIDE, JUST_OUTSIDE = -EPSILON, EPSILON
SIDES = pytest.mark.parametrize(("beyond", "expected"), [(JUST_INSIDE, True), (JUST_OUTSIDE, False)])

TOUCHING = {"a": ["b"], "b": ["a", "table"]}


def pair(dx: float = 0.0, gap: float = 0.0, base: Kind = Kind.CUBE):
    return world(thing("a", position=(dx, 0.0, 0.06 + gap)), thing("b", base), touching=TOUCHING)


@SIDES
@pytest.mark.parametrize("sign", [-1, 1])
def test_on_needs_level_surfaces(beyond: float, expected: bool, sign: int) -> None:
    assert p.on(pair(gap=sign * (CONTACT_TOLERANCE + beyond)), "a", "b") is expected


@SIDES
@pytest.mark.parametrize("base", [Kind.CUBE, Kind.CYLINDER])
def test_on_needs_the_centre_over_the_base(beyond: float, expected: bool, base: Kind) -> None:
    assert p.on(pair(dx=0.02 + beyond, base=base), "a", "b") is expected


def test_on_follows_the_bases_corners() -> None:
    """The corner of a cube is not over a cylinder of the same width."""
    for base, expected in ((Kind.CUBE, True), (Kind.CYLINDER, False)):
        state = world(thing("a", position=(0.018, 0.018, 0.06)), thing("b", base), touching=TOUCHING)
        assert p.on(state, "a", "b") is expected


def test_on_needs_contact_and_release() -> None:
    assert p.on(pair(), "a", "b")
    assert not p.on(pair(), "b", "a")
    assert not p.on(pair(), "a", "a")
    assert not p.on(replace(pair(), held="a"), "a", "b")
    assert not p.on(world(thing("a", position=(0, 0, 0.06)), thing("b")), "a", "b")


def test_supports_is_transitive_and_clear_is_not() -> None:
    state = world(
        thing("a", position=(0, 0, 0.10)),
        thing("b", position=(0, 0, 0.06)),
        thing("c"),
        touching={"a": ["b"], "b": ["a", "c"], "c": ["b", "table"]},
    )
    assert p.supports(state, "c", "b")
    assert p.supports(state, "c", "a")
    assert not p.supports(state, "a", "c")
    assert [p.clear(state, name) for name in "abc"] == [True, False, False]


def contained(dx: float = 0.0, lift: float = 0.0, kind: Kind = Kind.BIN):
    height = dimensions(kind, Size.MEDIUM)[2]
    item = thing("a", position=(dx, 0.0, 0.006 + 0.02 + lift))
    return world(item, thing("c", kind, (0.0, 0.0, height / 2)), touching={"a": ["c"], "c": ["a", "table"]})


@SIDES
@pytest.mark.parametrize("kind", [Kind.BIN, Kind.TRAY])
def test_inside_needs_the_centre_within_the_walls(beyond: float, expected: bool, kind: Kind) -> None:
    half = inner_dimensions(kind, Size.MEDIUM)[0] / 2
    assert p.inside(contained(dx=half + beyond, kind=kind), "a", "c") is expected


@SIDES
def test_inside_of_a_bowl_is_round(beyond: float, expected: bool) -> None:
    rim = dimensions(Kind.BOWL, Size.MEDIUM)[0] / 2
    assert p.inside(contained(dx=rim + beyond, kind=Kind.BOWL), "a", "c") is expected


@SIDES
def test_inside_needs_to_be_below_the_rim(beyond: float, expected: bool) -> None:
    depth = dimensions(Kind.BIN, Size.MEDIUM)[2] - 0.006
    assert p.inside(contained(lift=depth - RIM_TOLERANCE + beyond), "a", "c") is expected


def test_inside_turns_with_the_container() -> None:
    half = inner_dimensions(Kind.BIN, Size.MEDIUM)[0] / 2
    corner = (half * 1.2, 0.0, 0.026)
    for yaw, expected in ((0.0, False), (math.pi / 4, True)):
        state = world(thing("a", position=corner), thing("c", Kind.BIN, (0, 0, 0.025), yaw=yaw))
        assert p.inside(state, "a", "c") is expected


def test_inside_needs_release_and_an_upright_container() -> None:
    assert p.inside(contained(), "a", "c")
    assert not p.inside(replace(contained(), held="a"), "a", "c")
    assert not p.inside(changed(contained(), "c", tilt=UPRIGHT_TOLERANCE + EPSILON), "a", "c")
    with pytest.raises(ValueError, match="is a cube, which nothing can be inside of"):
        p.inside(contained(), "c", "a")


@SIDES
@pytest.mark.parametrize("sign", [-1, 1])
def test_on_table_needs_height_zero(beyond: float, expected: bool, sign: int) -> None:
    height = 0.02 + sign * (CONTACT_TOLERANCE + beyond)
    state = world(thing("a", position=(0, 0, height)), touching={"a": ["table"]})
    assert p.on_table(state, "a") is expected


def test_on_table_needs_contact_and_release() -> None:
    assert not p.on_table(world(thing("a")), "a")
    assert not p.on_table(world(thing("a"), touching={"a": ["table"]}, held="a"), "a")


ZONE = ZoneSpec("z", Colour.RED, (0.1, 0.0), (0.05, 0.04))


@SIDES
@pytest.mark.parametrize(("axis", "half"), [(0, 0.05), (1, 0.04)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_at_zone_needs_the_whole_outline(beyond: float, expected: bool, axis: int, half: float, sign: int) -> None:
    offset = half - 0.02 + ZONE_TOLERANCE + beyond
    position = (0.1 + sign * offset * (axis == 0), sign * offset * (axis == 1), 0.02)
    state = world(thing("a", position=position), touching={"a": ["table"]}, zones=[ZONE])
    assert p.at_zone(state, "a", "z") is expected


def test_at_zone_needs_the_table_and_a_zone() -> None:
    state = world(thing("a", position=(0.1, 0, 0.06)), touching={"a": ["b"]}, zones=[ZONE])
    assert not p.at_zone(state, "a", "z")
    state = world(thing("a"), touching={"a": ["table"]}, zones=[ZONE])
    with pytest.raises(KeyError, match="no zone 'y' in the scene; it has z"):
        p.at_zone(state, "a", "y")


@SIDES
def test_upright_is_within_a_tilt(beyond: float, expected: bool) -> None:
    state = changed(world(thing("a")), "a", tilt=UPRIGHT_TOLERANCE + beyond)
    assert p.upright(state, "a") is expected
    assert not p.upright(changed(state, "a", tilt=math.pi), "a")


@SIDES
def test_at_rest_is_below_both_speeds(beyond: float, expected: bool) -> None:
    state = world(thing("a"))
    assert p.at_rest(changed(state, "a", linear_velocity=(0, LINEAR_REST + beyond, 0)), "a") is expected
    assert p.at_rest(changed(state, "a", angular_velocity=(0, 0, ANGULAR_REST + beyond)), "a") is expected


BESIDE = {"left_of": (0, 1), "right_of": (0, -1), "behind": (1, 0), "in_front_of": (-1, 0)}


@SIDES
@pytest.mark.parametrize("name", BESIDE)
def test_sides_have_a_margin(name: str, beyond: float, expected: bool) -> None:
    dx, dy = (SIDE_MARGIN - beyond) * BESIDE[name][0], (SIDE_MARGIN - beyond) * BESIDE[name][1]
    state = world(thing("a", position=(dx, dy, 0.02)), thing("b"))
    test = PREDICATES[name].test
    assert test(state, "a", "b") is expected
    assert not test(state, "b", "a")


@SIDES
@pytest.mark.parametrize("name", BESIDE)
def test_sides_are_quadrants(name: str, beyond: float, expected: bool) -> None:
    ahead, aside = 0.1, 0.1 + beyond
    x, y = BESIDE[name]
    state = world(thing("a", position=(ahead * x + aside * abs(y), ahead * y + aside * abs(x), 0.02)), thing("b"))
    assert PREDICATES[name].test(state, "a", "b") is expected


@SIDES
def test_near_measures_between_outlines(beyond: float, expected: bool) -> None:
    state = world(thing("a", position=(0.04 + NEAR_DISTANCE + beyond, 0.0, 0.02)), thing("b"))
    assert p.near(state, "a", "b") is expected
    assert p.near(state, "b", "a") is expected


def test_goal_needs_rest_and_release() -> None:
    goal = (Literal("on", ("a", "b")), Literal("on", ("b", "a"), positive=False))
    assert p.goal_holds(pair(), goal)
    assert not p.goal_holds(pair(), (*goal, Literal("clear", ("b",))))
    assert not p.goal_holds(replace(pair(), held="b"), goal)
    assert not p.goal_holds(changed(pair(), "b", linear_velocity=(0.1, 0, 0)), goal)


def test_what_the_goal_does_not_name_may_move() -> None:
    """A cylinder that rolls away on the floor does not spoil a tower."""
    state = changed(pair(), "b", linear_velocity=(0.1, 0, 0))
    assert p.goal_holds(state, (Literal("upright", ("a",)),))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["beneath", "a", "b"], "no predicate 'beneath'"),
        (["on", "a"], "takes 2 name"),
        (["clear", "a", "b"], "takes 1"),
    ],
)
def test_literals_are_checked(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        p.evaluate(pair(), Literal.from_list(words))


def test_unknown_objects_are_named() -> None:
    with pytest.raises(KeyError, match="q"):
        p.evaluate(pair(), Literal("upright", ("q",)))


@SIDES
@pytest.mark.parametrize(("edge", "axis", "side"), [("left", 1, 1), ("right", 1, -1), ("back", 0, 1), ("front", 0, -1)])
def test_edges_are_strips_of_the_workspace(beyond: float, expected: bool, edge: str, axis: int, side: int) -> None:
    position = [0.0, 0.0, 0.02]
    position[axis] = side * (WORKSPACE[axis][1] - EDGE_STRIP - beyond)
    state = world(thing("a", position=(position[0], position[1], position[2])))
    assert {name for name in ("left", "right", "back", "front") if PREDICATES[f"at_{name}_edge"].test(state, "a")} == (
        {edge} if expected else set()
    )


def test_every_predicate_is_documented() -> None:
    for name, predicate in PREDICATES.items():
        assert predicate.test.__doc__, name


PADS = (
    ZoneSpec("west", Colour.RED, (0.0, 0.0), (0.035, 0.035)),
    ZoneSpec("east", Colour.RED, (0.0, 0.11), (0.035, 0.035)),
)


@SIDES
def test_any_zone_is_one_of_them(beyond: float, expected: bool) -> None:
    offset = 0.035 - 0.02 + ZONE_TOLERANCE + beyond
    state = world(thing("a", position=(offset, 0.11, 0.02)), touching={"a": ["table"]}, zones=PADS)
    assert p.at_any_zone(state, "a") is expected
    assert p.on_bare_table(state, "a") is not expected


def test_what_is_held_or_stacked_is_not_on_the_bare_table() -> None:
    beside = world(thing("a", position=(0.1, 0.0, 0.02)), touching={"a": ["table"]}, zones=PADS)
    assert p.on_bare_table(beside, "a")
    assert not p.on_bare_table(replace(beside, held="a"), "a")
    assert not p.on_bare_table(pair(), "a")


@SIDES
def test_a_zone_is_shared_by_what_is_wholly_in_it(beyond: float, expected: bool) -> None:
    offset = 0.035 - 0.015 + ZONE_TOLERANCE + beyond
    objects = (
        thing("a", size=Size.SMALL, position=(-0.018, 0, 0.015)),
        thing("b", size=Size.SMALL, position=(offset, 0, 0.015)),
    )
    state = world(*objects, touching={"a": ["table"], "b": ["table"]}, zones=PADS)
    assert p.shares_zone(state, "a") is expected
    assert p.shares_zone(state, "b") is expected


@pytest.mark.parametrize(("size", "expected"), [(Size.SMALL, False), (Size.MEDIUM, False), (Size.LARGE, True)])
def test_on_smaller_compares_sizes(size: Size, expected: bool) -> None:
    half = dimensions(Kind.CUBE, size)[2] / 2
    state = world(thing("a", position=(0, 0, 0.04 + half), size=size), thing("b"), touching=TOUCHING)
    assert p.on_smaller(state, "a") is expected
    assert not p.on_smaller(state, "b")


def plank(dy: float = 0.0, gap: float = 0.0, far: float = 0.05):
    """A plank along ``y`` over two large cubes that stand ``far`` metres from the origin on both sides."""
    posts = [thing(name, position=(0, y, 0.025), size=Size.LARGE) for name, y in (("a", -far), ("b", far))]
    lying = thing("p", Kind.PLANK, (0, dy, 0.058 + gap), yaw=math.pi / 2)
    return world(lying, *posts, touching={"p": ["a", "b"], "a": ["p", "table"], "b": ["p", "table"]})


@SIDES
@pytest.mark.parametrize("sign", [-1, 1])
def test_bridges_needs_level_surfaces(beyond: float, expected: bool, sign: int) -> None:
    assert p.bridges(plank(gap=sign * (CONTACT_TOLERANCE + beyond)), "p", "a", "b") is expected


@SIDES
@pytest.mark.parametrize("sign", [-1, 1])
def test_bridges_needs_its_centre_between_the_posts(beyond: float, expected: bool, sign: int) -> None:
    state = plank(dy=sign * (0.05 - 0.025 + beyond))
    assert p.bridges(state, "p", "a", "b") is expected
    assert p.bridges(state, "p", "b", "a") is expected


@SIDES
def test_bridges_needs_to_be_level(beyond: float, expected: bool) -> None:
    state = plank()
    body = state.objects["p"]
    half = (LEVEL_TOLERANCE + beyond) / 2
    tilted = replace(body, orientation=(0.0, math.sin(half), 0.0, math.cos(half)), position=(0.0, 0.0, 0.06))
    lain_across = replace(state, objects={**state.objects, "p": tilted})
    assert p.bridges(lain_across, "p", "a", "b") is expected


def test_bridges_needs_contact_with_both_and_release() -> None:
    state = plank()
    assert p.bridges(state, "p", "a", "b")
    assert not p.bridges(replace(state, held="p"), "p", "a", "b")
    assert not p.bridges(state, "p", "a", "a")
    body = replace(state.objects["p"], touching=frozenset({"a"}))
    assert not p.bridges(replace(state, objects={**state.objects, "p": body}), "p", "a", "b")


def test_a_rule_is_judged_at_rest_and_released() -> None:
    rules = (Literal("on", ("a", "b")), Literal("clear", ("b",)))
    assert p.broken_rule(pair(), rules) == rules[1]
    assert p.broken_rule(pair(), rules[:1]) is None
    assert p.broken_rule(replace(pair(), held="b"), rules) is None
    assert p.broken_rule(changed(pair(), "a", linear_velocity=(0.1, 0, 0)), rules) is None
