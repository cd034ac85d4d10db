"""What a stage of training is: which samples there are, what is drawn for a step, and the terms of its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from agents.thinkjepa.distances import Distance
from agents.thinkjepa.images import shifted, to_frames
from agents.thinkjepa.losses.prediction import PredictionLoss, mse, smooth_l1
from agents.thinkjepa.losses.weights import LossWeights
from agents.thinkjepa.model import ThinkJEPA
from agents.thinkjepa.relevance import spot_maps
from agents.thinkjepa.training.config import LossConfig, TrainingError
from agents.thinkjepa.training.health import Threshold
from agents.thinkjepa.training.recordings import Recordings


@dataclass(frozen=True)
class Batch:
    """What a step is made of.

    Attributes:
        samples: Tensors with one row per sample; each process gets its part.
        shared: Tensors that all processes have alike, such as directions of SIGReg.
    """

    samples: Mapping[str, Tensor]
    shared: Mapping[str, Tensor] = field(default_factory=dict)

    def part(self, rows: slice, device: torch.device) -> Batch:
        """Some of the samples, on a device."""
        return Batch(
            {name: value[rows].to(device) for name, value in self.samples.items()},
            {name: value.to(device) for name, value in self.shared.items()},
        )


class Objective(nn.Module, ABC):
    """A stage: the model, heads and targets that training needs beside it, and what a step minimises.

    ``forward(batch)`` gives the unweighted terms by the names of `LossWeights`.
    """

    weights: LossWeights

    def __init__(self, model: ThinkJEPA, recordings: Recordings, block: int, seed: int) -> None:
        super().__init__()
        self.model = model
        self.recordings = recordings
        self.block = block
        self.seed = seed
        self._pixels = recordings.frames  # no buffer: processes would send it to each other
        self._states: Tensor | None = None

    def place(self, device: torch.device) -> None:
        """Bring the model and the pictures to a device; they are many, but a batch at a time is what would be slow."""
        self.to(device)
        self._pixels = self._pixels.to(device)

    @abstractmethod
    def samples(self, *, held_out: bool = False) -> int:
        """How many there are to train on, or to measure on."""

    @abstractmethod
    def draw(self, indices: npt.NDArray[np.int64], step: int, *, held_out: bool = False) -> Batch:
        """Everything that a step needs of these samples; the same for the same arguments."""

    def after_step(self, step: int, steps: int) -> None:
        """What follows an optimiser step, such as a moving average."""

    @abstractmethod
    def health(self, count: int) -> dict[str, float]:
        """Numbers of this stage on about ``count`` held-out samples; see `health`."""

    def thresholds(self, count: int) -> dict[Distance, Threshold]:  # noqa: ARG002
        """Distances below which a sub-goal counts as reached, from about ``count`` held-out samples."""
        return {}

    @torch.no_grad()
    def encode_once(self) -> None:
        """Keep the states of all pictures, in float16: the encoder is frozen."""
        world = self.model.world_model.config
        rows = torch.arange(len(self._pixels), device=self._pixels.device).unsqueeze(1)
        kept = torch.empty(len(rows), world.tokens, world.encoder.width, dtype=torch.float16, device=rows.device)
        for part in rows.split(256):
            kept[part[:, 0]] = self.states(part)[:, 0].half()
        self._states = kept

    @property
    def encoded_once(self) -> bool:
        """Whether `encode_once` was called."""
        return self._states is not None

    def states(self, rows: Tensor, shift: Tensor | None = None) -> Tensor:
        """States of rows ``(B, T)``: ``(B, T, N, D)``; ``shift`` as in `look`."""
        if self._states is not None:
            return self._states[rows].float()
        return self.model.world_model.encode(self.look(rows, shift))

    def look(self, rows: Tensor, shift: Tensor | None = None) -> Tensor:
        """Pictures of rows ``(B, T)`` as ``(B, T, 3, H, W)`` in [0, 1], moved by ``shift`` ``(B, 2)`` pixels."""
        frames = to_frames(self._pixels[rows])
        return frames if shift is None else shifted(frames, shift)

    def require_points(self) -> None:
        """Raise `TrainingError` unless actions can move with shifted pictures."""
        if not self.model.world_model.config.predictor.action_points:
            raise TrainingError(
                "objective.shift moves pictures, and it is not known how actions move with them; give a camera with "
                "points, or objective.shift=0"
            )

    def moved(self, shift: Tensor | None) -> Tensor | None:
        """A shift in pixels as shares of a side."""
        return None if shift is None else shift / self.model.world_model.config.encoder.image_size


def prediction_loss(config: LossConfig) -> PredictionLoss:
    """The loss that a configuration names."""
    if config.kind == "mse":
        return mse

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        return smooth_l1(prediction, target, config.beta)

    return loss


def require_samples(count: int, what: str, remedy: str) -> None:
    """Raise `TrainingError` unless there are samples."""
    if count < 1:
        raise TrainingError(f"the data hold no {what}; {remedy}")


def random_shift(count: int, reach: int, rng: np.random.Generator) -> Tensor:
    """Pixels to the right and down, ``(count, 2)``, each from ``-reach`` to ``reach``."""
    return torch.from_numpy(rng.integers(-reach, reach + 1, (count, 2)))


def random_relevance(count: int, share: float, grid: int, rng: np.random.Generator) -> Tensor:
    """Attention maps ``(count, N)`` with mean 1: a ``share`` shows up to three random spots, the rest is uniform."""
    spots = rng.random((count, 3, 2)) * grid
    spots[rng.random((count, 3)) < 0.4] = np.nan
    maps = spot_maps(spots, grid)
    maps[torch.from_numpy(rng.random(count) >= share)] = 1.0
    return maps
