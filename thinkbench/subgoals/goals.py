"""Sub-goals: what one or two moves can bring about, as literals and in words.

The sub-goals of a scene depend on what is in it and not on where things are, so they are the same from the start of an
episode to its end. No sub-goal is made of the predicates ``held``, ``at_rest`` and ``upright`` (a pick-and-place ends
with open fingers and sets nothing upright), nor of those that are rules: ``at_any_zone``, ``shares_zone``,
``on_smaller``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from envs.tabletop.scene import Kind, ObjectSpec, SceneSpec, WorldState
from envs.tabletop.shapes import (
    OPEN_CONTAINERS,
    can_support,
    dimensions,
    graspable_width,
    inner_dimensions,
    is_container,
)
from thinkbench.abstraction import may_rest
from thinkbench.language import ORDINALS, AmbiguousError, describe
from thinkbench.literals import Goal, Literal
from thinkbench.predicates import at_rest, evaluate, on
from thinkbench.symbolic import TABLE, Domain, Move

EDGES = ("left", "right", "back", "front")

_SIDES: Mapping[str, str] = {
    "left_of": "to the left of",
    "right_of": "to the right of",
    "behind": "behind",
    "in_front_of": "in front of",
}


@dataclass(frozen=True)
class Phrasing:
    """How the sub-goals of a kind are put: ``{0}``, ``{1}``, ``{2}`` are what they are about.

    Attributes:
        standard: What agents may be trained on.
        held_out: What they must not be trained on.
    """

    standard: tuple[str, ...]
    held_out: tuple[str, ...]


def _beside(side: str) -> Phrasing:
    words = _SIDES[side]
    return Phrasing(
        (f"Put {{0}} right beside {{1}}, {words} it.", f"Move {{0}} {words} {{1}}, close to it."),
        (f"{{0}} should stand close to {{1}}, directly {words} it.",),
    )


KINDS: Mapping[str, Phrasing] = {
    "on": Phrasing(("Put {0} on {1}.", "Place {0} on top of {1}.", "Stack {0} onto {1}."), ("Set {0} down upon {1}.",)),
    "pile": Phrasing(
        ("Put {0} on top of the pile that stands on {1}.", "Add {0} to the pile on {1}."),
        ("Let {0} crown whatever is stacked on {1}.",),
    ),
    "inside": Phrasing(("Put {0} into {1}.", "Place {0} in {1}.", "Drop {0} into {1}."), ("{0} belongs in {1}.",)),
    "out": Phrasing(
        ("Take {0} out of {1} and put it on the table.", "Remove {0} from {1} and leave it on the table."),
        ("{1} should not hold {0} any more; the table should.",),
    ),
    "zone": Phrasing(("Put {0} on {1}.", "Move {0} into {1}.", "Place {0} within {1}."), ("{0} belongs in {1}.",)),
    "bare": Phrasing(
        ("Put {0} on the bare table, outside the coloured zones.", "Move {0} to where the table is bare."),
        ("{0} should stand on uncoloured ground.",),
    ),
    "table": Phrasing(
        ("Put {0} on the table.", "Place {0} down on the table."),
        ("Let nothing but the table carry {0}.",),
    ),
    "clear": Phrasing(
        ("Clear the top of {0}.", "Take off what is on {0}."),
        ("Nothing should rest on {0}.",),
    ),
    **{side: _beside(side) for side in _SIDES},
    "near": Phrasing(
        ("Put {0} on the table next to {1}.", "Place {0} on the table, near {1}."),
        ("On the table, {0} and {1} should be neighbours.",),
    ),
    "edge": Phrasing(
        ("Move {0} to the {1} edge of the workspace.", "Put {0} at the {1} edge of the workspace."),
        ("{0} belongs at the {1} rim of the reachable area.",),
    ),
    "bridge": Phrasing(
        ("Lay {0} across {1} and {2}.", "Put {0} over {1} and {2} as a bridge."),
        ("{1} and {2} should carry {0} together.",),
    ),
}
"""Words for every kind of sub-goal. Directions are the robot's; the front edge is the one nearest to it."""


@dataclass(frozen=True)
class SubGoal:
    """A sub-goal of a scene.

    Attributes:
        kind: A key of `KINDS`.
        literals: What must hold; the first one says most.
        phrases: What the words are about, in the order of the kind's placeholders.
    """

    kind: str
    literals: Goal
    phrases: tuple[str, ...]

    def text(self, paraphrase: str) -> str:
        """The instruction in one of the kind's paraphrases."""
        sentence = paraphrase.format(*self.phrases)
        return sentence[:1].upper() + sentence[1:]

    def to_list(self, paraphrase: str) -> list[Any]:
        """As JSON data: ``[kind, text, [[predicate, argument, ...], ...]]``."""
        return [self.kind, self.text(paraphrase), [literal.to_list() for literal in self.literals]]


def subgoals(scene: SceneSpec) -> tuple[SubGoal, ...]:
    """All sub-goals that make sense in a scene, in a fixed order; none about objects that look like others."""
    return tuple(_enumerate(scene))


def move_in_words(scene: SceneSpec, move: Move, domain: Domain) -> SubGoal:
    """One move of a symbolic plan as a sub-goal. Objects that look alike are called alike.

    Where there are zones to be in, a move to the table leads to none of them, and what stands in one stands on the
    table already: so the words say that it is the bare table.
    """
    item, place = move.item, move.destination
    names: tuple[str, ...] = (item, place)
    if place == TABLE:
        names = (item,)
        kind, predicate = ("bare", "on_bare_table") if domain.zones else ("table", "on_table")
        literal = Literal(predicate, names)
    elif place in domain.spans:
        names = (item, *domain.spans[place].posts)
        kind, literal = "bridge", Literal("bridges", names)
    else:
        kind = "zone" if place in domain.zones else "inside" if place in domain.containers else "on"
        literal = Literal("at_zone" if kind == "zone" else kind, names)
    phrases = called(scene)
    return SubGoal(kind, (literal,), tuple(phrases[name] for name in names))


