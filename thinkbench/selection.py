"""Picking out objects by what they look like and how they stand: small conditions over a scene, joined as data.

A selection reads like "all that touch something red and are no cubes, except the smallest". Conditions are words as in
``not touching A``; colours may be a template's colour variables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from envs.tabletop.scene import Colour, ObjectSpec, Size, WorldState
from envs.tabletop.shapes import is_container
from thinkbench.geometry import spec_of
from thinkbench.predicates import clear, on

_RANKS = {Size.SMALL: 0, Size.MEDIUM: 1, Size.LARGE: 2}
_EXTREMES = {"smallest": 1, "largest": -1}
_ARITY = {"colour": 1, "kind": 1, "size": 1, "touching": 1, "carrying": 0, "lying": 0}


class AmbiguousSelectionError(ValueError):
    """Readers of the selection could pick out different objects, or none."""


@dataclass(frozen=True)
class Condition:
    """Something that an object of the scene is or is not.

    ``colour C``, ``kind K``, ``size S``: what it looks like. ``touching C``: it touches another object of the colour.
    ``carrying``: something rests on it. ``lying``: it rests on another object.
    """

    name: str
    value: str = ""
    positive: bool = True

    @classmethod
    def from_text(cls, text: str) -> Condition:
        """From words such as ``not touching red``.

        Raises:
            ValueError: There is no such condition, or it takes another number of words.
        """
        words = text.split()
        positive = words[:1] != ["not"]
        name, *values = (words if positive else words[1:]) or [""]
        if name not in _ARITY or len(values) != _ARITY[name]:
            raise ValueError(
                f"{text!r} is no condition; there are {', '.join(_ARITY)}, with a value but for the last two"
            )
        return cls(name, " ".join(values), positive)

    def holds(self, state: WorldState, name: str, colours: Mapping[str, Colour]) -> bool:
        """Whether the object ``name`` is so; ``colours`` are those of the colour variables."""
        spec = spec_of(state, name)
        value: str = colours.get(self.value, self.value)
        match self.name:
            case "colour" | "kind" | "size":
                found = bool(getattr(spec, self.name) == value)
            case "touching":
                neighbours = {other.name for other in state.scene.objects if other.colour == value}
                found = bool(neighbours & state.objects[name].touching)
            case "carrying":
                found = not clear(state, name)
            case _:
                found = any(on(state, name, other) for other in state.objects)
        return found == self.positive


@dataclass(frozen=True)
class Selection:
    """Which of the objects that can be picked up are meant.

    Attributes:
        where: All of these hold.
        unless: None of these holds.
        but: ``smallest`` or ``largest``: the one of those selected so far that is left out; empty for none.
    """

    where: tuple[Condition, ...]
    unless: tuple[Condition, ...] = ()
    but: str = ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Selection:
        """From a template's data.

        Raises:
            ValueError: A condition is malformed.
        """
        but = data.get("but", "")
        if but and but not in _EXTREMES:
            raise ValueError(f"but: {but!r}: choose one of {', '.join(_EXTREMES)}")
        return cls(_conditions(data.get("where", ())), _conditions(data.get("unless", ())), but)

    def choose(self, state: WorldState, colours: Mapping[str, Colour]) -> tuple[str, ...]:
        """Names of the selected objects, in the scene's order.

        Raises:
            AmbiguousSelectionError: Nothing is selected, an exception excludes nothing, or several are the smallest.
        """
        movable = [spec for spec in state.scene.objects if not is_container(spec.kind)]
        found = [spec for spec in movable if all(item.holds(state, spec.name, colours) for item in self.where)]
        for exception in self.unless:
            kept = [spec for spec in found if not exception.holds(state, spec.name, colours)]
            if len(kept) == len(found):
                raise AmbiguousSelectionError("an exception excludes nothing")
            found = kept
        if self.but:
            found.remove(_extreme(found, _EXTREMES[self.but]))
        if not found:
            raise AmbiguousSelectionError("nothing is selected")
        return tuple(spec.name for spec in found)


def _conditions(texts: Sequence[str]) -> tuple[Condition, ...]:
    return tuple(Condition.from_text(text) for text in texts)


def _extreme(specs: Sequence[ObjectSpec], sign: int) -> ObjectSpec:
    """The one of least ``sign`` x size."""
    ordered = sorted(specs, key=lambda spec: sign * _RANKS[spec.size])
    if len(ordered) < 2 or _RANKS[ordered[0].size] == _RANKS[ordered[1].size]:
        raise AmbiguousSelectionError("there is no single smallest or largest object")
    return ordered[0]
