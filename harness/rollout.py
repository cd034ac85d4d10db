"""The rollout loop: the only place in which agents meet environments.

Every executor uses it. It drives one agent over any number of lanes, runs single-stage episodes and chains alike, and
turns whatever goes wrong into a typed error of the lane that is to blame. Agents and environments are trusted to
follow ``harness.interfaces`` and nothing more.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np

from harness.actions import InvalidActionError, checked_action
from harness.identity import plain_data
from harness.interfaces import Action, Agent, AgentEvent, Observation, SeedPath, Stage, TaskEnv, TaskView
from harness.phases import PhaseBoard, PhaseError
from harness.recording import EpisodeRecorder, RecordingRequest
from harness.records import (
    EpisodeError,
    EpisodeResult,
    Job,
    LoggedEvent,
    Outcome,
    Phase,
    StageResult,
    WallTime,
)
from harness.video import VideoRecorder


class StopRollout(Exception):  # noqa: N818 - a signal, not an error
    """Raised inside the loop when the run is asked to stop; episodes in flight are dropped."""


@dataclass
class _Episode:
    """The episode that runs on a lane: everything that grows while it runs."""

    job: Job
    started_at: float = field(default_factory=time.time)
    clock_start: float = field(default_factory=time.perf_counter)
    stage: int = 0
    stage_steps: int = 0
    stages: list[StageResult] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    seconds: list[tuple[float, float, float]] = field(default_factory=list)
    events: list[LoggedEvent] = field(default_factory=list)
    setup: dict[str, float] = field(default_factory=lambda: {"env": 0.0, "agent": 0.0, "render": 0.0})
    observation: Observation = field(default_factory=dict)
    video: VideoRecorder | None = None
    recorder: EpisodeRecorder | None = None

    @property
    def current_stage(self) -> Stage:
        return self.job.spec.stages[self.stage]


class Lane:
    """One environment and the episode that runs on it. Ground truth is handed out where the agent ``reads_truth``."""

    def __init__(
        self,
        index: int,
        make_env: Callable[[], TaskEnv],
        agent: Agent,
        *,
        run_seed: int,
        control_hz: float | None,
        board: PhaseBoard,
        worker: str = "",
        recording: RecordingRequest | None = None,
        reads_truth: bool = False,
    ) -> None:
        self.index = index
        self._make_env = make_env
        self._env: TaskEnv | None = None
        self._agent = agent
        self._run_seed = run_seed
        self._control_hz = control_hz
        self._board = board
        self._worker = worker
        self._recording = recording
        self._reads_truth = reads_truth
        self._episode: _Episode | None = None

    @property
    def agent(self) -> Agent:
        """Who acts on it."""
        return self._agent

    @property
    def busy(self) -> bool:
        """Whether an episode is running."""
        return self._episode is not None

    @property
    def episode_key(self) -> str:
        """Key of the running episode."""
        return self._running.job.key

    @property
    def observation(self) -> Observation:
        """What the agent acts on next."""
        return self._for_agent(self._running.observation)

    @property
    def _running(self) -> _Episode:
        if self._episode is None:
            raise RuntimeError(f"lane {self.index} is idle")
        return self._episode

    def start(self, job: Job) -> EpisodeResult | None:
        """Set up an episode; returns a result at once only if that failed."""
        episode = self._episode = _Episode(job)
        try:
            if self._env is None:
                before = time.perf_counter()
                with self._during(Phase.ENV_START):
                    self._env = self._make_env()
                episode.setup["env"] += time.perf_counter() - before
            with self._resetting() as env:
                episode.observation, info = env.reset(seed=job.spec.seed, options={"episode": job.spec})
            if job.video:
                episode.video = VideoRecorder()
                self._record(info)
            if self._recording is not None:
                episode.recorder = EpisodeRecorder(self._recording, self._control_hz)
            self._begin_agent_stage()
        except PhaseError as failure:
            return self._finish(Outcome.ERROR, failure.error)
        return None

    def apply(self, action: Any, agent_seconds: float) -> EpisodeResult | None:
        """Execute one action; returns the result if it ended the episode."""
        episode = self._running
        env = self._environment
        try:
            with self._during(Phase.AGENT_ACT):
                self._collect_events()
                checked = checked_action(action, _box(env))
            before = time.perf_counter()
            if episode.recorder is not None:
                with self._during(Phase.RENDER):
                    episode.recorder.observe(episode.observation)
            encoding = time.perf_counter() - before
            before = time.perf_counter()
            with self._during(Phase.STEP):
                rendered = env.render_seconds
                observation, _, terminated, truncated, info = env.step(checked)
                success, progress, metrics = _verdict(info)
                rendering = env.render_seconds - rendered
            env_seconds = time.perf_counter() - before - rendering
            before = time.perf_counter()
            self._record(info)
            rendering += time.perf_counter() - before + encoding
            if episode.recorder is not None:
                with self._during(Phase.RENDER):
                    episode.recorder.act(checked, episode.stage, episode.current_stage, success, progress)
            episode.observation = observation
            episode.actions.append(checked)
            episode.seconds.append((env_seconds, agent_seconds, rendering))
            episode.stage_steps += 1
            out_of_steps = episode.stage_steps >= episode.current_stage.max_steps
            if success or terminated or truncated or out_of_steps:
                return self._end_stage(success, progress, metrics)
        except PhaseError as failure:
            return self._finish(Outcome.ERROR, failure.error)
        return None

    def fail(self, error: EpisodeError) -> EpisodeResult:
        """End the running episode with an error that arose outside of this lane's own calls."""
        return self._finish(Outcome.ERROR, error)

    def close(self) -> None:
        """Release the environment and drop an unfinished episode."""
        if self._episode is not None and self._episode.video is not None:
            self._episode.video.discard()
        self._episode = None
        if self._env is not None:
            self._env.close()
            self._env = None

    @contextmanager
    def _resetting(self) -> Iterator[TaskEnv]:
        """The environment, to set up an episode or a stage; the time goes to environment and pictures."""
        env, setup, before = self._environment, self._running.setup, time.perf_counter()
        with self._during(Phase.RESET):
            rendered = env.render_seconds
            yield env
            rendering = env.render_seconds - rendered
        setup["env"] += time.perf_counter() - before - rendering
        setup["render"] += rendering

    def _during(self, phase: Phase) -> AbstractContextManager[None]:
        return self._board.during(phase, self._episode.job.key if self._episode else "")

    @property
    def _environment(self) -> TaskEnv:
        if self._env is None:
            raise RuntimeError(f"lane {self.index} has no environment")
        return self._env

    def _begin_agent_stage(self) -> None:
        episode = self._running
        env = self._environment
        job = episode.job
        with self._during(Phase.RESET):
            action_space = _box(env)
            privileged = env.privileged() if self._reads_truth else None
        view = TaskView(
            instruction=episode.current_stage.instruction,
            action_space=action_space,
            control_hz=self._control_hz,
            max_steps=episode.current_stage.max_steps,
            stage=episode.stage,
            seeds=SeedPath(self._run_seed, f"{job.spec.benchmark}/{job.spec.episode_id}/{job.repeat}", episode.stage),
            privileged=privileged,
        )
        before = time.perf_counter()
        with self._during(Phase.AGENT_RESET):
            self._agent.reset(self.index, view, self._for_agent(episode.observation))
            self._collect_events()
        episode.setup["agent"] += time.perf_counter() - before

    def _end_stage(self, success: bool, progress: float, metrics: Mapping[str, Any]) -> EpisodeResult | None:
        episode = self._running
        episode.stages.append(
            StageResult(
                task=episode.current_stage.task,
                success=success,
                steps=episode.stage_steps,
                progress=progress,
                metrics=metrics,
            )
        )
        if not success:
            return self._finish(Outcome.FAILURE)
        if episode.stage + 1 == len(episode.job.spec.stages):
            return self._finish(Outcome.SUCCESS)
        episode.stage += 1
        episode.stage_steps = 0
        with self._resetting() as env:
            episode.observation = env.begin_stage(episode.stage)
        self._begin_agent_stage()
        return None

    def _finish(self, outcome: Outcome, error: EpisodeError | None = None) -> EpisodeResult:
        episode = self._running
        seconds = np.asarray(episode.seconds, dtype=np.float64).reshape(-1, 3)
        env, agent, render = seconds.sum(axis=0) + [episode.setup[key] for key in ("env", "agent", "render")]
        digest = ""
        video = recording = None
        try:
            if episode.video is not None:
                with self._during(Phase.RENDER):
                    video = episode.video.finish()
            if error is None and episode.recorder is not None:
                with self._during(Phase.RENDER):
                    recording = episode.recorder.finish(episode.observation)
            if error is None:
                with self._during(Phase.STEP):
                    digest = self._environment.state_digest()
        except PhaseError as failure:
            outcome, error = Outcome.ERROR, error or failure.error
        if error is not None:
            self._discard_environment()
        self._episode = None
        return EpisodeResult(
            key=episode.job.key,
            attempt=episode.job.attempt,
            outcome=outcome,
            stages=tuple(episode.stages),
            error=error,
            wall=WallTime(env, agent, render, time.perf_counter() - episode.clock_start),
            actions=np.asarray(episode.actions, dtype=np.float64),
            decision_seconds=seconds.astype(np.float32),
            events=tuple(episode.events),
            final_digest=digest,
            video=video,
            recording=recording,
            worker=self._worker,
            started_at=episode.started_at,
            peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,  # Linux counts in KiB
        )

    def _discard_environment(self) -> None:
        """After an error nothing is known about the environment's state: the next episode gets a fresh one."""
        if self._env is None:
            return
        try:
            with self._during(Phase.RESET):
                self._env.close()
        except PhaseError as failure:
            print(f"closing a failed environment raised as well: {failure}", flush=True)  # noqa: T201 - worker log
        self._env = None

    def _collect_events(self) -> None:
        episode = self._running
        for event in self._agent.pop_events(self.index):
            plain = AgentEvent(str(event.kind), plain_data(event.data))
            episode.events.append(LoggedEvent(episode.stage, episode.stage_steps, plain))

    def _for_agent(self, observation: Observation) -> Observation:
        """Without what is made only to be recorded."""
        keys = self._agent.observation_keys
        if self._recording is None or keys is None:
            return observation
        return {key: observation[key] for key in keys if key in observation}

    def _record(self, info: Mapping[str, Any]) -> None:
        """Add the frames of this step: those that the environment recorded on the way, or the current view."""
        recorder = self._running.video
        if recorder is None:
            return
        with self._during(Phase.RENDER):
            for frame in info.get("frames") or [self._environment.render()]:
                recorder.add(frame)


