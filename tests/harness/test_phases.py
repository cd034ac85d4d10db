"""The board that says from outside what a worker is doing."""

import multiprocessing
import time
from multiprocessing.synchronize import Event
from pathlib import Path

from harness.identity import KEY_LENGTH
from harness.phases import PhaseBoard, read_status
from harness.records import Phase

KEY = "k" * KEY_LENGTH


def test_the_last_phase_is_read_with_its_key(tmp_path: Path) -> None:
    board, began = PhaseBoard(tmp_path / "board"), time.monotonic()
    for phase in Phase:
        board.enter(phase, KEY)
    status = read_status(tmp_path / "board")
    assert (status.count, status.phase, status.key) == (len(Phase) + 1, list(Phase)[-1], KEY)
    assert began <= status.since <= time.monotonic()


def test_a_write_that_was_cut_off_leaves_the_phase_before(tmp_path: Path) -> None:
    path = tmp_path / "board"
    board = PhaseBoard(path)
    board.enter(Phase.STEP, KEY)
    before = path.read_bytes()
    board.enter(Phase.AGENT_ACT)
    after = path.read_bytes()
    changed = [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert read_status(path).phase is Phase.AGENT_ACT
    for cut in changed:
        path.write_bytes(after[:cut] + before[cut:])
        assert read_status(path).phase is Phase.STEP
    path.write_bytes(after)
    assert read_status(path).phase is Phase.AGENT_ACT


def _enter_phases(path: Path, stop: Event) -> None:
    board = PhaseBoard(path)
    while not stop.is_set():
        for _ in range(1000):
            board.enter(Phase.STEP, KEY)
            board.enter(Phase.AGENT_ACT)


def test_no_reader_sees_half_a_phase(tmp_path: Path) -> None:
    path, context = tmp_path / "board", multiprocessing.get_context("spawn")
    board, stop, began = PhaseBoard(path), context.Event(), time.monotonic()
    board.enter(Phase.IDLE)
    writer = context.Process(target=_enter_phases, args=(path, stop))
    writer.start()
    try:
        counts: set[int] = set()
        while len(counts) < 2_000 and writer.is_alive():
            status = read_status(path)
            assert began <= status.since <= time.monotonic()
            assert status.key == (KEY if status.phase is Phase.STEP else "")
            counts.add(status.count)
    finally:
        stop.set()
        writer.join()
    assert len(counts) == 2_000
