"""Sub-goals in ordinary words, read as moves: not all that can be said, but strictly and always in the same way.

A sentence is read as a legal move if

- the first thing that it names is what is moved, and no word such as *on*, *from* or *for* stands right before it;
- the last one is where that goes, right behind *on*, *onto*, *upon*, *atop* or *on top of*. Before the table, zones and
  containers *in*, *into*, *inside*, *within* and *to* serve as well, with *to* only where something is brought there
  (*move it to*, not *next to*). Of two posts the first may follow *across* or *over*, and the second follows *and*;
- all that it names in between is one of these, or where the item is now;
- it has none of `_DENYING`, and none of `_RELATING` between the last thing and the one before;
- where the item is only found or taken (`_TAKING`), more than *on* or *in* leads to the last thing: *pick it up in the
  bin* says where it is, as *from the stack on the table* does in any sentence.

So a sentence about a third thing is not read, nor one that says no destination, or says it first. Things are named by
colour and kind, with the size where that is needed to tell them apart (it may be said where it is not), zones by
colour, or by their number in a row; the table is *the table* or *the bare table*. Where a phrase fits several things
that are called alike, each of them may be meant. A sentence that names nothing but says *on*, *in* or the like is read
with the list of its objects: what is moved comes first there, and where it goes next.

A sentence that only says that something is picked up or held (`_GRASPED`) is half a move: it is read where the next
sub-goal says where that goes, and may call it *it*.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from envs.tabletop.scene import Colour, Kind, SceneSpec, Size
from harness.plans import Said
from thinkbench.language import ORDINALS
from thinkbench.subgoals.goals import called
from thinkbench.symbolic import TABLE, Domain, Move, SymbolicState

_ARTICLES = frozenset({"the", "a", "an"})
_DENYING = frozenset(
    {"not", "t", "cannot", "no", "never", "none", "nothing", "neither", "nor", "without", "instead", "except", "unless"}
    | {"avoid", "prevent", "keep", "leave", "before", "if", "whether", "or", "was", "were"}
    | {"dont", "doesnt", "isnt", "shouldnt"}
)
"""Words of sentences that do not say, or not for sure, that something is to be so; ``t`` is the end of *don't*."""
_RELATING = frozenset({"that", "which", "what", "whatever", "pile", "tower"})
"""Words by which something else is described by what is named next."""
_PLACING = frozenset({"on", "onto", "upon", "atop", "in", "into", "inside", "within", "across", "over"})
_TAKING = frozenset({"pick", "take", "lift", "grasp", "grab", "remove", "unstack", "clear", "uncover", "get"})
_TAKING |= {"find", "locate", "identify", "select", "approach", "reach", "touch", "look"}
_GRASPED = frozenset({"pick", "take", "lift", "grasp", "grab", "hold"})
_GRASPED |= {"picked", "taken", "lifted", "grasped", "grabbed", "held", "picks", "holds", "holding"}
_BEHIND = _PLACING | {"to", "of", "off", "from", "for", "under", "below", "beneath", "beside", "near", "by"}
_BEHIND |= {"above", "at", "toward", "towards", "behind", "around"}
"""What is named behind one of these is not what is moved."""

_WHERE_IT_IS = re.compile(r"(?:up )?(?:on|atop|on top of|in|inside|inside of|within)")
_ORIGIN = re.compile(r"\b(?:from|off|out of)\b(?!.*\b(?:and|then|to|onto|into)\b)")
_ON = r"on|onto|upon|atop|(?:on|onto|to|at) top of"
_INTO = r"in|into|inside|inside of|within|(?:^|\b(?:it|over|back|moved|brought|transferred) )to"
_ACROSS = r"across|over"


def _ending(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\bfrom )(?<!\boff )\b(?:{words})$")


_TO_OBJECT, _TO_ROOM, _TO_SPAN = _ending(_ON), _ending(f"{_ON}|{_INTO}"), _ending(f"{_ON}|{_ACROSS}")


def _either(words: Iterable[str]) -> str:
    return f"(?:{'|'.join(words)})"


_THING = f"(?:{_either((*Size, *ORDINALS))} )?{_either(Colour)} {_either((*Kind, 'zone'))}"
_PHRASE = re.compile(rf"\b(?:{_THING}|(?:bare )?{TABLE})\b(?! s\b)")
"""What things may be called, as long as it goes: *small red cube* is not *red cube*, nor is *red cube's*."""


@dataclass(frozen=True)
class _Named:
    """A place in a sentence where something is named.

    Attributes:
        things: What may be meant; nothing where no thing of the scene is called so.
        before: The words since the place before, or since the beginning.
    """

    things: frozenset[str]
    before: str


