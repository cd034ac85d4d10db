"""What a person sees while a run goes on: a live table on a terminal, plain lines elsewhere. Writes to stderr."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from harness.executors.base import WorkerStatus
from harness.records import EpisodeResult, Outcome
from harness.statistics import wilson

PLAIN_SECONDS = 15.0


class Tally:
    """Running counts of final results."""

    def __init__(self, planned: int, already: dict[str, int]) -> None:
        self.planned = planned
        self.counts = {outcome: already.get(outcome.value, 0) for outcome in Outcome}
        self.retried = 0
        self._started = time.monotonic()
        self._finished_here = 0
        self._steps_here = 0

    def add(self, result: EpisodeResult, final: bool) -> None:
        """Count one attempt."""
        if final:
            self._steps_here += result.steps
            self.counts[result.outcome] += 1
            self._finished_here += 1
        elif result.outcome is Outcome.ERROR:
            self.retried += 1

    @property
    def finished(self) -> int:
        """Episodes with a final result."""
        return self.counts[Outcome.SUCCESS] + self.counts[Outcome.FAILURE] + self.counts[Outcome.ERROR]

    @property
    def error_rate(self) -> float:
        """Share of planned episodes that ended in an error."""
        return self.counts[Outcome.ERROR] / self.planned if self.planned else 0.0

    def rate_text(self) -> str:
        """Running success, for example ``success 66.7% [35.4, 87.9] (6/9)``."""
        valid = self.counts[Outcome.SUCCESS] + self.counts[Outcome.FAILURE]
        if not valid:
            return "success -"
        rate, interval = self.counts[Outcome.SUCCESS] / valid, wilson(self.counts[Outcome.SUCCESS], valid)
        return f"success {rate:.1%} [{interval.low:.1%}, {interval.high:.1%}] ({self.counts[Outcome.SUCCESS]}/{valid})"

    def speed_text(self) -> str:
        """Episodes per minute and actions per second of this session."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        return f"{self._finished_here / seconds * 60:.1f} episodes/min, {self._steps_here / seconds:.1f} steps/s"

    def errors_text(self) -> str:
        """Final errors and retried attempts."""
        return f"errors {self.counts[Outcome.ERROR]}, retried {self.retried}"


class Display(Protocol):
    """How progress is shown; a context manager around the run."""

    def __enter__(self) -> Display:
        """Start."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""

    def finished(self, result: EpisodeResult, final: bool) -> None:
        """An attempt ended; the tally has it already."""

    def workers(self, statuses: Sequence[WorkerStatus]) -> None:
        """What the workers are doing."""


class LiveDisplay:
    """A bar, running success and one line per worker, redrawn a few times per second."""

    def __init__(self, tally: Tally, console: Console, title: str) -> None:
        self._tally = tally
        self._title = title
        self._statuses: Sequence[WorkerStatus] = ()
        self._last_error = ""
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task(title, total=tally.planned, completed=tally.finished)
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=4)

    def __enter__(self) -> LiveDisplay:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def finished(self, result: EpisodeResult, final: bool) -> None:  # noqa: ARG002 - the tally counts it
        """See `Display`."""
        if result.error is not None:
            self._last_error = f"{result.worker}: {result.error.phase}: {result.error.message}"
        self._bar.update(self._task, completed=self._tally.finished)

    def workers(self, statuses: Sequence[WorkerStatus]) -> None:
        """See `Display`."""
        self._statuses = statuses

    def _render(self) -> RenderableType:
        lines = Table.grid(padding=(0, 2))
        tally = self._tally
        lines.add_row(tally.rate_text(), tally.speed_text(), tally.errors_text())
        workers = Table.grid(padding=(0, 2))
        for status in self._statuses:
            workers.add_row(
                f"[dim]{status.name}", status.doing, f"{status.seconds:.0f} s", f"{status.episodes} episodes"
            )
        parts: list[RenderableType] = [self._bar, lines, workers]
        if self._last_error:
            parts.append(Text(self._last_error[:200], style="red"))
        return Group(*parts)


class PlainDisplay:
    """One line every few seconds, and one for every error."""

    def __init__(self, tally: Tally, console: Console, title: str) -> None:
        self._tally = tally
        self._console = console
        self._title = title
        self._last = 0.0

    def __enter__(self) -> PlainDisplay:
        self._console.print(f"{self._title}: {self._tally.finished}/{self._tally.planned} episodes at the start")
        return self

    def __exit__(self, *_: object) -> None:
        self._line()

    def finished(self, result: EpisodeResult, final: bool) -> None:
        """See `Display`."""
        if result.error is not None:
            what = "error" if final else "error, will be retried"
            line = f"{what} ({result.worker}): {result.error.phase}: {result.error.message}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def workers(self, statuses: Sequence[WorkerStatus]) -> None:  # noqa: ARG002 - a log needs no line per worker
        """See `Display`."""
        if time.monotonic() - self._last >= PLAIN_SECONDS:
            self._line()

    def _line(self) -> None:
        self._last = time.monotonic()
        tally = self._tally
        self._console.print(
            f"{self._title}: {tally.finished}/{tally.planned} | {tally.rate_text()} | {tally.speed_text()} | "
            f"{tally.errors_text()}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def make_display(tally: Tally, title: str) -> Display:
    """The live one on a terminal, the plain one elsewhere."""
    console = Console(stderr=True)
    return LiveDisplay(tally, console, title) if console.is_terminal else PlainDisplay(tally, console, title)
