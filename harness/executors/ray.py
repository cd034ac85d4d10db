"""Ray actors that each own one agent and several lanes of environments.

The driver owns the queue: it offers a job to a worker whenever one of its lanes is free and takes finished attempts
from a stream, so that it always knows what a lost worker held. Workers that die or hang (see
``harness.executors.sentinel``) are replaced.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import queue
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from harness.executors.base import InterruptedRunError, WorkerStartError, WorkerStatus, unbuilt
from harness.executors.sentinel import Loss, Sentinel, WorkerAddress
from harness.phases import PhaseBoard, PhaseError
from harness.records import EpisodeError, EpisodeResult, Job, Outcome, Phase
from harness.rollout import run_episodes
from harness.scheduler import Scheduler
from harness.worker import WorkerSpec, build_worker, close_worker

MAX_START_FAILURES = 3
PROCESS_START_SECONDS = 180.0
STATUS_SECONDS = 0.5
WAIT_SECONDS = 0.1
CLOSE_SECONDS = 5.0
CONNECT_SECONDS = 5.0
RAY_ADDRESS = "RAY_ADDRESS"  # in the environment, where Ray looks first for "auto"
LOCAL_OBJECT_STORE_BYTES = 256 * 1024 * 1024


class _Worker:
    """The actor. ``run`` streams results from one thread while ``offer`` takes jobs on another."""

    def __init__(self, name: str, spec: WorkerSpec) -> None:
        self._name = name
        self._spec = spec
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        folder = Path(tempfile.mkdtemp(prefix="harness-worker-"))
        self._address = WorkerAddress(
            node_id=ray.get_runtime_context().get_node_id(),
            pid=os.getpid(),
            board=folder / "board",
            stack=folder / "stack",
        )
        self._board = PhaseBoard(self._address.board)
        self._stack = self._address.stack.open("w")
        faulthandler.register(signal.SIGUSR1, file=self._stack, all_threads=True)
        faulthandler.enable(file=self._stack, all_threads=True)

    def address(self) -> WorkerAddress:
        return self._address

    def offer(self, job: Job | None) -> None:
        self._jobs.put(job)

    def run(self) -> Iterator[EpisodeResult]:
        agent, lanes = build_worker(self._spec, self._name, self._board)
        yield from run_episodes(agent, lanes, pull=self._pull, board=self._board, should_stop=lambda: False)
        close_worker(agent, lanes)

    def _pull(self, may_wait: bool) -> Job | None:
        try:
            return self._jobs.get(block=may_wait)
        except queue.Empty:
            return None


@dataclass
class _Handle:
    """The driver's side of one worker."""

    slot: int
    name: str
    actor: Any
    address_ref: Any
    born: float = field(default_factory=time.monotonic)
    address: WorkerAddress | None = None
    buried: bool = False
    results: Any = None
    out: dict[str, Job] = field(default_factory=dict)
    finished: int = 0


