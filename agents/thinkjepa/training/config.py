"""What can be chosen in training, typed and checked; the defaults are in ``configs/train``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from pydantic.dataclasses import dataclass

from agents.thinkjepa.distances import Cost
from agents.thinkjepa.losses.weights import LossWeights
from agents.thinkjepa.presets import Preset
from agents.thinkjepa.training.camera import CameraConfig

_STRICT = ConfigDict(extra="forbid")
Part = Literal["encoder", "predictor", "gpi", "readouts"]
Share = Annotated[float, Field(ge=0, le=1)]
Target = Literal["world_model", "gpi"]


class TrainingError(Exception):
    """Training cannot start or go on; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class DataConfig:
    """What is trained on.

    Attributes:
        sources: Folders of datasets (or of the runs that collected them) and files of `harness pack`; all of one kind.
        image: The observation that the model sees.
        action_block: k, environment actions in one model action; frames are k actions apart.
        held_out: Share of episodes that nothing is trained on; health and thresholds are measured there.
        limit: Only the first so many episodes of each source; ``None`` for all.
        mirror: Whether mirror images of episodes are trained on as well, as ``camera.mirror`` says.
    """

    sources: Annotated[tuple[Path, ...], Field(min_length=1)]
    image: str
    action_block: PositiveInt
    held_out: Annotated[float, Field(gt=0, lt=1)]
    limit: PositiveInt | None
    mirror: bool


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class ScheduleConfig:
    """AdamW, maybe with Muon, and its schedule: linear warm-up, then a cosine.

    Attributes:
        betas: Of AdamW.
        muon: Where it is given, the matrices of transformers' blocks are trained by Muon (Jordan et al., 2024) at so
            many times the learning rate, with steps that are scaled to be like AdamW's (Liu et al., "Muon is Scalable
            for LLM Training", 2025).
        weight_decay: Of weight matrices; biases, norms, positions and tokens have none.
        warmup: Steps until the highest rate.
        final: Share of the highest rate at the last step.
        clip: Largest norm of the gradient.
    """

    betas: tuple[Share, Share]
    muon: PositiveFloat | None
    weight_decay: NonNegativeFloat
    warmup: NonNegativeInt
    final: Share
    clip: PositiveFloat


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class OptimiserConfig(ScheduleConfig):
    """The same with the rates of a world model's parts.

    Attributes:
        learning_rates: Highest rate of each part; a part with rate 0 is frozen. Readouts are heads of auxiliary losses.
    """

    learning_rates: dict[Part, NonNegativeFloat]


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class CollapseConfig:
    """When training stops because states have collapsed: either number is below its limit on held-out pictures.

    Attributes:
        std: Least standard deviation of a state's element between pictures, at its place (1 is the scale of a state).
        rank: Least effective rank of the same.
        after: Steps before which nothing is judged.
    """

    std: NonNegativeFloat
    rank: NonNegativeFloat
    after: NonNegativeInt


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class EveryConfig:
    """Steps between two lines of progress, two saved states and two measurements of health."""

    log: PositiveInt
    save: PositiveInt
    health: PositiveInt


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class LossConfig:
    """``mse``, or ``smooth_l1`` with its ``beta``."""

    kind: Literal["mse", "smooth_l1"]
    beta: PositiveFloat


def _require_weight(weights: LossWeights, *terms: str, regulariser: Regulariser = "none") -> None:
    counted = terms if regulariser == "none" else (*terms, "regulariser")
    if not any(getattr(weights, term) for term in counted):
        raise ValueError(f"weights of 0 teach nothing; give weights.{terms[0]}=1")


