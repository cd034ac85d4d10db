"""What is known of an episode after it ran: results, errors and timings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.interfaces import AgentEvent, EpisodeSpec


class Outcome(StrEnum):
    """How an attempt at an episode ended. ``interrupted`` attempts are run again and count nowhere."""

    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    INTERRUPTED = "interrupted"


class Phase(StrEnum):
    """What a worker is doing; an error carries the phase in which it arose."""

    AGENT_START = "agent_start"
    ENV_START = "env_start"
    RESET = "reset"
    STEP = "step"
    RENDER = "render"
    AGENT_RESET = "agent_reset"
    AGENT_ACT = "agent_act"
    IDLE = "idle"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"


@dataclass(frozen=True)
class EpisodeError:
    """Why an attempt ended without a verdict.

    Attributes:
        phase: The phase that failed; ``timeout`` and ``worker_lost`` name in ``message`` what the worker was doing.
        message: One line for people.
        traceback: All that is known of where it happened.
    """

    phase: Phase
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class StageResult:
    """Result of one stage that was started.

    Attributes:
        task: The stage's task name.
        success: Verdict of the benchmark's own oracle.
        steps: Actions executed.
        progress: Share of the stage that was reached, in [0, 1]; 1.0 on success.
        metrics: Whatever else the environment reported at the end (JSON data).
    """

    task: str
    success: bool
    steps: int
    progress: float
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WallTime:
    """Seconds of wall-clock time of one attempt, by who spent them."""

    env: float = 0.0
    agent: float = 0.0
    render: float = 0.0
    total: float = 0.0


@dataclass(frozen=True)
class LoggedEvent:
    """An agent's event and the decision it belongs to."""

    stage: int
    step: int
    event: AgentEvent


@dataclass(frozen=True)
class Job:
    """One attempt at one planned episode.

    Attributes:
        key: The episode key.
        spec: What to run.
        repeat: Index of the repetition.
        attempt: 0 for the first attempt.
        video: Whether frames are recorded.
        avoid_worker: The worker on which the last attempt failed; another one should take it.
        alone: Whether nothing else may run on the same worker, so that its death has one possible cause.
    """

    key: str
    spec: EpisodeSpec
    repeat: int = 0
    attempt: int = 0
    video: bool = False
    avoid_worker: str | None = None
    alone: bool = False


@dataclass(frozen=True)
class EpisodeResult:
    """One attempt at one episode, complete.

    Attributes:
        key: The episode key.
        attempt: Which attempt this was.
        outcome: Success (of all stages), failure or error.
        stages: One per stage that was started and ended.
        error: Set exactly when ``outcome`` is ``error``.
        wall: Time by who spent it.
        actions: All executed actions in order, ``(T, A)``; stage boundaries follow from ``stages[i].steps``.
        decision_seconds: ``(T, 3)`` wall-clock seconds of env, agent and render for each action.
        events: What the agent reported.
        final_digest: Hash of the simulator's state after the last action.
        video: An mp4 file's bytes, if one was recorded.
        recording: The episode as training data (a ``pyarrow.Table``, see `harness.recording`), if it was recorded.
        worker: Name of the worker that ran it.
        started_at: Unix time.
        peak_memory: Bytes: the most that the worker's process had resident until the episode ended; ``None`` where
            nobody could tell (the process died).
    """

    key: str
    attempt: int
    outcome: Outcome
    stages: tuple[StageResult, ...] = ()
    error: EpisodeError | None = None
    wall: WallTime = WallTime()
    actions: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    decision_seconds: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    events: tuple[LoggedEvent, ...] = ()
    final_digest: str = ""
    video: bytes | None = None
    recording: Any = None
    worker: str = ""
    started_at: float = 0.0
    peak_memory: int | None = None

    def progress(self, planned_stages: int) -> float:
        """Mean progress over all planned stages; stages that never started count as 0."""
        return sum(stage.progress for stage in self.stages) / planned_stages

    @property
    def steps(self) -> int:
        """Actions executed over all stages."""
        return sum(stage.steps for stage in self.stages)
