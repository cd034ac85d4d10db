"""A Ray cluster that several runs share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray

from harness.executors.ray import RayExecutor


@pytest.fixture(scope="module")
def markers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where the faults that happen once remember that they have; workers know what their cluster started with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOY_MARKERS", str(tmp_path_factory.mktemp("markers")))
        yield


@pytest.fixture(scope="module")
def cluster(markers: None) -> Iterator[None]:
    """A cluster as a run starts it, for the runs of a module: each brings workers of its own."""
    executor = RayExecutor(workers=2, cpus_per_worker=0.5, gpus_per_worker=0.0, address=None, deadlines={})
    assert executor._connect()
    yield
    ray.shutdown()
