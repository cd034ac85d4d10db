"""Killed at any instant, a run resumes with nothing lost and nothing counted twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.cli import main
from harness.store import STORE_NAME, RunReader, StoreError
from tests.harness.toy_runs import ROOT, TOY, results, run_toy, spawn_toy, traces
from tests.toys import Walker

SLOW = ["protocol.episodes=60", "protocol.work=25"]
"""About two seconds of work, so that kills land at all stages of a run."""


def finished_keys(run_dir: Path) -> set[str]:
    if not (run_dir / STORE_NAME).exists():
        return set()
    try:
        with RunReader(run_dir) as reader:
            return reader.finished_keys()
    except StoreError:
        return set()


@pytest.mark.parametrize("wanted", [6, pytest.param(20, marks=pytest.mark.slow)])
def test_sigkill_at_random_moments_loses_nothing(wanted: int, tmp_path: Path) -> None:
    run_toy(tmp_path / "reference", *SLOW)
    reference = traces(tmp_path / "reference")
    run_dir, chance = tmp_path / "killed", random.Random(4)
    before: set[str] = set()
    kills = 0
    while kills < wanted:
        resuming = bool(finished_keys(run_dir)) or ((run_dir / STORE_NAME).exists() and _is_run(run_dir))
        process = spawn_toy(run_dir, *([] if resuming else SLOW), verb="resume" if resuming else "run")
        # most of a process's life is imports; wait for the first new result, then a random while
        _wait_for_news(run_dir, before, process, patience=chance.choice([0.0, 1.5, 60.0]))
        time.sleep(chance.uniform(0.0, 0.1))
        if process.poll() is None:
            process.kill()
            kills += 1
        process.communicate()
        after = finished_keys(run_dir)
        assert before <= after, "a finished episode was lost"
        before = after
        if len(after) == len(reference):
            run_dir, before = tmp_path / f"killed-{kills}", set()
    if not _is_run(run_dir):
        assert run_toy(run_dir, *SLOW) == 0
    else:
        assert main(["resume", str(run_dir)]) == 0
    assert traces(run_dir) == reference
    with RunReader(run_dir) as reader:
        attempts = reader.attempts()
    assert attempts[attempts["final"] == 1]["key"].is_unique
    assert not attempts.duplicated(["key", "attempt"]).any()


def _is_run(run_dir: Path) -> bool:
    try:
        RunReader(run_dir).close()
    except StoreError:
        return False
    return True


def _wait_for_news(run_dir: Path, before: set[str], process: object, patience: float) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:  # type: ignore[attr-defined]
        if finished_keys(run_dir) - before:
            return
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("number", "executor"),
    [
        (signal.SIGINT, "local"),
        pytest.param(signal.SIGTERM, "local", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "ray", marks=pytest.mark.slow),
        (signal.SIGTERM, "ray"),
    ],
)
def test_signals_leave_a_resumable_run(number: signal.Signals, executor: str, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    process = spawn_toy(run_dir, *SLOW, f"executor={executor}")
    _wait_for_news(run_dir, set(), process, patience=300)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert out.splitlines()[-1] == str(run_dir)
    done = finished_keys(run_dir)
    assert 0 < len(done) < 60
    assert main(["resume", str(run_dir)]) == 0
    assert len(results(run_dir)) == 60
    with RunReader(run_dir) as reader:
        assert [session["ending"] for session in reader.sessions()] == ["interrupted", "completed"]


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
def test_a_signal_while_ray_starts_leaves_a_resumable_run(wait: float, tmp_path: Path) -> None:
    process = spawn_toy(tmp_path, *SLOW, "executor=ray")
    assert process.stderr is not None
    assert "at the start" in process.stderr.readline()
    time.sleep(wait)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert out.splitlines()[-1] == str(tmp_path)
    with RunReader(tmp_path) as reader:
        assert [session["ending"] for session in reader.sessions()] == ["interrupted"]
    assert main(["resume", str(tmp_path)]) == 0
    assert len(results(tmp_path)) == 60


def test_a_signal_in_a_fork_hook_of_ray_s_start_stops_the_run(tmp_path: Path) -> None:
    """Python ignores what a handler raises there, and Ray's handler would raise."""
    script = """if True:
        import os, signal, sys

        def hook():
            if sys.modules.get("ray") and signal.getsignal(signal.SIGTERM) != signal.SIG_DFL and not sent:
                sent.append(True)
                os.kill(os.getpid(), signal.SIGTERM)

        sent = []
        os.register_at_fork(after_in_parent=hook)
        from harness.cli import main

        code = main(sys.argv[1:])
        assert sent
        sys.exit(code)
    """
    words = [sys.executable, "-c", script, "run", *TOY, "agent=walker", f"run_dir={tmp_path}", "executor=ray"]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 3, ended.stderr
    with RunReader(tmp_path) as reader:
        assert [session["ending"] for session in reader.sessions()] == ["interrupted"]


