"""The world model: one space of states that frames are encoded into and in which actions are rolled out."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.thinkjepa.blocks import pool_grid
from agents.thinkjepa.config import EncoderConfig, Normalisation, WorldModelConfig
from agents.thinkjepa.distances import Objective
from agents.thinkjepa.encoder import ViTEncoder
from agents.thinkjepa.predictor import Conditioning, Predictor
from agents.thinkjepa.relevance import key_bias


def normalise_state(tokens: Tensor, rule: Normalisation) -> Tensor:
    """What makes a state of encoder outputs and of predictions alike: ``(..., D)`` to the same shape."""
    if rule == "l2":
        return functional.normalize(tokens, dim=-1)
    return functional.layer_norm(tokens, tokens.shape[-1:])


class WorldModel(nn.Module):
    """Encoder, state space and predictor.

    A state is ``(B, N, D)``: the encoder's tokens, average-pooled to the grid, then normalised. Predictions pass
    through the same normalisation, so a roll-out feeds the predictor what training showed it. States are float32
    whatever the weights are: differences between candidates are small, and a state that is rounded to bfloat16 at every
    step has three times the error in its cost.

    Actions are in the environment's units; ``action_mean`` and ``action_std`` (of the training data, kept with the
    weights) bring them to unit scale.

    Attributes:
        objective: What `get_cost` scores by, as the planner's setting of the same name; set it before solving.
    """

    action_mean: Tensor
    action_std: Tensor

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        self.config = config
        self.objective = Objective()
        self.encoder = _make_encoder(config.encoder)
        self.predictor = Predictor(
            config.predictor,
            token_width=config.encoder.width,
            action_dim=config.action_dim,
            side=config.encoder.side,
            grid=config.grid,
        )
        self.register_buffer("action_mean", torch.zeros(config.action_dim))
        self.register_buffer("action_std", torch.ones(config.action_dim))

    def cast_weights(self, dtype: torch.dtype) -> WorldModel:
        """Bring the weights to ``dtype`` (bfloat16 on a GPU), in place; returns the model.

        ``Module.bfloat16`` would round buffers as well: with 8 bits, the action statistics and the homographies of
        action points are off by up to a pixel in 256.
        """
        for parameter in self.parameters():
            parameter.data = parameter.data.to(dtype)
        return self

    # ------------------------------------------------------------------------------------------ states

    def features(self, frames: Tensor) -> Tensor:
        """States before normalisation, which regularisers act on: ``(B, T, 3, H, W)`` to ``(B, T, N, D)``."""
        return pool_grid(self.encoder(frames), self.config.grid)

    def normalise(self, tokens: Tensor) -> Tensor:
        """`normalise_state` by the configured rule."""
        return normalise_state(tokens, self.config.normalisation)

    def encode(self, frames: Tensor) -> Tensor:
        """Frames ``(B, T, 3, H, W)`` in [0, 1] to states ``(B, T, N, D)``."""
        return self.normalise(self.features(frames).float())

    # ----------------------------------------------------------------------------------------- dynamics

    def condition(self, actions: Tensor, shift: Tensor | None = None) -> Conditioning:
        """What actions ``(B, F, A)`` contribute to the predictor, computed once for the whole sequence.

        ``shift`` ``(B, 2)`` says by how much the pictures were moved; see `Predictor.condition`.
        """
        return self.predictor.condition((actions - self.action_mean) / self.action_std, actions, shift)

    def key_bias(self, relevance: Tensor | None) -> Tensor | None:
        """The reasoning-guided bias of an attention map ``(B, N)`` with mean 1."""
        if relevance is None:
            return None
        settings = self.config.predictor
        return key_bias(relevance, settings.attention_alpha, settings.attention_epsilon)

    def advance(self, state: Tensor, conditioning: Conditioning, bias: Tensor | None = None) -> Tensor:
        """The next state: ``(B, N, D)``, the `condition` of one action and a `key_bias` to ``(B, N, D)``."""
        output = self.predictor.step(state, conditioning, bias).float()
        return self.normalise(state + output if self.config.predictor.residual else output)

    def rollout(self, state: Tensor, actions: Tensor, relevance: Tensor | None = None) -> Tensor:
        """States that a sequence of actions leads to, each predicted from the prediction before.

        Args:
            state: ``(B, N, D)``.
            actions: ``(B, H, A)``.
            relevance: ``(B, N)``, the sub-goal's attention map.

        Returns:
            ``(B, H, N, D)``. Teacher forcing is ``rollout`` with H = 1 on a clip's frames folded into B.
        """
        conditioning, bias = self.condition(actions), self.key_bias(relevance)
        states = []
        for step in range(actions.shape[1]):
            state = self.advance(state, conditioning.at(step), bias)
            states.append(state)
        return torch.stack(states, dim=1)

    def infill(
        self, frames: Tensor, context_index: Tensor, target_index: Tensor, actions: Tensor | None = None
    ) -> Tensor:
        """Predict the masked patches of a clip from the visible ones (seed, Algorithm 1).

        Args:
            frames: ``(B, T, 3, H, W)``.
            context_index: Visible patches of the clip, ``(B, S)``, see `masking`.
            target_index: Patches to predict, ``(B, M)``.
            actions: ``(B, T, A)``, or ``None`` for video without actions.

        Returns:
            ``(B, M, D)``, normalised; the target is the normalised encoding of the same patches by the target encoder.
        """
        context = self.normalise(self.encoder(frames, context_index).float())
        conditioning = (
            self.predictor.condition_without_action(*frames.shape[:2]) if actions is None else self.condition(actions)
        )
        return self.normalise(self.predictor.infill(context, context_index, target_index, conditioning).float())

    # ----------------------------------------------------------------------------------------- planning

    def cost(
        self,
        state: Tensor,
        goal: Tensor,
        actions: Tensor,
        objective: Objective,
        relevance: Tensor | None = None,
        *,
        shift: Tensor | None = None,
    ) -> Tensor:
        """Score candidate action sequences; lanes and candidates run as one batch.

        Args:
            state: ``(E, N, D)``, encoded once per decision.
            goal: ``(E, N, D)``.
            actions: ``(E, P, H, A)``.
            objective: How predicted states are compared with the goal.
            relevance: ``(E, N)``, the sub-goals' attention maps.
            shift: ``(E, 2)``, by how much the pictures of state and goal were moved; see `condition`.

        Returns:
            ``(E, P)`` in float32; lower is better.
        """
        lanes, candidates, horizon, _ = actions.shape
        moved = None if shift is None else shift.repeat_interleave(candidates, dim=0)
        conditioning = self.condition(actions.flatten(0, 1), moved)
        bias = self.key_bias(relevance)
        bias = None if bias is None else bias.repeat_interleave(candidates, dim=0)
        goal = goal.unsqueeze(1)
        weight = None if relevance is None else relevance.unsqueeze(1)
        start = state.unsqueeze(1)
        state = state.repeat_interleave(candidates, dim=0)
        total = torch.zeros(lanes, candidates, device=state.device)
        for step, step_weight in enumerate(objective.step_weights(horizon)):
            state = self.advance(state, conditioning.at(step), bias)
            if step_weight:
                total = total + step_weight * objective(
                    state.reshape(lanes, candidates, *state.shape[1:]), goal, weight, start
                )
        return total

    def get_cost(self, info: Mapping[str, Tensor], candidates: Tensor) -> Tensor:
        """`cost` in the form that the solvers of stable-worldmodel call.

        Args:
            info: ``state`` and ``goal``, both ``(E, P, N, D)`` and the same for all candidates of a lane, as the
                solvers expand what they are given; and, if there is one, ``relevance`` ``(E, P, N)``. Encode before
                solving: a solver calls this once per iteration.
            candidates: ``(E, P, H, A)``.

        Returns:
            ``(E, P)``, by ``objective``.
        """
        relevance = info["relevance"][:, 0] if "relevance" in info else None
        return self.cost(info["state"][:, 0], info["goal"][:, 0], candidates, self.objective, relevance)


def _make_encoder(config: EncoderConfig) -> nn.Module:
    if config.kind == "vit":
        return ViTEncoder(config)
    from agents.thinkjepa.vjepa2 import VJEPA2Encoder  # transformers takes seconds to import

    return VJEPA2Encoder(config)
