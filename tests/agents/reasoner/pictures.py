"""Tasks and pictures to ask a reasoner about."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from harness.interfaces import SeedPath, TaskView


def view(instruction: str) -> TaskView:
    space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    return TaskView(instruction, space, None, 10, 0, SeedPath(0, "episode", 0))


def picture(seed: int = 0, height: int = 64, width: int = 64) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def see(seed: int = 0, **size: int) -> dict[str, Any]:
    return {"rgb_static": picture(seed, **size)}
