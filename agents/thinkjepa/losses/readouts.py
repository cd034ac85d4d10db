"""Auxiliary losses: what must be readable from states. Their heads serve training and are in no checkpoint.

Regularisers are satisfied by a representation of the static background alone; these losses are not. Inverse dynamics
(the action from the states before and after it) needs no labels; PLDM and EB-JEPA use it, and in the latter leaving it
out takes planning from 97 % to 1 % when backgrounds vary. The state auxiliary (positions of objects from one state)
needs the simulator's ground truth at training time; say so wherever results of a model trained with it are shown.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agents.thinkjepa.blocks import init_weights


class TokenReadout(nn.Module):
    """Reads numbers from a state: each token is narrowed at its place, then all are read together.

    A pooled head cannot tell where something is or moved.
    """

    def __init__(self, *, token_width: int, tokens: int, outputs: int, width: int = 32) -> None:
        super().__init__()
        self.narrow = nn.Sequential(nn.Linear(token_width, width), nn.GELU())
        self.read = nn.Sequential(nn.Linear(tokens * width, 4 * width), nn.GELU(), nn.Linear(4 * width, outputs))
        self.apply(init_weights)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(B, N, D)`` to ``(B, outputs)``."""
        return self.read(self.narrow(tokens).flatten(1))  # type: ignore[no-any-return]


def transition(before: Tensor, after: Tensor) -> Tensor:
    """What inverse dynamics reads the action from: states ``(B, N, D)`` before and after to ``(B, N, 2 D)``."""
    return torch.cat((before, after), dim=-1)


def known_mse(prediction: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Mean squared error over the known entries: ``sum(known * (prediction - target)^2) / sum(known)``; 0 if none is.

    Args:
        prediction: ``(B, K)``.
        target: ``(B, K)``; unknown entries may hold anything, also NaN.
        known: ``(B, K)`` booleans: false for objects that a scene lacks and for what cannot be labelled.

    Returns:
        A scalar.
    """
    squared = torch.where(known, prediction - target, 0).square()
    return squared.sum() / known.sum().clamp_min(1)
