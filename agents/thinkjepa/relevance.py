"""The reasoner's attention map over the scene: where a sub-goal is (seed, sections 4.4 and 4.8)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional


def resize(maps: Tensor, grid: int) -> Tensor:
    """Bring attention maps to the state's grid, with mean 1 over tokens.

    Args:
        maps: ``(B, h, w)``, not negative, any scale; of a patch grid of any size. A map of zeros says nothing and
            becomes uniform.
        grid: Side of the state's token grid.

    Returns:
        ``(B, grid * grid)``.

    Raises:
        ValueError: A value is negative or not finite.
    """
    if not torch.isfinite(maps).all() or (maps < 0).any():
        raise ValueError("an attention map holds negative or non-finite values; give attention weights, not logits")
    resized = functional.interpolate(maps.unsqueeze(1).float(), (grid, grid), mode="bilinear", antialias=True).flatten(
        1
    )
    mean = resized.mean(dim=1, keepdim=True)
    return torch.where(mean > 0, resized / mean.clamp_min(torch.finfo(torch.float32).tiny), torch.ones_like(resized))


def spot_maps(spots: npt.NDArray[np.float64], grid: int) -> Tensor:
    """Attention maps that show spots.

    Args:
        spots: ``(K, M, 2)``: u and v in cells; NaN for none.
        grid: Side of the state's grid.

    Returns:
        ``(K, N)`` with mean 1; uniform where there are no spots.
    """
    centre = np.arange(grid) + 0.5
    squared = (centre - spots[..., None, 1:]) ** 2, (centre - spots[..., None, :1]) ** 2  # (K, M, 1, grid) of v and u
    bumps = np.exp(-(np.swapaxes(squared[0], -1, -2) + squared[1]) / 2)
    maps = 0.05 + np.nan_to_num(bumps).sum(axis=1)
    return resize(torch.from_numpy(maps).float(), grid)


def key_bias(relevance: Tensor, alpha: float, epsilon: float) -> Tensor:
    """``alpha * log(w + epsilon)``, the reasoning-guided bias on the logits of keys (seed, section 4.8).

    The scale of ``w`` does not matter beyond ``epsilon``: a softmax ignores a constant that all keys share. A uniform
    map is no bias. The predictor must have seen such biases in training.

    Args:
        relevance: w, ``(B, N)`` with mean 1.
        alpha: 0.3 in the seed.
        epsilon: 1e-6 in the seed.
    """
    return alpha * torch.log(relevance + epsilon)
