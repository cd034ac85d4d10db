"""Prediction losses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PredictionLoss = Callable[[Tensor, Tensor], Tensor]


def smooth_l1(prediction: Tensor, target: Tensor, beta: float = 1.0) -> Tensor:
    """Mean over all elements of ``d^2 / (2 beta)`` where ``|d| < beta``, else ``|d| - beta / 2``.

    Seed, section 4.7 (with ``beta = 1``); Girshick, ICCV 2015. On L2-normalised targets no element is ever further than
    ``beta = 1`` in practice, and the loss is ``mse / 2``: a beta below the targets' scale is needed to be robust.

    Args:
        prediction: Any shape.
        target: The same shape.
        beta: Above 0; where the parabola meets the line.

    Returns:
        A scalar.
    """
    distance = (prediction - target).abs()
    return torch.where(distance < beta, distance.square() / (2 * beta), distance - beta / 2).mean()


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over all elements of ``(prediction - target)^2``; any shape to a scalar.

    The prediction loss of DINO-WM (Zhou et al., arXiv 2411.04983) and PLDM (Sobal et al., arXiv 2502.14819).
    """
    return (prediction - target).square().mean()


def rollout_loss(prediction: Tensor, target: Tensor, loss: PredictionLoss, discount: float = 1.0) -> Tensor:
    """A prediction loss over a multi-step roll-out: ``sum_h discount^(h-1) loss_h / sum_h discount^(h-1)``.

    The roll-out loss of V-JEPA 2-AC (Assran et al., 2025, section 3.1) and of JEPA-WMs, beside teacher forcing.

    Args:
        prediction: ``(B, H, N, D)``, each step predicted from the one before.
        target: ``(B, H, N, D)``.
        loss: Of one step.
        discount: Weight of a step over the one before it.

    Returns:
        A scalar.
    """
    weights = [discount**step for step in range(prediction.shape[1])]
    steps = zip(prediction.unbind(1), target.unbind(1), weights, strict=True)
    return torch.stack([weight * loss(p, t) for p, t, weight in steps]).sum() / sum(weights)
