"""From questions to texts, and from texts to batches."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.reasoner.chat import Chat, Encoded
from agents.reasoner.prompt import IMAGE, Plan, Step, prompt, write
from agents.reasoner.protocol import Attempt
from agents.reasoner.training.config import PlanDataConfig
from agents.thinkjepa import images
from agents.thinkjepa.training.config import TrainingError
from harness.dataset import encode_image
from harness.plans import PlansError, Question, digest, read_plans

DESCRIBE = f"{IMAGE}\nWhat is there, what does it rest on, and where is it?"
"""The question whose answer depends on nothing but the picture."""

_OF_TOKENS = ("input_ids", "attention_mask", "mm_token_type_ids")
_IGNORED = -100
_LENGTHS = 32
"""Lengths are padded to multiples of this: matrix kernels are compiled anew for every shape."""


@dataclass(frozen=True)
class Data:
    """Questions of all sources.

    Attributes:
        train: To train on.
        held_out: To measure on.
        digest: Of all sets, hex.
    """

    train: tuple[Question, ...]
    held_out: tuple[Question, ...]
    digest: str


def read_data(config: PlanDataConfig) -> Data:
    """Read the sources.

    Raises:
        TrainingError: A source is no set of plans, or there is nothing to train or to measure on.
    """
    try:
        questions = [q for source in config.sources for q in read_plans(source, ("train", "held_out"))]
        whole = hashlib.sha256("".join(digest(source) for source in config.sources).encode()).hexdigest()
    except PlansError as error:
        raise TrainingError(f"data.sources: {error}") from error
    train, held_out = (tuple(q for q in questions if q.split == split) for split in ("train", "held_out"))
    for split, found in (("train", train), ("held_out", held_out)):
        if not found:
            raise TrainingError(
                f"data.sources hold no questions of split {split}; make more with `harness plans OUT seed=N "
                "held_out=0.05` (sets of a suite are for evaluation)"
            )
    return Data(train, held_out, whole)


def asked(question: Question, *, told: bool) -> str:
    """What a reasoner is asked; ``told`` says what was reached before."""
    return prompt(question.task, [Attempt(text, reached=True) for text in question.reached] if told else ())


def answer(question: Question, *, aloud: bool) -> str:
    """The sub-goals as they are to be written; ``aloud`` says first what rests on what: ``red cube on blue zone``."""
    plan = write(Plan(tuple(Step(said.text, said.objects) for said in question.subgoals)))
    if not aloud:
        return plan
    seen = sorted(f"{thing.phrase} on {thing.on}" for thing in question.things if thing.on)
    return "\n".join([*seen, plan])


def description(question: Question) -> str:
    """The things of a picture from top to bottom, in tenths of it: ``red cube on blue zone at 3 7``."""
    lines = []
    for thing in sorted(question.things, key=lambda thing: (thing.v, thing.u)):
        across, down = (min(max(int(10 * place), 0), 9) for place in (thing.u, thing.v))
        lines.append(f"{thing.phrase}{f' on {thing.on}' if thing.on else ''} at {across} {down}")
    return "\n".join(lines)


def shifted(question: Question, right: int, down: int) -> tuple[Question, npt.NDArray[np.uint8]]:
    """A question about a shifted picture, and that picture; the border is repeated, what leaves the picture is gone.

    Args:
        question: About the whole picture.
        right: Pixels.
        down: Pixels.
    """
    picture = torch.from_numpy(question.picture())
    height, width = picture.shape[:2]
    moved = [replace(thing, u=thing.u + right / width, v=thing.v + down / height) for thing in question.things]
    inside = [0 <= thing.u < 1 and 0 <= thing.v < 1 for thing in moved]
    things = tuple(thing for thing, stays in zip(moved, inside, strict=True) if stays)
    number = np.cumsum([False, *inside], dtype=np.uint8) * [False, *inside]
    beyond = max(abs(right), abs(down))
    labels = np.pad(number[question.labels()], beyond)
    labels = labels[beyond - down :, beyond - right :][:height, :width]
    frame = images.shifted(picture.movedim(-1, 0)[None, None], torch.tensor([[right, down]]))[0, 0]
    return replace(question, things=things, labels_png=encode_image(labels)), frame.movedim(0, -1).numpy()


def texts(questions: Sequence[Question]) -> Iterator[str]:
    """All that has to be read and written."""
    yield DESCRIBE
    for question in questions:
        yield from (question.task, answer(question, aloud=True), description(question), *question.reached)


# ---------------------------------------------------------------------------------------------- batches


@dataclass(frozen=True)
class Example:
    """A question and its answer.

    Attributes:
        encoded: Their tokens.
        near: Where each token of the answer is to look, ``(L, h * w)``: at what shows the thing that it names; nowhere
            if it names none, or none that is seen.
        question: That one.
    """

    encoded: Encoded
    near: Tensor
    question: Question

    def __len__(self) -> int:
        return int(self.encoded.inputs["input_ids"].shape[1])


@dataclass(frozen=True)
class Piece:
    """Answers of like length.

    Attributes:
        inputs: Of the model, padded on the left.
        labels: The last tokens ``(B, L)``, -100 where there is no answer.
        near: Where these are to look, ``(B, L, S)``.
        image: The tokens of the picture, ``(B, 1, S)``.
        questions: ``B`` of them.
    """

    inputs: dict[str, Tensor]
    labels: Tensor
    near: Tensor
    image: Tensor
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Batch:
    """Questions with their answers.

    Attributes:
        examples: The tokens.
        padding: Token that is put where there is none.
        device: Where pieces go.
    """

    examples: tuple[Example, ...]
    padding: int
    device: torch.device

    def part(self, rows: slice, device: torch.device) -> Batch:
        """Some of the samples, on a device."""
        return Batch(self.examples[rows], self.padding, device)

    def pieces(self, count: int) -> Iterator[Piece]:
        """All samples, from the shortest to the longest."""
        ordered = sorted(self.examples, key=len)
        size = -(-len(ordered) // count)
        for first in range(0, len(ordered), size):
            yield self._collated(ordered[first : first + size])

    def _collated(self, examples: Sequence[Example]) -> Piece:
        answers = [example.encoded.inputs["input_ids"][:, example.encoded.asked :] for example in examples]
        most = _rounded_up(max(one.shape[1] for one in answers))
        longest = _rounded_up(max(most + 1, *map(len, examples)))
        inputs = {}
        for name in examples[0].encoded.inputs:
            rows = [example.encoded.inputs[name] for example in examples]
            if name in _OF_TOKENS:
                fill = self.padding if name == "input_ids" else 0
                rows = [_padded(row, longest, fill) for row in rows]
            inputs[name] = torch.cat(rows).to(self.device)
        labels = torch.cat([_padded(one, most, _IGNORED) for one in answers])
        near = torch.zeros(len(examples), most, longest, dtype=torch.bool)
        image = torch.zeros(len(examples), 1, longest, dtype=torch.bool)
        for place, example in enumerate(examples):
            columns = example.encoded.image + longest - len(example)
            near[place, most - len(example.near) :, columns] = example.near
            image[place, 0, columns] = True
        questions = tuple(example.question for example in examples)
        return Piece(inputs, labels.to(self.device), near.to(self.device), image.to(self.device), questions)


def example(chat: Chat, question: Question, picture: npt.NDArray[np.uint8], asks: str, says: str) -> Example:
    """Tokens of a question about a picture and of the whole answer, and where these are to look."""
    tokens = chat.encode(picture, asks, says + chat.tokenizer.eos_token)
    shown = torch.from_numpy(question.coverage(tokens.grid, chat.crop))
    near = torch.zeros(len(tokens.characters), shown.shape[1], dtype=torch.bool)
    phrases = sorted({thing.phrase for thing in question.things}, key=len, reverse=True)
    for named in re.finditer(rf"\b(?:{'|'.join(map(re.escape, phrases))})\b", says):
        rows = tokens.rows(named.span()) - tokens.asked
        for thing, share in zip(question.things, shown, strict=True):
            if thing.phrase == named[0]:
                near[rows] |= (share > 0) & (share >= share.max() / 2)
    return Example(tokens, near, question)


def _rounded_up(length: int) -> int:
    return -(-length // _LENGTHS) * _LENGTHS


def _padded(row: Tensor, length: int, fill: int) -> Tensor:
    return torch.nn.functional.pad(row, (length - row.shape[1], 0), value=fill)
