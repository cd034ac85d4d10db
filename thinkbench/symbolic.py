"""The abstract domain: who rests on what, which moves are legal, and exact shortest plans.

One move is one skill action: pick up an object that nothing rests on and put it down somewhere else. The table has room
for everything, unless a rule forbids it; zones and containers have a capacity; an object with a flat top holds one
other object; something long may lie across two posts that stand on their sites; what lies in a closed container stays
there, because the fingers do not fit in. Pushes are not modelled: they serve to repair, and no plan relies on them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from thinkbench.literals import Goal, Literal

TABLE = "table"

SymbolicState = tuple[str, ...]
"""What each object of ``Domain.movable`` rests on, in that order: ``table``, an object, container, zone or span."""


class UnsolvableError(ValueError):
    """No sequence of legal moves reaches the goal."""


@dataclass(frozen=True)
class Move:
    """Put ``item`` down on ``destination``: ``table``, an object, a container, a zone or a span."""

    item: str
    destination: str


@dataclass(frozen=True)
class Span:
    """A place across two posts.

    Attributes:
        posts: The objects that carry what lies there.
        sites: The zone on which each of them has to stand for that, in the same order.
        bears: What is long enough to be put there.
    """

    posts: tuple[str, str]
    sites: tuple[str, str]
    bears: frozenset[str]


def span_name(one: str, other: str) -> str:
    """The name of the place across two posts, whichever is named first."""
    return "+".join(sorted((one, other)))


@dataclass(frozen=True)
class Domain:
    """What never changes during an episode.

    Attributes:
        movable: Objects that can be picked up.
        bearers: Which objects may be put onto an object (the stability rule: nothing on pyramids and wedges, nothing on
            a smaller top). Objects that bear nothing may be absent.
        containers: Capacity of each container, in objects that lie on its floor.
        zones: Capacity of each zone, in objects that stand in it.
        open_containers: Containers that things can be taken out of.
        spans: Places across two posts, by `span_name`.
        barred: Pairs (item, place) that the episode's rules forbid; ``(item, TABLE)`` where it may not stand beside the
            zones.
        too_large: Pairs (item, container or zone) where the place has no room for the item, even when empty.
    """

    movable: tuple[str, ...]
    bearers: Mapping[str, frozenset[str]]
    containers: Mapping[str, int]
    zones: Mapping[str, int]
    open_containers: frozenset[str] = frozenset()
    spans: Mapping[str, Span] = field(default_factory=dict)
    barred: frozenset[tuple[str, str]] = frozenset()
    too_large: frozenset[tuple[str, str]] = frozenset()

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each movable object in a `SymbolicState`."""
        return {name: i for i, name in enumerate(self.movable)}

    @cached_property
    def _forbidden(self) -> frozenset[tuple[str, str]]:
        return self.barred | self.too_large

    @cached_property
    def places(self) -> tuple[str, ...]:
        """Everything that something can be put onto or into, in a fixed order."""
        return (TABLE, *self.movable, *self.containers, *self.zones, *self.spans)

    @cached_property
    def spans_over(self) -> dict[str, tuple[str, ...]]:
        """The spans that each post is part of."""
        posts = {post for span in self.spans.values() for post in span.posts}
        return {post: tuple(name for name, span in self.spans.items() if post in span.posts) for post in posts}

    def state(self, supports: Mapping[str, str]) -> SymbolicState:
        """The state in which ``supports[x]`` is what ``x`` rests on; the table, if absent."""
        return tuple(supports.get(name, TABLE) for name in self.movable)

    def is_clear(self, state: SymbolicState, name: str) -> bool:
        """Whether nothing rests on the object ``name``, nor across it and another post."""
        return name not in state and not any(span in state for span in self.spans_over.get(name, ()))

    def is_pickable(self, state: SymbolicState, name: str) -> bool:
        """Whether ``name`` can be picked up: clear, and not in a closed container."""
        place = state[self.index[name]]
        return self.is_clear(state, name) and (place not in self.containers or place in self.open_containers)

    def accepts(self, state: SymbolicState, item: str, destination: str) -> bool:
        """Whether ``item`` may be put onto ``destination``, which is not where it is already.

        Raises:
            KeyError: ``destination`` is not part of the domain.
        """
        if destination in (item, state[self.index[item]]) or (item, destination) in self._forbidden:
            return False
        if destination == TABLE:
            return True
        if destination in self.index:
            return item in self.bearers.get(destination, frozenset()) and self.is_clear(state, destination)
        if destination in self.spans:
            span = self.spans[destination]
            return item in span.bears and all(
                state[self.index[post]] == site and self.is_clear(state, post)
                for post, site in zip(span.posts, span.sites, strict=True)
            )
        return state.count(destination) < self.capacity(destination)

    def capacity(self, place: str) -> int:
        """How many objects a container or zone takes.

        Raises:
            KeyError: ``place`` is neither.
        """
        return self.containers[place] if place in self.containers else self.zones[place]

    def moves(self, state: SymbolicState) -> Iterator[Move]:
        """All legal moves, in a fixed order."""
        for item in self.movable:
            if self.is_pickable(state, item):
                yield from (Move(item, place) for place in self.places if self.accepts(state, item, place))

    def apply(self, state: SymbolicState, move: Move) -> SymbolicState:
        """The state after ``move``.

        Raises:
            ValueError: The move is not legal in ``state``.
        """
        if not (self.is_pickable(state, move.item) and self.accepts(state, move.item, move.destination)):
            raise ValueError(f"{move} is not legal: its item must be clear and its destination must accept it")
        i = self.index[move.item]
        return (*state[:i], move.destination, *state[i + 1 :])


