"""One rollout loop: chains, errors and whom they are blamed on, timing, events."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.interfaces import EnvRequest
from harness.phases import PhaseBoard
from harness.records import Job
from harness.rollout import Lane, run_episodes
from harness.store import RunReader
from tests.harness.toy_runs import results, run_toy
from tests.toys import BatchWalker, ToyBenchmark, ToyProtocol


def test_a_chain_goes_on_without_reset_and_stops_at_the_first_failure(tmp_path: Path) -> None:
    assert run_toy(tmp_path, "protocol.stages=5", "protocol.max_steps=5", "protocol.goal=1.2") == 0
    with RunReader(tmp_path) as reader:
        frame, stages = reader.frame(), reader.stages()
    assert set(frame["stages_completed"]) - {0, 5}, "the parameters must let some chains fail half-way"
    for _, row in frame.iterrows():
        own = stages[stages["key"] == row["key"]]
        verdicts = own["success"].astype(bool).tolist()
        assert verdicts == [True] * row["stages_completed"] + [False] * (row["stages_completed"] < 5)
        assert own["task"].tolist() == [f"task{i}" for i in range(len(own))]
        assert (own["steps"] <= 5).all()
        assert row["success"] == (row["stages_completed"] == 5)
        assert row["progress"] == pytest.approx(own["progress"].sum() / 5)
        with RunReader(tmp_path) as reader:
            assert len(reader.actions(row["key"])) == own["steps"].sum() == row["steps"]


def test_the_agent_is_told_of_each_stage(tmp_path: Path) -> None:
    run_toy(tmp_path, "protocol.stages=3", "agent.gain=1.0")
    with RunReader(tmp_path) as reader:
        events = reader.events()
    events["decision"] = [json.loads(data)["step"] for data in events["data"]]
    assert set(events["stage"]) == {0, 1, 2}
    # the walker counts its decisions since its last reset: had it not been told, the count would go on
    assert (events.groupby(["key", "stage"])["decision"].max() <= 6).all()
    assert (events.groupby(["key", "stage"])["decision"].min() <= 1).all()


@pytest.mark.parametrize(
    ("words", "reads"), [((), True), (("agent.peeks=true",), True), (("agent.peeks=false",), False)]
)
def test_ground_truth_is_for_agents_that_read_it_under_their_settings(
    words: tuple[str, ...], reads: bool, tmp_path: Path
) -> None:
    assert run_toy(tmp_path, *words, "protocol.stages=2", "limit=2", agent="peeker") == 0
    assert set(results(tmp_path)["outcome"]) <= {"success", "failure"}
    with RunReader(tmp_path) as reader:
        assert reader.meta("privileged") is reads


@pytest.mark.parametrize(
    ("mode", "phase", "message"),
    [
        ("none", "agent_act", "no action"),
        ("not_finite", "agent_act", "NaN"),
        ("shape", "agent_act", "shape"),
        ("bounds", "agent_act", "outside of"),
        ("words", "agent_act", "no array of numbers"),
        ("raises", "agent_act", "no idea"),
        ("reset_raises", "agent_reset", "no idea how to begin"),
    ],
)
def test_agent_errors_are_errors_not_failures(mode: str, phase: str, message: str, tmp_path: Path) -> None:
    assert run_toy(tmp_path, f"agent.mode={mode}", "limit=2", "errors.attempts=2") == 4
    table = results(tmp_path)
    assert set(table["outcome"]) == {"error"}
    assert set(table["error_phase"]) == {phase}
    assert table["error_message"].str.contains(message).all()
    assert table["traceback"].str.contains("Traceback").all()
    with RunReader(tmp_path) as reader:
        assert len(reader.attempts()) == 4, "every attempt is kept"


@pytest.mark.parametrize(
    ("fault", "phase"),
    [("toy-001:step:raise", "step"), ("toy-001:reset:raise", "reset"), ("*:start:raise", "env_start")],
)
def test_environment_errors_carry_their_phase(fault: str, phase: str, tmp_path: Path) -> None:
    assert run_toy(tmp_path, f"protocol.faults=['{fault}']", "limit=3", "errors.attempts=1") == 4
    table = results(tmp_path)
    assert set(table[table["outcome"] == "error"]["error_phase"]) == {phase}
    assert (table["outcome"] == "error").sum() == (3 if phase == "env_start" else 1)


def test_ground_truth_that_cannot_be_had_is_an_error_of_its_episode(tmp_path: Path) -> None:
    assert run_toy(tmp_path, "protocol.faults=['toy-001:truth:raise']", "errors.attempts=1", agent="curious") == 4
    assert results(tmp_path)["error_phase"].dropna().tolist() == ["reset"]


def test_few_enough_errors_are_tolerated(tmp_path: Path) -> None:
    words = ["protocol.faults=['toy-001:step:raise']", "errors.attempts=1"]
    assert run_toy(tmp_path / "strict", *words, "errors.threshold=0.1") == 4
    assert run_toy(tmp_path / "lenient", *words, "errors.threshold=0.125") == 0


def test_an_agent_that_cannot_be_built_ends_the_run_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_toy(tmp_path, agent="unbuildable") == 2
    assert "the weights are gone" in capsys.readouterr().err


def test_an_error_in_a_batch_lands_on_the_lane_that_causes_it(tmp_path: Path) -> None:
    words = ["executor.lanes=4", "agent.poison=toy-002", "errors.attempts=1"]
    assert run_toy(tmp_path, *words, agent="batch_walker") == 4
    with RunReader(tmp_path) as reader:
        frame = reader.frame()
    assert frame[frame["outcome"] == "error"]["episode_id"].tolist() == ["toy-002"]


def toy_lanes(count: int, benchmark: ToyBenchmark, agent: BatchWalker, board: PhaseBoard) -> list[Lane]:
    return [
        Lane(i, lambda: benchmark.make_env(EnvRequest()), agent, run_seed=0, control_hz=10.0, board=board)
        for i in range(count)
    ]


def test_lanes_are_served_in_one_call_and_refilled() -> None:
    benchmark = ToyBenchmark(ToyProtocol("toy", 1, "toy", episodes=6))
    agent, board = BatchWalker(), PhaseBoard()
    lanes = toy_lanes(3, benchmark, agent, board)
    jobs = iter([Job(spec.episode_id, spec) for spec in benchmark.episodes()])
    finished = list(run_episodes(agent, lanes, pull=lambda _: next(jobs, None), board=board, should_stop=lambda: False))
    assert sorted(result.key for result in finished) == [f"toy-{i:03}" for i in range(6)]
    assert agent.batch_sizes[0] == 3
    assert sum(agent.batch_sizes) == sum(result.steps for result in finished)


def test_nothing_ever_is_asked_for_once() -> None:
    """A worker's queue says once that there is nothing more; asked again by the next lane it would wait for ever."""
    benchmark = ToyBenchmark(ToyProtocol("toy", 1, "toy", episodes=3))
    agent, board = BatchWalker(), PhaseBoard()
    lanes = toy_lanes(2, benchmark, agent, board)
    jobs = [Job(spec.episode_id, spec) for spec in benchmark.episodes()]
    waited = []

    def pull(may_wait: bool) -> Job | None:
        if not jobs and may_wait:
            waited.append(True)
        return jobs.pop() if jobs else None

    finished = list(run_episodes(agent, lanes, pull=pull, board=board, should_stop=lambda: False))
    assert len(finished) == 3
    assert waited == [True]