def called(scene: SceneSpec) -> dict[str, str]:
    """What each object and zone is called; objects that look alike are called alike."""
    return _zone_phrases(scene) | {spec.name: _called(spec, scene.objects) for spec in scene.objects}


def _zone_phrases(scene: SceneSpec) -> dict[str, str]:
    """Zones of one colour stand in a row, and are counted from the robot's left, as scenes list them."""
    phrases = {}
    for zone in scene.zones:
        alike = [other.name for other in scene.zones if other.colour is zone.colour]
        ordinal = f"{ORDINALS[alike.index(zone.name)]} " if len(alike) > 1 else ""
        phrases[zone.name] = f"the {ordinal}{zone.colour} zone"
    return phrases


def _called(spec: ObjectSpec, objects: Sequence[ObjectSpec]) -> str:
    return _described(spec, objects) or f"the {spec.colour} {spec.kind}"


def _described(spec: ObjectSpec, objects: Sequence[ObjectSpec]) -> str | None:
    """What tells an object from all others; ``None`` if nothing does."""
    try:
        return describe(spec, objects)
    except AmbiguousError:
        return None


def holding(state: WorldState, goals: Sequence[SubGoal]) -> list[bool]:
    """Which of the sub-goals hold: as `thinkbench.predicates.goal_holds`, but each literal is evaluated once."""
    moving = {name for name in state.objects if not at_rest(state, name)}
    truth: dict[Literal, bool] = {}

    def holds(literal: Literal) -> bool:
        if literal not in truth:
            truth[literal] = moving.isdisjoint(literal.args) and evaluate(state, literal)
        return truth[literal]

    return [state.held is None and all(holds(literal) for literal in goal.literals) for goal in goals]


def asked_for(state: WorldState, goal: Goal) -> frozenset[str]:
    """The objects of which one has to be moved: the one that is named, or what rests on what is to be cleared."""
    if not goal:
        return frozenset()
    literal = goal[0]
    if literal.predicate == "clear":
        return frozenset(name for name in state.objects if name != literal.args[0] and on(state, name, literal.args[0]))
    return frozenset({literal.args[1] if literal.predicate == "supports" else literal.args[0]})


def _enumerate(scene: SceneSpec) -> Iterator[SubGoal]:
    described = {spec.name: _described(spec, scene.objects) for spec in scene.objects}
    phrase = {name: words for name, words in described.items() if words is not None}
    things = [spec for spec in scene.objects if spec.name in phrase]
    phrase |= _zone_phrases(scene)
    movable = [spec for spec in things if graspable_width(spec.kind, spec.size) is not None]

    def goal(kind: str, names: Sequence[str], *literals: Literal) -> SubGoal:
        return SubGoal(kind, literals, tuple(phrase.get(name, name) for name in names))

    for item in movable:
        a = item.name
        yield goal("table", (a,), Literal("on_table", (a,)))
        if scene.zones:
            yield goal("bare", (a,), Literal("on_bare_table", (a,)))
        yield from (goal("edge", (a, edge), Literal(f"at_{edge}_edge", (a,))) for edge in EDGES)
        if can_support(item.kind):
            yield goal("clear", (a,), Literal("clear", (a,)))
        for zone in scene.zones:
            if _fits(item, tuple(2 * half for half in zone.half_extents)):
                yield goal("zone", (a, zone.name), Literal("at_zone", (a, zone.name)))
        for other in things:
            if other.name != a:
                yield from (goal(*parts) for parts in _pairs(item, other))
    for plank in (spec for spec in movable if spec.kind is Kind.PLANK):
        for one, other in itertools.combinations([spec for spec in movable if _is_post(spec, plank)], 2):
            if one.size is other.size:
                names = (plank.name, one.name, other.name)
                yield goal("bridge", names, Literal("bridges", names))


def _pairs(item: ObjectSpec, other: ObjectSpec) -> Iterator[tuple[Any, ...]]:
    """Kind, names and literals of the sub-goals about ``item`` and another object."""
    names = (item.name, other.name)
    for side in _SIDES:
        yield side, names, Literal(side, names), Literal("near", names)
    yield "near", names, Literal("near", names), Literal("on_table", names[:1])
    if may_rest(item, other):
        yield "on", names, Literal("on", names)
        yield "pile", names, Literal("supports", names[::-1])
    if is_container(other.kind) and _fits(item, inner_dimensions(other.kind, other.size)[:2]):
        yield "inside", names, Literal("inside", names)
        if other.kind in OPEN_CONTAINERS:
            yield "out", names, Literal("on_table", names[:1]), Literal("inside", names, positive=False)


def _fits(item: ObjectSpec, room: Sequence[float]) -> bool:
    edges = sorted(dimensions(item.kind, item.size)[:2])
    return all(edge <= length for edge, length in zip(edges, sorted(room), strict=True))


def _is_post(spec: ObjectSpec, plank: ObjectSpec) -> bool:
    """Whether one of two such things can carry ``plank`` with a gap between them."""
    wide, _, _ = dimensions(spec.kind, spec.size)
    return spec.kind in (Kind.CUBE, Kind.CYLINDER) and 2 * wide < dimensions(plank.kind, plank.size)[0]