# ------------------------------------------------------------------------------------------------- goals


def direct_move(literal: Literal) -> Move | None:
    """The move that makes a literal true which says what an object rests on; ``None`` for other literals."""
    match literal.predicate, literal.args:
        case ("on" | "inside" | "at_zone", (item, support)):
            return Move(item, support)
        case "bridges", (item, one, other):
            return Move(item, span_name(one, other))
    return None


def holds(domain: Domain, state: SymbolicState, literal: Literal) -> bool:
    """Whether ``literal`` is true of ``state``.

    Raises:
        ValueError: The predicate has no abstract reading.
    """
    move = direct_move(literal)
    match literal.predicate, literal.args:
        case _ if move is not None:
            value = state[domain.index[move.item]] == move.destination
        case "on_table", (item,):
            value = state[domain.index[item]] in (TABLE, *domain.zones)
        case "clear", (item,):
            value = domain.is_clear(state, item)
        case "shares_zone", (item,):
            value = bool(_zone_mates(domain, state, item))
        case _:
            raise ValueError(
                f"{literal} has no abstract reading; goals may use on, inside, at_zone, bridges, on_table, clear, "
                "shares_zone"
            )
    return value == literal.positive


def satisfied(domain: Domain, state: SymbolicState, goal: Goal) -> bool:
    """Whether every literal of ``goal`` holds."""
    return all(holds(domain, state, literal) for literal in goal)


def wanted_supports(domain: Domain, goal: Goal) -> dict[str, str]:
    """What ``goal`` wants each object to rest on.

    Raises:
        UnsolvableError: The goal contradicts itself, or wants something moved that cannot be picked up.
        ValueError: A literal cannot be planned for.
    """
    wanted: dict[str, str] = {}
    for literal in goal:
        move = direct_move(literal)
        if move is None:
            if not literal.positive and literal.predicate != "shares_zone":
                raise ValueError(f"{literal} is no goal that can be planned for; state what must hold instead")
        elif literal.positive:
            if wanted.setdefault(move.item, move.destination) != move.destination:
                raise UnsolvableError(f"the goal wants {move.item} on both {wanted[move.item]} and {move.destination}")
            if move.item not in domain.index:
                raise UnsolvableError(f"the goal wants {move.item} moved, which cannot be picked up")
    return wanted


def _zone_mates(domain: Domain, state: SymbolicState, item: str) -> set[str]:
    """What else stands in the zone in which ``item`` stands."""
    place = state[domain.index[item]]
    if place not in domain.zones:
        return set()
    return {other for other, support in zip(domain.movable, state, strict=True) if support == place and other != item}


# ---------------------------------------------------------------------------------------------- planning


def shortest_plan(domain: Domain, start: SymbolicState, goal: Goal, limit: int = 24) -> tuple[Move, ...]:
    """A plan with the fewest moves, by A* with an admissible heuristic; the same one in every process.

    Only `useful_places` are tried.

    Raises:
        UnsolvableError: The goal contradicts itself, or no plan of at most ``limit`` moves exists.
        ValueError: A literal has no abstract reading.
    """
    wanted = wanted_supports(domain, goal)
    places = useful_places(domain, wanted)
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
        for move in useful_moves(domain, state, places):
            successor = domain.apply(state, move)
            if cost + 1 >= best.get(successor, limit + 1):
                continue
            estimate = cost + 1 + _must_move(domain, successor, goal, wanted)
            if estimate <= limit:
                best[successor] = cost + 1
                parents[successor] = (state, move)
                pushed += 1
                heapq.heappush(frontier, (estimate, -(cost + 1), pushed, successor))
    raise UnsolvableError(f"no plan of at most {limit} moves reaches {', '.join(map(str, goal))}")


