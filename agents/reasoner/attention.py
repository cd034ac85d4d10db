"""Where a language model looks: the attention of a few tokens, while everything else runs as always.

PyTorch's fused attention returns no weights, and transformers' ``output_attentions`` then returns none without a word;
its slow path keeps all weights of all layers. Here the layers in question recompute the softmax for the rows and
columns that are asked for, which takes rows x keys numbers instead of keys x keys.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.thinkjepa.config import WHOLE, Crop
from agents.thinkjepa.relevance import resize

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NAME = "sdpa_watched"
_NEGLIGIBLE = 0.01  # of a neutral map's mean: less attention than this is no reason to divide by it


@dataclass(frozen=True)
class Watch:
    """What is to be seen, and what was.

    Attributes:
        layers: Of the language model, from 0.
        rows: Positions of the tokens that look, ``(R,)``.
        columns: Positions of the tokens that are looked at, ``(C,)``.
        seen: Softmax weights by layer, ``(B, heads, R, C)`` in float32.
    """

    layers: frozenset[int]
    rows: Tensor
    columns: Tensor
    seen: dict[int, Tensor] = field(default_factory=dict)

    def mean(self) -> Tensor:
        """Weights averaged over layers and heads, ``(B, R, C)``; empty without layers."""
        means = [self.seen[layer].mean(dim=1) for layer in sorted(self.layers)]
        return torch.stack(means).mean(dim=0) if means else torch.empty(0)


_watch: ContextVar[Watch | None] = ContextVar("_watch", default=None)


def install(model: PreTrainedModel) -> None:
    """Let the language model of an image-text-to-text model be watched; what it computes stays the same."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    model.set_attn_implementation({"text_config": _NAME})


@contextlib.contextmanager
def watching(layers: Sequence[int], rows: Tensor, columns: Tensor) -> Iterator[Watch]:
    """Watch the forward passes of this thread. They must be of whole sequences, without a cache of keys."""
    watch = Watch(frozenset(layers), rows, columns)
    token = _watch.set(watch)
    try:
        yield watch
    finally:
        _watch.reset(token)


def without_sinks(maps: Tensor, neutral: Tensor) -> Tensor:
    """Maps over that of a neutral question, so that what is looked at whatever is asked drops out.

    Args:
        maps: ``(K, C)``, not negative.
        neutral: ``(C,)``, not negative.
    """
    return maps / (neutral + _NEGLIGIBLE * neutral.mean()).clamp_min(torch.finfo(maps.dtype).tiny)


def to_world(maps: Tensor, crop: Crop, grid: int, shown: Crop = WHOLE) -> Tensor:
    """Maps over a picture, or a part of it, to the part that a world model looks at.

    Args:
        maps: ``(K, h, w)``, not negative.
        crop: The world model's part, see `EncoderConfig`.
        grid: Side of the world model's grid.
        shown: The part that the maps are over; beyond it there is no attention.

    Returns:
        ``(K, grid * grid)`` with mean 1.
    """
    left, right = ((place - shown[0]) / (shown[2] - shown[0]) for place in crop[::2])
    top, bottom = ((place - shown[1]) / (shown[3] - shown[1]) for place in crop[1::2])
    height, width = maps.shape[-2:]
    # Cells of about the same size: `resize` then averages over them or interpolates between them.
    rows, columns = _cells(top, bottom, height, maps), _cells(left, right, width, maps)
    places = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).expand(len(maps), -1, -1, -1)
    part = functional.grid_sample(maps.unsqueeze(1).float(), places, padding_mode="border", align_corners=False)
    return resize(part.squeeze(1) * (places.abs() <= 1).all(dim=-1), grid)


def _cells(start: float, stop: float, number: int, like: Tensor) -> Tensor:
    """Centres of the cells between two places of a picture, -1 to 1 across it as `grid_sample` counts."""
    cells = max(1, round((stop - start) * number))
    centres = (torch.arange(cells, device=like.device) + 0.5) / cells
    return 2 * (start + (stop - start) * centres) - 1


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    watch = _watch.get()
    if watch is not None and module.layer_idx in watch.layers:
        watch.seen[int(module.layer_idx)] = _weights(query, key, attention_mask, options.get("scaling"), watch)
    return sdpa_attention_forward(module, query, key, value, attention_mask, **options)


def _weights(query: Tensor, key: Tensor, mask: Tensor | None, scaling: float | None, watch: Watch) -> Tensor:
    """Softmax over all keys of ``watch.rows``, at ``watch.columns``: ``(B, heads, R, C)``.

    Args:
        query: ``(B, heads, S, d)``.
        key: ``(B, key heads, S, d)``.
        mask: ``(B, 1, S, S)``, boolean (True where attention goes) or additive; ``None`` for causal.
        scaling: Of the logits; ``None`` for one over the root of d.
        watch: Rows and columns.
    """
    if query.shape[2] != key.shape[2]:
        raise ValueError("attention is watched over whole sequences; call the model with use_cache=False")
    rows = query[:, :, watch.rows]
    keys = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    logits = (rows @ keys.transpose(2, 3)) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if mask is None:
        places = torch.arange(key.shape[2], device=query.device)
        mask = (places <= watch.rows.unsqueeze(1))[None, None]
    else:
        mask = mask[:, :, watch.rows]
    least = torch.finfo(logits.dtype).min  # and not -inf: padding sees nothing, and its weights must be numbers
    logits = logits.masked_fill(~mask, least) if mask.dtype == torch.bool else logits + mask
    return logits.float().softmax(dim=-1)[..., watch.columns]
