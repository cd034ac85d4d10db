"""Every size and choice of the model, validated where it is written down.

The configurations are plain data: ``dataclasses.asdict`` gives JSON, ``Config(**data)`` reads it back. Whatever is out
of range, misspelt or does not fit together raises pydantic's ``ValidationError`` (a ``ValueError``) that names the
field.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

_STRICT = ConfigDict(extra="forbid")
Probability = Annotated[float, Field(ge=0, lt=1)]
Normalisation = Literal["layer", "l2"]
Crop = tuple[float, float, float, float]
WHOLE: Crop = (0.0, 0.0, 1.0, 1.0)


def require_crop(crop: Crop) -> None:
    """Raise `ValueError` for what is no part of a picture."""
    left, top, right, bottom = crop
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(f"crop={crop}: give left, top, right and bottom from 0 to 1")


def _require_divisible(what: str, number: int, by_what: str, by: int) -> None:
    if number % by:
        raise ValueError(f"{what}={number} is no multiple of {by_what}={by}")


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class EncoderConfig:
    """A vision transformer over square frames (seed, section 4.1).

    Attributes:
        kind: ``vit`` is trained here; ``vjepa2`` is Hugging Face's ``VJEPA2Model`` (see `vjepa2`).
        image_size: Side of a frame in pixels.
        patch_size: Side of a patch in pixels.
        width: D, of the tokens.
        layers: Transformer blocks.
        heads: Attention heads.
        mlp_ratio: Hidden width of a block's MLP over ``width``.
        stem: What makes tokens of patches: one ``linear`` layer, or ``conv``, see `encoder.ConvStem`; of ``vit``.
        window: Tokens attend to those at most so many rows and columns away, so that what is seen at one place changes
            the tokens around it only; ``None`` for all. Of ``vit``.
        crop: The part of a picture that is brought to ``image_size``: left, top, right and bottom from 0 to 1.
    """

    kind: Literal["vit", "vjepa2"] = "vit"
    image_size: PositiveInt
    patch_size: PositiveInt
    width: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    mlp_ratio: PositiveFloat = 4.0
    stem: Literal["linear", "conv"] = "linear"
    window: NonNegativeInt | None = None
    crop: Crop = WHOLE

    def __post_init__(self) -> None:
        require_crop(self.crop)
        if self.kind == "vjepa2" and (self.stem != "linear" or self.window is not None):
            raise ValueError("stem and window are for kind=vit, V-JEPA 2 has its own; leave them away")
        _require_divisible("image_size", self.image_size, "patch_size", self.patch_size)
        if self.stem == "conv":
            _require_divisible("patch_size", self.patch_size, "the strides of the stem", 4)
            _require_divisible("width", self.width, "the groups of the stem", 16)
        _require_divisible("width", self.width, "heads", self.heads)

    @property
    def side(self) -> int:
        """Patches along one side of a frame."""
        return self.image_size // self.patch_size


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class ActionPoint:
    """A point on the work surface that is named by two components of an action, and where the camera sees it.

    Attributes:
        x: Index of the component that holds the first coordinate.
        y: Index of the component that holds the second coordinate.
        homography: Row-major 3 x 3 matrix from ``(x, y, 1)`` to homogeneous image coordinates ``(u, v, 1)``; u runs
            right and v down, both from 0 to 1 across what the encoder sees.
    """

    x: NonNegativeInt
    y: NonNegativeInt
    homography: Annotated[tuple[float, ...], Field(min_length=9, max_length=9)]


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class PredictorConfig:
    """The action-conditioned predictor (seed, sections 4.3 and 4.8).

    Attributes:
        width: D_p, of its hidden tokens.
        layers: Transformer blocks.
        heads: Attention heads.
        frames: Longest clip that can be infilled (temporal positions).
        conditioning: ``film`` scales and shifts after every layer normalisation; ``concat`` appends the action to the
            input tokens (the seed's ablation).
        action_points: Points of an action that are drawn into the token grid, beside the conditioning: a grasp
            position given as numbers is then seen where it is. Measured in a prototype as the largest single gain.
        carry: Whether what is at one of these points is shown to the tokens at the others, see `predictor.Carry`.
        residual: Whether a step predicts the change of the state (default) or, as in the seed, the state itself.
        dropout: Of attention output and MLP.
        attention_alpha: Weight of the reasoning-guided bias on attention logits.
        attention_epsilon: Keeps the logarithm of a zero relevance finite.
    """

    width: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    frames: PositiveInt = 16
    conditioning: Literal["film", "concat"] = "film"
    action_points: tuple[ActionPoint, ...] = ()
    carry: bool = True
    residual: bool = True
    dropout: Probability = 0.1
    attention_alpha: Annotated[float, Field(ge=0)] = 0.3
    attention_epsilon: PositiveFloat = 1e-6

    def __post_init__(self) -> None:
        _require_divisible("width", self.width, "heads", self.heads)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class WorldModelConfig:
    """Encoder and predictor over one state space.

    Attributes:
        encoder: Frames to tokens.
        predictor: A state and an action to the next state.
        action_dim: A, components of one model action. Where a model action is a block of k environment actions, k
            times the environment's.
        grid: Side of the state's token grid. Patches are average-pooled to it, so that N = grid x grid.
        normalisation: The one rule that makes a state of encoder outputs and of predictions alike: ``layer``
            (zero mean and unit variance over D, as V-JEPA 2-AC) or ``l2`` (unit norm, the seed's).
    """

    encoder: EncoderConfig
    predictor: PredictorConfig
    action_dim: PositiveInt
    grid: PositiveInt
    normalisation: Normalisation = "layer"

    def __post_init__(self) -> None:
        if self.grid > self.encoder.side:
            raise ValueError(f"grid={self.grid} is finer than the encoder's {self.encoder.side} patches per side")
        for point in self.predictor.action_points:
            if max(point.x, point.y) >= self.action_dim:
                raise ValueError(f"action_points names component {max(point.x, point.y)} of {self.action_dim}")

    @property
    def tokens(self) -> int:
        """N, of one state."""
        return self.grid**2


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class GPIConfig:
    """The Goal Projection Interface (seed, section 4.5).

    Attributes:
        language_dim: D_VLM, of a sub-goal's embedding.
        layers: Blocks of the refinement transformer; 0 removes it (the seed's ablation).
        heads: Attention heads.
        modulation: ``additive`` (default) or the seed's ``product``, see `gpi`.
        scene: Whether goal tokens are conditioned on the current state and predict its change.
        film: Whether the sub-goal also scales and shifts every block of the refinement: which tokens it speaks of is a
            product of what they show and what it says, and sums find products slowly.
        beside: Side, in tokens, of the neighbourhood that every block of the refinement also convolves (odd), or 0:
            "to the left of" is a step on the grid of tokens, and attention has to learn it for every place by itself.
        projection: ``learned``, or ``random``: a fixed random projection without anything learned (the seed's
            ablation).
        text: What embeds sub-goals: ``hashed_words`` (`words.embed`), or ``external``: a reasoner's language model.
    """

    language_dim: PositiveInt
    layers: NonNegativeInt
    heads: PositiveInt
    modulation: Literal["additive", "product"] = "additive"
    scene: bool = True
    film: bool = False
    beside: NonNegativeInt = 0
    projection: Literal["learned", "random"] = "learned"
    text: Literal["hashed_words", "external"] = "hashed_words"

    def __post_init__(self) -> None:
        if self.projection == "random" and (self.layers or self.scene or self.modulation == "additive"):
            raise ValueError("projection=random has nothing learned: give layers=0, scene=False, modulation=product")
        if self.film and not self.layers:
            raise ValueError("film=true needs blocks to modulate: give layers of at least 1, or film=false")
        if self.beside and (not self.beside % 2 or not self.layers):
            raise ValueError(f"beside={self.beside} must be odd and needs layers of at least 1; give 0 for none")


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class ThinkJEPAConfig:
    """A whole model. The GPI's width is the encoder's."""

    world_model: WorldModelConfig
    gpi: GPIConfig

    def __post_init__(self) -> None:
        _require_divisible("encoder width", self.world_model.encoder.width, "gpi.heads", self.gpi.heads)
