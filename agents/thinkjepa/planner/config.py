"""The planner's choices. The methods of the literature are settings of one loop, see `CEM`, `ICEM`, `MPPI` and
`SEED_CEM`."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

Fraction = Annotated[float, Field(gt=0, le=1)]
Memory = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class PlannerConfig:
    """Sampling, refitting and what is executed. Numbers are in units in which an action's bounds are -1 and 1.

    Attributes:
        population: P, candidates of the first iteration.
        population_decay: Each iteration has the one before's candidates divided by this, but never fewer than twice
            the elites.
        horizon: H, model actions that a candidate holds.
        action_block: Environment actions in one model action (frameskip).
        iterations: I.
        elite_fraction: rho; ``ceil(rho P)`` elites.
        update: ``elites`` refits mean and standard deviation to the elites; ``softmax`` to all candidates, weighted by
            ``exp(-cost / temperature)`` with costs scaled to [0, 1] within the lane.
        temperature: Of ``softmax``.
        initial_std: Of the first iteration.
        minimum_std: Floor of later ones; 0 for none.
        memory: Share of the old mean and standard deviation that a refit keeps.
        noise_exponent: beta of the samples' power spectrum ``1 / f^beta`` along the horizon; 0 is white noise.
        keep_elites: Best candidates that stay in the running at the next iteration, with the cost they have.
        mean_candidate: Whether the current mean is one of the candidates.
        bounded: Whether candidates are clipped to the action's bounds; what is executed always is.
        warm_start: Whether what is left of a plan is where the next search begins.
        execute: ``mean`` of the last refit, or the ``best`` candidate that was seen.
        fixed: Components of an environment action that are not searched for, and the value of each.
        futile: Around an action that has changed nothing, how far another must be to be trusted to do so, see
            `futile.expect`; 0 to believe predictions whatever was seen.
    """

    population: PositiveInt = 512
    population_decay: Annotated[float, Field(ge=1)] = 1.0
    horizon: PositiveInt = 10
    action_block: PositiveInt = 1
    iterations: PositiveInt = 5
    elite_fraction: Fraction = 0.1
    update: Literal["elites", "softmax"] = "elites"
    temperature: PositiveFloat = 0.1
    initial_std: PositiveFloat = 1.0
    minimum_std: Annotated[float, Field(ge=0)] = 0.05
    memory: Memory = 0.0
    noise_exponent: Annotated[float, Field(ge=0)] = 0.0
    keep_elites: NonNegativeInt = 5
    mean_candidate: bool = True
    bounded: bool = True
    warm_start: bool = True
    execute: Literal["mean", "best"] = "mean"
    fixed: tuple[tuple[NonNegativeInt, Annotated[float, Field(ge=-1, le=1)]], ...] = ()
    futile: Annotated[float, Field(ge=0)] = 0.0

    def __post_init__(self) -> None:
        if self.keep_elites > self.elites:
            raise ValueError(
                f"keep_elites={self.keep_elites} is more than the {self.elites} elites of {self.population}; give at "
                f"most keep_elites={self.elites}, or more candidates"
            )

    @property
    def elites(self) -> int:
        """``ceil(rho P)``: 52 of 512 at 10 %."""
        return math.ceil(self.elite_fraction * self.population)

    @property
    def populations(self) -> tuple[int, ...]:
        """Candidates drawn at each iteration."""
        least = min(2 * self.elites, self.population)
        return tuple(
            max(least, int(self.population / self.population_decay**iteration)) for iteration in range(self.iterations)
        )


SEED_CEM = PlannerConfig(minimum_std=0.0, keep_elites=0, mean_candidate=False, bounded=False, warm_start=False)
"""The search of the seed's Algorithm 2 to the letter: from N(0, I), no bounds, no floor, refit to the elites, execute
the mean's first action. Each iteration rolls out 512 candidates of 10 steps: 25 600 predictor passes per plan. Agents
have it as ``agent=thinkjepa_seed``."""

CEM = PlannerConfig()
"""The default: the same budget with bounds, a floor under the standard deviation, the mean as a candidate and kept
elites."""

ICEM = PlannerConfig(noise_exponent=2.0, population_decay=1.25, memory=0.1, execute="best")
"""Improved CEM (Pinneri et al., CoRL 2020): coloured noise, kept elites, a shrinking population, the best candidate
executed."""

MPPI = PlannerConfig(update="softmax", elite_fraction=0.1, keep_elites=0, iterations=5)
"""Model predictive path integral control (Williams et al., ICRA 2017), with the standard deviation refitted as in
TD-MPC2."""

METHODS = {"seed": SEED_CEM, "cem": CEM, "icem": ICEM, "mppi": MPPI}
