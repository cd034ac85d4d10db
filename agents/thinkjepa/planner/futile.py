"""What is seen corrects what is predicted: actions that have changed nothing are not tried again."""

from __future__ import annotations

import torch
from torch import Tensor

UNCHANGED = 0.0005
"""Mean squared difference of two states below which nothing has changed.

States are normalised, so it hardly depends on the checkpoint. Of 396 recorded actions, seen by the shipped encoder,
all 61 that moved nothing by 1 mm are below 0.0002; of 318 that moved something by 1.5 cm or more, 10 are below this,
most of them for what left the picture."""


def unchanged(before: Tensor, after: Tensor) -> bool:
    """Whether two states ``(N, D)`` show the same."""
    return (before.float() - after.float()).square().mean().item() < UNCHANGED


def expect(costs: Tensor, stay: Tensor, candidates: Tensor, tried: Tensor, radius: float) -> Tensor:
    """Costs that allow for the same thing happening again.

    With probability ``p = exp(-d^2 / (2 radius^2))``, d the distance to the nearest action that has changed nothing, a
    candidate changes nothing either: it costs ``p stay + (1 - p) cost``. A world model that expects a grasp where there
    is none would otherwise choose the same action for ever.

    Args:
        costs: As predicted, ``(P,)``.
        stay: Of the state as it is, a scalar.
        candidates: First actions ``(P, K)``, the components that decide.
        tried: Actions that have changed nothing in this state, ``(F, K)``.
        radius: In the units of candidates.

    Returns:
        ``(P,)``.
    """
    nearest = torch.cdist(candidates.float(), tried.float()).amin(1)
    again = torch.exp(-nearest.square() / (2 * radius**2))
    return again * stay + (1 - again) * costs
