"""Models with random weights for the agents that plan in the world model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from agents.thinkjepa.checkpoints import save_pretrained
from agents.thinkjepa.model import ThinkJEPA
from tests.agents.thinkjepa.tiny import IDENTITY_POINT, awake, model_config, world_config


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    model = awake(ThinkJEPA(model_config()))
    assert isinstance(model, ThinkJEPA)
    save_pretrained(model, folder, thresholds={"token_cosine": 1e-6})
    return str(folder)


@pytest.fixture(scope="module")
def shifting(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose actions have a point in the picture."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("shifting")
    config = model_config()
    config = replace(config, world_model=world_config(action_points=(IDENTITY_POINT,)))
    model = awake(ThinkJEPA(config))
    assert isinstance(model, ThinkJEPA)
    save_pretrained(model, folder, thresholds={"token_cosine": 1e-6})
    return str(folder)
