"""Agents that read the ground truth of one world, in another."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main


@pytest.mark.parametrize(
    ("agent", "benchmark", "message"),
    [
        ("greedy", "subgoals", "agent=greedy counts goal literals, which only benchmark=thinkbench has"),
        ("greedy", "calvin", "agent=greedy counts goal literals"),
        ("heuristic", "thinkbench", "agent=heuristic knows what sub-goals ask for; use it with benchmark=subgoals"),
        ("simulator", "language_table", "agent=simulator judges its candidates by sub-goals"),
    ],
)
def test_agents_of_another_world_are_refused_before_anything_starts(
    agent: str, benchmark: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", f"agent={agent}", f"benchmark={benchmark}", f"run_dir={tmp_path / 'run'}"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