def normalised(text: str) -> tuple[str, ...]:
    """The words of a text, without case, punctuation and articles."""
    return tuple(word for word in re.findall(r"[a-z]+", text.lower()) if word not in _ARTICLES)


def readings(scene: SceneSpec, domain: Domain, state: SymbolicState, said: Said) -> Iterator[Move]:
    """The legal moves as which a sub-goal in ordinary words is read; several where things are called alike."""
    words = normalised(said.text)
    if not _DENYING.isdisjoint(words):
        return
    phrases = _phrases(scene)
    named = _named(words, phrases)
    if not named and said.objects and not _PLACING.isdisjoint(words):
        item, *rest = said.objects
        named = _named(normalised(f"{item} on {' and '.join(rest)}"), phrases)
    yield from (move for move in domain.moves(state) if _says(named, domain, state, move))


def grasped(scene: SceneSpec, domain: Domain, state: SymbolicState, said: Said) -> frozenset[str]:
    """What a sub-goal says is picked up, and no more than that: everything that may be meant and can be moved."""
    words = normalised(said.text)
    named = _named(words, _phrases(scene))
    if not named or not _DENYING.isdisjoint(words) or _GRASPED.isdisjoint(words):
        return frozenset()
    item, *others = named
    if not _BEHIND.isdisjoint(item.before.split()[-1:]):
        return frozenset()
    return frozenset(
        move.item
        for move in domain.moves(state)
        if move.item in item.things and all(_is_below(one, domain, state, move.item) for one in others)
    )


def _is_below(named: _Named, domain: Domain, state: SymbolicState, item: str) -> bool:
    """Whether what is named is what an item is on or in, or something below that, and said to be so."""
    found = _WHERE_IT_IS.fullmatch(named.before) or _ORIGIN.search(named.before)
    below, place = set[str](), state[domain.index[item]]
    while place in domain.index:
        below.add(place)
        place = state[domain.index[place]]
    return found is not None and not named.things.isdisjoint({*below, *_parts(domain, place)})


def _phrases(scene: SceneSpec) -> Mapping[str, frozenset[str]]:
    """What may be meant by each phrase, without its article."""
    usual = {name: " ".join(normalised(phrase)) for name, phrase in called(scene).items()}
    pairs = [
        *usual.items(),
        *((spec.name, f"{spec.size} {spec.colour} {spec.kind}") for spec in scene.objects),
        *((zone.name, f"{zone.colour} zone") for zone in scene.zones),
        *((TABLE, phrase) for phrase in (TABLE, f"bare {TABLE}")),
    ]
    return {phrase: frozenset(name for name, own in pairs if own == phrase) for _, phrase in pairs}


def _named(words: Sequence[str], phrases: Mapping[str, frozenset[str]]) -> tuple[_Named, ...]:
    text = " ".join(words)
    found = []
    end = 0
    for match in _PHRASE.finditer(text):
        found.append(_Named(phrases.get(match[0], frozenset()), text[end : match.start()].strip()))
        end = match.end()
    return tuple(found)


def _says(named: Sequence[_Named], domain: Domain, state: SymbolicState, move: Move) -> bool:
    """Whether what a sentence names, in this order, says this move."""
    parts, here = _parts(domain, move.destination), _parts(domain, state[domain.index[move.item]])
    if len(named) <= len(parts):
        return False
    item, between, (goal, *more) = named[0], named[1 : -len(parts)], named[-len(parts) :]
    return (
        move.item in item.things
        and _BEHIND.isdisjoint(item.before.split()[-1:])
        and all(one.things & {move.item, *here, *parts} for one in between)
        and not _ORIGIN.search(goal.before)
        and _leads_to(goal.before, domain, move.destination)
        and (_TAKING.isdisjoint(item.before.split()) or not _WHERE_IT_IS.fullmatch(goal.before))
        and all(one.before == "and" for one in more)
        and any(
            all(part in one.things for part, one in zip(order, (goal, *more), strict=True))
            for order in permutations(parts)
        )
    )


def _parts(domain: Domain, place: str) -> tuple[str, ...]:
    """What is named where a place is meant: of a span its posts."""
    return domain.spans[place].posts if place in domain.spans else (place,)


def _leads_to(words: str, domain: Domain, place: str) -> bool:
    """Whether what is named behind ``words`` is where something goes."""
    ending = _TO_SPAN if place in domain.spans else _TO_OBJECT if place in domain.index else _TO_ROOM
    return ending.search(words) is not None and _RELATING.isdisjoint(words.split())
