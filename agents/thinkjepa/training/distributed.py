"""Several processes that train one model, as ``torchrun`` starts them: each has a part of every batch.

With one process, everything here does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_gather


@dataclass(frozen=True)
class Ranks:
    """This process among all.

    Attributes:
        rank: Its number; 0 writes and speaks.
        world: How many there are.
        local: Its number on this machine, which chooses its GPU.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def main(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """The part of a batch that belongs to this process."""
        each = batch // self.world
        return slice(self.rank * each, (self.rank + 1) * each)


@contextmanager
def ranks(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started beside this one, by NCCL on GPUs and gloo on CPUs."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(distributed.get_rank(), world, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        distributed.destroy_process_group()


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes, with gradient: ``(B, ...)`` to ``(world * B, ...)``.

    A loss over a whole batch (a regulariser, InfoNCE) must see it whole: with their parts alone, two processes would
    minimise something else than one. Where no gradient is wanted (measurements, which one process makes alone), the
    rows stay as they are.
    """
    if not distributed.is_initialized() or not torch.is_grad_enabled():
        return rows
    return torch.cat(list(all_gather(rows.contiguous())))


def any_of_all(flag: bool, device: torch.device) -> bool:
    """Whether ``flag`` is true in any process, so that all stop at the same step."""
    if not distributed.is_initialized():
        return flag
    value = torch.tensor(int(flag), device=device)
    distributed.all_reduce(value, op=distributed.ReduceOp.MAX)
    return bool(value.item())
