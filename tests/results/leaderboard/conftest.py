"""One leaderboard of toy runs for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main
from tests.harness.toy_runs import ROOT, run_toy

CONFIG = ["--config-dir", str(ROOT / "tests" / "configs")]
EPISODES = 12


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("leaderboard-runs")
    words = [f"protocol.episodes={EPISODES}", "protocol.max_steps=4"]
    loud = ["agent._target_=tests.results.leaderboard.agents.Loud", "agent.mode='<b>loud</b> & proud'", "video=first:1"]
    assert run_toy(folder / "fast", *words, "agent.gain=1.0") == 0
    assert run_toy(folder / "slow", *words, "agent.gain=0.1") == 0
    assert run_toy(folder / "reference", *words, "agent.gain=1.0", agent="curious") == 0
    assert run_toy(folder / "loud", *words, *loud, "agent.gain=0.7") == 0
    assert run_toy(folder / "plain") == 0
    assert run_toy(folder / "errors", "protocol.faults=['toy-002:step:raise']", "errors.attempts=1") == 4
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="session")
def site(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leaderboard") / "site"
    chosen = [str(runs[name]) for name in ("fast", "slow", "reference", "loud", "plain")]
    assert main(["leaderboard", "build", *chosen, "-o", str(folder), "--title", "Toys & tests", *CONFIG]) == 0
    return folder
