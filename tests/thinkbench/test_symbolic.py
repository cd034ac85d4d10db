"""The abstract domain and its exact planner, against exhaustive search and worked examples."""

from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkbench.literals import Goal, Literal
from thinkbench.milestones import milestones_of
from thinkbench.symbolic import (
    TABLE,
    Domain,
    Move,
    Span,
    SymbolicState,
    UnsolvableError,
    holds,
    satisfied,
    shortest_plan,
    span_name,
)


def blocks(*names: str, containers: dict[str, int] | None = None, zones: dict[str, int] | None = None) -> Domain:
    """A domain in which every object may rest on every other."""
    bearers = {name: frozenset(names) - {name} for name in names}
    return Domain(tuple(names), bearers, containers or {}, zones or {})


def literal(text: str) -> Literal:
    return Literal.from_list(text.split())


def goal(*texts: str) -> Goal:
    return tuple(map(literal, texts))


def exhaustive_length(domain: Domain, start: SymbolicState, wanted: Goal) -> int | None:
    """Length of the shortest plan over all legal moves, by breadth-first search over the whole state space."""
    depth = {start: 0}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        if satisfied(domain, state, wanted):
            return depth[state]
        for move in domain.moves(state):
            successor = domain.apply(state, move)
            if successor not in depth:
                depth[successor] = depth[state] + 1
                queue.append(successor)
    return None


@pytest.mark.parametrize(
    ("start", "wanted", "length"),
    [
        ({}, ("on a b", "on b c"), 2),
        ({"a": "c"}, ("on a b", "on b c"), 3),  # a has to leave c before b can go there
        ({"c": "b", "b": "a"}, ("on a b", "on b c"), 3),  # a reversed tower comes down and goes up in one pass
        ({"b": "c", "c": "a"}, ("on a b", "on b c"), 4),  # b has to leave c to free a's place, and come back
        ({"a": "b"}, ("on b a",), 2),
        ({"a": "b", "b": "c"}, ("on a c",), 3),
        ({"a": "b", "b": "c"}, ("on a b", "on b c"), 0),
        ({"a": "b"}, ("clear b",), 1),
        ({"a": "b"}, ("not on a b",), 1),
        ({"a": "b"}, ("on_table a",), 1),
    ],
)
def test_length_of_worked_examples(start: dict[str, str], wanted: tuple[str, ...], length: int) -> None:
    domain = blocks("a", "b", "c")
    assert len(shortest_plan(domain, domain.state(start), goal(*wanted))) == length


def test_full_zones_have_to_be_swapped_through_the_table() -> None:
    domain = blocks("a", "b", "c", "d", zones={"west": 2, "east": 2})
    start = domain.state({"a": "west", "b": "west", "c": "east", "d": "east"})
    wanted = goal("at_zone a east", "at_zone b east", "at_zone c west", "at_zone d west")
    assert len(shortest_plan(domain, start, wanted)) == 5
    roomy = Domain(domain.movable, domain.bearers, {}, {"west": 3, "east": 2})
    assert len(shortest_plan(roomy, start, wanted)) == 4


NAMES = ("a", "b", "c", "d")


@st.composite
def problems(draw: st.DrawFn) -> tuple[Domain, SymbolicState, Goal]:
    """Small problems with everything that a domain may have: closed and open containers, a span, rules."""
    bearers = {name: draw(st.frozensets(st.sampled_from(NAMES))) - {name} for name in NAMES}
    sites = draw(st.sampled_from([("west", "east"), ("east", "west")]))
    domain = Domain(
        NAMES,
        bearers,
        {"bin": draw(st.integers(1, 2)), "tray": draw(st.integers(1, 2))},
        {"west": draw(st.integers(1, 2)), "east": draw(st.integers(1, 2))},
        open_containers=frozenset({"tray"}),
        spans={"a+b": Span(("a", "b"), sites, draw(st.frozensets(st.sampled_from(("c", "d")))))},
        barred=draw(st.frozensets(st.tuples(st.sampled_from(NAMES), st.sampled_from((TABLE, "tray", "d"))))),
    )
    state = domain.state({name: draw(st.sampled_from([TABLE, "tray"])) for name in NAMES})
    for _ in range(draw(st.integers(0, 8))):
        moves = [move for move in domain.moves(state) if move.destination != "bin"]
        if moves:
            state = domain.apply(state, draw(st.sampled_from(moves)))
    literals = []
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)):
        places = [*(other for other in NAMES if other != name), "bin", "tray", "west", "east", "", "off", "a+b"]
        place = draw(st.sampled_from(places))
        if place == "off":
            literals.append(Literal("inside", (name, draw(st.sampled_from(["bin", "tray"]))), positive=False))
        elif place == "":
            literals.append(Literal(draw(st.sampled_from(["clear", "on_table"])), (name,)))
        elif place == "a+b":
            literals += [Literal("bridges", (name, "b", "a"))] if name in "cd" else []
        else:
            predicate = {"bin": "inside", "tray": "inside", "west": "at_zone", "east": "at_zone"}.get(place, "on")
            literals.append(Literal(predicate, (name, place)))
            if predicate == "at_zone" and draw(st.booleans()):
                literals.append(Literal("shares_zone", (name,), positive=False))
    return domain, state, tuple(literals)


