"""One training run, from the overrides on the command line to the checkpoint."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeVar

import torch
from rich.console import Console

from agents.thinkjepa.checkpoints import save_pretrained
from agents.thinkjepa.training import state
from agents.thinkjepa.training.compose import read_config
from agents.thinkjepa.training.config import CausalConfig, LoopConfig, Target, TrainConfig, TrainingError
from agents.thinkjepa.training.distributed import Ranks, ranks
from agents.thinkjepa.training.loop import Ended, ExitCode, Report, collapse, diverged, optimiser_of, parts_of, train
from agents.thinkjepa.training.mirror import with_mirror_images
from agents.thinkjepa.training.progress import ProgressReport
from agents.thinkjepa.training.recordings import open_data
from agents.thinkjepa.training.setup import (
    choose_device,
    description,
    digest,
    make_model,
    make_objective,
    set_action_scale,
)

CHECKPOINT = "checkpoint"


def run(target: Target, overrides: list[str]) -> int:
    """``harness train TARGET key=value ...``; prints the checkpoint's folder and returns the exit status."""
    return carry_out(lambda: read_config(target, overrides), start)


ConfigT = TypeVar("ConfigT", bound=LoopConfig)
ConfigT_contra = TypeVar("ConfigT_contra", bound=LoopConfig, contravariant=True)


class Start(Protocol[ConfigT_contra]):
    """Checks everything, loads the data, and trains; `start` is one."""

    def __call__(
        self,
        config: ConfigT_contra,
        own: Ranks,
        device: torch.device,
        *,
        bf16: bool,
        interrupted: Callable[[], bool],
    ) -> Ended:
        """See `start`."""


def carry_out(read: Callable[[], ConfigT], begin: Start[ConfigT]) -> int:
    """One run on the command line; prints the checkpoint's folder and returns the exit status."""
    try:
        config = read()
        device, bf16 = choose_device(config)
        with ranks(device) as own, _interrupts() as interrupted:
            ended = begin(config, own, device, bf16=bf16, interrupted=interrupted)
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return ExitCode.BAD_CONFIG
    if own.main:
        if ended.message:
            print(ended.message, file=sys.stderr)
        if (config.out / CHECKPOINT).is_dir():
            print(config.out / CHECKPOINT)
    return ended.code


def require_shares(config: LoopConfig, own: Ranks) -> None:
    """Raise `TrainingError` unless all processes get as many samples of a step."""
    if config.batch % own.world:
        raise TrainingError(f"batch={config.batch} cannot be shared by {own.world} processes; give a multiple of it")


def start(
    config: TrainConfig,
    own: Ranks,
    device: torch.device,
    *,
    bf16: bool = False,
    interrupted: Callable[[], bool] = lambda: False,
    console: Console | None = None,
) -> Ended:
    """Check everything, load the data, and train.

    Raises:
        TrainingError: Something does not fit together; nothing has been trained then.
    """
    require_shares(config, own)
    reads_state = isinstance(config.objective, CausalConfig) and config.objective.weights.state > 0
    sources = open_data(config.data, config.objective.state if reads_state else ())  # type: ignore[union-attr]
    model = make_model(config, sources)
    recordings = sources.read(model.config.world_model.encoder, config.seed)
    if config.data.mirror:
        recordings = with_mirror_images(recordings, config.camera)
    if config.init is None:
        set_action_scale(model, recordings, config.data.action_block)
    objective = make_objective(config, model, recordings)
    optimiser = optimiser_of(objective, config.optimiser)
    if own.main:
        state.claim(config.out, config, digest(recordings))
    first = state.steps_done(config.out)

    def checkpoint(step: int, health: Mapping[str, float]) -> None:
        objective.eval()
        calibrated = objective.thresholds(config.health_samples)
        thresholds = {name: threshold.distance for name, threshold in calibrated.items()}
        card = description(config, recordings, step, health, calibrated)
        save_pretrained(model, config.out / CHECKPOINT, thresholds=thresholds, description=card)

    def problem_of(step: int, health: Mapping[str, float]) -> str:
        return diverged(health, step) or (
            "" if step < config.collapse.after else collapse(health, config.collapse, step)
        )

    with reporting(config, own, first, console) as report:
        return train(
            objective,
            optimiser,
            config,
            ranks=own,
            device=device,
            bf16=bf16,
            resume=first > 0,
            report=report,
            checkpoint=checkpoint,
            parts=parts_of(objective).values(),
            prepare=objective.encode_once if config.encode_once else None,
            problem_of=problem_of,
            interrupted=interrupted,
        )


@contextmanager
def reporting(config: LoopConfig, own: Ranks, first: int, console: Console | None) -> Iterator[Report]:
    """What is told of a run that has done ``first`` steps: by the main process only."""
    if not own.main:
        yield Silent()
        return
    with ProgressReport(config.out, first, config.steps, console or Console(stderr=True)) as report:
        yield report


class Silent:
    """The report of the processes that do not speak."""

    def losses(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def health(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing."""


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM end training after the step that runs; a second one ends it at once."""
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:  # noqa: ARG001
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
