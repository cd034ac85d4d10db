"""The world model's predictor: state tokens and an action to the next state's tokens (seed, sections 4.3 and 4.8)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.thinkjepa.blocks import Block, Film, gather_tokens, init_weights, pool_grid
from agents.thinkjepa.config import ActionPoint, PredictorConfig


class Conditioning(NamedTuple):
    """What actions do to the predictor, computed once for a whole sequence of F actions.

    Attributes:
        film: Scale and shift per layer, ``(B, F, layers, 2, D_p)``; ``None`` with ``conditioning=concat``.
        token: Added to every input token, ``(B, F, D_p)``; ``None`` with ``conditioning=film``.
        points: Image coordinates of the actions' points, ``(B, F, K, 2)``; ``None`` without points or action.
    """

    film: Tensor | None
    token: Tensor | None
    points: Tensor | None

    def at(self, step: int) -> Conditioning:
        """That of one action, still with the F axis (of length 1)."""
        return Conditioning(*(part if part is None else part[:, step : step + 1] for part in self))


class Predictor(nn.Module):
    """A narrow transformer (D_p < D) that is used in two ways.

    ``step`` predicts a whole next frame from a whole frame and one action: what planning needs. It is Markov, so that
    teacher forcing over a clip is a reshape and a roll-out is a loop. ``infill`` predicts the masked tokens of a
    clip from the others: what masked pre-training needs.

    FiLM: a two-layer MLP maps the action to one scale and one shift per block, which modulate after both of its layer
    normalisations. Its last layer starts at zero, so that training starts from the unconditioned predictor.
    ``concat``: the action's embedding is appended to each input token; a linear layer of a concatenation is the sum of
    two linear layers, and that is how it is computed.
    """

    def __init__(self, config: PredictorConfig, *, token_width: int, action_dim: int, side: int, grid: int) -> None:
        super().__init__()
        self.config = config
        self.side = side
        self.grid = grid
        self.project_in = nn.Linear(token_width, config.width)
        self.project_out = nn.Linear(config.width, token_width)
        self.positions = nn.Parameter(torch.empty(side**2, config.width))
        self.times = nn.Parameter(torch.empty(config.frames, config.width))
        self.mask_token = nn.Parameter(torch.empty(config.width))
        self.null_action = nn.Parameter(torch.empty(action_dim))
        outputs = 2 * config.layers * config.width if config.conditioning == "film" else config.width
        last = nn.Linear(config.width, outputs)
        self.action_mlp = nn.Sequential(nn.Linear(action_dim, config.width), nn.GELU(), last)
        self.action_map = ActionMap(config.action_points, config.width) if config.action_points else None
        self._drawn = sorted({index for point in config.action_points for index in (point.x, point.y)})
        carries = config.carry and len(config.action_points) > 1
        self.carry = Carry(len(config.action_points), config.width) if carries else None
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, dropout=config.dropout) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.apply(init_weights)
        for parameter in (self.positions, self.times, self.mask_token, self.null_action):
            nn.init.trunc_normal_(parameter, std=0.02)
        if config.conditioning == "film":
            nn.init.zeros_(last.weight)

    def condition(self, actions: Tensor, raw: Tensor, shift: Tensor | None = None) -> Conditioning:
        """Everything that a sequence of actions contributes, in one pass.

        Args:
            actions: ``(B, F, A)``, normalised. What is drawn into the token grid is not told to all tokens as well.
            raw: ``(B, F, A)``, in the environment's units; read for `ActionPoint`s only.
            shift: ``(B, 2)``, by how much the pictures were moved to the right and down, 1 for a whole side.
        """
        points = None if self.action_map is None else self.action_map.locate(raw)
        if points is not None and shift is not None:
            points = points + shift[:, None, None]
        told = actions.to(self.project_in.weight.dtype, copy=True)
        told[..., self._drawn] = 0
        return self._embed(told)._replace(points=points)

    def condition_without_action(self, batch: int, frames: int) -> Conditioning:
        """As `condition` for video without actions: a learned null action."""
        return self._embed(self.null_action.expand(batch, frames, -1))

    def _embed(self, actions: Tensor) -> Conditioning:
        embedded = self.action_mlp(actions)
        if self.config.conditioning == "concat":
            return Conditioning(film=None, token=embedded, points=None)
        return Conditioning(
            film=embedded.unflatten(-1, (self.config.layers, 2, self.config.width)), token=None, points=None
        )

    def step(self, state: Tensor, conditioning: Conditioning, bias: Tensor | None = None) -> Tensor:
        """One step ahead.

        Args:
            state: ``(B, N, D)``, of any precision.
            conditioning: Of one action (F = 1).
            bias: ``(B or 1, N)``, added to the attention logits of the keys.

        Returns:
            ``(B, N, D)``: the next state, or its change where the configuration says ``residual``; not normalised, in
            the precision of the weights.
        """
        tokens = self._enter(state) + pool_grid(self.positions, self.grid)
        if conditioning.token is not None:
            tokens = tokens + conditioning.token
        if self.action_map is not None and conditioning.points is not None:
            tokens = tokens + self.action_map(conditioning.points, self.grid).squeeze(1)
        if self.carry is not None and conditioning.points is not None:
            tokens = tokens + self.carry(tokens, conditioning.points[:, 0], self.grid)
        films: list[Film | None] = [None] * self.config.layers
        if conditioning.film is not None:
            films = [Film(*layer.unbind(2)) for layer in conditioning.film.unbind(2)]
        return self._transform(tokens, films, None if bias is None else bias[:, None, None, :])

    def infill(
        self, context: Tensor, context_index: Tensor, target_index: Tensor, conditioning: Conditioning
    ) -> Tensor:
        """The masked tokens of a clip.

        A token of frame t is conditioned on the action that was taken on frame t.

        Args:
            context: Encodings of the visible tokens, ``(B, S, D)``.
            context_index: Their positions among the clip's ``T * side**2`` patches (frame-major), ``(B, S)``.
            target_index: Positions to predict, ``(B, M)``.
            conditioning: Of all T frames.

        Returns:
            ``(B, M, D)``, not normalised.
        """
        index = torch.cat((context_index, target_index), dim=1)
        frame, patch = index // self.side**2, index % self.side**2
        masked = self.mask_token.expand(*target_index.shape, -1)
        entered = self._enter(context)
        tokens = torch.cat((entered, masked.to(entered.dtype)), dim=1)
        tokens = tokens + self.positions[patch] + self.times[frame]
        if conditioning.token is not None:
            tokens = tokens + gather_tokens(conditioning.token, frame)
        if self.action_map is not None and conditioning.points is not None:
            tokens = tokens + gather_tokens(self.action_map(conditioning.points, self.side).flatten(1, 2), index)
        films: list[Film | None] = [None] * self.config.layers
        if conditioning.film is not None:
            films = [
                Film(*(gather_tokens(part, frame) for part in layer.unbind(2))) for layer in conditioning.film.unbind(2)
            ]
        return self._transform(tokens, films, None)[:, context_index.shape[1] :]

    def _enter(self, tokens: Tensor) -> Tensor:
        return self.project_in(tokens.to(self.project_in.weight.dtype))  # type: ignore[no-any-return]

    def _transform(self, tokens: Tensor, films: list[Film | None], bias: Tensor | None) -> Tensor:
        for block, film in zip(self.blocks, films, strict=True):
            tokens = block(tokens, film, bias)
        return self.project_out(self.norm(tokens))  # type: ignore[no-any-return]


class ActionMap(nn.Module):
    """Draws the points of an action into the token grid.

    Each token learns where the point lies relative to itself: the offset in the image, Gaussian bumps of three widths
    around the point, and, near it, the offset in token cells. FiLM alone tells all tokens the same. Coordinates stay in
    float32 whatever the weights are.
    """

    _WIDTHS = (0.5, 1.0, 2.0)  # of the bumps, in token cells

    def __init__(self, points: tuple[ActionPoint, ...], width: int) -> None:
        super().__init__()
        self.components = [(point.x, point.y) for point in points]
        homographies = torch.tensor([point.homography for point in points]).view(-1, 3, 3)
        self.register_buffer("homographies", homographies)
        features = len(points) * (2 + len(self._WIDTHS) + 2)
        hidden = max(width // 4, features)
        self.widen = nn.Linear(features, hidden)
        self.project = nn.Linear(hidden, width)

    def locate(self, actions: Tensor) -> Tensor:
        """Where the camera sees the points: ``(B, F, A)`` in the environment's units to ``(B, F, K, 2)`` (u, v).

        Points out of the picture are moved to at most one side length away from it, where all bumps are zero.
        """
        surface = torch.stack([actions[..., component] for component in self.components], dim=-2)
        homogeneous = torch.cat((surface, torch.ones_like(surface[..., :1])), dim=-1)
        homographies: Tensor = self.homographies  # type: ignore[assignment]
        u, v, scale = torch.einsum("kij,bfkj->bfki", homographies.to(actions.dtype), homogeneous).unbind(-1)
        return torch.stack((u / scale, v / scale), dim=-1).clamp(-1, 2)

    def forward(self, points: Tensor, grid: int) -> Tensor:
        """``(B, F, K, 2)`` image coordinates to ``(B, F, grid * grid, D_p)``, to be added to the tokens."""
        offset = _offsets(points, grid)
        cells = offset * grid
        squared = cells.square().sum(-1, keepdim=True)
        bumps = [torch.exp(-squared / (2 * width**2)) for width in self._WIDTHS]
        features = torch.cat((offset, *bumps, cells * bumps[1]), dim=-1).flatten(-2)
        hidden = functional.gelu(self.widen(features.to(self.widen.weight.dtype)))
        return self.project(hidden)  # type: ignore[no-any-return]


class Carry(nn.Module):
    """Shows what is at each point of an action to the tokens at its points.

    An action that takes something from one point to another changes the second by what is at the first. Attention can
    learn to look there, in many steps; this gives the content of the one to the other, and learns what follows. A token
    says for itself what of it is at the point: it knows how far away that is, and where in it is what it shows.
    """

    _WIDTH = 0.7  # of the bump within which tokens are read and written, in token cells

    def __init__(self, points: int, width: int) -> None:
        super().__init__()
        self.read = nn.Sequential(nn.Linear(width, width), nn.GELU())
        self.write = nn.Linear(points * width, points * width)

    def forward(self, tokens: Tensor, points: Tensor, grid: int) -> Tensor:
        """Tokens ``(B, N, D_p)`` and image coordinates ``(B, K, 2)`` to what is added to the tokens."""
        cells = (_offsets(points, grid) * grid).square().sum(-1)  # (B, N, K)
        bumps = torch.exp(-cells / (2 * self._WIDTH**2))
        shares = bumps / bumps.sum(1, keepdim=True).clamp_min(1e-6)
        content = shares.to(tokens.dtype).mT @ self.read(tokens)
        written = self.write(content.flatten(1)).unflatten(1, (points.shape[1], -1))
        return bumps.to(tokens.dtype) @ written  # type: ignore[no-any-return]


def _offsets(points: Tensor, grid: int) -> Tensor:
    """From each token's centre to points ``(..., K, 2)``: ``(..., N, K, 2)``, in image coordinates."""
    centre = (torch.arange(grid, device=points.device, dtype=points.dtype) + 0.5) / grid
    v, u = torch.meshgrid(centre, centre, indexing="ij")
    return points.unsqueeze(-3) - torch.stack((u, v), dim=-1).view(-1, 1, 2)