@settings(max_examples=40)
@given(problems())
def test_planner_is_exact(problem: tuple[Domain, SymbolicState, Goal]) -> None:
    domain, start, wanted = problem
    shortest = exhaustive_length(domain, start, wanted)
    if shortest is None:
        with pytest.raises(UnsolvableError):
            shortest_plan(domain, start, wanted)
        return
    plan = shortest_plan(domain, start, wanted)
    assert len(plan) == shortest
    state = start
    for move in plan:
        state = domain.apply(state, move)  # raises if the move is not legal
    assert satisfied(domain, state, wanted)


@settings(max_examples=100)
@given(problems())
def test_each_move_reaches_its_milestone_and_no_object_starts_with_its_first(
    problem: tuple[Domain, SymbolicState, Goal],
) -> None:
    domain, start, wanted = problem
    try:
        plan = shortest_plan(domain, start, wanted)
    except UnsolvableError:
        return
    marks = milestones_of(domain, start, wanted, plan)
    assert len(marks) == len(plan)
    first = {mark.args[0]: mark for mark in reversed(marks)}
    assert not any(holds(domain, start, mark) for mark in first.values())
    state = start
    for move, mark in zip(plan, marks, strict=True):
        assert mark.args[0] == move.item
        state = domain.apply(state, move)
        assert holds(domain, state, mark)


def test_what_lies_in_a_container_stays_there() -> None:
    domain = blocks("a", "b", containers={"bin": 1})
    state = domain.apply(domain.state({}), Move("a", "bin"))
    assert not domain.is_pickable(state, "a")
    with pytest.raises(ValueError, match="not legal"):
        domain.apply(state, Move("a", TABLE))
    with pytest.raises(ValueError, match="not legal"):
        domain.apply(state, Move("b", "bin"))


def test_what_lies_in_an_open_container_can_be_taken_out() -> None:
    domain = replace(blocks("a", "b", containers={"one": 1, "other": 1}), open_containers=frozenset({"one", "other"}))
    start = domain.state({"a": "one", "b": "a"})
    plan = shortest_plan(domain, start, goal("inside a other", "on b a"))
    assert plan == (Move("b", TABLE), Move("a", "other"), Move("b", "a"))


def bridge() -> Domain:
    span = Span(("a", "b"), ("west", "east"), frozenset({"p"}))
    return replace(
        blocks("a", "b", "p", "c", zones={"west": 1, "east": 1}),
        spans={span_name("b", "a"): span},
        bearers={"p": frozenset({"c"})},
    )


def test_a_span_needs_its_posts_on_their_sites_and_clear() -> None:
    domain = bridge()
    wanted = goal("at_zone a west", "at_zone b east", "bridges p a b", "on c p")
    assert len(shortest_plan(domain, domain.state({}), wanted)) == 4
    ready = domain.state({"a": "west", "b": "east"})
    assert domain.accepts(ready, "p", "a+b")
    assert not domain.accepts(ready, "c", "a+b")
    assert not domain.accepts(domain.state({"a": "east", "b": "west"}), "p", "a+b")
    done = domain.apply(ready, Move("p", "a+b"))
    assert not domain.is_clear(done, "a")
    assert not domain.is_pickable(done, "b")
    assert holds(domain, done, literal("bridges p b a"))
    exchanged = domain.state({"a": "east", "b": "west", "p": "a+b"})  # the plank has to come off, and a to step aside
    assert len(shortest_plan(domain, exchanged, wanted)) == 6


def test_where_the_table_is_barred_everything_else_is_tried() -> None:
    """An exchange through the one free field, and a puzzle of Hanoi with three pieces on three pegs."""
    fields = {"red": 1, "green": 1, "blue": 1}
    pieces = Domain(("a", "b"), {}, {}, fields, barred=frozenset({("a", TABLE), ("b", TABLE)}))
    start = pieces.state({"a": "red", "b": "green"})
    assert len(shortest_plan(pieces, start, goal("at_zone a green", "at_zone b red"))) == 3
    hanoi = Domain(
        ("l", "m", "s"),
        {"l": frozenset({"m", "s"}), "m": frozenset({"s"})},
        {},
        fields,
        barred=frozenset((piece, TABLE) for piece in "lms"),
    )
    start = hanoi.state({"l": "red", "m": "l", "s": "m"})
    assert len(shortest_plan(hanoi, start, goal("at_zone l blue", "on m l", "on s m"))) == 7


def test_a_place_for_one_is_shared_by_none() -> None:
    domain = blocks("a", "b", zones={"west": 2})
    start = domain.state({"a": "west", "b": "west"})
    assert shortest_plan(domain, start, goal("at_zone a west", "not shares_zone a")) == (Move("b", TABLE),)


def test_nothing_is_put_where_it_may_not_rest() -> None:
    domain = Domain(("cube", "pyramid"), {"cube": frozenset({"pyramid"})}, {}, {})
    with pytest.raises(UnsolvableError, match="no plan"):
        shortest_plan(domain, domain.state({}), goal("on cube pyramid"))


@pytest.mark.parametrize("text", ["near a b", "on a"])
def test_unknown_literals_are_refused(text: str) -> None:
    domain = blocks("a", "b")
    with pytest.raises(ValueError, match="no abstract reading"):
        shortest_plan(domain, domain.state({}), goal(text))


def test_contradictory_goals_are_refused() -> None:
    domain = blocks("a", "b", "c")
    with pytest.raises(UnsolvableError, match="both b and c"):
        shortest_plan(domain, domain.state({}), goal("on a b", "on a c"))


def test_literals_survive_json() -> None:
    for text in ("on a b", "not inside a bin", "clear a"):
        assert literal(text).to_list() == text.split()
    with pytest.raises(ValueError, match="no literal"):
        Literal.from_list(["not"])
