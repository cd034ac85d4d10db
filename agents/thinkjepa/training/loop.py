"""The steps of training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from agents.thinkjepa.training import state
from agents.thinkjepa.training.config import CollapseConfig, LoopConfig, OptimiserConfig, Part, TrainingError
from agents.thinkjepa.training.distributed import Ranks, any_of_all
from agents.thinkjepa.training.draws import batch_indices, seed_torch
from agents.thinkjepa.training.objective import Objective
from agents.thinkjepa.training.optimiser import groups_of, make_optimiser

_UNDECAYED = ("positions", "times")


class ExitCode(IntEnum):
    """How training ended; the verb's exit status."""

    COMPLETED = 0
    BAD_CONFIG = 2
    INTERRUPTED = 3
    COLLAPSED = 4


@dataclass(frozen=True)
class Ended:
    """How training ended, after how many steps, and why if not because it was done."""

    code: ExitCode
    step: int
    message: str = ""


class Report(Protocol):
    """What is told of the steps; see `progress`."""

    def losses(self, step: int, values: Mapping[str, float]) -> None:
        """Means since the last call, and seconds per step."""

    def health(self, step: int, values: Mapping[str, float]) -> None:
        """Measurements."""


class Drawn(Protocol):
    """What a step is made of, as `Batch` is."""

    def part(self, rows: slice, device: torch.device) -> Drawn:
        """Some of the samples, on a device."""


