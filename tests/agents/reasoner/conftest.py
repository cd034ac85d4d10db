"""What several tests of reasoners learn from."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main
from tests.agents.reasoner.families import FAMILIES, save


@pytest.fixture(scope="session")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set of plans."""
    out = tmp_path_factory.mktemp("plans") / "set"
    assert main(["plans", str(out), "seed=5", "episodes=10", "image=32", "held_out=0.3"]) == 0
    return out


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A small model of each family."""
    return {family: save(family, tmp_path_factory.mktemp(family)) for family in FAMILIES}
