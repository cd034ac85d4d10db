"""Numbers that tell whether a model is learning, by what planning needs; all on held-out data.

==================  ====================================================================================
``std``             of a state's elements between pictures, each at its place; 0 where states have collapsed
``rank``            effective rank of the same
``skill``           ``1 - mse(predicted next, next) / mse(state, next)``; 0 for a copy of the state, 1 at best
``rollout_skill``   the same at the last step of a roll-out
``skill_moved``     ``skill`` where something moved
``sensitivity``     mean change of a prediction when the action is another, over its mean change of the state
``action_top1``     how often, of 16 actions, the executed one gives the prediction nearest to what came of it
``spearman``        rank correlation of distances of states and of objects' displacements
``probe_r2``        of objects' positions, read linearly from states
==================  ====================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import spearmanr
from torch import Tensor

from agents.thinkjepa.distances import DISTANCES, Distance, calibrate
from agents.thinkjepa.losses.regularisers import effective_rank
from agents.thinkjepa.world_model import WorldModel

MOVED = 0.01
"""Metres by which the object that moved most has moved, where something counts as moved."""

_ACTIONS = 16
_MOST_ROWS = 2048
_QUANTILES = (0.9, 0.75, 0.6)
_PROBED = 64  # decisions that actions are ranked for


def spread(states: Tensor) -> dict[str, float]:
    """``std`` and ``rank`` of ``(B, N, D)``."""
    centred = (states - states.mean(0)).float()
    rows = centred.flatten(0, 1)
    chosen = rows[torch.linspace(0, len(rows) - 1, min(len(rows), _MOST_ROWS), device=rows.device).long()]
    return {"std": centred.std(0, correction=0).mean().item(), "rank": effective_rank(chosen)}


def prediction(world: WorldModel, states: Tensor, actions: Tensor) -> dict[str, float]:
    """``skill``, ``rollout_skill``, ``sensitivity`` and ``action_top1``.

    Args:
        world: The model.
        states: Encoded windows, ``(B, R + 1, N, D)``.
        actions: ``(B, R, A)``.
    """
    rolled = world.rollout(states[:, 0], actions)
    other = world.rollout(states[:, 0], actions[:, :1].roll(1, 0))[:, 0]
    first = rolled[:, 0]
    changed = (first - states[:, 0]).norm(dim=(1, 2)).mean().clamp_min(1e-9)
    numbers = {"skill": skill(first, states[:, 1], states[:, 0])}
    if actions.shape[1] > 1:
        numbers["rollout_skill"] = skill(rolled[:, -1], states[:, -1], states[:, 0])
    numbers["sensitivity"] = ((other - first).norm(dim=(1, 2)).mean() / changed).item()
    return numbers | {"action_top1": _action_top1(world, states[:_PROBED], actions[:_PROBED, :1])}


def skill(predicted: Tensor, after: Tensor, before: Tensor) -> float:
    """``1 - mse(predicted, after) / mse(before, after)``."""
    copied = (before - after).square().mean().clamp_min(1e-12)
    return (1 - (predicted - after).square().mean() / copied).item()


def own_and_others(actions: Tensor, others: int, kept: Tensor | None = None) -> Tensor:
    """Each sample's own action and those of the ``others`` samples that follow it.

    Args:
        actions: ``(B, 1, A)``.
        others: How many; at most ``B - 1`` are given.
        kept: ``(at least others, A)`` booleans: components of the own action that another one is given.

    Returns:
        ``(B, 1 + others, 1, A)``, the own action first.
    """
    others = min(others, len(actions) - 1)
    tried = torch.stack([actions.roll(-shift, 0) for shift in range(1 + others)], dim=1)
    if kept is not None:
        tried[:, 1:] = torch.where(kept[:others, None], tried[:, :1], tried[:, 1:])
    return tried


def predictions_under(world: WorldModel, states: Tensor, tried: Tensor, moved: Tensor | None = None) -> Tensor:
    """The next state under each of several actions.

    Args:
        world: The model.
        states: ``(B, N, D)``.
        tried: ``(B, K, 1, A)``, see `own_and_others`.
        moved: ``(B, 2)``, by which the pictures were moved, see `WorldModel.condition`.

    Returns:
        ``(B, K, N, D)``.
    """
    count = tried.shape[1]
    shift = None if moved is None else moved.repeat_interleave(count, 0)
    after = world.advance(states.repeat_interleave(count, 0), world.condition(tried.flatten(0, 1), shift))
    return after.reshape(len(states), count, *states.shape[1:])


def _action_top1(world: WorldModel, states: Tensor, actions: Tensor) -> float:
    candidates = predictions_under(world, states[:, 0], own_and_others(actions, _ACTIONS - 1))
    distance = (candidates - states[:, 1:2]).square().mean(dim=(2, 3))
    return (distance.argmin(1) == 0).float().mean().item()


def displacement(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Metres by which the object that moved most has moved, ``(B,)``; of positions ``(B, objects, 3)`` with NaN."""
    return np.asarray(np.nan_to_num(np.linalg.norm(after - before, axis=-1)).max(axis=1))