def useful_places(domain: Domain, wanted: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Where a shortest plan may have to put each object.

    An object that may stand on the table needs to go nowhere else but to the support that the goal wants for it and to
    the sites on which it is a post. No shorter plan is lost by that: in any plan, a move of it to some other place can
    be replaced by one to the table, which has room for everything and, unlike the other place, blocks nothing. An
    object that is barred from the table may have to go anywhere.
    """
    sites: dict[str, list[str]] = {}
    for span in domain.spans.values():
        for post, site in zip(span.posts, span.sites, strict=True):
            sites.setdefault(post, []).append(site)
    useful = {}
    for item in domain.movable:
        own = [wanted[item]] if item in wanted else []
        anywhere = domain.places if (item, TABLE) in domain.barred else ()
        useful[item] = tuple(dict.fromkeys([*own, *sites.get(item, ()), *anywhere, TABLE]))
    return useful


def useful_moves(domain: Domain, state: SymbolicState, places: Mapping[str, Sequence[str]]) -> Iterator[Move]:
    """The legal moves to the `useful_places` of each object, in a fixed order."""
    for item in domain.movable:
        if domain.is_pickable(state, item):
            yield from (Move(item, place) for place in places[item] if domain.accepts(state, item, place))


def _must_move(domain: Domain, state: SymbolicState, goal: Goal, wanted: Mapping[str, str]) -> int:
    """Moves that every plan needs: objects that must move at all, plus those that must get out of the way first.

    An object must move if a literal about it is violated, if it rests on something that must move, or if it occupies
    what something else needs: a top, a place for one object, a post. It must move twice if it has to clear one of the
    objects below it before its own last move can happen; and so must one of those that stand in each other's places.
    """
    support = dict(zip(domain.movable, state, strict=True))
    above: dict[str, str] = {}
    for item, below in support.items():
        for bearer in domain.spans[below].posts if below in domain.spans else (below,):
            if bearer in domain.index:
                above[bearer] = item
    pending = {item for item, place in wanted.items() if support[item] != place}
    for literal in goal:
        if (direct_move(literal) is None or not literal.positive) and not holds(domain, state, literal):
            pending |= _culprits(domain, state, literal, above, wanted)
    must: set[str] = set()
    queue = sorted(pending)
    while queue:
        item = queue.pop()
        if item in must:
            continue
        must.add(item)
        queue += [name for name in (above.get(item),) if name is not None]
        if support[item] != wanted.get(item, support[item]):
            queue += _in_the_way(domain, support, above, wanted[item])
    twice = {item for item in must if item in wanted and _moves_twice(domain, item, support, wanted, must)}
    return len(must) + len(twice) + _rings(domain, support, wanted, must - twice)


def _culprits(
    domain: Domain, state: SymbolicState, literal: Literal, above: Mapping[str, str], wanted: Mapping[str, str]
) -> set[str]:
    """Objects that certainly have to move because ``literal`` is violated."""
    subject = literal.args[0]
    if literal.predicate == "shares_zone":
        return _zone_mates(domain, state, subject) if wanted.get(subject) == state[domain.index[subject]] else set()
    return {above.get(subject, subject) if literal.predicate == "clear" else subject}


def _in_the_way(domain: Domain, support: Mapping[str, str], above: Mapping[str, str], place: str) -> list[str]:
    """Objects that certainly have to move before something can be put onto ``place``."""
    if place in domain.spans:
        span = domain.spans[place]
        misplaced = [post for post, site in zip(span.posts, span.sites, strict=True) if support[post] != site]
        return misplaced + [above[post] for post in span.posts if post in above]
    if place in domain.index:
        return [above[place]] if place in above else []
    return _occupants(domain, support, place)


def _occupants(domain: Domain, support: Mapping[str, str], place: str) -> list[str]:
    """What stands on a place that has room for one object only."""
    if place == TABLE or domain.capacity(place) != 1:
        return []
    return [item for item, below in support.items() if below == place]


def _moves_twice(
    domain: Domain, item: str, support: Mapping[str, str], wanted: Mapping[str, str], must: set[str]
) -> bool:
    """Whether ``item`` has to be put aside before it can go where the goal wants it."""
    bases: list[str] = []
    queue = [wanted[item]]
    while queue:
        place = queue.pop()
        if place in domain.spans:
            queue += domain.spans[place].posts
        elif place in support and place not in bases:
            bases.append(place)
            queue.append(wanted.get(place, TABLE))
    earlier = {base for base in bases if base in must}
    earlier |= {wanted[base] for base in earlier if base in wanted} | {wanted[item]}
    queue = [support[item]]
    while queue:
        below = queue.pop()
        if below in domain.spans:
            queue += domain.spans[below].posts
        elif below in support:
            if below in earlier:
                return True
            queue.append(support[below])
        elif below in earlier and _occupants(domain, support, below):
            return True
    return False


def _rings(domain: Domain, support: Mapping[str, str], wanted: Mapping[str, str], movers: Iterable[str]) -> int:
    """Rings of objects each of which wants the place, for one object only, on which the next one stands."""
    follows: dict[str, str] = {}
    for item in movers:
        if item in wanted and support[item] != wanted[item] and wanted[item] not in domain.index:
            blockers = _occupants(domain, support, wanted[item]) if wanted[item] not in domain.spans else []
            if blockers:
                follows[item] = blockers[0]
    rings = 0
    while follows:
        item = min(follows)
        trail = [item]
        while item in follows:
            item = follows.pop(item)
            trail.append(item)
        rings += item in trail[:-1]
    return rings


def _path(
    parents: Mapping[SymbolicState, tuple[SymbolicState, Move]], start: SymbolicState, end: SymbolicState
) -> tuple[Move, ...]:
    moves: list[Move] = []
    while end != start:
        end, move = parents[end]
        moves.append(move)
    return tuple(reversed(moves))
