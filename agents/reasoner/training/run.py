"""One training run of a reasoner, from the overrides on the command line to the checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping

import torch
from rich.console import Console

from agents.reasoner.loading import VLMConfig, load, located
from agents.reasoner.protocol import ReasonerError
from agents.reasoner.tiny import make_tiny
from agents.reasoner.training.config import TINY, ReasonerConfig
from agents.reasoner.training.data import Data, read_data, texts
from agents.reasoner.training.tuning import Tuning, with_adapter
from agents.thinkjepa.training import state
from agents.thinkjepa.training.compose import read
from agents.thinkjepa.training.config import TrainingError
from agents.thinkjepa.training.distributed import Ranks, any_of_all
from agents.thinkjepa.training.draws import seed_torch
from agents.thinkjepa.training.loop import Ended, train
from agents.thinkjepa.training.optimiser import groups_of, make_optimiser
from agents.thinkjepa.training.run import CHECKPOINT, carry_out, reporting, require_shares

_MADE = "made"
"""The tiny model before training, in the run's folder."""


def run(overrides: list[str]) -> int:
    """``harness train reasoner key=value ...``; prints the checkpoint's folder and returns the exit status."""
    return carry_out(lambda: read_config(overrides), start)


def read_config(overrides: list[str]) -> ReasonerConfig:
    """The configuration of ``harness train reasoner key=value ...``.

    Raises:
        TrainingError: For anything that is wrong with it; names the key and the remedy.
    """
    return read(ReasonerConfig, "reasoner", overrides, ())


def start(
    config: ReasonerConfig,
    own: Ranks,
    device: torch.device,
    *,
    bf16: bool = False,
    interrupted: Callable[[], bool] = lambda: False,
    console: Console | None = None,
) -> Ended:
    """Check everything, load data and model, and train.

    Raises:
        TrainingError: Something does not fit together; nothing has been trained then.
    """
    require_shares(config, own)
    data = read_data(config.data)
    resumed = state.claim(config.out, config, data.digest) if own.main else False
    try:
        if own.main and config.model == TINY:
            _make(config, data)
        any_of_all(False, device)  # the others wait until that is there
        stage = _stage(config, data, device, bf16=bf16)
    except (ReasonerError, TrainingError) as error:
        if own.main and not resumed:
            for folder in (config.out / _MADE, config.out / f"{_MADE}.part"):
                shutil.rmtree(folder, ignore_errors=True)
            state.release(config.out)
        raise TrainingError(str(error)) from error
    first = state.steps_done(config.out)

    def checkpoint(step: int, health: Mapping[str, float]) -> None:
        partial, folder = (config.out / name for name in (f"{CHECKPOINT}.part", CHECKPOINT))
        stage.save(partial)
        (partial / "README.md").write_text(_card(config, data, step, health))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)

    groups = groups_of(stage.named_parameters(), config.optimiser.learning_rate, config.optimiser)
    with reporting(config, own, first, console) as report:
        return train(
            stage,
            make_optimiser(groups, config.optimiser),
            config,
            ranks=own,
            device=device,
            bf16=bf16,
            resume=first > 0,
            report=report,
            checkpoint=checkpoint,
            interrupted=interrupted,
        )


def _make(config: ReasonerConfig, data: Data) -> None:
    """The tiny model, as a whole or not at all."""
    partial = config.out / f"{_MADE}.part"
    if not (config.out / _MADE).exists():
        shutil.rmtree(partial, ignore_errors=True)
        init = None if config.init is None else located(config.init)
        make_tiny(texts(data.train), partial, config.sizes, seed=config.seed, init=init).rename(config.out / _MADE)


def _stage(config: ReasonerConfig, data: Data, device: torch.device, *, bf16: bool) -> Tuning:
    tiny = config.model == TINY
    frozen = not tiny and config.lora is not None
    loaded = load(
        VLMConfig(
            model=str(config.out / _MADE) if tiny else config.model,
            device="cuda" if device.type == "cuda" else "cpu",
            dtype="bfloat16" if bf16 and frozen else "float32",  # what is trained stays in float32
        )
    )
    if config.checkpointing:
        loaded.model.activation_checkpointing_enable({"use_reentrant": False})
    seed_torch(config.seed, "adapter")
    model = with_adapter(loaded.model, config.lora) if frozen and config.lora is not None else loaded.model
    return Tuning(loaded._replace(model=model), data, config)


def _card(config: ReasonerConfig, data: Data, step: int, health: Mapping[str, float]) -> str:
    """Of the model, in Markdown."""
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in health.items())
    adapted = config.model != TINY and config.lora is not None
    use = f"model={config.model} lora={{}}" if adapted else "model={}"
    return f"""\
# Reasoner

{"A LoRA adapter of" if adapted else "Trained from"} `{config.model}` on {len(data.train)} questions of \
`harness plans` ({data.digest[:12]}): {step} of {config.steps} steps of {config.batch}, seed {config.seed}. It answers \
the prompt of `agents/reasoner/prompt.py`; use it with {use.format("FOLDER")}.

| held-out number | value |
|---|---|
{rows}

`answers` is the share of answers that repeat the reference plan to the letter; `harness check-plans` says how many are
right.
"""
