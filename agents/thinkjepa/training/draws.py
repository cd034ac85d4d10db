"""Random numbers with an address: what a step draws depends on the seed and the step, never on what was drawn before.

So a run that was killed goes on as if it had not been, and every process of a distributed run draws the same batch.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt
import torch


def rng(seed: int, purpose: str, *address: int) -> np.random.Generator:
    """The generator of one draw; ``purpose`` is a word, ``address`` the step or what else numbers it."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *address])


def torch_generator(seed: int, purpose: str, *address: int) -> torch.Generator:
    """As `rng`, on the CPU."""
    return torch.Generator().manual_seed(_number(seed, purpose, *address))


def seed_torch(seed: int, purpose: str, *address: int) -> None:
    """Bring PyTorch's global generators, which weights and dropout are drawn from, to an address."""
    torch.manual_seed(_number(seed, purpose, *address))


def batch_indices(count: int, batch: int, step: int, seed: int) -> npt.NDArray[np.int64]:
    """Which of ``count`` samples make up the batch of a step.

    Samples come in the order of a permutation per epoch; a batch may reach into the next one.
    """
    positions = np.arange(step * batch, (step + 1) * batch)
    indices = np.empty(batch, np.int64)
    for epoch in np.unique(positions // count):
        order = rng(seed, "epoch", int(epoch)).permutation(count)
        own = positions // count == epoch
        indices[own] = order[positions[own] % count]
    return indices


def _number(seed: int, purpose: str, *address: int) -> int:
    return int(rng(seed, purpose, *address).integers(2**63))
