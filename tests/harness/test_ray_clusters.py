"""Which Ray cluster a run works on: one of its own, which ends with it, or one that is there and stays."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from harness.cli import main
from harness.executors.ray import _Crew
from tests.harness.toy_runs import results, run_toy

RAY = ["executor=ray", "executor.workers=2", "executor.lanes=2", "executor.cpus_per_worker=0.5"]
RAY_SCRIPT = str(Path(sys.executable).with_name("ray"))


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


@pytest.fixture
def somebodys_cluster() -> Iterator[str]:
    """The address of a cluster that is none of ours; `ray stop` would end every one, so its own process ends it."""
    address = f"127.0.0.1:{unused_port()}"
    port = address.rpartition(":")[2]
    told = Path(tempfile.gettempdir(), "ray", "ray_current_cluster")  # where "auto" looks for it
    words = ["start", "--head", "--block", f"--port={port}", "--num-cpus=2", "--include-dashboard=false"]
    with subprocess.Popen([RAY_SCRIPT, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            patience = time.monotonic() + 120
            while not (told.exists() and told.read_text().endswith(f":{port}")):
                assert process.poll() is None
                assert time.monotonic() < patience
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()
    told.unlink(missing_ok=True)


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_an_existing_cluster_is_joined_and_left_running(tmp_path: Path, somebodys_cluster: str) -> None:
    words = [*RAY, "ray.address=auto"]
    assert run_toy(tmp_path / "too-many", *words, "executor.workers=9") == 2
    assert run_toy(tmp_path / "run", *words) == 0
    assert len(results(tmp_path / "run")) == 8
    host, _, port = somebodys_cluster.partition(":")
    socket.create_connection((host, int(port)), timeout=10).close()  # the cluster is not ours to stop


def test_no_cluster_at_the_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = f"127.0.0.1:{unused_port()}"
    assert run_toy(tmp_path, *RAY, f"ray.address={nowhere}") == 2
    assert f"cannot connect to Ray at ray.address={nowhere}: [Errno 111] Connection refused" in capsys.readouterr().err
    assert main(["resume", str(tmp_path), "ray.address=null"]) == 0
    assert not ray.is_initialized(), "a cluster of our own ends with the run"


@pytest.mark.parametrize("address", ["nonsense", "head:port", ":6379"])
def test_an_address_that_is_none(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_toy(tmp_path / "named", *RAY, f"ray.address='{address}'") == 2
    assert f"ray.address={address} is neither host:port nor auto" in capsys.readouterr().err
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert run_toy(tmp_path / "auto", *RAY, "ray.address=auto") == 2
    assert f"RAY_ADDRESS={address} is neither host:port nor auto" in capsys.readouterr().err
