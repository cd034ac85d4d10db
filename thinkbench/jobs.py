"""Work on many episodes: in several processes, with progress on stderr."""

from __future__ import annotations

import functools
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from thinkbench.env import ThinkBenchEnv

Job = TypeVar("Job")
Result = TypeVar("Result")

_PLAIN_SECONDS = 15.0


@functools.cache
def process_env() -> ThinkBenchEnv:
    """The environment of this process, in skill control and without pictures."""
    return ThinkBenchEnv(observation_keys=())


def parallel(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """Results as they come; in processes of their own if there are several workers, and then ``work`` is a module's.

    Raises:
        ValueError: ``workers`` is below 1.
    """
    if workers < 1:
        raise ValueError(f"--workers {workers}: must be at least 1")
    if workers == 1:
        yield from map(work, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(work, jobs)


def watched(results: Iterable[Result], total: int, title: str) -> Iterator[Result]:
    """Show on stderr how far it is: a bar on a terminal, a line every few seconds elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console) as bar:
            yield from bar.track(results, total=total, description=title)
        return
    last = time.monotonic()
    for done, result in enumerate(results, 1):
        yield result
        if done == total or time.monotonic() - last >= _PLAIN_SECONDS:
            last = time.monotonic()
            sys.stderr.write(f"{title}: {done}/{total}\n")
