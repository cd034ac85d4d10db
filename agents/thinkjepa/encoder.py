"""The vision encoder: frames to tokens, frame by frame (seed, section 4.1)."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.thinkjepa.blocks import Block, gather_tokens, init_weights
from agents.thinkjepa.config import EncoderConfig
from agents.thinkjepa.images import normalise_frames


class ViTEncoder(nn.Module):
    """A vision transformer that sees each frame by itself.

    Tokens attend within their frame; time is the predictor's affair. So a frame has the same encoding alone, as
    planning needs it, and within a clip, as training sees it. Spatial positions are learned, as the seed has them.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = ConvStem(config) if config.stem == "conv" else _patches(3, config.width, config.patch_size)
        self.positions = nn.Parameter(torch.empty(config.side**2, config.width))
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, mlp_ratio=config.mlp_ratio) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.apply(init_weights)
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, frames: Tensor, index: Tensor | None = None) -> Tensor:
        """Encode whole frames, or only the context of a masked clip.

        Args:
            frames: ``(B, T, 3, H, W)`` in [0, 1].
            index: ``(B, S)``, positions in the clip's ``T * N`` patches (frame-major). Only these patches enter the
                encoder, so what is masked cannot leak into the context (seed, Algorithm 1, line 7).

        Returns:
            ``(B, T, N, D)``, or ``(B, S, D)`` in the order of ``index``.

        Raises:
            ValueError: The frames have another size than the encoder's.
        """
        check_size(frames, self.config)
        batch, clip = frames.shape[:2]
        pixels = normalise_frames(frames).flatten(0, 1).to(self.positions.dtype)
        if index is not None and self.config.stem == "conv":
            pixels = pixels * self._visible(index, batch * clip).to(pixels.dtype)
        patches = self.embed(pixels).flatten(2).transpose(1, 2) + self.positions
        if index is None:
            return self._transform(patches, self._near(pixels.device)).reshape(batch, clip, -1, self.config.width)
        context = gather_tokens(patches.reshape(batch, -1, self.config.width), index)
        frame, patch = index // self.positions.shape[0], index % self.positions.shape[0]
        attended = frame.unsqueeze(2) == frame.unsqueeze(1)
        near = self._near(frames.device)
        if near is not None:
            attended &= near[patch.unsqueeze(2), patch.unsqueeze(1)]
        return self._transform(context, attended.unsqueeze(1))

    def _visible(self, index: Tensor, frames: int) -> Tensor:
        """1 at the pixels of the patches ``index`` ``(B, S)``, else 0: ``(B * T, 1, H, W)``."""
        side, size = self.config.side, self.config.patch_size
        seen = torch.zeros(len(index), frames // len(index) * side**2, device=index.device).scatter(1, index, 1.0)
        return seen.view(frames, 1, side, side).repeat_interleave(size, 2).repeat_interleave(size, 3)

    def _near(self, device: torch.device) -> Tensor | None:
        """Which patches of a frame attend to each other: ``bool (N, N)``; ``None`` for all."""
        side, window = self.config.side, self.config.window
        if window is None:
            return None
        place = torch.arange(side, device=device)
        close = (place[:, None] - place).abs() <= window
        return close.repeat_interleave(side, 0).repeat_interleave(side, 1) & close.repeat(side, side)

    def _transform(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens, bias=bias)
        return self.norm(tokens)  # type: ignore[no-any-return]


class ConvStem(nn.Module):
    """Convolutions in place of one linear layer per patch, after Xiao et al., "Early Convolutions Help Transformers See
    Better" (NeurIPS 2021): two that halve the resolution, residual blocks (He et al., CVPR 2016) before and after
    patches are formed.

    Without the normalisation between them states collapse. Its statistics are those of a whole picture, or, with a
    ``window``, of each place by itself; with ``window=0`` the second residual block sees its own patch only. What a
    token then sees beyond its patch are the 11 pixels around it that the convolutions before reach.

    What a convolution sees of neighbouring patches must not leak into the context of a masked clip: those pixels are
    blackened before.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        channels = (3, config.width // 4, config.width // 2)
        local = config.window is not None
        self.convolutions = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), _normalise(after, local), nn.GELU())
                for before, after in itertools.pairwise(channels)
            ),
            _Residual(channels[-1], 3, local),
            _patches(channels[-1], config.width, config.patch_size // 4),
            _normalise(config.width, local),
            _Residual(config.width, 1 if config.window == 0 else 3, local),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """``(B, 3, H, W)`` to ``(B, D, side, side)``."""
        return self.convolutions(pixels)  # type: ignore[no-any-return]


class _Residual(nn.Module):
    def __init__(self, width: int, kernel: int, local: bool) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(width, width, kernel, padding=kernel // 2),
            _normalise(width, local),
            nn.GELU(),
            nn.Conv2d(width, width, kernel, padding=kernel // 2),
            _normalise(width, local),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape."""
        return functional.gelu(x + self.change(x))


class _PlaceNorm(nn.LayerNorm):
    """Layer normalisation of the channels at each place of ``(B, C, H, W)``."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _normalise(channels: int, local: bool) -> nn.Module:
    return _PlaceNorm(channels) if local else nn.GroupNorm(4, channels)


def _patches(channels: int, width: int, size: int) -> nn.Conv2d:
    """One linear layer per patch of ``size`` x ``size``."""
    return nn.Conv2d(channels, width, size, stride=size)


def check_size(frames: Tensor, config: EncoderConfig) -> None:
    """Raise ``ValueError`` unless ``frames`` are ``(B, T, 3, H, W)`` of the encoder's image size."""
    expected = (3, config.image_size, config.image_size)
    if frames.dim() != 5 or tuple(frames.shape[2:]) != expected:
        raise ValueError(
            f"frames are {tuple(frames.shape)}; this encoder takes (B, T, {', '.join(map(str, expected))})"
        )
