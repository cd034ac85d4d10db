"""What decisions cost: seconds, model calls, memory; and which agents get the most success for it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.store import RunReader

MODEL_CALLS = "model_calls"
"""The number in ``compute`` events that says how often a model was called."""

MOST_EPISODES = 10_000
"""Episodes whose decisions are looked at; of larger runs a random sample of that size."""

QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Compute:
    """The cost of a run's decisions. Numbers are ``None`` where there are no decisions or nobody reported them.

    Attributes:
        decisions: How many were looked at.
        sampled: Whether they are of a sample of the episodes.
        env_seconds: Mean wall-clock seconds per decision in the environment.
        render_seconds: The same for rendering.
        agent_seconds: Seconds per decision in the agent: mean, p50, p95, p99.
        model_calls: Model calls per decision: mean, p50, p95, p99.
        reported: Mean per decision of every number in the agent's ``compute`` events.
        peak_bytes: The most memory that any worker's process had resident.
    """

    decisions: int
    sampled: bool
    env_seconds: float | None
    render_seconds: float | None
    agent_seconds: tuple[float, ...] | None
    model_calls: tuple[float, ...] | None
    reported: dict[str, float]
    peak_bytes: int | None


def measure_compute(reader: RunReader, episodes: int = MOST_EPISODES) -> Compute:
    """Measure it over the final attempts."""
    counts = reader.outcome_counts()
    ended = sum(counts.values()) - counts["planned"]
    decisions = reader.decisions(episodes).astype(float)
    calls, reported = _reported(reader, episodes, len(decisions))
    if len(decisions) == 0:
        return Compute(0, False, None, None, None, None, {}, reader.peak_memory())
    env, _, render = decisions.mean(axis=0)
    return Compute(
        decisions=len(decisions),
        sampled=ended > episodes,
        env_seconds=float(env),
        render_seconds=float(render),
        agent_seconds=_spread(decisions[:, 1]),
        model_calls=None if calls is None else _spread(calls),
        reported=reported,
        peak_bytes=reader.peak_memory(),
    )


def _spread(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return (float(values.mean()), *(float(value) for value in np.quantile(values, QUANTILES)))


def _reported(
    reader: RunReader, episodes: int, decisions: int
) -> tuple[npt.NDArray[np.float64] | None, dict[str, float]]:
    """Model calls of each decision (zero where none was reported), and the means of all reported numbers."""
    events = reader.events(kind="compute", episodes=episodes)
    totals: dict[str, float] = defaultdict(float)
    calls: dict[tuple[str, int, int], float] = defaultdict(float)
    for key, stage, step, text in zip(events["key"], events["stage"], events["step"], events["data"], strict=True):
        for name, value in json.loads(text).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                totals[name] += value
                if name == MODEL_CALLS:
                    calls[key, stage, step] += value
    if not decisions:
        return None, {}
    means = {name: total / decisions for name, total in sorted(totals.items())}
    if MODEL_CALLS not in totals:
        return None, means
    counted = list(calls.values())
    return np.array(counted + [0.0] * max(0, decisions - len(counted))), means


def pareto_efficient(costs: Sequence[float], successes: Sequence[float]) -> list[bool]:
    """Whether no other point costs less or equal and succeeds more or equal, one of them strictly."""
    points = list(zip(costs, successes, strict=True))
    return [
        not any(c <= cost and s >= success and (c < cost or s > success) for c, s in points) for cost, success in points
    ]