def run_episodes(
    agent: Agent,
    lanes: Sequence[Lane],
    *,
    pull: Callable[[bool], Job | None],
    board: PhaseBoard,
    should_stop: Callable[[], bool],
) -> Iterator[EpisodeResult]:
    """Run episodes on all lanes until ``pull`` has no more; yields each attempt when it ends.

    Args:
        agent: Serves every lane.
        lanes: Idle lanes.
        pull: Gives the next job. Its argument says whether it may wait for one (no lane is busy); ``None`` means
            nothing now, or, when it was allowed to wait, nothing ever.
        board: Notes the phases.
        should_stop: Asked once per step.

    Raises:
        StopRollout: when ``should_stop`` says so. Unfinished episodes are dropped, not recorded.
    """
    while True:
        for lane in lanes:
            while not lane.busy:
                idle = not any(other.busy for other in lanes)
                job = pull(idle)
                if job is None and idle:
                    return
                if job is None:
                    break
                result = lane.start(job)
                if result is not None:
                    yield result
        if should_stop():
            raise StopRollout
        active = {lane.index: lane for lane in lanes if lane.busy}
        actions, errors, agent_seconds = _decide(agent, active, board)
        for index, lane in active.items():
            if index in errors:
                yield lane.fail(errors[index])
                continue
            result = lane.apply(actions.get(index), agent_seconds)
            if result is not None:
                yield result