def movement(
    world: WorldModel,
    states: Tensor,
    actions: Tensor,
    before: npt.NDArray[np.float32],
    after: npt.NDArray[np.float32],
) -> dict[str, float]:
    """``skill_moved`` and ``spearman``, which need the objects' positions ``(B, objects, 3)``."""
    moved = displacement(before, after)
    numbers = {}
    chosen = torch.from_numpy(moved > MOVED).to(states.device)
    if chosen.any():
        predicted = world.rollout(states[chosen, 0], actions[chosen, :1])[:, 0]
        numbers["skill_moved"] = skill(predicted, states[chosen, 1], states[chosen, 0])
    distance = DISTANCES["token_cosine"](states[:, 0], states[:, 1]).float().cpu().numpy()
    if np.ptp(moved) > 0 and np.ptp(distance) > 0:
        result: Any = spearmanr(distance, np.nan_to_num(np.linalg.norm(after - before, axis=-1)).sum(axis=1))
        numbers["spearman"] = float(result.statistic)
    return numbers


def probe_r2(x: Tensor, y: Tensor, held_out_x: Tensor, held_out_y: Tensor, ridge: float = 1e-2) -> float:
    """R2 of a ridge regression, over all targets together; NaN where states are not finite or nothing is known.

    Args:
        x: ``(n, F)``.
        y: ``(n, K)``, NaN where unknown; each target is fitted on the rows that know it.
        held_out_x: ``(m, F)``.
        held_out_y: ``(m, K)``.
        ridge: Over the mean diagonal of the Gram matrix.
    """
    mean = x.mean(0)
    x, held_out_x = x - mean, held_out_x - mean
    gram, cross = x @ x.T, held_out_x @ x.T
    if not gram.isfinite().all():
        return float("nan")
    penalty = ridge * gram.diagonal().mean() + 1e-8
    residual, total = 0.0, 0.0
    known_before = None
    for target, truth in zip(y.T, held_out_y.T, strict=True):
        known, scored = torch.isfinite(target), torch.isfinite(truth)
        if known.sum() < 2 or not scored.any():
            continue
        if known_before is None or not torch.equal(known, known_before):
            own = gram[known][:, known] + penalty * torch.eye(int(known.sum()))
            factor, known_before = torch.linalg.cholesky(own), known
        centre = target[known].mean()
        weights = torch.cholesky_solve((target[known] - centre).unsqueeze(1), factor)
        guess = (cross[scored][:, known] @ weights).squeeze(1) + centre
        residual += (truth[scored] - guess).square().sum().item()
        total += (truth[scored] - centre).square().sum().item()
    return 1 - residual / total if total else float("nan")


class Threshold(NamedTuple):
    """The distance below which a sub-goal counts as reached, and the share of each side that it was told from."""

    distance: float
    quantile: float


def calibrated(sides: Callable[[Distance], tuple[Tensor, Tensor]]) -> dict[Distance, Threshold]:
    """`calibrate` by the strictest of several quantiles, for every distance whose two sides can be separated at all."""
    thresholds: dict[Distance, Threshold] = {}
    for name in get_args(Distance):
        same, apart = sides(name)
        for quantile in _QUANTILES if len(same) and len(apart) else ():
            try:
                thresholds[name] = Threshold(calibrate(same, apart, quantile), quantile)
            except ValueError:
                continue  # not separated so well; the card says which quantile it was, and what has no threshold at all
            break
    return thresholds
