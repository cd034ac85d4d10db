"""A run from its configuration to its end: plan, identity, execution, resumption."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, cast

from harness import provenance
from harness.collection import Shards, build_dataset
from harness.config import Composed, RunConfig, parse_video
from harness.dataset import ImageFormat
from harness.executors.base import Executor, InterruptedRunError, WrongAgentError
from harness.executors.local import LocalExecutor
from harness.identity import RunIdentity, difference, hash_path, identified_protocol, plain_data
from harness.instantiate import (
    ConfigError,
    build_benchmark,
    default_arguments,
    is_untrained,
    locate,
    reads_truth,
    with_floats,
)
from harness.interfaces import Agent, Benchmark, EpisodeSpec
from harness.progress import Display, Tally, make_display
from harness.recording import RecordingRequest
from harness.records import EpisodeResult, Job, Outcome, Phase
from harness.scheduler import RetryPolicy, Scheduler, TooManyErrorsError
from harness.store import STORE_NAME, PlannedEpisode, RunReader, RunWriter, StoreError, discard, holds_run
from harness.worker import WorkerSpec

RUNS_FOLDER = Path("runs")
DEFAULT_COLLECTION = 100
"""Episodes that ``harness collect`` records unless ``limit`` says otherwise."""
UNTRAINED = "untrained weights: this shows that the agent runs here, not how well it could do"
"""The deviation of runs whose agent has learned nothing; no table has them beside others."""


class ExitCode(IntEnum):
    """Exit status of ``harness run`` and ``harness resume``."""

    COMPLETED = 0
    BAD_CONFIG = 2
    INTERRUPTED = 3
    TOO_MANY_ERRORS = 4


_ENDINGS = {
    ExitCode.COMPLETED: "completed",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.TOO_MANY_ERRORS: "errors",
}
"""What the run store says of a session that ended so."""


@dataclass(frozen=True)
class PreparedRun:
    """Everything that is decided before a worker starts.

    Attributes:
        config: The configuration.
        benchmark: Built in the driver, to list episodes; workers build their own.
        identity: What results depend on.
        plan: Every episode, in order.
        deviations: Why the run is non-standard; empty if it is standard.
        suite_size: Episodes of the whole protocol.
        privileged: Whether the agent reads ground truth under its settings.
    """

    config: RunConfig
    benchmark: Benchmark
    identity: RunIdentity
    plan: tuple[PlannedEpisode, ...]
    deviations: tuple[str, ...]
    suite_size: int
    privileged: bool

    def meta(self) -> dict[str, Any]:
        """What the run store keeps of it; see ``schema.sql``."""
        return {
            "identity": self.identity.to_dict(),
            "run_key": self.identity.run_key,
            "protocol_hash": self.identity.protocol_hash,
            "config": asdict(self.config),
            "deviations": list(self.deviations),
            "suite_size": self.suite_size,
            "privileged": self.privileged,
        }


def prepare(composed: Composed, recorded: Sequence[EpisodeSpec] = ()) -> PreparedRun:
    """Check everything that can be checked without starting a simulator, and list the episodes.

    Args:
        composed: The configuration.
        recorded: The episodes of the run that is to be resumed. Those of a collection are drawn, which may take long,
            so they are not drawn again.

    Raises:
        ConfigError: if the agent or benchmark cannot be built from the configuration, or they do not fit each other.
    """
    config = composed.config
    agent_class, arguments = check_agent(config.agent)
    if agent_class.plays and not config.dataset.enabled:
        raise ConfigError(
            f"agent={config.agent['name']} does what it likes, not what it is told; use `harness collect`"
        )
    benchmark = build_benchmark(config.benchmark, config.protocol)
    fields = {key: value for key, value in config.protocol.items() if key != "_target_"}
    protocol = with_floats(locate(config.protocol["_target_"], "protocol"), fields, "protocol")
    checkpoints = _checkpoints(agent_class, arguments, composed.training)
    try:
        agent_class.check_settings(arguments, benchmark.action_space(), benchmark.control_hz())
        if (truth := benchmark.truth()) is not None:
            agent_class.check_truth(arguments, truth)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    identity = RunIdentity(
        benchmark=config.benchmark["name"],
        protocol=identified_protocol(protocol, vars(config.dataset)),
        fingerprint=dict(benchmark.fingerprint()),
        agent={
            "name": config.agent["name"],
            "_target_": config.agent["_target_"],
            **_without_paths(arguments, checkpoints),
        },
        checkpoints=checkpoints,
        seed=config.seed,
        repeats=config.repeats,
    )
    if config.dataset.enabled:
        suite = chosen = _collection(benchmark, agent_class, config, recorded)
    else:
        suite = benchmark.episodes()
        chosen = benchmark.episodes(config.limit) if config.limit is not None else suite
    plan = tuple(
        PlannedEpisode(identity.episode_key(spec.episode_id, repeat), repeat, spec)
        for repeat in range(config.repeats)
        for spec in chosen
    )
    if not plan or len({planned.key for planned in plan}) < len(plan):
        raise ConfigError(f"benchmark={config.benchmark['name']} lists no episodes, or two with the same id")
    deviations = [
        *((UNTRAINED,) if is_untrained(config.agent) else ()),
        *composed.protocol_changes,
        *benchmark.deviations(),
        *limit_deviation(len(chosen), len(suite)),
    ]
    if config.dataset.enabled:
        deviations.insert(0, "a collection of training data, not an evaluation")
    return PreparedRun(config, benchmark, identity, plan, tuple(deviations), len(suite), reads_truth(config.agent))


def limit_deviation(chosen: int, suite: int) -> list[str]:
    """Why a run of fewer episodes than the protocol's is non-standard; nothing if it has all."""
    return [f"limit: the first {chosen} of {suite} episodes"] if chosen < suite else []


