"""One loop for the cross-entropy method, iCEM and MPPI: sample, score, refit (seed, Algorithm 2, lines 12-26)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.thinkjepa.planner.config import PlannerConfig

CostFunction = Callable[[Tensor], Tensor]
"""Candidates ``(E, P, H, A)`` in the environment's units to costs ``(E, P)``; lower is better."""


class Plan(NamedTuple):
    """What a decision came to, for each lane.

    Attributes:
        actions: ``(E, H * block, A / block)``, environment actions in order; clipped to the bounds where the
            configuration is bounded.
        mean: ``(E, H, A)``, of the last refit in units of the bounds; what a warm start needs.
        std: ``(E, H, A)``, likewise.
        costs: ``(E, I)``, the lowest cost seen up to each iteration.
    """

    actions: Tensor
    mean: Tensor
    std: Tensor
    costs: Tensor


class ActionBox:
    """Bounds of an action, as a linear map from [-1, 1] to the environment's units."""

    def __init__(
        self, low: npt.ArrayLike, high: npt.ArrayLike, block: int = 1, fixed: Sequence[tuple[int, float]] = ()
    ) -> None:
        """Bounds ``(A,)`` of one environment action; a model action is ``block`` of them, one after the other.

        ``fixed`` components have one value, given in [-1, 1], whatever the candidate.

        Raises:
            ValueError: A bound is infinite, the lower is not below the upper, or there is no such component.
        """
        lower, upper = (np.tile(np.asarray(bound, dtype=np.float32), block) for bound in (low, high))
        if not (np.isfinite(lower).all() and np.isfinite(upper).all() and (lower < upper).all()):
            raise ValueError(f"action bounds {lower} to {upper} must be finite and the lower below the upper")
        self.block = block
        self.middle = torch.from_numpy((upper + lower) / 2)
        self.half = torch.from_numpy((upper - lower) / 2)
        size = self.dim // block
        for component, value in fixed:
            if component >= size:
                raise ValueError(f"fixed: there is no component {component}; actions have {size}, from 0")
            self.middle[component::size] += value * self.half[component::size]
            self.half[component::size] = 0

    @property
    def dim(self) -> int:
        """A, components of a model action."""
        return len(self.half)

    def to(self, device: torch.device) -> ActionBox:
        """The same box on another device; moves in place."""
        self.middle, self.half = self.middle.to(device), self.half.to(device)
        return self

    def to_actions(self, units: Tensor) -> Tensor:
        """``(..., A)`` in units of the bounds to the environment's units."""
        return self.middle + self.half * units

    def to_units(self, actions: Tensor) -> Tensor:
        """The inverse of `to_actions`; 0 for fixed components."""
        return (actions - self.middle) / torch.where(self.half > 0, self.half, torch.inf)


def plan(
    cost: CostFunction, config: PlannerConfig, box: ActionBox, noise: Tensor, warm_start: Tensor | None = None
) -> Plan:
    """Search for the cheapest action sequence on every lane at once.

    A pure function of tensors with static shapes: no synchronisation with the host, so it can be compiled as a whole
    and captured in a CUDA graph together with the cost.

    Args:
        cost: The world model's score of candidates.
        config: The method.
        box: Bounds of the actions.
        noise: From `sampling.draw_noise`, on the cost's device.
        warm_start: Means to begin with, ``(E, H, A)`` in units of the bounds; see `shift`. ``None`` begins in the
            middle of the bounds.
    """
    mean = torch.zeros_like(noise[:, 0]) if warm_start is None else warm_start
    std = torch.full_like(mean, config.initial_std)
    kept = noise[:, :0]
    kept_costs = noise[:, :0, 0, 0]
    best, best_cost = mean, torch.full_like(noise[:, 0, 0, 0], torch.inf)
    history = []
    for drawn in noise.split(config.populations, dim=1):
        fresh = _candidates(mean, std, drawn, config)
        candidates = torch.cat((kept, fresh), dim=1)
        costs = torch.cat((kept_costs, cost(box.to_actions(fresh))), dim=1)
        elite_costs, order = costs.topk(config.elites, dim=1, largest=False)
        elites = candidates.take_along_dim(order[:, :, None, None], dim=1)
        better = elite_costs[:, 0] < best_cost
        best = torch.where(better[:, None, None], elites[:, 0], best)
        best_cost = torch.where(better, elite_costs[:, 0], best_cost)
        history.append(best_cost)
        if config.update == "elites":
            new_mean, new_std = _moments(elites, torch.full_like(elite_costs, 1 / config.elites))
        else:
            new_mean, new_std = _moments(candidates, _soft_weights(costs, config.temperature))
        mean = config.memory * mean + (1 - config.memory) * new_mean
        std = (config.memory * std + (1 - config.memory) * new_std).clamp_min(config.minimum_std)
        kept, kept_costs = elites[:, : config.keep_elites], elite_costs[:, : config.keep_elites]
    chosen = best if config.execute == "best" else mean
    return Plan(_environment_actions(chosen, box), mean, std, torch.stack(history, dim=1))


def shift(mean: Tensor, executed: int) -> Tensor:
    """A warm start: the plan ``(E, H, A)`` without its ``executed`` first model actions, its last one repeated."""
    horizon = mean.shape[1]
    index = torch.arange(executed, executed + horizon, device=mean.device).clamp_max(horizon - 1)
    return mean[:, index]


def warm_starts(means: Sequence[Tensor | None], like: Tensor) -> Tensor:
    """Lane by lane what is left of the plan before, zeros where there is none: ``(H, A)`` each to ``(E, H, A)``.

    Args:
        means: One per lane.
        like: Noise ``(E, P, H, A)``, of which shape and device are taken.
    """
    return torch.stack([torch.zeros_like(like[0, 0]) if mean is None else mean for mean in means])


def _candidates(mean: Tensor, std: Tensor, noise: Tensor, config: PlannerConfig) -> Tensor:
    candidates = mean.unsqueeze(1) + std.unsqueeze(1) * noise
    if config.mean_candidate:
        candidates = torch.cat((mean.unsqueeze(1), candidates[:, 1:]), dim=1)
    return candidates.clamp(-1, 1) if config.bounded else candidates


def _soft_weights(costs: Tensor, temperature: float) -> Tensor:
    low, high = costs.amin(1, keepdim=True), costs.amax(1, keepdim=True)
    spread = (high - low).clamp_min(torch.finfo(costs.dtype).tiny)
    return torch.softmax((low - costs) / spread / temperature, dim=1)


def _moments(candidates: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation over candidates; weights ``(E, P)`` of sum 1."""
    weights = weights[:, :, None, None]
    mean = (weights * candidates).sum(1)
    return mean, (weights * (candidates - mean.unsqueeze(1)).square()).sum(1).sqrt()


def _environment_actions(units: Tensor, box: ActionBox) -> Tensor:
    return box.to_actions(units).reshape(len(units), units.shape[1] * box.block, -1)
