"""How losses are added up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """One factor per term of the total loss.

    Attributes:
        prediction: Of the prediction loss.
        regulariser: lambda_reg.
        rollout: Of the multi-step roll-out.
        inverse_dynamics: Of the error of the recovered action.
        state: Of the state auxiliary, which reads ground truth.
        objects: Of the object map, which reads ground truth.
        gpi: lambda_GPI, of the contrastive loss of goals.
        regression: Of goal tokens against the tokens of states that reach them.
        ranking: Of goals that rank the action that reached them before others.
        truth: Of costs that tell which sub-goals an action brings about.
    """

    prediction: float = 1.0
    regulariser: float = 0.05
    rollout: float = 1.0
    inverse_dynamics: float = 1.0
    state: float = 1.0
    objects: float = 1.0
    gpi: float = 1.0
    regression: float = 1.0
    ranking: float = 1.0
    truth: float = 1.0

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of ``terms``, whose names are those of the attributes; terms not given are not counted.

        Raises:
            ValueError: No terms, or one that has no weight.
        """
        known = {field.name for field in fields(self)}
        if not terms or not terms.keys() <= known:
            raise ValueError(f"terms {sorted(terms)} must be some of {sorted(known)}")
        return sum((getattr(self, name) * term for name, term in terms.items()), start=next(iter(terms.values())) * 0)


SEED_WEIGHTS = LossWeights(
    regulariser=0.5, rollout=0.0, inverse_dynamics=0.0, state=0.0, objects=0.0, regression=0.0, ranking=0.0, truth=0.0
)
"""The seed's (sections 4.7 and 5): lambda_reg 0.5, lambda_GPI 1.0.

On L2-normalised targets at D = 1280 the prediction loss is at most about 8e-4 while the regulariser spans 3.6, so the
regulariser decides everything; use layer-normalised states with them, or `LossWeights`' own.
"""
