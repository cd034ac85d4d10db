"""Real Ray actors that crash, exit and hang: replaced, their episodes done elsewhere, everything accounted for."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.store import RunReader
from tests.harness.toy_runs import run_toy, traces

pytestmark = pytest.mark.usefixtures("cluster")

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
    tmp_path: Path, reference: dict[str, tuple[str, int, str, bytes]]
) -> None:
    assert run_toy(tmp_path, *RAY, "protocol.faults=['toy-003:step:once','toy-005:reset:once']") == 0
    found = traces(tmp_path)
    assert sorted(found.values()) == sorted(reference.values())
    with RunReader(tmp_path) as reader:
        assert (reader.attempts()["outcome"] == "error").sum() == 2


def test_a_death_in_a_batched_decision_is_blamed_on_the_episode_that_causes_it(tmp_path: Path) -> None:
    words = ["agent.poison=toy-002", "agent.how=exit", "executor.lanes=4", "errors.attempts=2", "protocol.max_steps=8"]
    assert run_toy(tmp_path, *RAY, *words, agent="poisoned_walker") == 4
    with RunReader(tmp_path) as reader:
        frame = reader.frame()
    assert frame[frame["outcome"] == "error"]["episode_id"].tolist() == ["toy-002"]
    assert (frame[frame["episode_id"] != "toy-002"]["outcome"] == "success").all()


def test_workers_with_several_lanes_close_what_they_hold(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    assert run_toy(tmp_path / "run", *RAY, f"agent.notes={tmp_path / 'notes'}", agent="polite") == 0
    assert len(list((tmp_path / "notes").iterdir())) == 2


def test_workers_that_cannot_start_end_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_toy(tmp_path, *RAY, agent="unbuildable") == 2
    assert "the weights are gone" in capsys.readouterr().err


def test_workers_that_die_while_they_start_end_the_run_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_toy(tmp_path, *RAY, agent="stillborn") == 2
    error = capsys.readouterr().err
    assert "3 workers in a row failed to start; the last: the worker process died in phase agent_start" in error


def test_a_run_that_is_given_up_when_a_worker_is_lost_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = "protocol.faults=['toy-000:step:exit','toy-001:step:exit']"
    words = ["executor=ray", "executor.workers=1", faults, "errors.attempts=1", "errors.stop_after=2"]
    assert run_toy(tmp_path, *words) == 4
    assert "stopped because 2 episodes in a row ended in errors" in capsys.readouterr().err
    with RunReader(tmp_path) as reader:
        assert reader.state() == "errors"
