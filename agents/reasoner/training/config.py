"""What can be chosen in the training of a reasoner; the defaults are in ``configs/train/reasoner.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from agents.reasoner.tiny import TinySizes
from agents.thinkjepa.training.config import LoopConfig, ScheduleConfig, Share

TINY = "tiny"
"""The ``model`` that is made here."""

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class PlanDataConfig:
    """What is trained on.

    Attributes:
        sources: Folders of `harness plans`; questions of their split ``train``.
        told: Share of questions about later states in which the sub-goals that were reached are told, as an agent does
            that asks again; the others have to be answered from the picture.
        described: Share of samples in which the picture is to be described instead: what there is, what it rests on
            and where. Those words depend on nothing but the picture.
        shifted: Pixels by which pictures are shifted at most, in every direction; drawn anew each time.
        aloud: Whether answers say first what rests on what, and then the sub-goals: a chain of thought.
    """

    sources: Annotated[tuple[Path, ...], Field(min_length=1)]
    told: Share
    described: Annotated[float, Field(ge=0, lt=1)]
    shifted: NonNegativeInt
    aloud: bool


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class LoraConfig:
    """A low-rank adapter (seed: rank 16, alpha 32) of the language model's attention."""

    rank: PositiveInt
    alpha: PositiveInt


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class RateConfig(ScheduleConfig):
    """The schedule with its one rate.

    Attributes:
        learning_rate: The highest one.
    """

    learning_rate: PositiveFloat


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class AnswerWeights:
    """Weights of the losses; what weighs nothing is not computed.

    Attributes:
        answers: What is said, token by token.
        looks: Where the language model's last layer looks: at a thing where it names it.
        sees: What patches of the vision tower tell of themselves, before any language: what is there and on what it
            rests.
    """

    answers: NonNegativeFloat
    looks: NonNegativeFloat
    sees: NonNegativeFloat

    def __post_init__(self) -> None:
        if not (self.answers or self.looks or self.sees):
            raise ValueError("weights of 0 teach nothing; give weights.answers=1")

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """All losses that there are, weighted."""
        return torch.stack([getattr(self, name) * term for name, term in terms.items()]).sum()


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class ReasonerConfig(LoopConfig):
    """One training run of a reasoner.

    Attributes:
        data: What is trained on.
        model: ``tiny``, which is made from the words of the data and trained as a whole; or a folder or hub id.
        sizes: Of ``tiny``.
        init: Whose weights ``tiny`` begins with: an earlier one of the same sizes but for ``merge`` and ``crop``, its
            folder or the name of a shipped one.
        lora: The adapter that another model gets; ``None`` trains all its weights. ``tiny`` has none.
        checkpointing: Whether activations are computed twice instead of kept, for models that need much memory.
        pieces: A batch goes through the model in so many pieces of answers of like length, which pads them less.
        weights: Of the losses.
        optimiser: AdamW, maybe with Muon.
    """

    data: PlanDataConfig
    model: Annotated[str, Field(min_length=1)]
    sizes: TinySizes
    init: str | None
    lora: LoraConfig | None
    checkpointing: bool
    pieces: PositiveInt
    weights: AnswerWeights
    optimiser: RateConfig

    def __post_init__(self) -> None:
        if self.init is not None and self.model != TINY:
            raise ValueError(f"init={self.init} is for model={TINY}; leave it away, model={self.model} has weights")
        if self.weights.sees and self.model != TINY and self.lora is not None:
            raise ValueError(
                f"weights.sees={self.weights.sees:g} teaches the vision tower, which an adapter leaves as it is; give "
                "weights.sees=0 or lora=null"
            )
        if self.optimiser.muon is not None and self.model != TINY and self.lora is not None:
            raise ValueError(
                f"optimiser.muon={self.optimiser.muon:g} is for matrices that are trained themselves, an adapter's are "
                "factors; give optimiser.muon=null or lora=null"
            )
        if self.weights.looks and self.checkpointing:
            raise ValueError(
                f"weights.looks={self.weights.looks:g} watches attention, which rules checkpointing=true out: give "
                "weights.looks=0"
            )
