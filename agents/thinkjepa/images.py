"""Pictures to tensors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from agents.thinkjepa.config import WHOLE, Crop

# Mean and standard deviation of ImageNet's RGB, which Hugging Face's V-JEPA 2 processor uses as well.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def looked_at(picture: npt.NDArray[np.uint8], size: int, crop: Crop) -> npt.NDArray[np.uint8]:
    """The part of a picture that an encoder sees, ``uint8 (H, W, 3)`` to ``(size, size, 3)``, by means of areas."""
    height, width = picture.shape[:2]
    if crop == WHOLE and height == width == size:
        return picture
    left, top, right, bottom = crop
    box = (left * width, top * height, right * width, bottom * height)
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BOX, box=box))


def to_frames(pixels: Tensor) -> Tensor:
    """``uint8 (..., H, W, 3)`` to float32 ``(..., 3, H, W)`` in [0, 1].

    Raises:
        ValueError: Another dtype or shape.
    """
    if pixels.dtype != torch.uint8 or pixels.shape[-1] != 3:
        raise ValueError(f"pixels are {pixels.dtype} {tuple(pixels.shape)}; expected uint8 (..., H, W, 3)")
    return pixels.movedim(-1, -3).float() / 255


def normalise_frames(frames: Tensor) -> Tensor:
    """Frames ``(..., 3, H, W)`` in [0, 1] to zero mean and unit variance per channel over natural images."""
    mean = frames.new_tensor(_MEAN).view(3, 1, 1)
    std = frames.new_tensor(_STD).view(3, 1, 1)
    return (frames - mean) / std


def shifted(frames: Tensor, by: Tensor) -> Tensor:
    """Pictures moved by whole pixels; what comes in repeats their edges, after Yarats et al., "Image Augmentation Is
    All You Need" (ICLR 2021).

    Args:
        frames: ``(B, T, C, H, W)``.
        by: ``(B, 2)`` integers, to the right and down; all frames of a clip move together.

    Returns:
        ``(B, T, C, H, W)``.
    """
    height, width = frames.shape[-2:]
    column = (torch.arange(width, device=by.device) - by[:, :1]).clamp(0, width - 1)
    row = (torch.arange(height, device=by.device) - by[:, 1:]).clamp(0, height - 1)
    moved = frames.gather(-1, column[:, None, None, None, :].expand_as(frames))
    return moved.gather(-2, row[:, None, None, :, None].expand_as(frames))
