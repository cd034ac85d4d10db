"""Drawing a start and a goal for templates that declare neither: arrangements some moves apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from envs.tabletop.scene import SceneSpec, ZoneSpec
from envs.tabletop.shapes import dimensions
from thinkbench.abstraction import domain_of
from thinkbench.binding import Cast, RejectedError
from thinkbench.literals import Goal, Literal
from thinkbench.symbolic import Domain, SymbolicState
from thinkbench.templates import Template

_ROOMY = (1.0, 1.0)  # metres; half sizes of zones that have no place on the table yet


def with_drawn_task(template: Template, cast: Cast, rules: Goal, rng: np.random.Generator) -> Template:
    """``template`` with start and goal filled in: piles on its zones, exactly ``horizon`` moves apart under ``rules``.

    Raises:
        RejectedError: No arrangement is that far from the one that was drawn as the start.
    """
    roles = {cast.names[role]: role for role in (*template.objects, *template.zones)}
    zones = tuple(
        ZoneSpec(cast.names[zone], cast.colours[role.colour], (0, 0), _ROOMY) for zone, role in template.zones.items()
    )
    domain = domain_of(SceneSpec(tuple(cast.objects[role] for role in template.objects), zones), (), rules)
    widest_first = sorted(
        template.objects, key=lambda role: -dimensions(cast.objects[role].kind, cast.objects[role].size)[0]
    )
    start = _random_arrangement(domain, [cast.names[role] for role in widest_first], rng)
    goals = sorted(_exactly_apart(domain, start, template.horizon))
    if not goals:
        raise RejectedError(f"nothing is {template.horizon} moves from the start")
    goal = goals[int(rng.integers(len(goals)))]
    return replace(
        template,
        drawn=False,
        start=tuple(tuple(roles[name] for name in pile) for pile in _piles(domain, start)),
        goal=tuple(
            Literal("at_zone" if support in domain.zones else "on", (roles[item], roles[support]))
            for item, support in zip(domain.movable, goal, strict=True)
        ),
    )


def _random_arrangement(domain: Domain, names: list[str], rng: np.random.Generator) -> SymbolicState:
    """All objects in piles on the zones, each put down in turn where it may go."""
    supports: dict[str, str] = {}
    for name in names:
        free = [place for place in (*domain.zones, *supports) if place not in supports.values()]
        places = [place for place in free if place in domain.zones or name in domain.bearers[place]]
        if not places:
            raise RejectedError(f"{name} has no place to start")
        supports[name] = places[int(rng.integers(len(places)))]
    return domain.state(supports)


def _exactly_apart(domain: Domain, start: SymbolicState, distance: int) -> set[SymbolicState]:
    """The states to which the shortest way has ``distance`` moves."""
    seen, layer = {start}, {start}
    for _ in range(distance):
        layer = {domain.apply(state, move) for state in layer for move in domain.moves(state)} - seen
        seen |= layer
    return layer


def _piles(domain: Domain, state: SymbolicState) -> list[list[str]]:
    """Each zone that is not empty with the pile on it, from the bottom upwards."""
    above = dict(zip(state, domain.movable, strict=True))
    piles = []
    for zone in domain.zones:
        pile = [zone]
        while pile[-1] in above:
            pile.append(above[pile[-1]])
        piles += [pile] if len(pile) > 1 else []
    return piles
