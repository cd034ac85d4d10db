"""Which features a regulariser acts on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.thinkjepa.losses.regularisers import random_directions, sigreg, spectral_entropy, variance_hinge, vicreg
from agents.thinkjepa.training.config import Regularised, Regulariser
from agents.thinkjepa.training.distributed import gathered
from agents.thinkjepa.training.draws import rng, torch_generator


@dataclass(frozen=True)
class Regularisation:
    """A regulariser and what it acts on.

    Attributes:
        kind: See `config.CausalConfig`.
        on: ``tokens``: at some places of the grid, drawn at every step, tokens minus the mean of their place over the
            batch, all together as one sample, so that position alone satisfies nothing. ``pooled``: the mean over
            tokens. ``all``: every token as it is, one sample as well (seed, section 4.7). Several: their mean.
        directions: Of SIGReg.
        places: Of ``tokens``.
    """

    kind: Regulariser
    on: tuple[Regularised, ...]
    directions: int
    places: int

    def draw(self, seed: int, step: int, tokens: int, width: int) -> dict[str, Tensor]:
        """What a step draws: places ``(places,)`` among ``tokens`` and directions ``(width, directions)``."""
        places = torch.from_numpy(rng(seed, "places", step).permutation(tokens)[: self.places])
        generator = torch_generator(seed, "directions", step)
        return {"places": places, "directions": random_directions(width, self.directions, generator)}

    def __call__(self, features: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        """Of ``(B, N, D)`` features of this process's pictures; a scalar over those of all processes, in float32."""
        with torch.autocast(features.device.type, enabled=False):
            return self._of(features.float(), drawn)

    def _of(self, features: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        terms = []
        if "tokens" in self.on:
            tokens = gathered(features[:, drawn["places"]])
            terms.append(self._of_tokens(tokens - tokens.mean(0), drawn))
        if "all" in self.on:
            terms.append(self._of_tokens(gathered(features), drawn))
        if "pooled" in self.on:
            terms.append(self._term(gathered(features.mean(1)), drawn["directions"]))
        return torch.stack(terms).mean()

    def _of_tokens(self, tokens: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        # SIGReg grows with the number of rows; those of one picture are no samples of their own.
        scale = 1 / tokens.shape[1] if self.kind == "sigreg" else 1.0
        return scale * self._term(tokens.flatten(0, 1), drawn["directions"])

    def _term(self, rows: Tensor, directions: Tensor) -> Tensor:
        match self.kind:
            case "sigreg":
                return sigreg(rows, directions)
            case "vicreg":
                return vicreg(rows, rows) / 2
            case "spectral":
                return spectral_entropy(rows) + variance_hinge(rows)
            case "seed_spectral":
                return spectral_entropy(rows)
        return rows.new_zeros(())
