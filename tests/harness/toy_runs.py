"""Run toy evaluations through the command line, in this process or in one of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

from harness.cli import main
from harness.store import RunReader

ROOT = Path(__file__).parents[2]
TOY = ["--config-dir", str(ROOT / "tests" / "configs"), "benchmark=toy"]


def run_toy(run_dir: Path, *overrides: str, agent: str = "walker") -> int:
    """``harness run`` in this process; returns the exit status."""
    return main(["run", *TOY, f"agent={agent}", f"run_dir={run_dir}", *overrides])


def spawn_toy(run_dir: Path, *overrides: str, agent: str = "walker", verb: str = "run") -> subprocess.Popen[str]:
    """``harness run`` (or ``resume``) as a process of its own."""
    words = ["run", *TOY, f"agent={agent}", f"run_dir={run_dir}"] if verb == "run" else ["resume", str(run_dir)]
    return subprocess.Popen(
        [sys.executable, "-m", "harness", *words, *overrides],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )


def results(run_dir: Path) -> pd.DataFrame:
    """Final attempts by key."""
    with RunReader(run_dir) as reader:
        attempts = reader.attempts()
    return attempts[attempts["final"] == 1].set_index("key").sort_index()


def traces(run_dir: Path) -> dict[str, tuple[str, int, str, bytes]]:
    """Outcome, steps, final state and action bytes of every episode."""
    table = results(run_dir)
    with RunReader(run_dir) as reader:
        return {
            str(key): (row["outcome"], row["steps"], row["final_digest"], reader.actions(str(key)).tobytes())
            for key, row in table.iterrows()
        }