Regulariser = Literal["sigreg", "vicreg", "spectral", "seed_spectral", "none"]
Regularised = Literal["tokens", "pooled", "all"]


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class CausalConfig:
    """Stage 1b: one step ahead from every frame of a window (teacher forcing) and a roll-out from its first.

    Attributes:
        kind: ``causal``.
        rollout: R, model actions of a window; roll-outs are scored from their second step on.
        loss: Of predictions.
        target: What predictions are compared with: ``online`` encodings, the same ``stopped`` (no gradient), or those
            of an ``ema`` of the encoder.
        regulariser: ``sigreg``; ``vicreg`` (its variance and covariance); ``spectral`` (entropy and a variance hinge);
            ``seed_spectral`` (entropy alone, which does not see scale); ``none``.
        regularise: What it acts on, see `regularisation.Regularisation`.
        directions: Of SIGReg, drawn anew at every step.
        places: Token places of ``tokens``, drawn anew at every step.
        relevance: Share of samples with a random attention map, so that planning with one is nothing new.
        shift: Pictures are moved by up to so many pixels in both directions, and with them the labels of ``objects``
            and the points of actions that a camera knows; not what ``inverse_dynamics`` and ``state`` are to read.
        state: Observations of the state auxiliary; ``object_states`` are the positions of named objects.
        weights: Of the terms. The state auxiliary reads ground truth of the simulator.
    """

    kind: Literal["causal"]
    rollout: PositiveInt
    loss: LossConfig
    target: Literal["online", "stopped", "ema"]
    regulariser: Regulariser
    regularise: Annotated[tuple[Regularised, ...], Field(min_length=1)]
    directions: PositiveInt
    places: PositiveInt
    relevance: Share
    shift: NonNegativeInt
    state: tuple[str, ...]
    weights: LossWeights

    def __post_init__(self) -> None:
        if self.weights.rollout and self.rollout < 2:
            raise ValueError("weights.rollout has nothing to weigh: give rollout of at least 2 or weights.rollout=0")
        if self.shift and self.target == "ema":
            raise ValueError("shift=0 is needed with target=ema: its pictures are not moved")
        if self.weights.state and not self.state:
            raise ValueError("weights.state has nothing to weigh: name observations in state or give weights.state=0")
        terms = ("prediction", "rollout", "inverse_dynamics", "state", "objects")
        _require_weight(self.weights, *terms, regulariser=self.regulariser)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class MaskedConfig:
    """Stage 1: masked pre-training on clips.

    Attributes:
        kind: ``masked``.
        frames: T of a clip; with ``actions`` one more is needed, since an action follows the last one.
        masks: ``seed`` (section 4.6) or ``tubes`` (the two schemes of V-JEPA 2, taken in turns).
        actions: Whether the predictor is told the actions of the clip.
        loss: Of predictions.
        regulariser: As in `CausalConfig`.
        regularise: As there.
        directions: As there.
        places: As there.
        momentum: Of the target encoder at the first and the last step.
        weights: Of the terms.
    """

    kind: Literal["masked"]
    frames: PositiveInt
    masks: Literal["seed", "tubes"]
    actions: bool
    loss: LossConfig
    regulariser: Regulariser
    regularise: Annotated[tuple[Regularised, ...], Field(min_length=1)]
    directions: PositiveInt
    places: PositiveInt
    momentum: tuple[Share, Share]
    weights: LossWeights

    def __post_init__(self) -> None:
        _require_weight(self.weights, "prediction", regulariser=self.regulariser)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class RankingConfig:
    """How goals rank actions: a softmax over ``-cost / (temperature * mean cost)``; ``distance`` as in `Objective`."""

    distance: Cost
    temperature: PositiveFloat


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class RelevanceConfig:
    """Shares of samples whose attention map shows the ``named`` things, or a ``random`` one; the rest have none."""

    named: Share
    random: Share

    def __post_init__(self) -> None:
        if self.named + self.random > 1:
            raise ValueError(f"named={self.named} and random={self.random} are more than all samples")


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class GoalsConfig:
    """Stage 2: from a state and a sub-goal in words to the state after the action that reached it.

    Attributes:
        kind: ``goals``.
        contrast: What InfoNCE compares: ``pooled``, the mean tokens of goals and states, as the seed has it; or
            ``changes``, a learned projection of their differences from the current state. Goals know the scene, and
            two scenes differ by more than a sub-goal changes.
        temperature: tau_c of InfoNCE.
        loss: Of goal tokens against encoded and predicted tokens.
        balanced: Share of samples that are drawn evenly over kinds of sub-goals.
        holding: Share of samples of which the sub-goal holds already.
        alternatives: Actions that the one that reached the sub-goal is ranked against, see `subgoals.SubGoals`.
        ranking: How.
        others: Other sub-goals of the scene that the same action is judged by, see `subgoals.SubGoals`.
        relevance: Attention maps.
        shift: As in `CausalConfig`.
        weights: Of the terms.
    """

    kind: Literal["goals"]
    contrast: Literal["changes", "pooled"]
    temperature: PositiveFloat
    loss: LossConfig
    balanced: Share
    holding: Share
    alternatives: PositiveInt
    ranking: RankingConfig
    others: NonNegativeInt
    relevance: RelevanceConfig
    shift: NonNegativeInt
    weights: LossWeights

    def __post_init__(self) -> None:
        if self.others and not self.weights.truth:
            raise ValueError("others are compared for nothing: give weights.truth above 0, or others=0")
        if self.holding == 1 and self.weights.gpi:
            raise ValueError("holding=1 leaves no sub-goal that is reached, for weights.gpi to compare: lower holding")
        _require_weight(self.weights, "gpi", "regression", "ranking", *(["truth"] if self.others else []))


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class LoopConfig:
    """What any training run needs.

    Attributes:
        out: Folder of the run: what a killed run goes on from, logs, and the checkpoint.
        seed: Of weights and of every draw.
        device: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.
        precision: ``auto`` (bfloat16 where the GPU has it), ``float32`` or ``bf16``.
        steps: Optimiser steps.
        batch: Samples of a step, of all processes together.
        optimiser: AdamW, maybe with Muon.
        every: Steps between.
        health_samples: Held-out samples that health is measured on.
    """

    out: Path
    seed: NonNegativeInt
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "float32", "bf16"]
    steps: PositiveInt
    batch: Annotated[int, Field(ge=2)]
    optimiser: ScheduleConfig
    every: EveryConfig
    health_samples: Annotated[int, Field(ge=8)]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return dict(json.loads(json.dumps(asdict(self), default=str)))


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class TrainConfig(LoopConfig):
    """One training run of a part of ThinkJEPA.

    Attributes:
        data: What is trained on.
        objective: What is minimised.
        camera: Where the camera sees points of actions; ``None`` where that is not known.
        preset: Size of a new model.
        model: Changes of single fields of its configuration (`agents.thinkjepa.config`), nested.
        init: A checkpoint to start from; its configuration replaces ``preset`` and ``camera``.
        init_gpi: A checkpoint whose Goal Projection Interface to start from instead of that of ``init``, which may have
            learned of another world model with states of the same size.
        init_encoder: A published V-JEPA 2 model (hub id or local folder) whose encoder a new model starts from; its
            ``model.world_model.encoder.kind`` is ``vjepa2``.
        encode_once: Whether the states of all pictures are computed before the first step and kept in memory (2 N D
            bytes each, in every process), for stages in which the encoder is frozen.
        optimiser: AdamW, maybe with Muon.
        collapse: When to stop.
    """

    data: DataConfig
    objective: Annotated[CausalConfig | MaskedConfig | GoalsConfig, Field(discriminator="kind")]
    camera: CameraConfig | None
    preset: Preset
    model: dict[str, Any]
    init: str | None
    init_gpi: str | None
    init_encoder: str | None
    encode_once: bool
    optimiser: OptimiserConfig
    collapse: CollapseConfig

    def __post_init__(self) -> None:
        if self.init_gpi is not None and self.init is None:
            raise ValueError("init_gpi is of no use alone: give init, the checkpoint of a world model")
        if self.init_encoder is not None and self.init is not None:
            raise ValueError("init_encoder is for a new model, and init has an encoder already: give one of the two")
        if not self.encode_once:
            return
        if self.optimiser.learning_rates.get("encoder"):
            raise ValueError("encode_once=true needs a frozen encoder: give optimiser.learning_rates.encoder=0")
        objective = self.objective
        if isinstance(objective, MaskedConfig):
            raise ValueError("encode_once=true: masked pre-training encodes parts of pictures; give encode_once=false")
        if objective.shift:
            raise ValueError("encode_once=true leaves no shifted pictures: give objective.shift=0 or encode_once=false")
        if isinstance(objective, CausalConfig) and (objective.regulariser != "none" or objective.target == "ema"):
            raise ValueError(
                "encode_once=true leaves nothing to regularise and no moving target: give objective.regulariser=none "
                "and objective.target=stopped"
            )