class Weights(Protocol):
    """How terms of a loss are added up, as `LossWeights` does."""

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The loss."""


class Stage(Protocol):
    """What the steps need of what is trained, a `torch.nn.Module`; see `Objective`."""

    @property
    def weights(self) -> Weights:
        """Of the terms."""

    def place(self, device: torch.device) -> None:
        """Bring everything to a device."""

    def samples(self) -> int:
        """How many there are."""

    def draw(self, indices: npt.NDArray[np.int64], step: int) -> Drawn:
        """Everything that a step needs of these samples."""

    def after_step(self, step: int, steps: int) -> None:
        """What follows an optimiser step."""

    def health(self, count: int) -> dict[str, float]:
        """Numbers on about ``count`` held-out samples."""


def parts_of(objective: Objective) -> dict[Part, nn.Module]:
    """What has a learning rate of its own."""
    world, gpi = objective.model.world_model, objective.model.gpi
    return {"encoder": world.encoder, "predictor": world.predictor, "gpi": gpi}


def optimiser_of(objective: Objective, config: OptimiserConfig) -> torch.optim.Optimizer:
    """With the rate of each part; parts of rate 0 are frozen.

    Raises:
        TrainingError: All are.
    """
    of_model = {id(parameter) for parameter in objective.model.parameters()}
    named: dict[Part, list[tuple[str, nn.Parameter]]] = {
        part: list(module.named_parameters()) for part, module in parts_of(objective).items()
    }
    named["readouts"] = [(n, p) for n, p in objective.named_parameters() if id(p) not in of_model and p.requires_grad]
    groups = []
    for part, parameters in named.items():
        rate = config.learning_rates.get(part, 0.0)
        if not rate:
            for _, parameter in parameters:
                parameter.requires_grad_(False)
        groups += groups_of(parameters, rate, config, _UNDECAYED)
    if not groups:
        raise TrainingError(
            f"optimiser.learning_rates={dict(config.learning_rates)} train nothing; give a part that there is a rate "
            f"above 0: {', '.join(part for part, parameters in named.items() if parameters)}"
        )
    return make_optimiser(groups, config)


def rate_factor(step: int, steps: int, warmup: int, final: float) -> float:
    """Share of the highest learning rate at a step: linear up to step ``warmup``, then a cosine down to ``final``."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(steps - warmup, 1)
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def train(
    stage: Stage,
    optimiser: torch.optim.Optimizer,
    config: LoopConfig,
    *,
    ranks: Ranks,
    device: torch.device,
    bf16: bool,
    resume: bool,
    report: Report,
    checkpoint: Callable[[int, Mapping[str, float]], None],
    parts: Collection[nn.Module] = (),
    prepare: Callable[[], None] | None = None,
    problem_of: Callable[[int, Mapping[str, float]], str] = lambda step, health: "",  # noqa: ARG005
    interrupted: Callable[[], bool] = lambda: False,
) -> Ended:
    """Train from the start or from the saved state until all steps are done or something stops it.

    Args:
        stage: What is trained; a `torch.nn.Module`.
        optimiser: Of its parameters; each group has its highest ``rate``.
        config: How; its ``out`` holds the state.
        ranks: This process among all.
        device: Where.
        bf16: Whether matrix products run in bfloat16.
        resume: Whether ``out`` holds a state.
        report: Is told of the steps, in the main process.
        checkpoint: Writes the model after a measurement of health that tells to go on, in the main process.
        parts: Modules that are in evaluation mode if nothing of them is trained.
        prepare: Is called before the first step, in evaluation mode and in the precision of steps.
        problem_of: Why to stop, from the steps done and the health; empty to go on.
        interrupted: Whether to stop after this step.
    """
    assert isinstance(stage, nn.Module)
    stage.place(device)
    first = state.restore(config.out, stage, optimiser) if resume else 0
    run = _Run(stage, optimiser, config, ranks, device=device, bf16=bf16, parts=parts)
    if prepare is not None:
        run.prepare(prepare)
    ended = Ended(ExitCode.COMPLETED, config.steps)
    since, every = _Since(device), config.every
    for step in range(first, config.steps):
        since.add(run.step(step))
        done = step + 1
        last = done == config.steps
        logged, measured, saved = (last or done % each == 0 for each in (every.log, every.health, every.save))
        problem = ""
        judged = logged or measured or saved  # what is kept is gone on from
        if ranks.main and judged:
            problem = since.problem(done) or run.problem(done)
        if ranks.main and (logged or problem):
            report.losses(done, since.means())
        if ranks.main and measured and not problem:
            health = run.health()
            report.health(done, health)
            problem = problem_of(done, health)
            if not problem:
                checkpoint(done, health)
        stop = any_of_all(interrupted(), device)
        if ranks.main and stop and not judged:
            problem = since.problem(done) or run.problem(done)
        if any_of_all(bool(problem), device):
            return Ended(ExitCode.COLLAPSED, done, problem)
        if ranks.main and (saved or stop):
            state.save(config.out, run.module, optimiser, done)
        if stop and not last:
            return Ended(ExitCode.INTERRUPTED, done, "stopped; the same command goes on from here")
    return ended


def diverged(health: Mapping[str, float], step: int) -> str:
    """Why states cannot be gone on from, whatever the step; empty if they are finite."""
    wrong = [name for name in ("std", "rank") if not math.isfinite(health.get(name, 0.0))]
    return _not_finite(step, f"{wrong[0]} of held-out states") if wrong else ""


def collapse(health: Mapping[str, float], limits: CollapseConfig, step: int) -> str:
    """Why states count as collapsed; empty if they do not."""
    meanings = {
        "std": "their elements hardly differ between pictures: standard deviation",
        "rank": "they vary in too few directions: effective rank",
    }
    for name, meaning in meanings.items():
        limit = getattr(limits, name)
        if name in health and not health[name] >= limit:
            return (
                f"stopped at step {step}: states have collapsed, {meaning} {health[name]:.3g} is below "
                f"collapse.{name}={limit:g}; try objective.regulariser=sigreg, a larger "
                "objective.weights.regulariser or objective.weights.inverse_dynamics, or lower learning rates"
            )
    return ""


