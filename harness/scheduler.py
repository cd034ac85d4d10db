"""Which episode runs next, and what a failed attempt leads to. Pure bookkeeping, shared by all executors."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from harness.records import EpisodeResult, Job, Outcome


@dataclass(frozen=True)
class RetryPolicy:
    """What errors lead to.

    Attributes:
        attempts: How often an episode may be tried before its error is final.
        stop_after: Give up the run when this many episodes in a row ended in a final error; 0 never does.
    """

    attempts: int = 3
    stop_after: int = 20


class TooManyErrorsError(Exception):
    """The run was given up because nothing but errors came back."""


class Scheduler:
    """Hands out jobs, takes results, decides which attempt is final.

    Args:
        jobs: What is left to do, in order.
        policy: When to try again.
        record: Called once for every attempt that ends, with whether it is the final one.
        failed_attempts: Attempts per key that ended in an error in earlier sessions.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        policy: RetryPolicy,
        record: Callable[[EpisodeResult, bool], None],
        failed_attempts: Mapping[str, int] | None = None,
    ) -> None:
        self._waiting = deque(jobs)
        self._out: dict[str, Job] = {}
        self._failed_attempts = dict(failed_attempts or {})
        self._policy = policy
        self._record = record
        self._errors_in_a_row = 0

    @property
    def done(self) -> bool:
        """Whether nothing waits and nothing is out."""
        return not self._waiting and not self._out

    def next_job(self, worker: str, *, only_worker: bool = True, idle: bool = True) -> Job | None:
        """The next job for ``worker``.

        Args:
            worker: Who asks. A retry goes to another worker than last time, unless this is the only one.
            only_worker: Whether there is no other.
            idle: Whether nothing runs on it; a job that has to be alone waits for that.
        """
        for index, job in enumerate(self._waiting):
            if (only_worker or job.avoid_worker != worker) and (idle or not job.alone):
                del self._waiting[index]
                self._out[job.key] = job
                return job
        return None

    def finished(self, result: EpisodeResult, *, alone: bool = False) -> None:
        """Take the result of a job that was handed out; puts it back in line where a retry is due.

        Args:
            result: The attempt.
            alone: Whether an interrupted job has to run alone next time.

        Raises:
            TooManyErrorsError: when too many episodes in a row ended in errors.
        """
        job = self._out.pop(result.key)
        if result.outcome is Outcome.INTERRUPTED:
            self._again(replace(job, alone=alone), avoid=None)
            self._record(result, False)
            return
        if result.outcome is not Outcome.ERROR:
            self._errors_in_a_row = 0
            self._record(result, True)
            return
        failed = self._failed_attempts[job.key] = self._failed_attempts.get(job.key, 0) + 1
        final = failed >= self._policy.attempts
        if not final:
            self._again(job, avoid=result.worker)
        self._record(result, final)
        if final:
            self._errors_in_a_row += 1
            if self._policy.stop_after and self._errors_in_a_row >= self._policy.stop_after:
                last = result.error.message if result.error else ""
                raise TooManyErrorsError(
                    f"stopped because {self._errors_in_a_row} episodes in a row ended in errors; the last: {last}"
                )

    def _again(self, job: Job, avoid: str | None) -> None:
        self._waiting.appendleft(replace(job, attempt=job.attempt + 1, avoid_worker=avoid))
