"""Goals as data: a goal is a tuple of literals, all of which must hold.

A literal names a predicate and its arguments. The same literal has two readings: a geometric one over the simulator's
ground truth (``thinkbench.predicates``) and an abstract one over who rests on what (``thinkbench.symbolic``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Literal:
    """``predicate(*args)``, or its negation.

    Attributes:
        predicate: A key of ``thinkbench.predicates.PREDICATES``.
        args: Names of objects, containers or zones of the scene.
        positive: Whether the predicate must hold (``True``) or must not hold.
    """

    predicate: str
    args: tuple[str, ...]
    positive: bool = True

    def to_list(self) -> list[str]:
        """As JSON data, ``["on", "a", "b"]`` or ``["not", "inside", "a", "bin"]``; ``from_list`` is the inverse."""
        return [*(() if self.positive else ("not",)), self.predicate, *self.args]

    @classmethod
    def from_list(cls, data: Sequence[Any]) -> Literal:
        """From ``to_list``'s output.

        Raises:
            ValueError: There is no predicate name in ``data``.
        """
        words = [str(word) for word in data]
        positive = words[:1] != ["not"]
        words = words if positive else words[1:]
        if not words:
            raise ValueError(f"{list(data)!r} is no literal; write [predicate, argument, ...] or [not, predicate, ...]")
        return cls(words[0], tuple(words[1:]), positive)

    def __str__(self) -> str:
        text = f"{self.predicate}({', '.join(self.args)})"
        return text if self.positive else f"not {text}"


Goal = tuple[Literal, ...]
"""All of its literals must hold at once."""
