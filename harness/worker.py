"""What a worker is built from, and how: the same for every executor."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.instantiate import build_agent, build_benchmark, reads_truth
from harness.interfaces import Agent, EnvRequest
from harness.phases import PhaseBoard
from harness.recording import RecordingRequest
from harness.records import Phase
from harness.rollout import Lane


@dataclass(frozen=True)
class WorkerSpec:
    """Plain data from which any process can build a worker.

    Attributes:
        benchmark: The benchmark's configuration (``_target_`` and parameters).
        protocol: The protocol's configuration.
        agent: The agent's configuration.
        lanes: Environments per worker.
        run_seed: Seed of the run.
        video: Whether any episode of this run may be filmed.
        recording: What to record as training data, if anything.
    """

    benchmark: Mapping[str, Any]
    protocol: Mapping[str, Any]
    agent: Mapping[str, Any]
    lanes: int
    run_seed: int
    video: bool
    recording: RecordingRequest | None = None


def close_worker(agent: Agent, lanes: Sequence[Lane]) -> None:
    """Release everything. Results are safe by now, so what raises here is only told, on standard error."""
    for close in (*(lane.close for lane in lanes), agent.close):
        try:
            close()
        except Exception as error:  # noqa: BLE001 - any error of foreign code
            sys.stderr.write(f"closing a worker raised {type(error).__name__}: {error}\n")


def build_worker(spec: WorkerSpec, name: str, board: PhaseBoard) -> tuple[Agent, list[Lane]]:
    """An agent and its idle lanes; environments are made when a lane gets its first episode."""
    with board.during(Phase.AGENT_START):
        agent = build_agent(spec.agent)
    benchmark = build_benchmark(spec.benchmark, spec.protocol)
    request, truth = _request(agent, spec), reads_truth(spec.agent)
    lanes = [
        Lane(
            index,
            lambda: benchmark.make_env(request),
            agent,
            run_seed=spec.run_seed,
            control_hz=benchmark.control_hz(),
            board=board,
            worker=name,
            recording=spec.recording,
            reads_truth=truth,
        )
        for index in range(spec.lanes)
    ]
    return agent, lanes


def _request(agent: Agent, spec: WorkerSpec) -> EnvRequest:
    """What the agent reads and what is recorded."""
    if spec.recording is None:
        return EnvRequest(observation_keys=agent.observation_keys, video=spec.video)
    read, recorded = agent.observation_keys, spec.recording.keys
    keys = None if read is None or recorded is None else tuple(dict.fromkeys((*read, *recorded)))
    return EnvRequest(observation_keys=keys, video=spec.video, recording=True)
