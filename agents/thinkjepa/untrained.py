"""Weights that have learned nothing, to try how an agent runs in a world that none were trained for."""

from __future__ import annotations

from dataclasses import replace

import torch

from agents.thinkjepa.model import ThinkJEPA
from agents.thinkjepa.presets import preset
from agents.thinkjepa.world_model import WorldModel

UNTRAINED = "untrained"
"""What an agent's ``checkpoint`` is called that is none."""

_LANGUAGE_DIM = 128


def untrained_model() -> ThinkJEPA:
    """The preset ``tiny`` with random weights, the same on every machine, for actions of one component."""
    config = preset("tiny", action_dim=1, language_dim=_LANGUAGE_DIM)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ThinkJEPA(config).eval()


def untrained_world(like: WorldModel, action_dim: int) -> WorldModel:
    """A world model of the same sizes for actions of ``action_dim`` components, with random weights as well."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return WorldModel(replace(like.config, action_dim=action_dim)).eval()