def _collection(
    benchmark: Benchmark, agent_class: type[Agent], config: RunConfig, recorded: Sequence[EpisodeSpec]
) -> Sequence[EpisodeSpec]:
    """The episodes to record; ``limit`` is their number."""
    count = config.limit or DEFAULT_COLLECTION
    if len(recorded) == count:
        return recorded
    try:
        return benchmark.collection(count, config.seed, agent_class.plays)
    except ValueError as error:
        raise ConfigError(f"benchmark={config.benchmark['name']}: {error}") from error


def check_agent(config: dict[str, Any]) -> tuple[type[Agent], dict[str, Any]]:
    """The agent's class and all its arguments, defaults included, as JSON data; nothing is built or loaded."""
    if not config.get("_target_"):
        raise ConfigError("agent._target_ has no value; name your class: agent=custom agent._target_=my_module.MyAgent")
    target = locate(config["_target_"], "agent")
    if not (isinstance(target, type) and issubclass(target, Agent)):
        raise ConfigError(f"agent._target_={config['_target_']} is not a class derived from harness.interfaces.Agent")
    given = {key: value for key, value in config.items() if key not in ("_target_", "name")}
    given = with_floats(target, given, "agent")
    return target, {name: _spelled(value) for name, value in (default_arguments(target) | given).items()}


def _spelled(value: Any) -> Any:
    """JSON data, or what Python prints of a default that is none."""
    try:
        return plain_data(value)
    except TypeError:
        return repr(value)


def _is_checkpoint(key: str) -> bool:
    return key == "checkpoint" or key.endswith("_checkpoint")


def _without_paths(arguments: dict[str, Any], hashed: Collection[str]) -> dict[str, Any]:
    """What of an agent's arguments is identity: of what is ``hashed`` the content, wherever it lies."""
    return {key: value for key, value in arguments.items() if not _is_checkpoint(key) and key not in hashed}


