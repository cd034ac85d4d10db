"""The abstract domain: who rests on what, which moves are legal, and exact shortest plans.

One move is one skill action: pick up an object that nothing rests on and put it down somewhere else. The table has room
for everything; zones and containers have a capacity; an object with a flat top holds one other object; what lies in a
container stays there, because the fingers do not fit in. Pushes are not modelled: they serve to repair, and no plan
relies on them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from thinkbench.literals import Goal, Literal

TABLE = "table"

SymbolicState = tuple[str, ...]
"""What each object of ``Domain.movable`` rests on, in that order: ``table``, an object, a container or a zone."""

SUPPORT_PREDICATES = frozenset({"on", "inside", "at_zone"})
"""Predicates ``p(x, y)`` that say that ``y`` is the support of ``x``."""


class UnsolvableError(ValueError):
    """No sequence of legal moves reaches the goal."""


@dataclass(frozen=True)
class Move:
    """Put ``item`` down on ``destination``: ``table``, an object, a container or a zone."""

    item: str
    destination: str


@dataclass(frozen=True)
class Domain:
    """What never changes during an episode.

    Attributes:
        movable: Objects that can be picked up.
        bearers: Which objects may be put onto an object (the stability rule: nothing on pyramids and wedges, nothing on
            a smaller top). Objects that bear nothing may be absent.
        containers: Capacity of each container, in objects.
        zones: Capacity of each zone, in objects that stand in it.
    """

    movable: tuple[str, ...]
    bearers: Mapping[str, frozenset[str]]
    containers: Mapping[str, int]
    zones: Mapping[str, int]

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each movable object in a `SymbolicState`."""
        return {name: i for i, name in enumerate(self.movable)}

    def state(self, supports: Mapping[str, str]) -> SymbolicState:
        """The state in which ``supports[x]`` is what ``x`` rests on; the table, if absent."""
        return tuple(supports.get(name, TABLE) for name in self.movable)

    def is_clear(self, state: SymbolicState, name: str) -> bool:
        """Whether nothing rests on the object ``name``."""
        return name not in state

    def is_pickable(self, state: SymbolicState, name: str) -> bool:
        """Whether ``name`` can be picked up: clear, and not in a container."""
        return self.is_clear(state, name) and state[self.index[name]] not in self.containers

    def accepts(self, state: SymbolicState, item: str, destination: str) -> bool:
        """Whether ``item`` may be put onto ``destination``, which is not where it is already.

        Raises:
            KeyError: ``destination`` is not part of the domain.
        """
        if destination in (item, state[self.index[item]]):
            return False
        if destination == TABLE:
            return True
        if destination in self.index:
            return item in self.bearers.get(destination, frozenset()) and self.is_clear(state, destination)
        capacity = self.containers[destination] if destination in self.containers else self.zones[destination]
        return state.count(destination) < capacity

    def moves(self, state: SymbolicState) -> Iterator[Move]:
        """All legal moves, in a fixed order."""
        places = (TABLE, *self.movable, *self.containers, *self.zones)
        for item in self.movable:
            if self.is_pickable(state, item):
                yield from (Move(item, place) for place in places if self.accepts(state, item, place))

    def apply(self, state: SymbolicState, move: Move) -> SymbolicState:
        """The state after ``move``.

        Raises:
            ValueError: The move is not legal in ``state``.
        """
        if not (self.is_pickable(state, move.item) and self.accepts(state, move.item, move.destination)):
            raise ValueError(f"{move} is not legal: its item must be clear and its destination must accept it")
        i = self.index[move.item]
        return (*state[:i], move.destination, *state[i + 1 :])


def holds(domain: Domain, state: SymbolicState, literal: Literal) -> bool:
    """Whether ``literal`` is true of ``state``.

    Raises:
        ValueError: The predicate has no abstract reading.
    """
    match literal.predicate, literal.args:
        case ("on" | "inside" | "at_zone", (item, support)):
            value = state[domain.index[item]] == support
        case "on_table", (item,):
            value = state[domain.index[item]] in (TABLE, *domain.zones)
        case "clear", (item,):
            value = domain.is_clear(state, item)
        case _:
            raise ValueError(f"{literal} has no abstract reading; goals may use on, inside, at_zone, on_table, clear")
    return value == literal.positive


def satisfied(domain: Domain, state: SymbolicState, goal: Goal) -> bool:
    """Whether every literal of ``goal`` holds."""
    return all(holds(domain, state, literal) for literal in goal)


