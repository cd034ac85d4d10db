from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main
from tests.harness.toy_runs import run_toy


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight episodes, some of them failures (the budget is short), one with an error before it succeeds."""
    run = tmp_path_factory.mktemp("entry") / "run"
    assert run_toy(run, "protocol.max_steps=4") == 0
    return run


@pytest.fixture(scope="session")
def entry(toy_run: Path) -> Path:
    """Its entry."""
    path = toy_run.parent / "entry.zip"
    assert main(["export", str(toy_run), "-o", str(path)]) == 0
    return path
