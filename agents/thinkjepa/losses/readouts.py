"""Auxiliary losses: what must be readable from states. Their heads serve training and are in no checkpoint.

Regularisers are satisfied by a representation of the static background alone; these losses are not. Inverse dynamics
(the action from the states before and after it) needs no labels; PLDM and EB-JEPA use it, and in the latter leaving it
out takes planning from 97 % to 1 % when backgrounds vary. The state auxiliary (positions of objects from one state) and
the object map (what is where, token by token) need the simulator's ground truth at training time; say so wherever
results of a model trained with them are shown.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

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

    This project's own: `prediction.mse` where some labels are missing.

    Args:
        prediction: ``(B, K)``.
        target: ``(B, K)``; unknown entries may hold anything, also NaN.
        known: ``(B, K)`` booleans: false for objects that a scene lacks and for what cannot be labelled.

    Returns:
        A scalar.
    """
    squared = torch.where(known, prediction - target, 0).square()
    return squared.sum() / known.sum().clamp_min(1)


class ObjectMap(NamedTuple):
    """What is seen where.

    Attributes:
        words: ``(B, N, C)``, as logits or as 0 and 1: which words describe something whose centre is seen in a token.
        place: ``(B, N, 3)``: of the highest thing there, its centre's offset from the token's, u and v in tokens, and
            its height in units of `HEIGHT`; as a label NaN where nothing is.
    """

    words: Tensor
    place: Tensor


HEIGHT = 0.1
"""Metres."""

_RARE = -4.0  # logit of a word before training: few tokens show anything, and learning that first would drown the rest


class MapReadout(nn.Module):
    """Reads an `ObjectMap` from a state, token by token: what a token says must be in that token."""

    def __init__(self, *, token_width: int, words: int) -> None:
        super().__init__()
        self.words = nn.Linear(token_width, words)
        self.place = nn.Linear(token_width, 3)
        self.apply(init_weights)
        nn.init.constant_(self.words.bias, _RARE)

    def forward(self, tokens: Tensor) -> ObjectMap:
        """``(B, N, D)`` to logits and places."""
        return ObjectMap(self.words(tokens), self.place(tokens))


def object_map_loss(read: ObjectMap, seen: ObjectMap) -> Tensor:
    """Cross-entropy of every word at every token, and squared errors of places where something is ::

        1 / (B N) sum_b sum_n [ - sum_c (w_bnc log s_bnc + (1 - w_bnc) log (1 - s_bnc)) + sum_k (p_bnk - q_bnk)^2 ]

    with the words w that are seen and ``s = sigmoid(logit)`` of those that are read, places p as read and q as seen; an
    unknown (NaN) q counts nothing. So a state in which much is seen weighs more. This project's own, after detectors
    that say for every cell of a grid what is centred in it and where: places as in YOLO (Redmon et al., CVPR 2016),
    each word for itself as the classes of YOLOv3 (Redmon and Farhadi, arXiv 1804.02767).

    Args:
        read: Logits and places.
        seen: Words as 0 and 1, and places; the same shapes.

    Returns:
        A scalar.
    """
    logits, place = read.words.float(), read.place.float()
    entropy = functional.binary_cross_entropy_with_logits(logits, seen.words, reduction="none").sum(-1)
    squared = torch.where(seen.place.isfinite(), place - seen.place, 0).square().sum(-1)
    return (entropy + squared).mean()
