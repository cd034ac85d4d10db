"""The whole model: what a checkpoint holds."""

from __future__ import annotations

from torch import nn

from agents.thinkjepa.config import ThinkJEPAConfig
from agents.thinkjepa.gpi import GoalProjection
from agents.thinkjepa.world_model import WorldModel


class ThinkJEPA(nn.Module):
    """World model and Goal Projection Interface over one state space; `checkpoints` saves and loads it."""

    def __init__(self, config: ThinkJEPAConfig) -> None:
        super().__init__()
        self.config = config
        self.world_model = WorldModel(config.world_model)
        self.gpi = GoalProjection(
            config.gpi,
            width=config.world_model.encoder.width,
            tokens=config.world_model.tokens,
            normalisation=config.world_model.normalisation,
        )
