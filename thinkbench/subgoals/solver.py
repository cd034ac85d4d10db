"""How one who knows everything reaches a sub-goal: one pick-and-place after another, chosen from the true state."""

from __future__ import annotations

from dataclasses import replace

from envs.tabletop.scene import WorldState
from thinkbench.abstraction import abstract, domain_of
from thinkbench.ideal import carry_out
from thinkbench.literals import Goal, Literal
from thinkbench.motion import Placement, Point, next_placement, placement_of
from thinkbench.predicates import evaluate, goal_holds, on
from thinkbench.subgoals.goals import EDGES
from thinkbench.symbolic import TABLE, Domain, Move, Span, SymbolicState, UnsolvableError, span_name

_PLANNED = ("on", "inside", "at_zone", "on_table", "clear")
"""Predicates that the symbolic planner knows."""

_SEEN_FROM_ABOVE = frozenset(
    {"left_of", "right_of", "behind", "in_front_of", "near", *(f"at_{edge}_edge" for edge in EDGES)}
)


def next_action(state: WorldState, goal: Goal) -> Placement | None:
    """The first move towards a sub-goal, or ``None`` if it holds.

    The first literal decides what is done; where several places will do, one with the most room is taken at which all
    literals hold.

    Raises:
        UnsolvableError: It is out of reach: what is to be moved cannot be picked up, or there is no room.
    """
    if goal_holds(state, goal):
        return None
    literal = goal[0]
    if literal.predicate == "supports":
        base, item = literal.args
        literal = Literal("on", (item, _top_of_pile(state, base, item)))
    if literal.predicate in _PLANNED:
        return _planned(state, domain_of(state.scene, (literal,), ()), literal)
    if literal.predicate == "bridges":
        return _planned(state, _with_span(state, literal), literal)
    return _relocation(state, goal, literal.args[0])


def _planned(state: WorldState, domain: Domain, literal: Literal) -> Placement:
    placement = next_placement(state, domain, (literal,))
    if placement is not None:
        return placement
    # In the abstract it is reached, so it lies badly: on a rim, or half over an edge. Put it aside first.
    return placement_of(state, domain, (literal,), Move(literal.args[0], TABLE))


def _top_of_pile(state: WorldState, base: str, item: str) -> str:
    """What ``item`` has to rest on to be above ``base``: the top of the pile there, ``item`` itself left out."""
    top = base
    while True:
        above = [name for name in state.objects if name != item and on(state, name, top)]
        if not above:
            return top
        top = above[0]


def _with_span(state: WorldState, literal: Literal) -> Domain:
    """The domain with the place across the posts where they stand."""
    item, one, other = literal.args
    domain = domain_of(state.scene, (), ())
    support = dict(zip(domain.movable, abstract(state, domain), strict=True))
    posts = (min(one, other), max(one, other))
    span = Span(posts, (support[posts[0]], support[posts[1]]), frozenset({item}))
    return replace(domain, spans={span_name(*posts): span})


def _relocation(state: WorldState, goal: Goal, item: str) -> Placement:
    """Put ``item`` on the table where the goal holds then; first take off what rests on it."""
    domain = domain_of(state.scene, (), ())
    current = abstract(state, domain)
    burden = _topmost(domain, current, item)
    if burden != item:
        return placement_of(state, domain, (), Move(burden, TABLE))
    if not domain.is_pickable(current, item):
        raise UnsolvableError(f"{item} cannot be picked up")
    body = state.objects[item]
    x, y, z = body.position
    # Most places fail these, which need no more than where the object is seen from above.
    flat = [literal for literal in goal if literal.predicate in _SEEN_FROM_ABOVE]

    def reaches(end: Point) -> bool:
        moved = replace(state, objects={**state.objects, item: replace(body, position=(*end, z))})
        if not all(evaluate(moved, literal) for literal in flat):
            return False
        return goal_holds(carry_out(state, Placement(Move(item, TABLE), (x, y), end, 0.0, 0.0)), goal)

    return placement_of(state, domain, (), Move(item, TABLE), reaches)


def _topmost(domain: Domain, state: SymbolicState, item: str) -> str:
    """What is on top of the pile on ``item``, or ``item`` itself."""
    while not domain.is_clear(state, item):
        item = domain.movable[state.index(item)]
    return item
