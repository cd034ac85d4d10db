"""The smallest configurations that still have every part."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from agents.thinkjepa.config import (
    ActionPoint,
    EncoderConfig,
    GPIConfig,
    PredictorConfig,
    ThinkJEPAConfig,
    WorldModelConfig,
)
from agents.thinkjepa.world_model import WorldModel

ENCODER = EncoderConfig(image_size=16, patch_size=4, width=24, layers=2, heads=2)
PREDICTOR = PredictorConfig(width=16, layers=2, heads=2, frames=4, dropout=0.0)
IDENTITY_POINT = ActionPoint(x=0, y=1, homography=(1, 0, 0, 0, 1, 0, 0, 0, 1))
ACTION_DIM = 3
LANGUAGE_DIM = 10


def world_config(*, grid: int = 4, normalisation: Any = "layer", **predictor: Any) -> WorldModelConfig:
    return WorldModelConfig(
        encoder=ENCODER,
        predictor=replace(PREDICTOR, **predictor),
        action_dim=ACTION_DIM,
        grid=grid,
        normalisation=normalisation,
    )


def model_config(**gpi: Any) -> ThinkJEPAConfig:
    settings = {"language_dim": LANGUAGE_DIM, "layers": 1, "heads": 2} | gpi
    return ThinkJEPAConfig(world_model=world_config(), gpi=GPIConfig(**settings))


def awake(module: nn.Module) -> nn.Module:
    """In evaluation mode with all weights random, also those that start at zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.2)
    return module.eval()


def world_model(**config: Any) -> WorldModel:
    model = awake(WorldModel(world_config(**config)))
    assert isinstance(model, WorldModel)
    return model