class RayExecutor:
    """Runs jobs on a Ray cluster: an existing one (``address``), or one started for this run.

    Args:
        workers: Actors, each with its own agent.
        cpus_per_worker: CPU share that Ray reserves for each.
        gpus_per_worker: GPU share that Ray reserves for each; 0 keeps GPUs out of sight.
        address: ``None`` starts a cluster on this machine; ``auto`` or ``host:port`` joins one.
        deadlines: Seconds that a worker may spend in each phase.
    """

    def __init__(
        self,
        *,
        workers: int,
        cpus_per_worker: float,
        gpus_per_worker: float,
        address: str | None,
        deadlines: Mapping[Phase, float],
    ) -> None:
        self._count = workers
        self._resources = {"num_cpus": cpus_per_worker, "num_gpus": gpus_per_worker}
        self._address = address
        self._deadlines = deadlines

    def run(
        self,
        spec: WorkerSpec,
        scheduler: Scheduler,
        *,
        should_stop: Callable[[], bool],
        on_status: Callable[[list[WorkerStatus]], None],
    ) -> None:
        """See `harness.executors.base.Executor.run`."""
        started_here = self._connect()
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            # Ray prints a paragraph to standard output for every dead worker; the scheduler records what matters of it
            try:
                crew = _Crew(self._count, self._resources, self._deadlines, spec, scheduler)
                try:
                    crew.work(should_stop, on_status)
                    crew.close()
                finally:
                    crew.dismiss()
            finally:
                if started_here:
                    ray.shutdown()

    def _connect(self) -> bool:
        """Connect to Ray; whether it was started by us.

        Raises:
            WorkerStartError: There is no cluster, or not enough of it.
        """
        if ray.is_initialized():
            return False
        _check_address(self._address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
        if self._address is None:
            cpus = max(os.cpu_count() or 1, round(self._count * self._resources["num_cpus"] + 0.5))
            options |= {
                "num_cpus": cpus,
                "include_dashboard": False,
                "object_store_memory": LOCAL_OBJECT_STORE_BYTES,
            }
        try:
            with _sigterm_stays_ours():
                # Without an address Ray would join a cluster that somebody left running here, and refuse the options.
                ray.init(address=self._address or "local", **options)
        except (ConnectionError, RayError) as error:
            raise WorkerStartError(
                f"cannot connect to Ray at ray.address={self._address}: {error} (where the cluster wants a token, set "
                "RAY_AUTH_MODE=token)"
            ) from error
        try:
            self._check_resources()
        except WorkerStartError:
            ray.shutdown()
            raise
        return True

    def _check_resources(self) -> None:
        total = ray.cluster_resources()
        for ray_name, option, key in (("CPU", "num_cpus", "cpus"), ("GPU", "num_gpus", "gpus")):
            needed = self._count * self._resources[option]
            if needed > total.get(ray_name, 0.0) + 1e-9:
                raise WorkerStartError(
                    f"executor.workers={self._count} with executor.{key}_per_worker={self._resources[option]:g} need "
                    f"{needed:g} {ray_name}s, the Ray cluster has {total.get(ray_name, 0.0):g}; lower one of the two"
                )


@contextlib.contextmanager
def _sigterm_stays_ours() -> Iterator[None]:
    """Keep the handler of SIGTERM while Ray starts, which would put its own in place.

    Ray's raises `SystemExit`. Where it happens to run in a fork hook or a finaliser, Python ignores that, and the
    signal is lost; elsewhere it leaves a Ray half started, which crashes the process when that ends.
    """
    install, handler = signal.signal, signal.getsignal(signal.SIGTERM)

    def ours(number: int, frame: FrameType | None) -> None:
        signal.alarm(0)  # set by Ray's C++ part, which calls this and would abort the process three seconds later
        if callable(handler):
            handler(number, frame)

    def install_others(number: int, given: Any) -> Any:
        return handler if number == signal.SIGTERM else install(number, given)

    install(signal.SIGTERM, ours)
    signal.signal = install_others  # type: ignore[assignment]  # Ray has no option for it
    try:
        yield
    finally:
        signal.signal = install
        install(signal.SIGTERM, handler)


def _check_address(address: str | None) -> None:
    """Raise WorkerStartError where nothing listens at `host:port`: Ray itself would try for minutes."""
    named = "ray.address"
    if address == "auto" and os.environ.get(RAY_ADDRESS):
        address, named = os.environ[RAY_ADDRESS], RAY_ADDRESS
    if address in (None, "auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise WorkerStartError(f"{named}={address} is neither host:port nor auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise WorkerStartError(f"cannot connect to Ray at {named}={address}: {error}") from error


class _Crew:
    """The workers of one run and the loop that feeds them."""

    def __init__(
        self,
        size: int,
        resources: Mapping[str, float],
        deadlines: Mapping[Phase, float],
        spec: WorkerSpec,
        scheduler: Scheduler,
    ) -> None:
        self._actor_class = ray.remote(max_restarts=0, max_task_retries=0, max_concurrency=2, **resources)(_Worker)
        self._deadlines = deadlines
        self._spec = spec
        self._scheduler = scheduler
        self._sentinels: dict[str, Any] = {}
        self._start_failures = 0
        self._hired = 0
        self._last_status = 0.0
        self._handles = [self._hire(slot) for slot in range(size)]

    def work(self, should_stop: Callable[[], bool], on_status: Callable[[list[WorkerStatus]], None]) -> None:
        """Until the scheduler is done."""
        while not self._scheduler.done:
            if should_stop():
                raise InterruptedRunError
            self._welcome_started()
            self._offer_jobs()
            self._collect()
            self._report(on_status)

    def close(self) -> None:
        """Give idle workers a moment to release what they hold."""
        deadline = time.monotonic() + CLOSE_SECONDS
        for handle in self._handles:
            handle.actor.offer.remote(None)
        for handle in self._handles:
            if handle.results is not None:
                ray.wait([handle.results], timeout=max(0.0, deadline - time.monotonic()))

    def dismiss(self) -> None:
        """Kill all workers and sentinels. What Ray has lost of them is gone already, and hides no other error."""
        for handle in self._handles:
            ray.kill(handle.actor)
            if handle.address is not None and not handle.buried:
                with contextlib.suppress(RayError):
                    self._bury(handle)
        for sentinel in self._sentinels.values():
            ray.kill(sentinel)

    def _hire(self, slot: int) -> _Handle:
        name = f"w{slot}" if self._hired < slot + 1 else f"w{slot}.{self._hired}"
        self._hired += 1
        actor = self._actor_class.remote(name, self._spec)
        return _Handle(slot, name, actor, actor.address.remote())

    def _welcome_started(self) -> None:
        """Workers whose process is up: have them watched, and let them run."""
        for handle in self._handles:
            if handle.address is not None:
                continue
            ready, _ = ray.wait([handle.address_ref], timeout=0)
            if ready:
                try:
                    handle.address = ray.get(handle.address_ref)
                except RayError as error:
                    self._failed_to_start(handle, str(error))
                    continue
                ray.get(self._sentinel(handle.address.node_id).watch.remote(handle.name, handle.address))
                handle.results = handle.actor.run.options(num_returns="streaming").remote()
            elif time.monotonic() - handle.born > PROCESS_START_SECONDS:
                self._failed_to_start(handle, f"no sign of life within {PROCESS_START_SECONDS:g} s")

    def _sentinel(self, node_id: str) -> Any:
        if node_id not in self._sentinels:
            strategy = NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)
            actor = ray.remote(num_cpus=0, max_concurrency=2)(Sentinel).options(scheduling_strategy=strategy)
            self._sentinels[node_id] = actor.remote(self._deadlines)
        return self._sentinels[node_id]

    def _offer_jobs(self) -> None:
        for handle in self._handles:
            while handle.results is not None and len(handle.out) < self._spec.lanes:
                if any(job.alone for job in handle.out.values()):
                    break
                job = self._scheduler.next_job(handle.name, only_worker=len(self._handles) == 1, idle=not handle.out)
                if job is None:
                    break
                handle.out[job.key] = job
                handle.actor.offer.remote(job)

    def _collect(self) -> None:
        """Take what has been finished; waits a moment if there is nothing."""
        streams = {handle.results: handle for handle in self._handles if handle.results is not None}
        if not streams:
            time.sleep(WAIT_SECONDS)
            return
        ready, _ = ray.wait(list(streams), num_returns=1, timeout=WAIT_SECONDS)
        for stream in ready:
            handle = streams[stream]
            try:
                result = ray.get(next(stream))
            except RayActorError:
                self._replace_lost(handle)
            except RayTaskError as error:
                self._give_up(error)
            else:
                handle.finished += 1
                self._start_failures = 0
                del handle.out[result.key]
                self._scheduler.finished(result)

    def _give_up(self, error: RayTaskError) -> None:
        """The worker's own code raised: an agent that cannot be built, or a defect of the harness."""
        cause = error.cause
        if isinstance(cause, PhaseError) and cause.error.phase is Phase.AGENT_START:
            raise unbuilt(cause.error)
        raise error

    def _replace_lost(self, handle: _Handle) -> None:
        """Blame the episode that the worker was at. Where that is unknown, each of them is run again, alone."""
        loss = self._bury(handle)
        starting = loss.last.phase is Phase.AGENT_START
        known = {loss.last.key} & handle.out.keys() or (set(handle.out) if len(handle.out) == 1 else set())
        guilty = set() if starting else known
        error = EpisodeError(Phase.TIMEOUT if loss.timed_out else Phase.WORKER_LOST, _describe(loss), loss.stack)
        for key, job in handle.out.items():
            self._scheduler.finished(
                EpisodeResult(
                    key=key,
                    attempt=job.attempt,
                    outcome=Outcome.ERROR if key in guilty else Outcome.INTERRUPTED,
                    error=error if key in guilty else None,
                    worker=handle.name,
                    started_at=time.time(),
                ),
                alone=not known,
            )
        if starting:
            self._failed_to_start(handle, _describe(loss))
        else:
            self._handles[handle.slot] = self._hire(handle.slot)

    def _failed_to_start(self, handle: _Handle, reason: str) -> None:
        ray.kill(handle.actor)
        self._start_failures += 1
        if self._start_failures >= MAX_START_FAILURES:
            raise WorkerStartError(f"{self._start_failures} workers in a row failed to start; the last: {reason}")
        self._handles[handle.slot] = self._hire(handle.slot)

    def _bury(self, handle: _Handle) -> Loss:
        if handle.address is None:
            raise RuntimeError(f"worker {handle.name} was never watched")
        loss: Loss = ray.get(self._sentinel(handle.address.node_id).bury.remote(handle.name))
        handle.buried = True
        return loss

    def _report(self, on_status: Callable[[list[WorkerStatus]], None]) -> None:
        now = time.monotonic()
        if now - self._last_status < STATUS_SECONDS:
            return
        self._last_status = now
        phases: dict[str, tuple[Phase, float]] = {}
        for sentinel in self._sentinels.values():
            phases |= ray.get(sentinel.statuses.remote())
        starting = (Phase.AGENT_START, 0.0)
        on_status([WorkerStatus(h.name, *phases.get(h.name, starting), h.finished) for h in self._handles])


def _describe(loss: Loss) -> str:
    doing = f"phase {loss.last.phase}"
    if loss.timed_out:
        return f"killed after {loss.seconds:.1f} s in {doing}, past its deadline"
    return f"the worker process died in {doing} (a crash, an exit or the out-of-memory killer)"
