"""AdamW, and Muon for the matrices of transformers' blocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch import nn

from agents.thinkjepa.training.config import ScheduleConfig

_OF_BLOCKS = re.compile(r"\b(layers?|blocks)\.\d+\.")


def groups_of(
    named: Iterable[tuple[str, nn.Parameter]],
    rate: float,
    config: ScheduleConfig,
    undecayed: Collection[str] = (),
) -> list[dict[str, Any]]:
    """What of these parameters wants a gradient, by how it is trained; each group has its highest ``rate``.

    Args:
        named: Parameters by name.
        rate: Of AdamW.
        config: Weight decay, and how many times the rate Muon takes.
        undecayed: Ends of names of parameters that have no weight decay though they are matrices.
    """
    muon: list[nn.Parameter] = []
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in named:
        if not parameter.requires_grad:
            continue
        if config.muon is not None and parameter.ndim == 2 and _OF_BLOCKS.search(name):
            muon.append(parameter)
        else:
            (decayed if parameter.ndim > 1 and not name.endswith(tuple(undecayed)) else plain).append(parameter)
    groups = [
        {"params": muon, "rate": rate * (config.muon or 0), "weight_decay": config.weight_decay, "muon": True},
        {"params": decayed, "rate": rate, "weight_decay": config.weight_decay, "muon": False},
        {"params": plain, "rate": rate, "weight_decay": 0.0, "muon": False},
    ]
    return [group for group in groups if group["params"]]


def make_optimiser(groups: Collection[dict[str, Any]], config: ScheduleConfig) -> torch.optim.Optimizer:
    """What trains the groups of `groups_of`."""
    muon = [group for group in groups if group["muon"]]
    others = [group for group in groups if not group["muon"]]
    parts: list[torch.optim.Optimizer] = []
    if muon:
        parts.append(torch.optim.Muon(muon, lr=0.0, adjust_lr_fn="match_rms_adamw"))
    if others:
        parts.append(torch.optim.AdamW(others, lr=0.0, betas=config.betas))
    return parts[0] if len(parts) == 1 else _Both(*parts)


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
