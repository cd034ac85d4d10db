"""Everything in this process: for debugging, and where Ray is not wanted. Deadlines are not enforced here."""

from __future__ import annotations

from collections.abc import Callable

from harness.executors.base import InterruptedRunError, WorkerStatus, unbuilt
from harness.phases import PhaseBoard, PhaseError
from harness.records import Job
from harness.rollout import StopRollout, run_episodes
from harness.scheduler import Scheduler
from harness.worker import WorkerSpec, build_worker, close_worker

NAME = "local"


class LocalExecutor:
    """One worker with any number of lanes, in the calling thread."""

    def run(
        self,
        spec: WorkerSpec,
        scheduler: Scheduler,
        *,
        should_stop: Callable[[], bool],
        on_status: Callable[[list[WorkerStatus]], None],
    ) -> None:
        """See `harness.executors.base.Executor.run`."""
        board = PhaseBoard()
        try:
            agent, lanes = build_worker(spec, NAME, board)
        except PhaseError as failure:
            raise unbuilt(failure.error) from failure
        finished = 0

        def stop_and_report() -> bool:
            on_status([WorkerStatus(NAME, "running", 0.0, finished)])
            return should_stop()

        def pull(may_wait: bool) -> Job | None:  # noqa: ARG001 - with one worker there is nothing to wait for
            return scheduler.next_job(NAME)

        try:
            while not scheduler.done:
                for result in run_episodes(agent, lanes, pull=pull, board=board, should_stop=stop_and_report):
                    finished += 1
                    scheduler.finished(result)
        except StopRollout as stop:
            raise InterruptedRunError from stop
        finally:
            close_worker(agent, lanes)
