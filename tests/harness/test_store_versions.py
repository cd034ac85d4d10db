"""Stores of schema version 1 are read, and resuming makes them version 2; peak memory and facts are recorded."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from harness.cli import main
from harness.store import STORE_NAME, RunReader, StoreError
from tests.harness.toy_runs import run_toy


def as_version_one(run_dir: Path, version: int = 1) -> None:
    database = sqlite3.connect(run_dir / STORE_NAME)
    database.execute("ALTER TABLE episodes DROP COLUMN facts")
    database.execute("ALTER TABLE attempts DROP COLUMN peak_memory")
    database.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(version),))
    database.commit()
    database.close()


def test_version_one_reads_as_it_was_written(tmp_path: Path) -> None:
    run_toy(tmp_path, "protocol.stages=2", "repeats=2")
    with RunReader(tmp_path) as reader:
        frame, peak = reader.frame(), reader.peak_memory()
    assert peak is not None
    assert 2**20 < peak < 2**37
    as_version_one(tmp_path)
    with RunReader(tmp_path) as reader:
        pd.testing.assert_frame_equal(reader.frame(), frame)
        assert reader.peak_memory() is None


def test_resuming_adds_what_version_one_lacks(tmp_path: Path) -> None:
    run_toy(tmp_path)
    as_version_one(tmp_path)
    database = sqlite3.connect(tmp_path / STORE_NAME)
    for table in ("events", "stages", "attempts"):
        database.execute(f"DELETE FROM {table} WHERE key = (SELECT key FROM episodes WHERE ordinal = 3)")
    database.commit()
    database.close()
    assert main(["resume", str(tmp_path)]) == 0
    with RunReader(tmp_path) as reader:
        assert reader.meta("schema_version") == 2
        assert reader.peak_memory() is not None
        assert len(reader.frame()) == len(reader.finished_keys()) == 8


def test_other_versions_are_refused(tmp_path: Path) -> None:
    run_toy(tmp_path, "limit=1")
    as_version_one(tmp_path, version=3)
    with pytest.raises(StoreError, match="has schema version 3, this harness reads 1 and 2"):
        RunReader(tmp_path)


def test_the_frame_has_the_last_stages_metrics_and_none_where_there_are_none(tmp_path: Path) -> None:
    run_toy(tmp_path, "protocol.stages=2", "protocol.faults=['toy-001:reset:raise']", "errors.attempts=1")
    with RunReader(tmp_path) as reader:
        frame, stages = reader.frame(), reader.stages()
    row = frame[frame["episode_id"] == "toy-001"].iloc[0]
    assert (row["outcome"], row["stages_completed"], row["stage_success"]) == ("error", 0, [])
    assert pd.isna(row["distance"])
    assert row["family"] == "odd"
    assert row["stage_tasks"] == ["task0", "task1"]
    other = frame[frame["episode_id"] == "toy-000"].iloc[0]
    mine = stages[stages["key"] == other["key"]]
    assert other["stages_completed"] == mine["success"].sum()
    assert other["stage_success"] == [bool(value) for value in mine["success"]]
    assert f'"distance":{float(other["distance"])!r}' in mine["metrics"].iloc[-1]


def test_samples_of_decisions_and_events_are_of_the_same_episodes(tmp_path: Path) -> None:
    run_toy(tmp_path)
    with RunReader(tmp_path) as reader:
        everything, some = reader.decisions(), reader.decisions(episodes=3)
        events = reader.events(kind="compute", episodes=3)
        assert len(reader.events(kind="nothing")) == 0
    assert 0 < len(some) < len(everything)
    assert events["key"].nunique() == 3
    assert len(events) == len(some), "the toy reports one model call per decision"
    assert (some == everything[: len(some)]).all()
