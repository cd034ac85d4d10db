"""The transformer block that encoder, predictor and GPI are built from."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Film(NamedTuple):
    """Feature-wise linear modulation: ``x -> x * (1 + scale) + shift`` (Perez et al., AAAI 2018).

    Zero scale and shift leave ``x`` as it is.

    Attributes:
        scale: ``(B, 1 or S, D)``; one row serves all tokens of a sample.
        shift: As ``scale``.
    """

    scale: Tensor
    shift: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Modulate ``x`` ``(B, S, D)``."""
        return torch.addcmul(self.shift, x, 1 + self.scale)


class Attention(nn.Module):
    """Multi-head self-attention with an optional bias on its logits."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """``(B, S, D) -> (B, S, D)``. ``bias`` broadcasts to ``(B, heads, S, S)``: added, or kept where true."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if bias is not None and bias.dtype != torch.bool:
            bias = bias.to(q.dtype)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.dropout(self.out(attended.transpose(1, 2).flatten(2)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A pre-norm transformer block; ``film`` modulates after both of its layer normalisations (seed, section 4.3)."""

    def __init__(self, width: int, heads: int, *, mlp_ratio: float = 4.0, dropout: float = 0.0) -> None:
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width), nn.Dropout(dropout))

    def forward(self, x: Tensor, film: Film | None = None, bias: Tensor | None = None) -> Tensor:
        """``(B, S, D) -> (B, S, D)``; ``bias`` as in `Attention`."""
        modulate = film if film is not None else _identity
        x = x + self.attention(modulate(self.norm1(x)), bias)
        return x + self.mlp(modulate(self.norm2(x)))  # type: ignore[no-any-return]


def _identity(x: Tensor) -> Tensor:
    return x


def gather_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """Those tokens of ``(B, S, D)`` that ``index`` ``(B, K)`` names: ``(B, K, D)``."""
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def pool_grid(tokens: Tensor, grid: int) -> Tensor:
    """Average-pool a square token grid: ``(..., S, D) -> (..., grid * grid, D)``; row-major, S a square.

    Where the sides are no multiples of each other, neighbouring cells share rows or columns (14 to 4: rows 0 to 3,
    3 to 6, 7 to 10 and 10 to 13).
    """
    side = round(tokens.shape[-2] ** 0.5)
    if side == grid:
        return tokens
    pictures = tokens.reshape(-1, side, side, tokens.shape[-1]).movedim(-1, 1)
    cells = functional.adaptive_avg_pool2d(pictures, grid).flatten(2).mT
    return cells.reshape(*tokens.shape[:-2], grid**2, tokens.shape[-1])


def init_weights(module: nn.Module) -> None:
    """Truncated normal (std 0.02) for linear layers and patch embeddings, zero for biases; for ``Module.apply``."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
