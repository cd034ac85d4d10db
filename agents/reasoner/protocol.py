"""What an agent sees of its reasoner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from harness.interfaces import Observation, TaskView


class ReasonerError(ValueError):
    """A reasoner cannot be set up or does not answer; the message says why and what to do."""


class UnreadableError(ReasonerError):
    """A model answered, but states no sub-goal.

    Attributes:
        text: What it said, word for word.
    """

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text


@dataclass(frozen=True)
class SubGoal:
    """What is to be reached next.

    Attributes:
        text: In words.
        attention: Where the reasoner looks for it in the current picture, ``(N,)`` with mean 1 over the world model's
            grid; ``None`` if it does not say.
        embedding: e_k, the text in the vectors of the reasoner's language model, ``(D_VLM,)``; ``None`` if it has none.
        objects: The things that it involves, as the reasoner calls them.
    """

    text: str
    attention: Tensor | None
    embedding: Tensor | None = None
    objects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """A sub-goal that was proposed before.

    Attributes:
        text: In words.
        reached: Whether it was reached.
    """

    text: str
    reached: bool


class Reasoner(Protocol):
    """Proposes sub-goals."""

    def propose(self, view: TaskView, observation: Observation, history: Sequence[Attempt] = ()) -> Sequence[SubGoal]:
        """The sub-goals that are left, in the order in which they are to be reached; at least one.

        Args:
            view: The task.
            observation: What is seen now.
            history: What was proposed for this task before, the oldest first; empty when it is asked first.

        Raises:
            ReasonerError: It has no answer.
        """

    def look(self, subgoal: SubGoal, view: TaskView, observation: Observation) -> SubGoal:
        """The same sub-goal with attention to where it is in the current picture."""
