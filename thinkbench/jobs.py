"""Work on many episodes: in several processes, with progress on stderr, and without loss when it is broken off."""

from __future__ import annotations

import functools
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from thinkbench.env import ThinkBenchEnv

Job = TypeVar("Job")
Result = TypeVar("Result")

_PLAIN_SECONDS = 15.0


KeptJob = tuple[str | int, ...]


@functools.cache
def process_env() -> ThinkBenchEnv:
    """The environment of this process, in skill control and without pictures."""
    return ThinkBenchEnv(observation_keys=())


def parallel(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Result]]:
    """Each job with its result, as they come; of several workers each is a process, and ``work`` a module's function.

    Raises:
        ValueError: ``workers`` is below 1.
    """
    if workers < 1:
        raise ValueError(f"--workers {workers}: must be at least 1")
    if workers == 1:
        yield from ((job, work(job)) for job in jobs)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for number, result in pool.imap_unordered(functools.partial(_numbered, work), enumerate(jobs)):
            yield jobs[number], result


def _numbered(work: Callable[[Job], Result], numbered: tuple[int, Job]) -> tuple[int, Result]:
    number, job = numbered
    return number, work(job)


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


def kept(
    path: Path, identity: str, jobs: Sequence[KeptJob], work: Callable[[KeptJob], Any], *, workers: int, title: str
) -> dict[KeptJob, Any]:
    """Results of all jobs, each written to ``path`` as it comes: broken off, the same call goes on where it was.

    The file has JSON lines: ``identity``, then ``[job, result]``. It is the caller's to delete once the results are
    where they belong.

    Args:
        path: The file.
        identity: What the results depend on besides their jobs.
        jobs: What is to be done.
        work: From a job to its result, as JSON data.
        workers: Number of processes.
        title: What progress is called.

    Raises:
        ValueError: The file has results of something else.
    """
    done = _read_kept(path, identity)
    left = [job for job in jobs if job not in done]
    if done:
        sys.stderr.write(f"{path}: {len(jobs) - len(left)} of {len(jobs)} are done already\n")
    whole = path.with_name(f"{path.name}.new")
    whole.write_text("".join(f"{json.dumps(line)}\n" for line in (identity, *done.items())), "utf-8")
    whole.replace(path)  # without a last line that was cut off
    with path.open("a", encoding="utf-8") as file:
        for job, result in watched(parallel(work, left, workers), len(left), title):
            file.write(f"{json.dumps((job, result))}\n")
            file.flush()
            done[job] = result
    return {job: done[job] for job in jobs}


def _read_kept(path: Path, identity: str) -> dict[KeptJob, Any]:
    """What is there; a last line that was cut off counts as not there."""
    if not path.is_file():
        return {}
    lines = path.read_text("utf-8").splitlines(keepends=True)
    whole = [json.loads(line) for line in lines if line.endswith("\n")]
    if whole and whole[0] != identity:
        raise ValueError(f"{path} keeps what was begun for {whole[0]}, not for {identity}: finish that, or delete it")
    return {tuple(job): result for job, result in whole[1:]}