class _Run:
    """One optimiser step after another."""

    def __init__(
        self,
        stage: Stage,
        optimiser: torch.optim.Optimizer,
        config: LoopConfig,
        ranks: Ranks,
        *,
        device: torch.device,
        bf16: bool,
        parts: Collection[nn.Module],
    ) -> None:
        assert isinstance(stage, nn.Module)
        self.stage, self.optimiser, self.config, self.parts = stage, optimiser, config, parts
        self.ranks, self.device, self.bf16 = ranks, device, bf16
        self.trained = [p for group in optimiser.param_groups for p in group["params"]]
        self.module: nn.Module = stage
        self.terms: nn.Module = stage
        if ranks.world > 1:
            self.terms = DistributedDataParallel(stage, find_unused_parameters=True, broadcast_buffers=False)

    def prepare(self, prepare: Callable[[], None]) -> None:
        """See `train`."""
        self.module.eval()
        with self._kernels(), self._precision():
            prepare()

    def step(self, step: int) -> dict[str, Tensor]:
        """One step; the terms of its loss, the loss itself and the norm of the gradient."""
        config, stage = self.config, self.stage
        _training_mode(self.module, self.parts)
        seed_torch(config.seed, "dropout", step, self.ranks.rank)
        indices = batch_indices(stage.samples(), config.batch, step, config.seed)
        batch = stage.draw(indices, step).part(self.ranks.share(config.batch), self.device)
        factor = rate_factor(step, config.steps, config.optimiser.warmup, config.optimiser.final)
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * factor
        with self._kernels():  # backward too, where activation checkpointing computes forward anew
            with self._precision():
                terms: dict[str, Tensor] = self.terms(batch)
            loss = stage.weights.total(terms)
            loss.backward()
        norm = clip_grad_norm_(self.trained, config.optimiser.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        stage.after_step(step, config.steps)
        return {name: value.detach() for name, value in terms.items()} | {"loss": loss.detach(), "gradient": norm}

    def problem(self, step: int) -> str:
        """Why training cannot go on with the weights as they are; empty if it can."""
        finite = torch.stack([parameter.isfinite().all() for parameter in self.trained])
        return "" if finite.all() else _not_finite(step, "a weight")

    def health(self) -> dict[str, float]:
        """Measurements in evaluation mode and float32; nothing that training draws is touched."""
        self.module.eval()
        return self.stage.health(self.config.health_samples)

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def _kernels(self) -> AbstractContextManager[object]:
        # The backward pass of the fused kernel is slow in bfloat16: 1.28 against 1.01 s of CPU time for a step of
        # preset tiny at 64 tokens, measured on one core of an EPYC with AVX512-BF16.
        return sdpa_kernel(SDPBackend.MATH) if self.bf16 and self.device.type == "cpu" else nullcontext()


def _training_mode(stage: nn.Module, parts: Collection[nn.Module]) -> None:
    """Dropout is for what is trained; frozen parts are as they are used."""
    stage.train()
    for module in parts:
        if not any(parameter.requires_grad for parameter in module.parameters()):
            module.eval()


def _not_finite(step: int, what: str) -> str:
    return (
        f"stopped at step {step}: {what} is not finite; lower the learning rates of optimiser, raise "
        "optimiser.warmup, or give precision=float32"
    )


class _Since:
    """Sums since the last report; on a GPU nothing waits for them until then."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._clear()

    def _clear(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self._began = time.perf_counter()

    def add(self, values: Mapping[str, Tensor]) -> None:
        """One step."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, torch.zeros((), device=self._device)) + value
        self._steps += 1

    def problem(self, step: int) -> str:
        """Why training cannot go on; empty if it can."""
        wrong = [name for name, value in self._sums.items() if not torch.isfinite(value)]
        return _not_finite(step, wrong[0]) if wrong else ""

    def means(self) -> dict[str, float]:
        """Means and ``seconds_per_step``; starts anew."""
        means = {name: value.item() / self._steps for name, value in self._sums.items()}
        means["seconds_per_step"] = (time.perf_counter() - self._began) / self._steps
        self._clear()
        return means
