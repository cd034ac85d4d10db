"""Hugging Face's V-JEPA 2 encoder behind the interface of `encoder.ViTEncoder`.

Its rotary positions come from the configured ``crop_size``, not from the picture: a 224-pixel frame given to a model
configured for 256 runs without complaint and with wrong rows. So the model is always configured for the size of the
frames it gets, and frames of another size are refused.

Each frame is encoded as a clip of its own (repeated to fill a tubelet), which keeps tokens per frame and makes a
frame's encoding independent of its neighbours, as `encoder.ViTEncoder` does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import VJEPA2Config, VJEPA2Model

from agents.thinkjepa.blocks import gather_tokens
from agents.thinkjepa.config import EncoderConfig
from agents.thinkjepa.encoder import check_size
from agents.thinkjepa.images import normalise_frames

# Frames per token in time; every released V-JEPA 2 checkpoint has two.
_TUBELET = 2


class VJEPA2Encoder(nn.Module):
    """``VJEPA2Model.encoder`` of the configured sizes, with random weights; `from_pretrained` loads published ones."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = VJEPA2Model(_hugging_face_config(config)).encoder

    @classmethod
    def from_pretrained(cls, name: str, image_size: int) -> VJEPA2Encoder:
        """The encoder of a published model, configured for frames of ``image_size`` pixels.

        Args:
            name: Hub id (``facebook/vjepa2-vitl-fpc64-256``) or local folder.
            image_size: Side of the frames that it will get; may differ from the published crop size.

        Raises:
            OSError: There is no such model.
            ValueError: See `published_sizes`; or weights of the encoder are missing.
        """
        config = EncoderConfig(kind="vjepa2", image_size=image_size, **published_sizes(name))
        with torch.device("meta"):  # the weights follow; random ones would be thrown away
            encoder = cls(config)
        loaded: Any = VJEPA2Model.from_pretrained(name, crop_size=image_size, output_loading_info=True)
        model, found = loaded
        missing = sorted(key for key in found["missing_keys"] if key.startswith("encoder."))
        if missing:
            raise ValueError(f"{name} holds no {missing[0]}: it is no complete V-JEPA 2 model; fetch it again")
        encoder.encoder = model.encoder
        return encoder

    def forward(self, frames: Tensor, index: Tensor | None = None) -> Tensor:
        """See `encoder.ViTEncoder.forward`. Context needs the same number of patches in every frame (tube masks).

        Raises:
            ValueError: Frames of another size, or a context with an unequal number of patches per frame.
        """
        check_size(frames, self.config)
        batch, clip = frames.shape[:2]
        pixels = normalise_frames(frames).flatten(0, 1).unsqueeze(1).expand(-1, _TUBELET, -1, -1, -1)
        tokens = self.encoder.embeddings(pixels)
        if index is None:
            return self._transform(tokens, None).reshape(batch, clip, -1, self.config.width)
        order = index.argsort(dim=1)
        patch = self._patches_by_frame(index.gather(1, order), clip)
        context = self._transform(gather_tokens(tokens, patch), patch).reshape(batch, -1, self.config.width)
        return gather_tokens(context, order.argsort(dim=1))

    def _patches_by_frame(self, index: Tensor, clip: int) -> Tensor:
        """Sorted ``(B, S)`` positions in the clip to ``(B * T, S / T)`` positions in each frame."""
        patches = self.config.side**2
        if index.shape[1] % clip == 0:
            by_frame = index.reshape(len(index), clip, -1)
            if bool((by_frame // patches == torch.arange(clip, device=index.device).view(1, -1, 1)).all()):
                return (by_frame % patches).flatten(0, 1)
        raise ValueError(
            "this encoder takes a context with the same number of patches in every frame; use tube masks (`masking`)"
        )

    def _transform(self, tokens: Tensor, patch: Tensor | None) -> Tensor:
        for layer in self.encoder.layer:
            tokens, _ = layer(tokens, patch)
        return self.encoder.layernorm(tokens)  # type: ignore[no-any-return]


def published_sizes(name: str) -> dict[str, Any]:
    """The fields of `EncoderConfig` that a published model (hub id or local folder) determines.

    Raises:
        OSError: There is no such model.
        ValueError: The model has another tubelet than two frames, patches that are not square, or blocks of another
            kind than those of every released model.
    """
    published, usual = VJEPA2Config.from_pretrained(name), VJEPA2Config()
    if not isinstance(published.patch_size, int):
        raise ValueError(f"{name} has patch_size={published.patch_size}; supported are square patches")
    for key in ("tubelet_size", "in_chans", "hidden_act", "layer_norm_eps", "qkv_bias"):
        if getattr(published, key) != getattr(usual, key):
            raise ValueError(f"{name} has {key}={getattr(published, key)}; supported is {getattr(usual, key)}")
    return {
        "patch_size": published.patch_size,
        "width": published.hidden_size,
        "layers": published.num_hidden_layers,
        "heads": published.num_attention_heads,
        "mlp_ratio": published.mlp_ratio,
    }


def _hugging_face_config(config: EncoderConfig) -> VJEPA2Config:
    # V-JEPA 2's own predictor is never used; one narrow layer keeps the throw-away part small.
    return VJEPA2Config(
        patch_size=config.patch_size,
        crop_size=config.image_size,
        tubelet_size=_TUBELET,
        hidden_size=config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        mlp_ratio=config.mlp_ratio,
        pred_hidden_size=2 * config.heads,
        pred_num_attention_heads=1,
        pred_num_hidden_layers=1,
    )
