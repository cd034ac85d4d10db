"""How fast `agent=explore` gathers training data in skill actions, in CPU time of one process."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from harness.cli import main as harness
from tests.benchmarks.bench_world import skill_seconds
from thinkbench.subgoals.draw import PLAY_STEPS

FEW, MANY = 2, 42
KEYS = "record=[rgb_static,robot_obs,object_states,scene,subgoals,holds]"


def collect_seconds(episodes: int, *overrides: str) -> float:
    """CPU time of a whole collection in this process."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        words = ["benchmark=subgoals", "agent=explore", f"limit={episodes}", f"run_dir={Path(folder) / 'run'}", KEYS]
        start = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            status = harness(["collect", *words, *overrides])
        assert status == 0, status
        return time.process_time() - start


def main() -> dict[str, Any]:
    """Measure what a further transition costs, episode starts included, and print it.

    The CPU time of a pick-and-place, measured before and after, says how busy the machine was: the same on an idle
    machine is in ``world.json``.
    """
    collect_seconds(FEW)
    numbers: dict[str, Any] = {"pick_and_place_cpu_seconds": [skill_seconds(5)["pick_and_place"]]}
    for name, overrides in {
        "observed_224px_recorded_64px": ("size=64",),
        "observed_224px_recorded_96px": ("size=96",),
        "observed_and_recorded_64px": ("protocol.image_size=64",),
    }.items():
        seconds = collect_seconds(MANY, *overrides) - collect_seconds(FEW, *overrides)
        per_transition = seconds / ((MANY - FEW) * PLAY_STEPS)
        numbers[name] = {
            "cpu_seconds_per_transition": per_transition,
            "transitions_per_second_on_two_cores": 2 / per_transition,
        }
    numbers["pick_and_place_cpu_seconds"].append(skill_seconds(5)["pick_and_place"])
    print(json.dumps(numbers, indent=2))
    return numbers