def _checkpoints(agent_class: type[Agent], arguments: dict[str, Any], training: Sequence[str]) -> dict[str, str]:
    """Hashes of what the agent's parameters ``checkpoint`` and ``*_checkpoint`` name, and of its `Agent.content`.

    Raises:
        ConfigError: There is no such thing, or it is none of the agent's; ``training`` has the commands that make it.
    """
    hashes = {}
    for key, value in arguments.items():
        if _is_checkpoint(key) and value is not None:
            try:
                path = agent_class.checkpoint_path(str(value))
                hashes[key] = str(value) if path is None else hash_path(path)
            except ValueError as error:
                remedy = "".join(f"\n  {command}" for command in training)
                remedy = remedy and f"; it is made by these commands from a COLLECTION of `harness collect`:{remedy}"
                raise ConfigError(f"agent.{key}={value}: {error}{remedy}") from error
    try:
        further = agent_class.content(arguments)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return hashes | {key: hash_path(what) if isinstance(what, Path) else what for key, what in further.items()}


def check_run_dir(run_dir: Path) -> None:
    """Raise `StoreError` unless a new run can be written there."""
    if (run_dir / STORE_NAME).exists() and holds_run(run_dir):
        raise StoreError(f"{run_dir} already holds a run; `harness resume {run_dir}` continues it")
    existing = next(path for path in (run_dir, *run_dir.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise StoreError(f"run_dir={run_dir}: cannot write to {existing}; name another folder")


def default_run_dir(config: RunConfig, taken: Sequence[Path] = ()) -> Path:
    """A new folder name below ``runs/``, none of ``taken``."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{config.benchmark['name']}-{config.agent['name']}-s{config.seed}"
    candidates = [RUNS_FOLDER / stem, *(RUNS_FOLDER / f"{stem}-{n}" for n in range(2, 1000))]
    return next(path for path in candidates if path not in taken and not path.exists())


def start(prepared: PreparedRun, run_dir: Path) -> ExitCode:
    """Run everything; returns how it ended. A run whose agent cannot be built leaves nothing behind."""
    try:
        with RunWriter.create(run_dir, prepared.meta(), prepared.plan) as writer:
            return _execute(prepared, writer)
    except WrongAgentError:
        with RunReader(run_dir) as reader:
            untouched = not reader.attempt_counts()
        if untouched:
            discard(run_dir)
        raise


def check_resumable(run_dir: Path, prepared: PreparedRun) -> None:
    """Refuse to mix results of different things.

    Raises:
        StoreError: with every difference between the recorded identity and today's.
    """
    with RunReader(run_dir) as reader:
        recorded = reader.identity
        same_plan = [p.key for p in reader.plan()] == [p.key for p in prepared.plan]
    if recorded.run_key != prepared.identity.run_key:
        changes = "\n  ".join(difference(recorded.to_dict(), prepared.identity.to_dict()))
        raise StoreError(f"{run_dir} was run with something else, so it cannot be resumed; what changed:\n  {changes}")
    if not same_plan:
        raise StoreError(f"{run_dir} has another list of episodes (limit or repeats changed); start a new run")


def resume(run_dir: Path, prepared: PreparedRun) -> ExitCode:
    """Run what is missing of a run that was checked by `check_resumable`."""
    with RunWriter.reopen(run_dir) as writer:
        return _execute(prepared, writer)


def recorded_episodes(run_dir: Path) -> list[EpisodeSpec]:
    """The episodes of a run, each once, in their order."""
    with RunReader(run_dir) as reader:
        return [planned.spec for planned in reader.plan() if planned.repeat == 0]


def recorded_config(run_dir: Path) -> dict[str, Any]:
    """The configuration of a run, as it was composed."""
    with RunReader(run_dir) as reader:
        config: dict[str, Any] = reader.meta("config")
        return config


def _execute(prepared: PreparedRun, writer: RunWriter) -> ExitCode:
    config = prepared.config
    if UNTRAINED in prepared.deviations:
        _tell(f"note: {UNTRAINED}")
    with RunReader(writer.run_dir) as reader:
        done, attempts, counts = reader.finished_keys(), reader.attempt_counts(), reader.outcome_counts()
        failed, sessions = reader.failed_attempts(), reader.sessions()
    if sessions and sessions[-1]["ending"] is None and config.executor.kind == "local":
        _tell("note: the last session died; if an episode crashes its process, executor=ray outlives it")
    tally = Tally(len(prepared.plan), counts)
    display = make_display(tally, f"{config.benchmark['name']} / {config.agent['name']}")
    renderer = prepared.identity.fingerprint.get("renderer")
    shards = Shards(writer.run_dir, prepared.plan)
    writer.begin_session(provenance.collect(asdict(config.executor)) | {"renderer": renderer})

    def record(result: EpisodeResult, final: bool) -> None:
        shards.write(result)  # first, so that what the store calls done is on disk
        writer.record(_video_kept(result, config), final=final)
        tally.add(result, final)
        display.finished(result, final)

    jobs = _jobs(prepared.plan, done, attempts, config)
    policy = RetryPolicy(config.errors.attempts, config.errors.stop_after)
    scheduler = Scheduler(jobs, policy, record, failed)
    try:
        code = _worked_off(prepared, scheduler, display)
        if code is ExitCode.COMPLETED and tally.error_rate > config.errors.threshold:
            code = ExitCode.TOO_MANY_ERRORS
        if config.dataset.enabled and scheduler.done:
            build_dataset(writer.run_dir, prepared.benchmark.control_hz())
    except BaseException as error:
        writer.end_session("interrupted" if isinstance(error, KeyboardInterrupt) else "errors")
        raise
    writer.end_session(_ENDINGS[code])
    return code


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")


def _worked_off(prepared: PreparedRun, scheduler: Scheduler, display: Display) -> ExitCode:
    """Run all jobs; returns how that ended."""
    try:
        with _stop_signals() as should_stop, display:
            _run(prepared, scheduler, should_stop, display)
    except (InterruptedRunError, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except TooManyErrorsError as error:
        _tell(f"error: {error}")
        return ExitCode.TOO_MANY_ERRORS
    return ExitCode.COMPLETED


def _run(prepared: PreparedRun, scheduler: Scheduler, should_stop: Callable[[], bool], display: Display) -> None:
    if scheduler.done:
        return
    config = prepared.config
    spec = WorkerSpec(
        benchmark=config.benchmark,
        protocol=config.protocol,
        agent=config.agent,
        lanes=config.executor.lanes,
        run_seed=config.seed,
        video=parse_video(config.video)[0] != "none",
        recording=_recording(config),
    )
    _executor(config).run(spec, scheduler, should_stop=should_stop, on_status=display.workers)


def _recording(config: RunConfig) -> RecordingRequest | None:
    if not config.dataset.enabled:
        return None
    keys = None if config.dataset.record is None else tuple(config.dataset.record)
    return RecordingRequest(keys, cast(ImageFormat, config.dataset.images), config.dataset.image_size)


def _executor(config: RunConfig) -> Executor:
    if config.executor.kind == "local":
        return LocalExecutor()
    from harness.executors.ray import RayExecutor  # Ray takes a second to import

    return RayExecutor(
        workers=config.executor.workers,
        cpus_per_worker=config.executor.cpus_per_worker,
        gpus_per_worker=config.executor.gpus_per_worker,
        address=config.ray.address,
        deadlines={Phase(name): seconds for name, seconds in asdict(config.deadlines).items()},
    )


def _jobs(plan: Sequence[PlannedEpisode], done: set[str], attempts: dict[str, int], config: RunConfig) -> Iterator[Job]:
    mode, count = parse_video(config.video)
    for ordinal, planned in enumerate(plan):
        if planned.key not in done:
            video = mode in ("all", "failures") or (mode == "first" and ordinal < count)
            yield Job(planned.key, planned.spec, planned.repeat, attempts.get(planned.key, 0), video)


def _video_kept(result: EpisodeResult, config: RunConfig) -> EpisodeResult:
    if parse_video(config.video)[0] == "failures" and result.outcome is Outcome.SUCCESS:
        return EpisodeResult(**{**vars(result), "video": None})
    return result


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """SIGINT and SIGTERM ask the run to stop at the next step; a second one stops it at once."""
    received: list[int] = []

    def handler(number: int, frame: Any) -> None:  # noqa: ARG001 - the signature of signal handlers
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt

    previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
