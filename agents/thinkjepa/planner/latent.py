"""Planning in the world model: states and goals of all lanes to environment actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy.typing as npt
import torch
from torch import Tensor

from agents.thinkjepa.distances import Objective
from agents.thinkjepa.planner.config import PlannerConfig
from agents.thinkjepa.planner.futile import expect
from agents.thinkjepa.planner.sampling import draw_noise
from agents.thinkjepa.planner.shooting import ActionBox, Plan, plan, warm_starts
from agents.thinkjepa.world_model import WorldModel

# Tokens that a CPU rolls out at once, by bytes of one number. Measured on one core of an EPYC with 1 MiB of L2, per
# candidate of two steps of 64 tokens of width 128: in float32 2.3 to 2.7 ms of CPU time at 512 to 4096 tokens, 2.9 at
# 8192, 3.3 at 16384, where activations have left the caches; in bfloat16 1.24 at 512, 1.18 at 4096.
_CPU_TOKENS = {4: 1024, 2: 4096}

_SHAPES = 256
"""Numbers of lanes times numbers of candidates that a compiled roll-out may meet; each is compiled by itself."""


class Look(NamedTuple):
    """States and goals of all lanes, seen in pictures that are moved a little.

    Attributes:
        state: ``(E, N, D)``, from `WorldModel.encode`.
        goal: ``(E, N, D)``.
        relevance: ``(E, N)``, the sub-goals' attention maps.
        shift: ``(E, 2)``, by how much the pictures were moved, 1 for a whole side; ``None`` for not at all.
    """

    state: Tensor
    goal: Tensor
    relevance: Tensor | None = None
    shift: Tensor | None = None

    def lane(self, number: int) -> Look:
        """One of them, still with the E axis (of length 1)."""
        return Look(*(part if part is None else part[number : number + 1] for part in self))  # type: ignore[arg-type]


class LatentPlanner:
    """The planner of one world model, for any number of lanes.

    Encode an observation once, then call `plan`: the candidates' actions are embedded once per candidate and rolled
    out from that state. A GPU takes all lanes and candidates as one batch. A CPU gains nothing from large batches; it
    takes one lane at a time and as many candidates as its caches hold, which also makes a lane's plan the same bit by
    bit whatever other lanes there are.

    The predictor computes in the precision of its weights (`WorldModel.cast_weights`), all else in float32.
    """

    def __init__(
        self,
        world_model: WorldModel,
        config: PlannerConfig,
        objective: Objective | None = None,
        *,
        low: npt.ArrayLike,
        high: npt.ArrayLike,
        compile: bool = False,
    ) -> None:
        """Put a planner together.

        Args:
            world_model: On the device where planning happens.
            config: The method and its budget.
            objective: What a plan is scored by; the default `Objective` if not given.
            low: Bounds of one environment action, ``(A / block,)``.
            high: Likewise.
            compile: Whether to compile the roll-out with ``torch.compile``, on a GPU into CUDA graphs. The first plan
                of each number of lanes, and of each number of candidates where a method has several, then takes up to
                minutes.

        Raises:
            ValueError: The model's actions are not ``config.action_block`` environment actions, or bounds or fixed
                components are bad.
        """
        self.world_model = world_model
        self.config = config
        self.objective = objective if objective is not None else Objective()
        device = world_model.action_mean.device
        self._box = ActionBox(low, high, config.action_block, config.fixed).to(device)
        if self._box.dim != world_model.config.action_dim:
            raise ValueError(
                f"action_block={config.action_block} actions of {self._box.dim // config.action_block} components do "
                f"not make up the {world_model.config.action_dim} of the model's actions"
            )
        on_cpu = device.type == "cpu"
        tokens = _CPU_TOKENS[world_model.predictor.project_in.weight.element_size()]
        self._piece = max(1, tokens // world_model.config.tokens) if on_cpu else None
        self._cost = world_model.cost
        if compile:
            # Planning never changes weights, so a CPU may keep them packed for its matrix products.
            how: dict[str, Any] = {"options": {"freezing": True}} if on_cpu else {"mode": "reduce-overhead"}
            how |= {"fullgraph": True, "dynamic": False, "recompile_limit": _SHAPES}
            self._cost = torch.compile(world_model.cost, **how)

    @torch.no_grad()
    def plan(
        self,
        state: Tensor,
        goal: Tensor,
        seeds: Sequence[int],
        *,
        relevance: Tensor | None = None,
        warm_start: Sequence[Tensor | None] | None = None,
        futile: Sequence[Sequence[Tensor]] | None = None,
        looks: Sequence[Look] = (),
    ) -> Plan:
        """Actions that should bring each lane's state to its goal.

        Args:
            state: ``(E, N, D)``, from `WorldModel.encode`.
            goal: ``(E, N, D)``.
            seeds: One per lane, of this decision.
            relevance: ``(E, N)``, the sub-goals' attention maps.
            warm_start: Per lane the mean ``(H, A)`` that is left of its plan before (`shooting.shift`), or ``None``.
            futile: Per lane the model actions ``(A,)`` that have changed nothing in its state, see
                `PlannerConfig.futile`.
            looks: The same lanes in other pictures; a candidate costs the mean over all of them. What lies across the
                edges of tokens in one picture lies within a token in another.

        Raises:
            ValueError: Seeds, warm starts or futile actions are not one per lane, or the model is in training mode.
        """
        if self.world_model.training:
            raise ValueError("the world model is in training mode, dropout would disturb the costs; call eval()")
        for name, given in (("seeds", seeds), ("warm_start", warm_start), ("futile", futile)):
            if given is not None and len(given) != len(state):
                raise ValueError(f"{len(given)} {name} for {len(state)} lanes; give one per lane")
        noise = draw_noise(self.config, self._box.dim, seeds).to(state.device)
        start = None if warm_start is None else warm_starts(warm_start, like=noise)
        everything = [Look(state, goal, relevance), *looks]
        tried = {
            lane: torch.stack(list(actions)).to(state.device) for lane, actions in enumerate(futile or ()) if actions
        }
        unmoved = [self.objective(look.state, look.goal, look.relevance, look.state) for look in everything]
        stay = torch.stack(unmoved).mean(0)  # in the same pictures as candidates

        def cost(candidates: Tensor) -> Tensor:
            costs = torch.stack([self._score(look, candidates) for look in everything]).mean(0)
            if self.config.futile:
                for lane, actions in tried.items():
                    costs[lane] = self._expect(costs[lane], stay[lane], candidates[lane], actions)
            return costs

        return plan(cost, self.config, self._box, noise, start)

    def _expect(self, costs: Tensor, stay: Tensor, candidates: Tensor, tried: Tensor) -> Tensor:
        """Costs ``(P,)`` of one lane's candidates ``(P, H, A)`` after actions ``(F, A)`` that changed nothing."""
        points = self.world_model.config.predictor.action_points
        decisive = [points[0].x, points[0].y] if points else list(range(tried.shape[1]))
        near, again = (self._box.to_units(actions)[..., decisive] for actions in (candidates[:, 0], tried))
        return expect(costs, stay, near, again, self.config.futile)

    def _score(self, look: Look, candidates: Tensor) -> Tensor:
        """Costs ``(E, P)`` of candidates ``(E, P, H, A)``, in pieces that suit the device."""
        if self._piece is None:
            # Captured graphs return the same memory at every call.
            return self._cost(
                look.state, look.goal, candidates, self.objective, look.relevance, shift=look.shift
            ).clone()
        rows = []
        for number in range(len(look.state)):
            one = look.lane(number)
            costs = [
                self._cost(one.state, one.goal, piece, self.objective, one.relevance, shift=one.shift)
                for piece in candidates[number : number + 1].split(self._piece, dim=1)
            ]
            rows.append(torch.cat(costs, dim=1))
        return torch.cat(rows)
