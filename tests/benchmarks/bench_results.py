"""Tables over a store of a million episodes: seconds and peak memory of ``harness report``, as a process of its own."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.config import compose_runs
from harness.frames import spec_facts
from harness.identity import canonical_json
from harness.interfaces import EpisodeSpec
from harness.runs import prepare
from harness.store import STORE_NAME, RunWriter

EPISODES = 1_000_000
SECONDS, GIB = 20.0, 4.0
"""What is expected of each benchmark, on two cores."""

DECISIONS = 20
SUCCESS = 0.8

REPORT = """\
import json, resource, sys, time
start = time.perf_counter()
from pathlib import Path
from results.render import markdown
from results.report import build_report
imported, used = time.perf_counter(), time.process_time()
text = markdown(build_report([Path(sys.argv[1])]))
seconds, peak = time.perf_counter() - imported, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
cpu = time.process_time() - used
numbers = {"seconds": seconds, "cpu_seconds": cpu, "import_seconds": imported - start, "peak_gib": peak}
print(json.dumps(numbers | {"characters": len(text)}))
"""


def main() -> dict[str, Any]:
    """Measure CALVIN (five stages per episode) and ThinkBench (one stage, long specs); prints as it goes."""
    return {name: measure(name, EPISODES) for name in ("calvin", "thinkbench")}


def measure(benchmark: str, episodes: int) -> dict[str, Any]:
    """Write a store with the specs of the benchmark, again and again under new ids, and report on it."""
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        start = time.perf_counter()
        write_store(run_dir, benchmark, episodes)
        size = (run_dir / STORE_NAME).stat().st_size / 2**30
        print(f"{benchmark}: {episodes} episodes, {size:.2f} GiB, written in {time.perf_counter() - start:.0f} s")
        command = [sys.executable, "-c", REPORT, str(run_dir)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    numbers: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    print(
        f"{benchmark}: report in {numbers['seconds']:.1f} s (expected < {SECONDS:g}), "
        f"{numbers['cpu_seconds']:.1f} s of them on the CPU, "
        f"peak memory {numbers['peak_gib']:.2f} GiB (expected < {GIB:g})"
    )
    return {"episodes": episodes, "store_gib": size} | numbers


def write_store(run_dir: Path, benchmark: str, episodes: int) -> None:
    """A complete run, every stage succeeding with probability 0.8, twenty decisions per episode."""
    prepared = prepare(compose_runs([f"benchmark={benchmark}", "agent=noop"])[0])
    specs = [planned.spec for planned in prepared.plan]
    stages = len(specs[0].stages)
    draws = np.random.default_rng(0).random((episodes, stages)) < SUCCESS
    completed = np.cumprod(draws, axis=1).sum(axis=1).tolist()
    blob = zlib.compress(np.random.default_rng(1).random((DECISIONS, 3), dtype=np.float32).tobytes())
    with RunWriter.create(run_dir, prepared.meta(), []) as writer:
        writer.begin_session({})
        writer.end_session("completed")
    database = sqlite3.connect(run_dir / STORE_NAME, isolation_level=None)
    database.execute("PRAGMA synchronous = OFF")
    database.execute("BEGIN")
    database.executemany("INSERT INTO episodes VALUES (?, ?, ?, ?, ?, ?)", _plan(specs, episodes))
    columns = "key, attempt, final, outcome, session, worker, started_at, recorded_at, steps, progress, wall_env, "
    columns += "wall_agent, wall_render, wall_total, final_digest, action_size, actions, decisions, peak_memory"
    outcomes = [
        (f"{i:032x}", "success" if done == stages else "failure", done / stages) for i, done in enumerate(completed)
    ]
    database.executemany(
        f"INSERT INTO attempts ({columns}) VALUES (?, 0, 1, ?, 1, 'w0', 0.0, 1.0, {DECISIONS}, ?, 1.0, 1.0, 0.0, 2.0, "
        "'', 0, ?, ?, 1000000)",
        ((*outcome, b"", blob) for outcome in outcomes),
    )
    database.executemany(
        "INSERT INTO stages VALUES (?, 0, ?, 'task', ?, 4, ?, '{}')",
        (
            (f"{i:032x}", stage, int(stage < done), float(stage < done))
            for i, done in enumerate(completed)
            for stage in range(min(done + 1, stages))
        ),
    )
    database.execute("COMMIT")
    database.close()


def _plan(specs: Sequence[EpisodeSpec], episodes: int) -> Iterator[tuple[Any, ...]]:
    texts = [(spec.episode_id, canonical_json(spec.to_dict()), canonical_json(spec_facts(spec))) for spec in specs]
    for number in range(episodes):
        episode_id, spec, facts = texts[number % len(texts)]
        name = f"{episode_id}-{number}"
        yield f"{number:032x}", number, name, 0, spec.replace(f'"{episode_id}"', f'"{name}"', 1), facts
