"""What the harness itself costs: overhead per episode, speed-up by workers, memory over many episodes."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from harness.cli import main as harness
from harness.config import compose_runs
from harness.instantiate import build_agent
from harness.interfaces import EnvRequest
from harness.phases import PhaseBoard
from harness.records import Job
from harness.rollout import Lane, run_episodes
from harness.runs import prepare
from harness.store import RunReader
from tests.harness.toy_runs import TOY

REPETITIONS = 3
MEMORY_EPISODES = 500


def main() -> dict[str, Any]:
    """Measure everything; prints as it goes."""
    numbers = {"overhead": overhead(), "speed_up": speed_up(), "memory": memory()}
    share, gain = numbers["overhead"]["share_of_wall_time"], numbers["speed_up"]["ratio_median"]
    print(f"overhead {share:.2%} of wall time (expected < 1%); 1 -> 2 workers x{gain:.2f} (expected >= 1.8)")
    return numbers


def overhead() -> dict[str, float]:
    """ThinkBench with the expert, one lane: everything between the first reset and the last record that is neither
    environment, agent nor rendering.
    """
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        harness(["run", "benchmark=thinkbench", "agent=expert", "limit=24", f"run_dir={run_dir}"])
        with RunReader(run_dir) as reader:
            attempts = reader.attempts()
    span = attempts["recorded_at"].max() - attempts["started_at"].min()
    parts = attempts[["wall_env", "wall_agent", "wall_render"]].to_numpy().sum()
    per_episode = (span - parts) / len(attempts)
    print(f"overhead per episode {1e3 * per_episode:.2f} ms of {1e3 * span / len(attempts):.0f} ms")
    print(f"expert on one worker: {60 * len(attempts) / span:.1f} episodes per minute")
    return {
        "episodes": len(attempts),
        "seconds_per_episode": span / len(attempts),
        "episodes_per_minute": 60 * len(attempts) / span,
        "overhead_seconds_per_episode": per_episode,
        "share_of_wall_time": (span - parts) / span,
    }


def speed_up() -> dict[str, Any]:
    """A world that only computes, 48 episodes: episodes per second with one and with two Ray workers, in turn."""
    ratios, seconds = [], {1: [], 2: []}
    for _ in range(REPETITIONS):
        for workers in (1, 2):
            seconds[workers].append(_timed_toy(workers))
        ratios.append(seconds[1][-1] / seconds[2][-1])
    print(f"speed-up from 1 to 2 workers: {', '.join(f'{r:.2f}' for r in ratios)}")
    return {
        "seconds_one_worker": seconds[1],
        "seconds_two_workers": seconds[2],
        "ratios": ratios,
        "ratio_median": statistics.median(ratios),
    }


def _timed_toy(workers: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        words = ["protocol.episodes=48", "protocol.work=800", "executor=ray", f"executor.workers={workers}"]
        harness(["run", *TOY, "agent=walker", *words, f"run_dir={run_dir}"])
        with RunReader(run_dir) as reader:
            attempts = reader.attempts()
    return float(attempts["recorded_at"].max() - attempts["started_at"].min())


def memory() -> dict[str, float]:
    """One lane of ThinkBench with the random agent and one camera: resident memory after 50 and after 500 episodes of
    one action each.
    """
    words = ["benchmark=thinkbench", "agent=random"]
    prepared = prepare(compose_runs(words)[0])
    agent, board = build_agent(prepared.config.agent), PhaseBoard()
    request = EnvRequest(observation_keys=("rgb_static",))
    lane = Lane(
        0, lambda: prepared.benchmark.make_env(request), agent, run_seed=0, control_hz=None, board=board, worker="bench"
    )
    specs = [planned.spec for planned in prepared.plan]
    short = [replace(spec, stages=(replace(spec.stages[0], max_steps=1),)) for spec in specs]
    jobs = iter([Job(str(i), short[i % len(short)]) for i in range(MEMORY_EPISODES)])
    process, resident = psutil.Process(), []
    for _ in run_episodes(agent, [lane], pull=lambda _: next(jobs, None), board=board, should_stop=lambda: False):
        resident.append(process.memory_info().rss / 2**20)
    early, late, peak = resident[49], resident[-1], max(resident)
    print(f"resident memory: {early:.0f} MiB after 50 episodes, {late:.0f} MiB after {len(resident)}, peak {peak:.0f}")
    return {"mib_after_50": early, "mib_after_500": late, "mib_peak": peak, "episodes": len(resident)}
