"""How far a state is from a goal. All distances are at least 0, and 0 where state and goal agree."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional

Distance = Literal["token_cosine", "pooled_cosine", "l1", "l2"]
Cost = Literal["change_cosine", Distance]


def token_cosine(state: Tensor, goal: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over tokens of ``1 - cos``: ``(..., N, D)`` twice and weights ``(..., N)`` of mean 1 to ``(...)``."""
    return _mean(1 - functional.cosine_similarity(state, goal, dim=-1), weight)


def pooled_cosine(state: Tensor, goal: Tensor, weight: Tensor | None = None) -> Tensor:
    """``1 - cos`` of the mean tokens: the similarity of the seed (section 4.7 and Algorithm 2). Shapes as above.

    One object is a small part of a mean over all tokens, so this distance hardly sees it; kept for comparison.
    """
    if weight is not None:
        state, goal = (weight.unsqueeze(-1) * x for x in (state, goal))
    return 1 - functional.cosine_similarity(state.mean(-2), goal.mean(-2), dim=-1)


def l1(state: Tensor, goal: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean absolute difference of tokens (the cost of V-JEPA 2-AC). Shapes as above."""
    return _mean((state - goal).abs().mean(-1), weight)


def l2(state: Tensor, goal: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared difference of tokens (the cost of DINO-WM). Shapes as above."""
    return _mean((state - goal).square().mean(-1), weight)


def change_cosine(state: Tensor, goal: Tensor, start: Tensor, weight: Tensor | None = None) -> Tensor:
    """``1 - cos`` of the changes from ``start`` to ``state`` and from ``start`` to ``goal``, over all tokens at once.

    Predictions err by about as much whatever is to be done. So where little is left to be done, every prediction lies
    further from the goal than the state as it is; what is to be done has a direction all the same. Shapes as above;
    both lengths are enlarged by `STILL` per number, so that changing nothing costs 1, and hardly changing anything
    about as much.
    """
    done, wanted = state - start, goal - start
    along = _mean((done * wanted).mean(-1), weight)
    lengths = [_mean(change.square().mean(-1), weight).clamp_min(1e-12).sqrt() + STILL for change in (done, wanted)]
    return 1 - along / (lengths[0] * lengths[1])


STILL = 0.05
"""Root mean squared change of a state's numbers at which `change_cosine` halves a cosine."""


def _mean(per_token: Tensor, weight: Tensor | None) -> Tensor:
    return (per_token if weight is None else per_token * weight).mean(-1)


DISTANCES = {"token_cosine": token_cosine, "pooled_cosine": pooled_cosine, "l1": l1, "l2": l2}


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Objective:
    """What a plan is scored by.

    Attributes:
        distance: Of a predicted state from the goal; or ``change_cosine``, which compares what a plan changes with what
            is to be changed.
        steps: ``terminal`` scores the last state only (seed, Algorithm 2); ``all`` the mean over steps, in which step h
            of H weighs ``discount ** (H - h)``.
        discount: In (0, 1]; 1 weighs all steps alike.
        relevance: Whether tokens are weighted by the reasoner's attention map.
        forgiven: Share of the distance between a predicted state and the one that it starts from that is taken off its
            cost. A prediction is a mean over what may happen, so it lies nearer to the start than what happens, and
            doing nothing looks better than it is. Not with ``change_cosine``, which does not see how far a change goes.
    """

    distance: Cost = "token_cosine"
    steps: Literal["terminal", "all"] = "terminal"
    discount: Annotated[float, Field(gt=0, le=1)] = 1.0
    relevance: bool = False
    forgiven: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def __post_init__(self) -> None:
        if self.distance == "change_cosine" and self.forgiven:
            raise ValueError(
                "forgiven has no meaning with distance=change_cosine; give forgiven=0, or a distance of states such as "
                "token_cosine"
            )

    @property
    def of_states(self) -> Distance:
        """How far states are from each other: ``distance``, or that of tokens where it is one of changes."""
        return "token_cosine" if self.distance == "change_cosine" else self.distance

    def step_weights(self, horizon: int) -> list[float]:
        """One weight per step, of sum 1."""
        if self.steps == "terminal":
            return [0.0] * (horizon - 1) + [1.0]
        weights = [self.discount ** (horizon - step) for step in range(1, horizon + 1)]
        return [weight / sum(weights) for weight in weights]

    def __call__(
        self, state: Tensor, goal: Tensor, relevance: Tensor | None = None, start: Tensor | None = None
    ) -> Tensor:
        """Cost of states ``(..., N, D)`` for goals of the same shape, in float32: ``(...)``.

        Of predicted states, ``start`` is where the prediction starts; without it states cost their distance
        (`of_states`), and nothing is forgiven.
        """
        weight = relevance.float() if self.relevance and relevance is not None else None
        if self.distance == "change_cosine" and start is not None:
            return change_cosine(state.float(), goal.float(), start.float(), weight)
        distance = DISTANCES[self.of_states]
        cost = distance(state.float(), goal.float(), weight)
        if self.forgiven and start is not None:
            cost = cost - self.forgiven * distance(state.float(), start.float(), weight)
        return cost


def calibrate(same: Tensor, apart: Tensor, quantile: float = 0.9) -> float:
    """The distance below which a sub-goal counts as reached, from held-out pairs of states.

    The midpoint between the ``quantile`` of distances of pairs that show the same state and the ``1 - quantile`` of
    distances of pairs that are k steps apart.

    Args:
        same: ``(n,)`` distances of pairs that should count as reached.
        apart: ``(m,)`` distances of pairs that should not.
        quantile: How much of each side should fall on its side of the threshold.

    Raises:
        ValueError: The two sides overlap there, so no threshold separates them.
    """
    near = torch.quantile(same.float(), quantile).item()
    far = torch.quantile(apart.float(), 1 - quantile).item()
    if near >= far:
        raise ValueError(
            f"distances do not separate states: {quantile:.0%} of equal pairs are below {near:.4g}, "
            f"{quantile:.0%} of different ones above {far:.4g}; train longer or compare states further apart"
        )
    return (near + far) / 2
