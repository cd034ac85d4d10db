"""Words for goals: descriptions that pick out one object, and lists of them in paraphrases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from envs.tabletop.scene import ObjectSpec


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
