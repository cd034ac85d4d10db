"""Where models run."""

from __future__ import annotations

from typing import Literal

import torch

Device = Literal["auto", "cpu", "cuda"]


def choose(device: Device) -> torch.device:
    """``auto`` is CUDA where there is one.

    Raises:
        ValueError: CUDA is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ValueError("device=cuda: PyTorch finds no CUDA device; give device=cpu or install a CUDA build of torch")
    return torch.device("cuda" if available and device != "cpu" else "cpu")
