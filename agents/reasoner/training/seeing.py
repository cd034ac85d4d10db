"""Teaching a vision tower by itself: every patch is to tell what is there, and on what that rests.

A language model learns from its answers only slowly to tell a cube from a cylinder. Here the patches are read linearly
instead, word by word; the readout is thrown away afterwards.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.thinkjepa.config import WHOLE, Crop
from agents.thinkjepa.training.config import TrainingError
from harness.plans import Question, Thing

_SHOWN = 0.25
"""Share of a patch from which it tells of a thing; less is enough where no other shows more of it."""

_RARE = -4.0
"""Log-odds of a word at a patch before anything is learnt; most patches show the table."""


class Seeing(nn.Module):
    """What patches say, read linearly.

    Args:
        questions: Whose words are read.
        width: Of a patch's state.
        crop: The part of pictures that patches are of.
    """

    def __init__(self, questions: Sequence[Question], width: int, crop: Crop = WHOLE) -> None:
        super().__init__()
        self._crop = crop
        phrases = {text for question in questions for thing in question.things for text in (thing.phrase, thing.on)}
        self._words = {word: place for place, word in enumerate(sorted({*" ".join(phrases).split()}))}
        self.readout = nn.Linear(width, 2 * len(self._words))
        nn.init.constant_(self.readout.bias, _RARE)

    def loss(self, patches: Tensor, questions: Sequence[Question]) -> Tensor:
        """Binary cross-entropy over patches and words, divided by the number of words to say; summed over pictures.

        Args:
            patches: Of the vision tower's last layer, ``(B, P, D)``, row by row of a square.
            questions: ``B`` of them.
        """
        said = self._said(patches)
        told = torch.stack([self.targets(question, math.isqrt(patches.shape[1])) for question in questions])
        told = told.to(said.device, said.dtype)
        wrong = functional.binary_cross_entropy_with_logits(said, told, reduction="none").flatten(1).sum(dim=1)
        return (wrong / told.flatten(1).sum(dim=1).clamp_min(1)).sum()

    def targets(self, question: Question, side: int) -> Tensor:
        """Words of the thing that a patch shows most of, and of what it rests on: ``bool (side ** 2, 2, words)``."""
        told = torch.zeros(side * side, 2, len(self._words), dtype=torch.bool)
        if not question.things:
            return told
        shown = torch.from_numpy(question.coverage((side, side), self._crop))
        most = shown.argmax(dim=0)
        for place, (thing, share) in enumerate(zip(question.things, shown, strict=True)):
            patches = (most == place) & (share > 0) & (share >= share.max().clamp(max=_SHOWN))
            for part, words in enumerate(self._places(thing)):
                told[patches.nonzero(), part, words] = True
        return told

    def right(self, patches: Tensor, questions: Sequence[Question]) -> Iterator[float]:
        """Of each thing that is seen and rests on something: the share of its words that are the likeliest ones at the
        patch that shows most of it.

        Words that were never taught do not count, nor do things that have no others.
        """
        side = math.isqrt(patches.shape[1])
        for row, question in zip(self._said(patches), questions, strict=True):
            for thing, share in zip(question.things, question.coverage((side, side), self._crop), strict=True):
                if thing.on and share.any() and any(self._places(thing)):
                    both = list(zip(row[int(share.argmax())], self._places(thing), strict=True))
                    hits = [len({*words} & {*says.topk(len(words)).indices.tolist()}) for says, words in both]
                    yield sum(hits) / sum(len(words) for _, words in both)

    def _said(self, patches: Tensor) -> Tensor:
        """``(B, P, 2, words)``."""
        said: Tensor = self.readout(patches.float()).float()
        return said.view(*said.shape[:-1], 2, len(self._words))

    def _places(self, thing: Thing) -> tuple[list[int], list[int]]:
        """Of the words for a thing and for what it rests on; words of no training question are left out."""
        one, other = ([self._words[w] for w in text.split() if w in self._words] for text in (thing.phrase, thing.on))
        return one, other


def vision_tower(model: nn.Module) -> Any:
    """The part of an image-text-to-text model that turns pictures into patches.

    Raises:
        TrainingError: There is none that gives all patches of a picture in order.
    """
    tower = getattr(getattr(model, "model", None), "vision_model", None)
    if not isinstance(tower, nn.Module):
        raise TrainingError(f"weights.sees is for model=tiny and SmolVLM; give 0 for a {type(model).__name__}")
    return tower


@contextlib.contextmanager
def patches_of(tower: nn.Module | None) -> Iterator[list[Tensor]]:
    """Collects what a tower gives meanwhile, ``(B, P, D)`` each time; nothing without one."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Any) -> None:
        seen.append(output.last_hidden_state)

    hooks = [tower.register_forward_hook(keep)] if tower is not None else []
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
