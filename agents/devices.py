"""Where models run."""

from __future__ import annotations

import os
import shutil
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


def require_compiler(device: torch.device) -> None:
    """Whether ``torch.compile`` can compile for ``device``.

    Raises:
        ValueError: It is a CPU and there is no C++ compiler.
    """
    compilers = ("g++", "clang++") if "CXX" not in os.environ else (os.environ["CXX"],)
    if device.type == "cpu" and not any(shutil.which(compiler) for compiler in compilers):
        raise ValueError(
            f"compile=true: there is no C++ compiler here ({', '.join(compilers)}); install one, or give compile=false"
        )
