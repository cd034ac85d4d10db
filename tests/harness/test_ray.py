"""Real Ray actors that crash, exit and hang: replaced, their episodes done elsewhere, everything accounted for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import ray

from harness.cli import main
from harness.executors.ray import _Crew
from harness.store import RunReader
from tests.harness.toy_runs import results, run_toy, traces

RAY = ["executor=ray", "executor.workers=2", "executor.lanes=2", "executor.cpus_per_worker=0.5"]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, int, str, bytes]]:
    run_dir = tmp_path_factory.mktemp("reference")
    run_toy(run_dir)
    return traces(run_dir)


@pytest.mark.parametrize(
    ("kind", "phase", "message"),
    [
        ("segfault", "worker_lost", "died in phase step"),
        ("exit", "worker_lost", "died in phase step"),
        ("hang", "timeout", "in phase step, past its deadline"),
    ],
)
def test_a_worker_that_is_lost_takes_only_its_own_episode_along(
    kind: str, phase: str, message: str, tmp_path: Path
) -> None:
    words = [*RAY, f"protocol.faults=['toy-003:step:{kind}']", "deadlines.step=1.5", "errors.attempts=2"]
    assert run_toy(tmp_path, *words) == 4
    with RunReader(tmp_path) as reader:
        frame, attempts = reader.frame(), reader.attempts()
    assert frame[frame["outcome"] == "error"]["episode_id"].tolist() == ["toy-003"]
    assert (frame[frame["episode_id"] != "toy-003"]["outcome"] == "success").all()
    lost = attempts[attempts["outcome"] == "error"]
    assert len(lost) == 2, "one retry, both attempts kept"
    assert lost["worker"].is_unique, "the retry went to another worker"
    assert set(lost["error_phase"]) == {phase}
    assert lost["error_message"].str.contains(message).all()
    if kind != "exit":
        assert lost["traceback"].str.contains("toys.py").all(), "the stack says where"


def test_a_fault_that_happens_once_costs_nothing_but_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: dict[str, tuple[str, int, str, bytes]]
) -> None:
    (tmp_path / "markers").mkdir()
    monkeypatch.setenv("TOY_MARKERS", str(tmp_path / "markers"))
    run_dir = tmp_path / "run"
    assert run_toy(run_dir, *RAY, "protocol.faults=['toy-003:step:once','toy-005:reset:once']") == 0
    found = traces(run_dir)
    assert sorted(found.values()) == sorted(reference.values())
    with RunReader(run_dir) as reader:
        assert (reader.attempts()["outcome"] == "error").sum() == 2


def test_a_death_in_a_batched_decision_is_blamed_on_the_episode_that_causes_it(tmp_path: Path) -> None:
    words = ["agent.poison=toy-002", "agent.how=exit", "executor.lanes=4", "errors.attempts=2", "protocol.max_steps=8"]
    assert run_toy(tmp_path, *RAY, *words, agent="poisoned_walker") == 4
    with RunReader(tmp_path) as reader:
        frame = reader.frame()
    assert frame[frame["outcome"] == "error"]["episode_id"].tolist() == ["toy-002"]
    assert (frame[frame["episode_id"] != "toy-002"]["outcome"] == "success").all()


def test_workers_that_cannot_start_end_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_toy(tmp_path, *RAY, agent="unbuildable") == 2
    assert "the weights are gone" in capsys.readouterr().err


def test_workers_that_die_while_they_start_end_the_run_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_toy(tmp_path, *RAY, agent="stillborn") == 2
    error = capsys.readouterr().err
    assert "3 workers in a row failed to start; the last: the worker process died in phase agent_start" in error
    assert not ray.is_initialized()


def test_a_run_that_is_given_up_when_a_worker_is_lost_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = "protocol.faults=['toy-000:step:exit','toy-001:step:exit']"
    words = ["executor=ray", "executor.workers=1", faults, "errors.attempts=1", "errors.stop_after=2"]
    assert run_toy(tmp_path, *words) == 4
    assert "stopped because 2 episodes in a row ended in errors" in capsys.readouterr().err
    with RunReader(tmp_path) as reader:
        assert reader.state() == "errors"
    assert not ray.is_initialized()


def test_a_cluster_of_our_own_ends_with_the_run_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: _Crew) -> None:
        raise RuntimeError("they stay")

    monkeypatch.setattr(_Crew, "dismiss", fail)
    try:
        with pytest.raises(RuntimeError, match="they stay"):
            run_toy(tmp_path, *RAY, "limit=1")
        assert not ray.is_initialized()
    finally:
        ray.shutdown()


def test_an_existing_cluster_is_joined_and_left_running(tmp_path: Path) -> None:
    script = str(Path(sys.executable).with_name("ray"))
    start = [script, "start", "--head", "--num-cpus=2", "--include-dashboard=false", "--port=0"]
    subprocess.run(start, check=True, capture_output=True, timeout=120)
    try:
        too_many = [*RAY, "ray.address=auto", "executor.workers=9"]
        assert run_toy(tmp_path / "too-many", *too_many) == 2
        assert run_toy(tmp_path / "run", *RAY, "ray.address=auto") == 0
        assert len(results(tmp_path / "run")) == 8
        status = subprocess.run([script, "status"], check=False, capture_output=True, timeout=120)
        assert status.returncode == 0, "the cluster is not ours to stop"
    finally:
        subprocess.run([script, "stop", "--force"], check=True, capture_output=True, timeout=120)


def test_no_cluster_at_the_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_toy(tmp_path, *RAY, "ray.address=auto") == 2
    assert "cannot connect to Ray at ray.address=auto" in capsys.readouterr().err
    assert main(["resume", str(tmp_path), "ray.address=null"]) == 0
