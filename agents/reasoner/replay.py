"""Recorded answers: an expensive model is asked once, and its answers are repeated for nothing.

A record is a JSON file, ``{instruction: [{"text": ..., "objects": [...], "attention": [...]}, ...], ...}``, with the
sub-goals in the order in which they are to be reached. ``attention`` may be left out or null, and is of any scale: a
square grid, row by row. ``crop`` beside it says which part of the picture it covers (left, top, right, bottom from 0 to
1); without it the grid must be that of the world model, whose part it is then taken to be.
"""

from __future__ import annotations

import difflib
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import torch
from pydantic import ConfigDict, Field, NonNegativeFloat, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from agents.reasoner.attention import to_world
from agents.reasoner.protocol import Attempt, ReasonerError, SubGoal
from agents.thinkjepa.config import Crop, WorldModelConfig, require_crop
from harness.interfaces import Observation, TaskView


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class Recorded:
    """One sub-goal of a record; see `SubGoal`."""

    text: Annotated[str, Field(min_length=1)]
    objects: tuple[str, ...] = ()
    attention: tuple[NonNegativeFloat, ...] | None = None
    crop: Crop | None = None


_RECORD = TypeAdapter(dict[str, Annotated[tuple[Recorded, ...], Field(min_length=1)]])


class ReplayReasoner:
    """Repeats a record.

    It sees nothing: its attention is where the recorded model looked then.

    Args:
        path: The record.
        world: Whose grid the attention maps are over.

    Raises:
        ReasonerError: The file cannot be read, is no record, or holds attention over another grid, or none, and does
            not say of which part of the picture.
    """

    def __init__(self, path: str | Path, world: WorldModelConfig) -> None:
        self._path, self._world = Path(path), world
        try:
            self._answers = _RECORD.validate_json(self._path.read_bytes())
        except OSError as error:
            raise ReasonerError(f"{path} cannot be read: {error.strerror}; write it with `record`") from error
        except ValidationError as error:
            first = error.errors()[0]
            raise ReasonerError(f"{path}: {_key(first['loc'])}: {first['msg']}") from error
        if not self._answers:
            raise ReasonerError(f"{path} has no answers; write it with `harness answer ... --replay`")
        for instruction, answer in self._answers.items():
            for place, step in enumerate(answer):
                problem = _problem(step, world)
                if problem is not None:
                    raise ReasonerError(f"{path}: {_key((instruction, place, 'attention'))}: {problem}")

    def propose(
        self,
        view: TaskView,
        observation: Observation,  # noqa: ARG002
        history: Sequence[Attempt] = (),
    ) -> Sequence[SubGoal]:
        """See `Reasoner`. Sub-goals that were reached are left out, each as often as it was; all again after the last.

        Raises:
            ReasonerError: The instruction is not in the record.
        """
        answer = self._answers.get(view.instruction)
        if answer is None:
            (near,) = difflib.get_close_matches(view.instruction, self._answers, n=1, cutoff=0.0)
            raise ReasonerError(
                f"{self._path} has no answer to {view.instruction!r}; the nearest of {len(self._answers)} is {near!r}"
            )
        reached = Counter(attempt.text for attempt in history if attempt.reached)
        stated = Counter(step.text for step in answer)
        rounds = min(reached[text] // count for text, count in stated.items())
        left = []
        for step in answer:
            if reached[step.text] > rounds * stated[step.text]:
                reached[step.text] -= 1
            else:
                left.append(step)
        return [_subgoal(step, self._world) for step in left]

    def look(self, subgoal: SubGoal, view: TaskView, observation: Observation) -> SubGoal:  # noqa: ARG002
        """See `Reasoner`; the sub-goal as it is."""
        return subgoal


def record(path: str | Path, answers: Mapping[str, Sequence[SubGoal]], crop: Crop | None = None) -> None:
    """Write a record of the sub-goals that were proposed for each instruction; embeddings are not kept.

    The file is there as a whole or not at all.

    Args:
        path: The file.
        answers: Sub-goals by instruction.
        crop: Which part of the picture their attention is over, so that it fits other world models as well.

    Raises:
        ReasonerError: There is no sub-goal for an instruction.
    """
    for instruction, subgoals in answers.items():
        if not subgoals:
            raise ReasonerError(f"there is no sub-goal to record for {instruction!r}")
    data = {instruction: [_entry(subgoal, crop) for subgoal in subgoals] for instruction, subgoals in answers.items()}
    part = Path(f"{path}.part")
    part.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, path)


def _entry(subgoal: SubGoal, crop: Crop | None) -> dict[str, object]:
    entry: dict[str, object] = {"text": subgoal.text, "objects": list(subgoal.objects)}
    if subgoal.attention is not None:
        entry["attention"] = [round(value, 5) for value in subgoal.attention.tolist()]
        if crop is not None:
            entry["crop"] = list(crop)
    return entry


def _problem(step: Recorded, world: WorldModelConfig) -> str | None:
    """What is wrong with a sub-goal's attention for this world model."""
    if step.attention is None:
        return None
    count = len(step.attention)
    if step.crop is None:
        if count == world.tokens:
            return None
        return (
            f"{count} numbers, but the world model's grid has {world.tokens} tokens; record it anew over that "
            "grid, or say in crop which part of the picture they cover"
        )
    try:
        require_crop(step.crop)
    except ValueError as error:
        return str(error)
    return None if count and math.isqrt(count) ** 2 == count else f"{count} numbers are no square grid"


def _subgoal(step: Recorded, world: WorldModelConfig) -> SubGoal:
    if step.attention is None:
        return SubGoal(step.text, None, objects=step.objects)
    side, crop = math.isqrt(len(step.attention)), world.encoder.crop
    (attention,) = to_world(torch.tensor(step.attention).view(1, side, side), crop, world.grid, step.crop or crop)
    return SubGoal(step.text, attention, objects=step.objects)


def _key(location: Sequence[str | int]) -> str:
    """``("open it", 0, "text")`` to ``["open it"][0]["text"]``."""
    return "".join(f"[{json.dumps(part, ensure_ascii=False)}]" for part in location) or "the whole file"
