"""Re-execute the logged actions of an episode and see whether the same thing happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.instantiate import build_benchmark
from harness.interfaces import Action, Agent, EnvRequest, Observation, TaskView
from harness.phases import PhaseBoard
from harness.records import EpisodeResult, Job, Outcome
from harness.rollout import Lane, run_episodes
from harness.store import PlannedEpisode, RunReader, StoreError


class LoggedActions(Agent):
    """Plays back actions ``(T, A)``; runs out only if the episode does not end where it did."""

    observation_keys = ()

    def __init__(self, actions: npt.NDArray[np.float64]) -> None:
        self._actions = iter(actions)

    def reset(self, lane: int, view: TaskView, observation: Observation) -> None:
        """Nothing to forget: the log goes on through all stages."""

    def act(self, observations: Mapping[int, Observation]) -> Mapping[int, Action]:
        """The next logged action, or none where the log ends."""
        return dict(zip(observations, self._actions, strict=False))


@dataclass(frozen=True)
class Replay:
    """What came of it.

    Attributes:
        result: The replayed attempt.
        differences: One line per recorded fact that came out otherwise; empty if the replay is faithful.
    """

    result: EpisodeResult
    differences: tuple[str, ...]


def replay(reader: RunReader, planned: PlannedEpisode, *, video: bool = False) -> Replay:
    """Run the logged actions of the episode's final attempt in a fresh environment.

    Raises:
        StoreError: if the episode has no final attempt, or ended in an error.
    """
    attempts = reader.attempts()
    final = attempts[(attempts["key"] == planned.key) & (attempts["final"] == 1)]
    if final.empty:
        raise StoreError(f"episode {planned.spec.episode_id} has no result yet; `harness resume` the run first")
    recorded = final.iloc[0]
    if recorded["outcome"] == Outcome.ERROR:
        raise StoreError(f"episode {planned.spec.episode_id} ended in an error: {recorded['error_message']}")
    config = reader.meta("config")
    benchmark = build_benchmark(config["benchmark"], config["protocol"])
    lane = Lane(
        0,
        lambda: benchmark.make_env(EnvRequest(observation_keys=(), video=video)),
        LoggedActions(reader.actions(planned.key)),
        run_seed=config["seed"],
        control_hz=benchmark.control_hz(),
        board=PhaseBoard(),
    )
    jobs = iter([Job(planned.key, planned.spec, planned.repeat, video=video)])
    results = run_episodes(
        lane.agent, [lane], pull=lambda _: next(jobs, None), board=PhaseBoard(), should_stop=lambda: False
    )
    (result,) = results
    lane.close()
    happened = {
        "outcome": (recorded["outcome"], result.outcome.value),
        "steps": (int(recorded["steps"]), result.steps),
        "progress": (float(recorded["progress"]), result.progress(len(planned.spec.stages))),
        "final state": (recorded["final_digest"], result.final_digest),
    }
    differences = [f"{name}: recorded {old}, replayed {new}" for name, (old, new) in happened.items() if old != new]
    if result.error is not None:
        differences.append(f"error: {result.error.message}")
    return Replay(result, tuple(differences))
