"""What a killed run goes on from: one safetensors file, exchanged at once, so that a kill leaves the old or the new.

It holds the weights of the model, heads and targets, and the moments of AdamW and Muon. Nothing else is needed:
learning rates and every draw follow from the step (`draws`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from agents.thinkjepa.training.compose import differences
from agents.thinkjepa.training.config import LoopConfig, TrainingError

STATE, CONFIG = "training.safetensors", "config.json"
_FREE = ("out", "device", "every", "health_samples", "collapse")  # have no part in what the weights become


def claim(out: Path, config: LoopConfig, data: str) -> bool:
    """Make a run's folder, or recognise it; whether there is a state to go on from.

    Args:
        out: The folder.
        config: Of this run.
        data: Digest of what is trained on.

    Raises:
        TrainingError: The folder belongs to a run with another configuration or other data.
    """
    new: dict[str, Any] = {"train": config.to_json(), "data": data}
    path = out / CONFIG
    if path.is_file():
        try:
            old = json.loads(path.read_text())
            changed = differences(_essential(old["train"]), _essential(new["train"]))
            same_data = old["data"] == data
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingError(
                f"{path} is no configuration of a training run ({error}); choose another out"
            ) from error
        if changed or not same_data:
            what = "; ".join(changed[:3]) or "the data are others"
            raise TrainingError(f"out={out} was trained with another configuration ({what}); choose another out")
        return (out / STATE).is_file()
    if out.exists() and any(out.iterdir()):
        raise TrainingError(f"out={out} is not empty and no training run; choose another out")
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(new, indent=2) + "\n")
    return False


def release(out: Path) -> None:
    """Give up a folder that `claim` made, unless there is a state in it to go on from."""
    if not (out / STATE).is_file():
        (out / CONFIG).unlink(missing_ok=True)
        if out.is_dir() and not any(out.iterdir()):
            out.rmdir()


def _essential(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _FREE}


def save(out: Path, objective: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
    """Keep the state after ``step`` steps."""
    tensors = {f"objective.{name}": value for name, value in objective.state_dict().items()}
    for name, parameter in objective.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser.{key}.{name}"] = value
    partial = out / f"{STATE}.part"
    save_file({name: value.detach().contiguous() for name, value in tensors.items()}, partial, {"step": str(step)})
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.replace(out / STATE)


def steps_done(out: Path) -> int:
    """Steps after which the state was kept; 0 if none was.

    Raises:
        TrainingError: The file is damaged.
    """
    if not (out / STATE).is_file():
        return 0
    try:
        with safe_open(out / STATE, framework="pt") as file:
            return int(file.metadata()["step"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(_damaged(out, error)) from error


def restore(out: Path, objective: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    """Bring back the state; returns the steps that were done.

    Raises:
        TrainingError: The file is damaged or belongs to another model.
    """
    step = steps_done(out)
    try:
        with safe_open(out / STATE, framework="pt") as file:
            tensors: dict[str, Tensor] = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        weights = {n.removeprefix("objective."): v for n, v in tensors.items() if n.startswith("objective.")}
        objective.load_state_dict(weights)
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(_damaged(out, error)) from error
    for name, parameter in objective.named_parameters():
        moments = {
            key: tensors[f"optimiser.{key}.{name}"]
            for key in ("step", "exp_avg", "exp_avg_sq", "momentum_buffer")
            if f"optimiser.{key}.{name}" in tensors
        }
        if moments:
            optimiser.state[parameter] = {
                key: value if key == "step" else value.to(parameter.device) for key, value in moments.items()
            }
    return step


def _damaged(out: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"{out / STATE} cannot be gone on from ({reason}); delete {out} to start again"
