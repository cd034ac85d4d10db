"""The README's main command, as `make demo` runs it, with fewer agents and episodes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


AGENTS = ("expert", "random", "thinkjepa", "flat_cem", "vlm_only", "oracle_goal")
SMALL = ("expert", "random", "thinkjepa")


def demo_lines(*settings: str) -> list[str]:
    """What `make demo` would execute after the installation."""
    plan = subprocess.run(
        ["make", "--dry-run", "--assume-old=.venv/installed", "demo", *settings],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in plan.stdout.splitlines() if "bin/harness" in line]


def test_the_demo_runs_every_agent_on_two_episodes() -> None:
    words = shlex.split(demo_lines()[0])
    assert {"benchmark=thinkbench", f"agent={','.join(AGENTS)}", "limit=2", "executor=ray"} <= set(words)


@pytest.mark.parametrize(
    ("agents", "limit", "all_of_them", "none_of_them"),
    [
        (SMALL, 1, r"100\.0% \[20\.7, 100\.0\] \(1/1\)", r"0\.0% \[0\.0, 79\.3\] \(0/1\)"),
        pytest.param(
            *(AGENTS, 2, r"100\.0% \[34\.2, 100\.0\] \(2/2\)", r"0\.0% \[0\.0, 65\.8\] \(0/2\)"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["some agents", "all agents"],
)
def test_the_demo_runs_and_tells_the_truth(
    agents: tuple[str, ...], limit: int, all_of_them: str, none_of_them: str, tmp_path: Path
) -> None:
    run_line, report_line = demo_lines(f"AGENTS={','.join(agents)}", f"LIMIT={limit}", f"DEMO={tmp_path / 'demo'}")
    program, *words = shlex.split(run_line)
    assert program.endswith("harness")
    assert "benchmark=thinkbench" in words
    harness = [sys.executable, "-m", "harness"]
    environment = {**os.environ, "COLUMNS": "200"}
    run = subprocess.run([*harness, *words], cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    run_dirs = [Path(line) for line in run.stdout.splitlines()]
    assert sorted(path.name.split("-")[2] for path in run_dirs) == sorted(agents)
    for path in run_dirs:
        assert path.parent == tmp_path / "demo"
        assert len(list((path / "videos").glob("*.mp4"))) == 1
    assert "report" in shlex.split(report_line.partition(">")[0])
    report = subprocess.run(
        [*harness, "report", *map(str, run_dirs)], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert re.search(rf"expert\*† \(seed 0\) .*{all_of_them}", report)
    assert re.search(rf"random† \(seed 0\) .*{none_of_them}", report)
    assert re.search(rf"non-standard: limit: the first {limit} of 200 episodes", report)
