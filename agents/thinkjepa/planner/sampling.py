"""The planner's random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agents.thinkjepa.planner.config import PlannerConfig


def draw_noise(config: PlannerConfig, action_dim: int, seeds: Sequence[int]) -> Tensor:
    """All the noise of one decision, one seed per lane: ``(E, sum of populations, H, A)``, of unit variance.

    Drawn on the CPU whatever the model's device and lane by lane, so a lane's plan depends neither on its neighbours
    nor on the hardware's generator.

    Args:
        config: Sizes and colour.
        action_dim: Components of a model action.
        seeds: One per lane; its lowest 63 bits count.
    """
    shape = (sum(config.populations), config.horizon, action_dim)
    lanes = [torch.randn(shape, generator=torch.Generator().manual_seed(seed % 2**63)) for seed in seeds]
    return colour(torch.stack(lanes), config.noise_exponent, axis=-2)


def colour(white: Tensor, exponent: float, axis: int) -> Tensor:
    """Give white noise the power spectrum ``1 / f^exponent`` along an axis, and unit variance at every place.

    Timmer and Koenig, Astronomy and Astrophysics 1995, as used by iCEM. The constant component has the power of the
    lowest frequency. Exponent 0 changes nothing.
    """
    if exponent == 0 or white.shape[axis] == 1:
        return white
    length = white.shape[axis]
    frequency = torch.fft.rfftfreq(length).clamp_min(1 / length)
    amplitude = frequency ** (-exponent / 2)
    twice = torch.full_like(frequency, 2.0)  # components that stand for themselves and their conjugate
    twice[0] = 1
    if length % 2 == 0:
        twice[-1] = 1
    amplitude = amplitude / (twice * amplitude.square()).sum().div(length).sqrt()
    spectrum = torch.fft.rfft(white.movedim(axis, -1)) * amplitude
    coloured: Tensor = torch.fft.irfft(spectrum, n=length)
    return coloured.movedim(-1, axis)
