"""The PDDL model against the abstract domain, and Fast Downward against the project's own planner."""

from collections.abc import Iterator

import pytest
from unified_planning.model import FNode, InstantaneousAction, Problem

from thinkbench import pddl
from thinkbench.literals import Goal, Literal
from thinkbench.symbolic import TABLE, Domain, Move, Span, SymbolicState, satisfied, shortest_plan


def goal(*texts: str) -> Goal:
    return tuple(Literal.from_list(text.split()) for text in texts)


BLOCKS = Domain(("a", "b", "c"), {x: frozenset("abc") - {x} for x in "abc"}, {}, {})
CONTAINERS = Domain(
    ("a", "b", "c"),
    {"a": frozenset("b")},
    {"bin": 2, "tray": 1},
    {"west": 1, "east": 2},
    open_containers=frozenset({"tray"}),
    too_large=frozenset({("b", "tray"), ("c", "west")}),
)
RULES = Domain(("a", "b"), {"a": frozenset("b")}, {}, {"west": 1, "east": 1}, barred=frozenset({("a", TABLE)}))
BRIDGE = Domain(
    ("plank", "one", "two", "load"),
    {"plank": frozenset({"load"}), "one": frozenset({"two", "load"})},
    {},
    {"left": 1, "right": 1},
    spans={"one+two": Span(("one", "two"), ("left", "right"), frozenset({"plank"}))},
)
WANTED_BRIDGE = goal("at_zone one left", "at_zone two right", "bridges plank one two", "on load plank")

CASES = [
    (BLOCKS, {"a": "b", "b": "c"}, goal("on b a", "on_table c", "clear b")),
    (BLOCKS, {"a": "b"}, goal("not on a b", "on c b")),
    (CONTAINERS, {"a": "tray", "b": "a"}, goal("inside c tray", "not inside a tray", "not inside b bin")),
    (
        CONTAINERS,
        {"a": "west", "b": "east", "c": "east"},
        goal("at_zone a east", "at_zone b west", "not shares_zone a"),
    ),
    (RULES, {"a": "west", "b": "east"}, goal("at_zone a east", "at_zone b west")),
    (BRIDGE, {"two": "one", "load": "plank"}, WANTED_BRIDGE),
    (BRIDGE, {"one": "left", "two": "right", "plank": "one+two"}, goal("at_zone one right", "at_zone two left")),
]


@pytest.mark.parametrize(("domain", "supports", "wanted"), CASES)
def test_the_optimal_planner_agrees_with_our_own(domain: Domain, supports: dict[str, str], wanted: Goal) -> None:
    start = domain.state(supports)
    solution = pddl.solve(pddl.planning_problem(domain, start, wanted))
    assert solution.status == pddl.SOLVED
    assert len(solution.plan) == len(shortest_plan(domain, start, wanted)) > 0
    state = start
    for move in solution.plan:
        state = domain.apply(state, move)
    assert satisfied(domain, state, wanted)


@pytest.mark.parametrize(("domain", "supports", "wanted"), CASES)
def test_actions_are_the_moves_of_the_domain(domain: Domain, supports: dict[str, str], wanted: Goal) -> None:
    start = domain.state(supports)
    problem = pddl.planning_problem(domain, start, wanted)
    assert set(applicable(problem)) == set(domain.moves(start))
    for move in shortest_plan(domain, start, wanted):
        start = domain.apply(start, move)
        assert set(applicable(pddl.planning_problem(domain, start, wanted))) == set(domain.moves(start))


def applicable(problem: Problem) -> Iterator[Move]:
    """The moves that the PDDL model allows in its initial state: parameters are bound one after the other."""
    facts = {
        (fact.fluent().name, *(arg.object().name for arg in fact.args))
        for fact, value in problem.explicit_initial_values.items()
        if value.is_true()
    }

    def names(condition: FNode) -> list[str]:
        if condition.is_not():
            return names(condition.arg(0))
        return [arg.parameter().name for arg in condition.args]

    def true(condition: FNode, bound: dict[str, str]) -> bool:
        if condition.is_not():
            return not true(condition.arg(0), bound)
        values = [bound[name] for name in names(condition)]
        return values[0] == values[1] if condition.is_equals() else (condition.fluent().name, *values) in facts

    def bindings(action: InstantaneousAction, bound: dict[str, str]) -> Iterator[dict[str, str]]:
        ready = [condition for condition in action.preconditions if set(names(condition)) <= set(bound)]
        if not all(true(condition, bound) for condition in ready):
            return
        if len(bound) == len(action.parameters):
            yield bound
            return
        parameter = action.parameters[len(bound)]
        for value in problem.objects(parameter.type):
            yield from bindings(action, {**bound, parameter.name: value.name})

    for action in problem.actions:
        for bound in bindings(action, {}):
            item, _, target, *_ = bound.values()
            yield Move(item, target.replace("__", "+"))


def test_what_lies_in_a_closed_container_is_proven_to_stay_there() -> None:
    start = CONTAINERS.state({"a": "bin"})
    solution = pddl.solve(pddl.planning_problem(CONTAINERS, start, goal("at_zone a west")))
    assert solution == pddl.Solution("UNSOLVABLE_PROVEN", ())


def test_the_text_is_typed_lifted_and_the_same_every_time() -> None:
    start: SymbolicState = CONTAINERS.state({"a": "west"})
    texts = {pddl.pddl_text(pddl.planning_problem(CONTAINERS, start, goal("inside a tray"))) for _ in range(2)}
    (text,) = texts
    for part in (
        ":typing",
        "(can_support ?p - place ?x - item)",
        "(fits_in ?x - item ?a - area)",
        "(fits_in a tray)",
        "(reachable tray)",
        "(free_slots west n0)",
        "(can_support a b)",
    ):
        assert part in text
    assert "(reachable bin)" not in text
    assert "(fits_in b tray)" not in text
    plain = pddl.pddl_text(pddl.planning_problem(BLOCKS, BLOCKS.state({}), goal("on a b")))
    assert "_span" not in plain  # only the actions that the episode has use for


def test_goals_without_pddl_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be put into PDDL"):
        pddl.planning_problem(BLOCKS, BLOCKS.state({}), goal("not clear a"))
