"""The contrastive loss that ties goals to the states that reach them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def infonce(goals: Tensor, states: Tensor, labels: Tensor | None = None, temperature: float = 0.07) -> Tensor:
    """Symmetric InfoNCE with several positives: the mean of both directions' cross-entropies ::

        - 1/K sum_k 1/|P_k| sum_{p in P_k} log softmax_j(cos(g_k, s_j) / temperature)_p

    with ``P_k`` the samples of the same label as k. With labels all different it is the loss of the seed (section 4.7,
    in its symmetric version) and of CLIP. Batches of few tasks hold the same sub-goal several times; without labels
    each of them would be pushed away from states that reach it (Khosla et al., NeurIPS 2020, for several positives).

    Args:
        goals: ``(K, D)``; the mean over tokens of goals, any length.
        states: ``(K, D)``; the mean over tokens of states, sample k reaches goal k.
        labels: ``(K,)`` integers, equal where the sub-goals are; ``None`` if all differ.
        temperature: tau_c.

    Returns:
        A scalar; 0 of no samples.
    """
    if not len(goals):
        return goals.sum() + states.sum()
    logits = functional.normalize(goals, dim=-1) @ functional.normalize(states, dim=-1).T / temperature
    if labels is None:
        labels = torch.arange(len(goals), device=goals.device)
    positive = (labels.unsqueeze(0) == labels.unsqueeze(1)).to(logits.dtype)
    target = positive / positive.sum(dim=1, keepdim=True)
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
