"""Who is doing what right now, readable from outside of the process that does it.

A worker that hangs inside a native call can report nothing, so it writes each phase *before* entering it into a
memory-mapped file of a few bytes. The sentinel (``harness.executors.sentinel``) reads that file from another process
and enforces the deadlines. Nothing keeps it from reading in the middle of a write, so there are two slots, written in
turn, each with a checksum: while one is being written, the other holds the phase before.
"""

from __future__ import annotations

import mmap
import struct
import time
import traceback
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.identity import KEY_LENGTH
from harness.records import EpisodeError, Phase

_LAYOUT = struct.Struct(f"<QdB{KEY_LENGTH}s")
_CHECKSUM_BYTES = 4
_SLOT = _LAYOUT.size + _CHECKSUM_BYTES
_SLOTS = 2
_PHASES = {phase: number for number, phase in enumerate(Phase)}


class PhaseError(Exception):
    """Something raised during a phase; carries what the store keeps of it, also from one process to another."""

    def __init__(self, error: EpisodeError) -> None:
        super().__init__(error)
        self.error = error

    def __str__(self) -> str:
        return f"{self.error.phase}: {self.error.message}"


@dataclass(frozen=True)
class PhaseStatus:
    """A worker's phase at one moment.

    Attributes:
        count: Phases entered so far.
        since: ``time.monotonic()`` at entry; comparable between processes of one machine.
        phase: The phase.
        key: The episode that it is about; empty for phases that concern all lanes at once (a batched ``act``).
    """

    count: int
    since: float
    phase: Phase
    key: str


class PhaseBoard:
    """The writing end. Without a file it only turns exceptions into `PhaseError`."""

    def __init__(self, path: Path | None = None) -> None:
        self._count = 0
        self._map: mmap.mmap | None = None
        if path is not None:
            path.write_bytes(bytes(_SLOTS * _SLOT))
            with path.open("r+b") as stream:
                self._map = mmap.mmap(stream.fileno(), _SLOTS * _SLOT)
            self.enter(Phase.IDLE)

    def enter(self, phase: Phase, key: str = "") -> None:
        """Note that ``phase`` begins now."""
        self._count += 1
        if self._map is not None:
            status = _LAYOUT.pack(self._count, time.monotonic(), _PHASES[phase], key.encode())
            start = self._count % _SLOTS * _SLOT
            self._map[start : start + _SLOT] = status + _checksum(status)

    @contextmanager
    def during(self, phase: Phase, key: str = "") -> Iterator[None]:
        """Runs its body as ``phase``; whatever it raises comes out as `PhaseError`."""
        self.enter(phase, key)
        try:
            yield
        except PhaseError:
            raise
        except Exception as error:
            trace = "".join(traceback.format_exception(error))
            raise PhaseError(EpisodeError(phase, f"{type(error).__name__}: {error}", trace)) from error
        finally:
            self.enter(Phase.IDLE)


def read_status(path: Path) -> PhaseStatus:
    """The reading end: the last phase whose entry was written completely."""
    slots: list[tuple[int, float, int, bytes]] = []
    while not slots:  # both are torn only if the writer finished one and began the other while they were read
        data = path.read_bytes()
        halves = [data[start : start + _SLOT] for start in range(0, _SLOTS * _SLOT, _SLOT)]
        statuses = [(half[: _LAYOUT.size], half[_LAYOUT.size :]) for half in halves]
        slots = [_LAYOUT.unpack(status) for status, checksum in statuses if checksum == _checksum(status)]
    count, since, phase, key = max(slots)
    return PhaseStatus(count, since, tuple(Phase)[phase], key.rstrip(b"\0").decode())


def _checksum(status: bytes) -> bytes:
    return zlib.crc32(status).to_bytes(_CHECKSUM_BYTES, "little")
