"""The same specs give the same results and action traces, however the work is spread."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main
from tests.harness.toy_runs import run_toy, traces


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("agent", ["walker", "batch_walker"])
def test_lanes_and_workers_change_nothing(agent: str, tmp_path: Path) -> None:
    shapes = {
        "local1": [],
        "local4": ["executor.lanes=4"],
        "ray2x1": ["executor=ray", "executor.workers=2", "executor.cpus_per_worker=0.5"],
        "ray2x4": ["executor=ray", "executor.workers=2", "executor.lanes=4", "executor.cpus_per_worker=0.5"],
    }
    found = {}
    for name, overrides in shapes.items():
        assert run_toy(tmp_path / name, "protocol.stages=2", "seed=7", *overrides, agent=agent) == 0
        found[name] = traces(tmp_path / name)
    reference = found.pop("local1")
    assert len(reference) == 8
    for name, other in found.items():
        assert other == reference, name


def test_an_agent_that_fails_in_one_lane_changes_nothing_in_the_others(tmp_path: Path) -> None:
    words = ["agent.poison=toy-003", "errors.attempts=1", "protocol.episodes=4", "protocol.max_steps=8"]
    found = []
    for lanes in (1, 4):
        run_dir = tmp_path / str(lanes)
        assert run_toy(run_dir, *words, f"executor.lanes={lanes}", agent="poisoned_walker") == 4
        found.append({key: trace for key, trace in traces(run_dir).items() if trace[0] != "error"})
    assert len(found[0]) == 3
    assert found[0] == found[1]


def test_the_order_of_episodes_changes_nothing(tmp_path: Path) -> None:
    run_toy(tmp_path / "all", "seed=3")
    run_toy(tmp_path / "prefix", "seed=3", "limit=3")
    whole = traces(tmp_path / "all")
    prefix = traces(tmp_path / "prefix")
    assert len(prefix) == 3
    assert all(whole[key] == trace for key, trace in prefix.items())


def test_seeds_and_repeats_change_the_draws(tmp_path: Path) -> None:
    for seed in (0, 1):
        run_toy(tmp_path / str(seed), f"seed={seed}", "repeats=2", "limit=2")
    found = {**traces(tmp_path / "0"), **traces(tmp_path / "1")}
    assert len(found) == 8
    assert len({actions for *_, actions in found.values()}) == 8


PHYSICS = [
    "run",
    "benchmark=thinkbench",
    "agent=expert",
    "protocol.families=[sort,tower]",
    "protocol.horizons=[3]",
    "protocol.episodes_per_template=2",
    "limit=4",
]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, int, str, bytes]]:
    """The expert on ThinkBench, one episode after the other."""
    run_dir = tmp_path_factory.mktemp("physics") / "run"
    assert main([*PHYSICS, f"run_dir={run_dir}"]) == 0
    return traces(run_dir)


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("lanes", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_real_physics_is_the_same_however_it_is_spread(
    lanes: int, simulated: dict[str, tuple[str, int, str, bytes]], tmp_path: Path
) -> None:
    """Outcomes, action bytes and final simulator states, bit for bit."""
    spread = ["executor=ray", "executor.workers=2", f"executor.lanes={lanes}", "executor.cpus_per_worker=0.5"]
    assert main([*PHYSICS, *spread, f"run_dir={tmp_path}"]) == 0
    assert len(simulated) == 4
    assert traces(tmp_path) == simulated
    assert main(["replay", str(tmp_path), "tower-h3-000"]) == 0
