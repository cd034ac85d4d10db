"""Short trainings on a toy world, see `squares`."""

import io
import json
from pathlib import Path

import torch
from rich.console import Console

from agents.thinkjepa.training import run
from agents.thinkjepa.training.compose import read_config
from agents.thinkjepa.training.distributed import Ranks
from agents.thinkjepa.training.state import STATE

CPU = torch.device("cpu")

MODEL = [
    "model.world_model.encoder={image_size:16,patch_size:4,width:32,layers:1,heads:2}",
    "model.world_model.grid=4",
    "model.world_model.predictor={width:32,layers:1,heads:2,frames:4,dropout:0.1}",
    "model.gpi={language_dim:64,layers:1,heads:2}",
]

MASKED = ["objective=masked", "objective.frames=3"]
"""Clips of the toy world: an episode has three actions."""

QUICK = ["batch=16", "optimiser.warmup=10", "health_samples=32", "objective.directions=16", "objective.places=4"]


def train(target, *overrides, **given):
    """`run.start` in this process, without its progress."""
    console = Console(file=io.StringIO())
    return run.start(read_config(target, overrides), Ranks(), CPU, console=console, **given)


def metrics(out, what):
    """The lines of a run's curves that are about ``what``."""
    lines = [json.loads(line) for line in (Path(out) / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["what"] == what]


def state(out):
    """All that a run goes on from, as bytes."""
    return (out / STATE).read_bytes()
