"""Whether a reasoner looked where the things are that its sub-goal names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.plans import RADIUS, Answered, Answers, Question, Thing
from thinkbench.plans.reading import normalised


@dataclass(frozen=True)
class Looked:
    """How well an attention map agrees with what its sub-goal names.

    Attributes:
        mass: Share of the attention within `RADIUS` of something that is named.
        uniform: The same of attention that is everywhere alike.
        peak: Whether, of all things, the one nearest to where it looks most is named.
        named: Share of the things that are named: how often a peak at a random thing would be right.
    """

    mass: float
    uniform: float
    peak: bool
    named: float


def looked(question: Question, answered: Answered, answers: Answers) -> Iterator[Looked]:
    """One for each sub-goal with attention that names things of the question."""
    left, top, right, bottom = answers.crop
    ends = np.array([right - left, bottom - top])
    cells = (np.stack(np.meshgrid(*[np.arange(answers.grid)] * 2, indexing="xy"), -1).reshape(-1, 2) + 0.5) / (
        answers.grid
    )
    places = cells * ends + (left, top)
    points = np.array([(thing.u, thing.v) for thing in question.things])
    for said, attention in zip(answered.subgoals, answered.attention, strict=True):
        named = _named(said.objects, question.things)
        if attention is None or not named.any():
            continue
        weights = np.array(attention) / max(sum(attention), 1e-12)
        near = (np.linalg.norm(places[:, None] - points[named][None], axis=-1) <= RADIUS).any(axis=1)
        most = places[int(weights.argmax())]
        nearest = int(np.linalg.norm(points - most, axis=1).argmin())
        yield Looked(float(weights[near].sum()), float(near.mean()), bool(named[nearest]), float(named.mean()))


def _named(objects: Sequence[str], things: Sequence[Thing]) -> npt.NDArray[np.bool_]:
    """Which of the things are called by one of these names."""
    wanted = {normalised(name) for name in objects}
    return np.array([normalised(thing.phrase) in wanted for thing in things], bool)