def shortest_plan(domain: Domain, start: SymbolicState, goal: Goal, limit: int = 24) -> tuple[Move, ...]:
    """A plan with the fewest moves, by A* with an admissible heuristic; the same one in every process.

    Only moves to the table or to a support that the goal demands are tried. No shorter plan is lost by that: in any
    plan, a move to some other place can be replaced by one to the table, which has room for everything, accepts every
    object and, unlike the other place, blocks nothing.

    Raises:
        UnsolvableError: The goal contradicts itself, or no plan of at most ``limit`` moves exists.
        ValueError: A literal has no abstract reading.
    """
    wanted = _wanted_supports(domain, goal)
    frontier: list[tuple[int, int, int, SymbolicState]] = [(_must_move(domain, start, goal, wanted), 0, 0, start)]
    best = {start: 0}
    parents: dict[SymbolicState, tuple[SymbolicState, Move]] = {}
    pushed = 0
    while frontier:
        _, negative_cost, _, state = heapq.heappop(frontier)
        cost = -negative_cost
        if cost > best[state]:
            continue
        if satisfied(domain, state, goal):
            return _path(parents, start, state)
        for move in _useful_moves(domain, state, wanted):
            successor = domain.apply(state, move)
            estimate = cost + 1 + _must_move(domain, successor, goal, wanted)
            if cost + 1 < best.get(successor, limit + 1) and estimate <= limit:
                best[successor] = cost + 1
                parents[successor] = (state, move)
                pushed += 1
                heapq.heappush(frontier, (estimate, -(cost + 1), pushed, successor))
    raise UnsolvableError(f"no plan of at most {limit} moves reaches {', '.join(map(str, goal))}")


def _wanted_supports(domain: Domain, goal: Goal) -> dict[str, str]:
    """What the goal wants each object to rest on."""
    wanted: dict[str, str] = {}
    for literal in goal:
        if literal.positive and literal.predicate in SUPPORT_PREDICATES and len(literal.args) == 2:
            item, support = literal.args
            if wanted.setdefault(item, support) != support:
                raise UnsolvableError(f"the goal wants {item} on both {wanted[item]} and {support}")
            if item not in domain.index:
                raise UnsolvableError(f"the goal wants {item} moved, which cannot be picked up")
        elif not literal.positive and literal.predicate not in SUPPORT_PREDICATES:
            raise ValueError(f"{literal} is no goal that can be planned for; state what must hold instead")
    return wanted


def _useful_moves(domain: Domain, state: SymbolicState, wanted: Mapping[str, str]) -> Iterator[Move]:
    for item in domain.movable:
        if domain.is_pickable(state, item):
            for place in (wanted.get(item, TABLE), TABLE)[: 1 + (item in wanted)]:
                if domain.accepts(state, item, place):
                    yield Move(item, place)


def _must_move(domain: Domain, state: SymbolicState, goal: Goal, wanted: Mapping[str, str]) -> int:
    """Moves that every plan needs: objects that must move at all, plus those that must get out of the way first.

    An object must move if a literal about it is violated, if it rests on something that must move, or if it occupies
    the top that something else needs. It must move twice if it has to clear one of the objects below it before its own
    last move can happen.
    """
    support = dict(zip(domain.movable, state, strict=True))
    above = {below: item for item, below in support.items() if below in domain.index}
    pending = {item for item, place in wanted.items() if support[item] != place}
    for literal in goal:
        if literal.predicate in SUPPORT_PREDICATES and literal.positive:
            continue
        if not holds(domain, state, literal):
            subject = literal.args[0]
            pending.add(above.get(subject, subject) if literal.predicate == "clear" and literal.positive else subject)
    must: set[str] = set()
    while pending:
        item = pending.pop()
        must.add(item)
        blockers = {above.get(item)}
        if support[item] != wanted.get(item, support[item]):
            blockers.add(above.get(wanted[item]))
        pending |= {name for name in blockers if name is not None and name not in must}
    return len(must) + sum(_moves_twice(item, support, wanted, must) for item in must if item in wanted)


def _moves_twice(item: str, support: Mapping[str, str], wanted: Mapping[str, str], must: set[str]) -> bool:
    """Whether ``item`` has to be put aside before it can go where the goal wants it."""
    bases = []
    place = wanted[item]
    while place in support and place not in bases:
        bases.append(place)
        place = wanted.get(place, TABLE)
    earlier = {base for base in bases if base in must}
    earlier |= {wanted[base] for base in earlier if base in wanted} | {wanted[item]}
    below = support[item]
    while below in support:
        if below in earlier:
            return True
        below = support[below]
    return False


def _path(
    parents: Mapping[SymbolicState, tuple[SymbolicState, Move]], start: SymbolicState, end: SymbolicState
) -> tuple[Move, ...]:
    moves: list[Move] = []
    while end != start:
        end, move = parents[end]
        moves.append(move)
    return tuple(reversed(moves))


def milestones(domain: Domain, start: SymbolicState, goal: Goal, plan: Sequence[Move]) -> tuple[Literal, ...]:
    """One literal per move of ``plan``: what the move is for.

    A move to where the goal wants the object has that goal literal as its milestone; any other move is there to get the
    object off what it rests on. The first milestone of each object does not hold in ``start``.
    """
    by_support = {literal.args: literal for literal in goal if literal.positive and len(literal.args) == 2}
    state = start
    found = []
    for move in plan:
        origin = state[domain.index[move.item]]
        leave = Literal("at_zone" if origin in domain.zones else "on", (move.item, origin), positive=False)
        found.append(by_support.get((move.item, move.destination), leave))
        state = domain.apply(state, move)
    return tuple(found)
