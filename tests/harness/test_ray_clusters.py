"""Which Ray cluster a run works on: one of its own, which ends with it, or one that is there and stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import ray

from harness.cli import main
from harness.executors.ray import _Crew
from tests.harness.toy_runs import results, run_toy

RAY = ["executor=ray", "executor.workers=2", "executor.lanes=2", "executor.cpus_per_worker=0.5"]


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
    assert not ray.is_initialized(), "a cluster of our own ends with the run"
