"""What a run needs of an executor, and what it learns from one while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from harness.instantiate import ConfigError
from harness.records import EpisodeError
from harness.scheduler import Scheduler
from harness.worker import WorkerSpec


class InterruptedRunError(Exception):
    """The run was asked to stop; what is recorded stays, the rest can be resumed."""


class WorkerStartError(Exception):
    """No worker could be started, so no episode can run; the message holds the reason."""


class WrongAgentError(WorkerStartError):
    """The agent cannot be built from this configuration, on no machine like this one and at no other time."""


def unbuilt(error: EpisodeError) -> WorkerStartError:
    """What building an agent ended in: a mistake in the configuration in one line, anything else with its traceback."""
    kind, _, message = error.message.partition(": ")
    if kind == ConfigError.__name__:
        return WrongAgentError(message)
    return WorkerStartError(f"the agent cannot be built: {error.message}\n{error.traceback}")


@dataclass(frozen=True)
class WorkerStatus:
    """One line of the live display.

    Attributes:
        name: The worker.
        doing: What it does, in a word or two.
        seconds: For how long.
        episodes: Attempts that it finished.
    """

    name: str
    doing: str
    seconds: float
    episodes: int


class Executor(Protocol):
    """Runs all jobs of a scheduler."""

    def run(
        self,
        spec: WorkerSpec,
        scheduler: Scheduler,
        *,
        should_stop: Callable[[], bool],
        on_status: Callable[[list[WorkerStatus]], None],
    ) -> None:
        """Returns when the scheduler is done.

        Raises:
            InterruptedRunError: when ``should_stop`` says so.
            WorkerStartError: when workers cannot be started.
        """
