"""The README's main command, as `make demo` runs it, with fewer episodes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def demo_lines() -> list[str]:
    """What `make demo` would execute after the installation."""
    plan = subprocess.run(
        ["make", "--dry-run", "--assume-old=.venv/installed", "demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in plan.stdout.splitlines() if "bin/harness" in line]


def test_the_demo_runs_and_tells_the_truth(tmp_path: Path) -> None:
    run_line, report_line = demo_lines()
    words = shlex.split(run_line)
    assert words[0].endswith("harness")
    assert "limit=4" in words
    assert "benchmark=thinkbench" in words
    folder = tmp_path / "demo"
    changed = {"limit=4": "limit=2"}
    words = [changed.get(word, re.sub(r"^run_dir=.*", f"run_dir={folder}", word)) for word in words[1:]]
    harness = [sys.executable, "-m", "harness"]
    environment = {**os.environ, "COLUMNS": "200"}
    run = subprocess.run([*harness, *words], cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    run_dirs = [Path(line) for line in run.stdout.splitlines()]
    assert sorted(path.name.split("-")[2] for path in run_dirs) == sorted(
        ["expert", "random", "thinkjepa", "flat_cem", "vlm_only", "oracle_goal"]
    )
    for path in run_dirs:
        assert len(list((path / "videos").glob("*.mp4"))) == 1
    assert "report" in shlex.split(report_line.partition(">")[0])
    report = subprocess.run(
        [*harness, "report", *map(str, run_dirs)], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert re.search(r"expert\*† \(seed 0\) .*100\.0% \[34\.2, 100\.0\] \(2/2\)", report)
    assert re.search(r"random† \(seed 0\) .*0\.0% \[0\.0, 65\.8\] \(0/2\)", report)
    assert "non-standard: limit: the first 2 of 200 episodes" in report
