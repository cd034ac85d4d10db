"""Enforces deadlines from outside the worker process, and says afterwards what a dead worker was doing.

One sentinel runs on each machine that has workers. A worker that sits in one phase for too long is asked for a
stack trace (``SIGUSR1``, served by ``faulthandler`` even inside a native call) and then killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.phases import PhaseStatus, read_status
from harness.records import Phase

POLL_SECONDS = 0.1
STACK_DUMP_SECONDS = 0.5


@dataclass(frozen=True)
class WorkerAddress:
    """Where a worker process is, and the files through which it can be read, in a folder of their own."""

    node_id: str
    pid: int
    board: Path
    stack: Path


@dataclass(frozen=True)
class Loss:
    """What is known of a worker that is gone.

    Attributes:
        last: The last phase that it entered.
        seconds: How long it had been in it.
        timed_out: Whether the sentinel killed it for that.
        stack: The stack trace it left, if any.
    """

    last: PhaseStatus
    seconds: float
    timed_out: bool
    stack: str


class Sentinel:
    """Watches the workers of one machine; made a Ray actor by the executor."""

    def __init__(self, deadlines: Mapping[Phase, float]) -> None:
        self._deadlines = dict(deadlines)
        self._watched: dict[str, WorkerAddress] = {}
        self._losses: dict[str, Loss] = {}
        self._asked: dict[str, tuple[int, float]] = {}
        self._mutex = threading.Lock()
        threading.Thread(target=self._patrol, daemon=True).start()

    def watch(self, name: str, address: WorkerAddress) -> None:
        """Start watching a worker."""
        with self._mutex:
            self._watched[name] = address

    def statuses(self) -> dict[str, tuple[Phase, float]]:
        """Phase and seconds in it, of each watched worker."""
        with self._mutex:
            watched = dict(self._watched)
        now = time.monotonic()
        statuses = {name: read_status(address.board) for name, address in watched.items()}
        return {name: (status.phase, now - status.since) for name, status in statuses.items()}

    def bury(self, name: str) -> Loss:
        """Stop watching a worker that is gone (killing it if it is not), and tell what it was doing."""
        with self._mutex:
            address = self._watched.pop(name)
            loss = self._losses.pop(name, None) or self._loss(address, timed_out=False)
        with contextlib.suppress(ProcessLookupError):
            os.kill(address.pid, signal.SIGKILL)
        shutil.rmtree(address.board.parent, ignore_errors=True)
        return loss

    def _patrol(self) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            with self._mutex:
                for name, address in self._watched.items():
                    if name not in self._losses:
                        self._check(name, address)

    def _check(self, name: str, address: WorkerAddress) -> None:
        """Past the deadline: ask for a stack trace first, kill a moment later unless the worker has gone on."""
        status, now = read_status(address.board), time.monotonic()
        deadline = self._deadlines.get(status.phase)
        if deadline is None or now - status.since <= deadline:
            return
        with contextlib.suppress(ProcessLookupError):
            asked_for, asked_at = self._asked.get(name, (-1, now))
            if asked_for != status.count:
                self._asked[name] = (status.count, now)
                os.kill(address.pid, signal.SIGUSR1)
            elif now - asked_at >= STACK_DUMP_SECONDS:
                self._losses[name] = self._loss(address, timed_out=True)
                os.kill(address.pid, signal.SIGKILL)

    def _loss(self, address: WorkerAddress, *, timed_out: bool) -> Loss:
        last = read_status(address.board)
        stack = address.stack.read_text(errors="replace") if address.stack.exists() else ""
        return Loss(last, time.monotonic() - last.since, timed_out, stack)
