"""Whether a reasoner looked where the things are that its sub-goal names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.plans import Answered, Answers, Question, Thing
from thinkbench.plans.reading import normalised


@dataclass(frozen=True)
class Looked:
    """How well an attention map agrees with the pixels of what its sub-goal names.

    Attention counts as even within a cell, so what is smaller than one gets a part of the cell's at most. Beside each
    number stands that of attention which is everywhere alike.

    Attributes:
        mass: Share of the attention on pixels that show something that is named.
        even_mass: Its chance level.
        among: The same as a share of what lies on things at all.
        even_among: Its chance level.
        hit: Whether the cell that is looked at most shows something that is named (the pointing game of Zhang et al.,
            "Top-down Neural Attention by Excitation Backprop", 2016, at the grid's resolution).
        even_hit: Share of the cells that do.
    """

    mass: float
    even_mass: float
    among: float
    even_among: float
    hit: bool
    even_hit: float


def looked(question: Question, answered: Answered, answers: Answers) -> Iterator[Looked]:
    """One for each sub-goal with attention that names things of the question of which something is seen."""
    shown = question.coverage((answers.grid, answers.grid), answers.crop)
    things = shown.sum(axis=0)
    for said, attention in zip(answered.subgoals, answered.attention, strict=True):
        named = shown[_named(said.objects, question.things)].sum(axis=0)
        if attention is None or not named.any():
            continue
        weights = np.array(attention) / max(sum(attention), 1e-12)
        mass, even_mass = float(weights @ named), float(named.mean())
        yield Looked(
            mass=mass,
            even_mass=even_mass,
            among=mass / max(float(weights @ things), 1e-12),
            even_among=even_mass / float(things.mean()),
            hit=bool(named[weights.argmax()] > 0),
            even_hit=float((named > 0).mean()),
        )


def _named(objects: Sequence[str], things: Sequence[Thing]) -> npt.NDArray[np.bool_]:
    """Which of the things are called by one of these names."""
    wanted = {normalised(name) for name in objects}
    return np.array([normalised(thing.phrase) in wanted for thing in things], bool)