def test_time_is_split_and_adds_up(tmp_path: Path) -> None:
    run_toy(tmp_path, "protocol.work=60", "limit=3", "video=all")
    table = results(tmp_path)
    parts = table["wall_env"] + table["wall_agent"] + table["wall_render"]
    assert (parts <= table["wall_total"]).all()
    assert table["wall_env"].sum() > table["wall_agent"].sum()
    assert (table["wall_render"] > 0).all()
    with RunReader(tmp_path) as reader:
        decisions = reader.decisions()
    assert decisions.shape == (table["steps"].sum(), 3)
    assert np.all(decisions >= 0)


@pytest.mark.parametrize(("mode", "expected"), [("all", 4), ("failures", 1), ("first:3", 3), ("none", 0)])
def test_videos(mode: str, expected: int, tmp_path: Path) -> None:
    import imageio.v2 as imageio

    run_toy(tmp_path, f"video={mode}", "limit=4", "agent.gain=0.62", "protocol.max_steps=4", "protocol.goal=1.2")
    with RunReader(tmp_path) as reader:
        frame = reader.frame()
    assert frame["success"].sum() == 3, "the parameters must give one failure"
    kept = frame[frame["video"].notna()]
    assert len(kept) == expected
    assert not (mode == "failures" and kept["success"].any())
    for _, row in kept.iterrows():
        frames = imageio.mimread(tmp_path / "videos" / row["video"])
        assert len(frames) == row["steps"] + 1
        assert frames[0].shape == (32, 48, 3)
