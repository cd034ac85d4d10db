"""Words for goals and plans: descriptions that pick out one object, lists of them in paraphrases, piles, steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from envs.tabletop.scene import ObjectSpec
from thinkbench.literals import Goal
from thinkbench.symbolic import TABLE, Domain, Move, SymbolicState, direct_move

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh")


class AmbiguousError(ValueError):
    """No description picks out the object."""


class Listing:
    """Phrases to list: ``{x}`` joins them with "and", ``{x:or}`` with "or"; ``{x:start}`` capitalises the first."""

    def __init__(self, phrases: Sequence[str]) -> None:
        self._phrases = tuple(phrases)

    def __format__(self, spec: str) -> str:
        if spec not in ("", "or", "start"):
            raise ValueError(f"unknown placeholder form {spec!r}; there are '', 'or' and 'start'")
        joined = _join(self._phrases, "or" if spec == "or" else "and")
        return joined[:1].upper() + joined[1:] if spec == "start" else joined


def _join(phrases: Sequence[str], conjunction: str) -> str:
    if len(phrases) < 2:
        return "".join(phrases)
    return f"{', '.join(phrases[:-1])} {conjunction} {phrases[-1]}"


def describe(target: ObjectSpec, objects: Sequence[ObjectSpec]) -> str:
    """The shortest of "the cube"-like phrases with a colour, and a size where needed, that fits ``target`` alone.

    Raises:
        AmbiguousError: Another object looks the same.
    """
    others = [other for other in objects if other.name != target.name]
    alike = [other for other in others if (other.kind, other.colour) == (target.kind, target.colour)]
    if not alike:
        return f"the {target.colour} {target.kind}"
    if all(other.size != target.size for other in alike):
        return f"the {target.size} {target.colour} {target.kind}"
    raise AmbiguousError(f"{target.name} looks like another object of the scene")


def instruct(paraphrase: str, listings: Mapping[str, Sequence[str]]) -> str:
    """Fill the placeholders of a paraphrase."""
    return paraphrase.format(**{name: Listing(phrases) for name, phrases in listings.items()})


def arrangement(goal: Goal, phrase: Callable[[str], str]) -> str:
    """The piles that ``goal`` wants, each from the bottom up: "a pile of the red cube and the wedge on the table".

    Args:
        goal: What must rest on what.
        phrase: What an object or zone is called.
    """
    places = _places(goal)
    moves = [move for literal in goal if literal.positive and (move := direct_move(literal)) is not None]
    carried = {move.destination: move.item for move in moves if move.destination not in places}
    bottoms = {move.item: move.destination for move in moves if move.destination in places}
    standing = [literal.args[0] for literal in goal if literal.positive and literal.predicate == "on_table"]
    loose = [base for base in dict.fromkeys([*standing, *carried]) if base not in {move.item for move in moves}]
    bottoms |= dict.fromkeys(loose, TABLE)
    piles = []
    for item, place in bottoms.items():
        pile = [item]
        while pile[-1] in carried:
            pile.append(carried[pile[-1]])
        listed = _join([phrase(name) for name in pile], "and")
        alone = f"{listed} by itself" if len(pile) == 1 and place == TABLE else listed
        preposition = "in" if place in _containers(goal) else "on"
        where = "on the table" if place == TABLE else f"{preposition} {phrase(place)}"
        piles.append(f"{alone if len(pile) == 1 else f'a pile of {listed}'} {where}")
    return "; ".join(piles)


def _places(goal: Goal) -> frozenset[str]:
    """Zones and containers that ``goal`` wants things in."""
    zones = {literal.args[1] for literal in goal if literal.positive and literal.predicate == "at_zone"}
    return _containers(goal) | zones


def _containers(goal: Goal) -> frozenset[str]:
    return frozenset(literal.args[1] for literal in goal if literal.positive and literal.predicate == "inside")


def steps(plan: Sequence[Move], start: SymbolicState, domain: Domain, phrase: Callable[[str], str]) -> str:
    """A plan in words: "1. Put the red cube from the blue cube onto the table. 2. ..."

    What an object is taken from is said because not every object can be told apart by its looks.
    """
    state = start
    sentences = []
    for number, move in enumerate(plan, 1):
        origin = state[domain.index[move.item]]
        source = "" if origin == TABLE else f" from {_spot(domain, origin, phrase)}"
        into = "into" if move.destination in domain.containers else "onto"
        sentences.append(f"{number}. Put {phrase(move.item)}{source} {into} {_spot(domain, move.destination, phrase)}.")
        state = domain.apply(state, move)
    return " ".join(sentences)


def _spot(domain: Domain, place: str, phrase: Callable[[str], str]) -> str:
    if place == TABLE:
        return "the table"
    return _join([phrase(name) for name in (domain.spans[place].posts if place in domain.spans else (place,))], "and")