def _decide(
    agent: Agent, active: Mapping[int, Lane], board: PhaseBoard
) -> tuple[Mapping[int, Action], dict[int, EpisodeError], float]:
    """One batched decision: ``(actions, errors by lane, seconds per lane)``.

    If the batch raises, each lane is asked alone, so that the error lands on the lane that causes it.
    """
    observations = {index: lane.observation for index, lane in active.items()}
    before = time.perf_counter()
    actions: dict[int, Action] = {}
    errors: dict[int, EpisodeError] = {}
    batches = [observations] if len(observations) == 1 else [observations, *({i: o} for i, o in observations.items())]
    for number, batch in enumerate(batches):
        blamed = next(iter(batch)) if len(batch) == 1 else None
        try:
            with board.during(Phase.AGENT_ACT, "" if blamed is None else active[blamed].episode_key):
                answer = agent.act(batch)
                if not isinstance(answer, Mapping):
                    raise InvalidActionError(f"act() must return a mapping lane -> action, not {type(answer).__name__}")
            actions.update(answer)
            if number == 0:
                break
        except PhaseError as failure:
            if blamed is not None:
                errors[blamed] = failure.error
    return actions, errors, (time.perf_counter() - before) / len(observations)


def _box(env: TaskEnv) -> gymnasium.spaces.Box:
    if not isinstance(env.action_space, gymnasium.spaces.Box):
        raise TypeError(f"the harness needs a Box action space, this environment has {env.action_space}")
    return env.action_space


def _verdict(info: Mapping[str, Any]) -> tuple[bool, float, dict[str, Any]]:
    """Success, progress and metrics that a step reports."""
    if "success" not in info:
        raise KeyError("the environment's step() must report info['success']")
    success = bool(info["success"])
    progress = 1.0 if success else float(info.get("progress", 0.0))
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"the environment's info['progress'] is {progress}, which is not in [0, 1]")
    return success, progress, plain_data(dict(info.get("metrics", {})))
