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
    compiler = os.environ.get("CXX", "g++")  # PyTorch looks for no other
    if device.type == "cpu" and not shutil.which(compiler):
        raise ValueError(
            f"compile=true: there is no C++ compiler {compiler} here; install it, name another in the environment "
            "variable CXX (clang++, for example), or give compile=false"
        )
