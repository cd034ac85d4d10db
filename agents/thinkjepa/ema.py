"""The target encoder: an exponential moving average of the online encoder (seed, section 4.2)."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn


def momentum(step: int, total: int, start: float = 0.996, end: float = 1.0) -> float:
    """Cosine schedule of the averaging: ``start`` at step 0, ``end`` at ``total`` (BYOL; seed, section 4.2)."""
    progress = min(max(step / total, 0.0), 1.0)
    return end - (end - start) * (1 + math.cos(math.pi * progress)) / 2


class EMATarget(nn.Module):
    """A frozen copy of a module that follows it: ``target <- m * target + (1 - m) * online``."""

    def __init__(self, online: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(online).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, online: nn.Module, momentum: float) -> None:
        """Move towards ``online`` by ``1 - momentum``; buffers are copied."""
        targets = [parameter.data for parameter in self.module.parameters()]
        torch._foreach_lerp_(targets, [parameter.data for parameter in online.parameters()], 1 - momentum)
        for target, buffer in zip(self.module.buffers(), online.buffers(), strict=True):
            target.copy_(buffer)

    @torch.no_grad()
    def forward(self, *args: Any) -> Tensor:
        """The averaged module's output, without gradient."""
        return self.module(*args)  # type: ignore[no-any-return]

    def train(self, mode: bool = True) -> EMATarget:  # noqa: ARG002
        """Targets are made without dropout, whatever the mode of the model around."""
        return super().train(False)