def test_resume_refuses_what_changed_and_says_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_toy(tmp_path, "limit=2")
    for override, difference in [
        ("agent.gain=0.75", "agent.gain: 0.5 -> 0.75"),
        ("protocol.max_steps=9", "protocol.max_steps: 6 -> 9"),
        ("seed=5", "seed: 0 -> 5"),
    ]:
        assert main(["resume", str(tmp_path), override]) == 2
        assert difference in capsys.readouterr().err
    assert main(["resume", str(tmp_path), "limit=5"]) == 2
    assert "another list of episodes" in capsys.readouterr().err
    assert main(["resume", str(tmp_path), "agent=batch_walker"]) == 2
    assert "another agent makes another run" in capsys.readouterr().err
    monkeypatch.setenv("TOY_FINGERPRINT", "2")
    assert main(["resume", str(tmp_path)]) == 2
    assert "fingerprint.toy: 1 -> 2" in capsys.readouterr().err


def test_a_changed_checkpoint_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"1")
    run_toy(tmp_path / "run", f"agent.checkpoint={weights}", "limit=1")
    weights.write_bytes(b"2")
    assert main(["resume", str(tmp_path / "run")]) == 2
    assert "checkpoints.checkpoint:" in capsys.readouterr().err


def test_defaults_are_identity_and_paths_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"1")
    run_toy(tmp_path / "run", f"agent.checkpoint={weights}", "limit=1")
    assert main(["resume", str(tmp_path / "run"), "agent.gain=0.5"]) == 0, "naming the default changes nothing"
    weights.rename(tmp_path / "moved.bin")
    assert main(["resume", str(tmp_path / "run"), f"agent.checkpoint={tmp_path / 'moved.bin'}"]) == 0
    monkeypatch.setattr(Walker.__init__, "__defaults__", (0.9, "noise", None))
    assert main(["resume", str(tmp_path / "run"), f"agent.checkpoint={tmp_path / 'moved.bin'}"]) == 2


def test_tries_are_counted_over_sessions(tmp_path: Path) -> None:
    """Two of three tries failed before the interruption, so one is left."""
    import sqlite3

    fault = "protocol.faults=['toy-001:step:raise']"
    run_toy(tmp_path, fault, "limit=2", "errors.attempts=3")
    db = sqlite3.connect(tmp_path / "run.sqlite")
    for table in ("events", "stages", "attempts"):
        db.execute(f"DELETE FROM {table} WHERE attempt = 2")
    db.commit()
    db.close()
    assert main(["resume", str(tmp_path)]) == 4
    with RunReader(tmp_path) as reader:
        assert (reader.attempts()["outcome"] == "error").sum() == 3


def test_what_is_no_identity_may_change(tmp_path: Path) -> None:
    run_toy(tmp_path, "limit=2")
    assert main(["resume", str(tmp_path), "executor.lanes=3", "errors.attempts=5", "video=all"]) == 0


def test_a_finished_run_is_not_overwritten_and_two_writers_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.store import RunWriter

    run_toy(tmp_path, "limit=1")
    assert run_toy(tmp_path, "limit=1") == 2
    assert "already holds a run; `harness resume" in capsys.readouterr().err
    with RunWriter.reopen(tmp_path):
        assert main(["resume", str(tmp_path)]) == 2
    assert "another process is writing" in capsys.readouterr().err
