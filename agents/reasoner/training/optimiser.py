"""AdamW, and Muon for the matrices of a transformer's blocks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from agents.reasoner.training.config import RateConfig

_OF_BLOCKS = re.compile(r"\.layers\.\d+\.")


def make_optimiser(module: nn.Module, config: RateConfig) -> torch.optim.Optimizer:
    """What trains the parameters that want a gradient; groups have their highest ``rate``."""
    trained = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    muon = [p for n, p in trained if config.muon is not None and p.ndim == 2 and _OF_BLOCKS.search(n)]
    chosen = {id(parameter) for parameter in muon}
    others = [parameter for _, parameter in trained if id(parameter) not in chosen]
    rate, decay = config.learning_rate, config.weight_decay
    groups: list[dict[str, Any]] = [
        {"params": [p for p in others if p.ndim > 1], "rate": rate, "weight_decay": decay},
        {"params": [p for p in others if p.ndim <= 1], "rate": rate, "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, betas=config.betas)
    if not muon:
        return adamw
    group = {"params": muon, "rate": config.muon, "weight_decay": decay}
    return _Both(torch.optim.Muon([group], lr=0.0, adjust_lr_fn="match_rms_adamw"), adamw)


class _Both(torch.optim.Optimizer):
    """Two optimisers of different parameters as one; groups and state are theirs."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        groups = [group for part in parts for group in part.param_groups]
        super().__init__([{"params": group["params"]} for group in groups], {})
        self._parts = parts
        self.param_groups = groups
        for part in parts:
            part.state = self.state

    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step of each."""
        if closure is not None:
            raise ValueError("a closure would be called twice; compute the gradients before the step")
        for part in self._parts:
            part.step()
