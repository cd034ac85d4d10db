"""The run store: everything known about a run, in one SQLite file that survives being killed at any instant.

One process writes (it holds a lock on ``run.lock``); any number may read. A finished attempt is one transaction, so it
is either there with its stages, events and actions, or not at all. ``schema.sql`` documents the tables.
"""

from __future__ import annotations

import fcntl
import json
import re
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.identity import RunIdentity, canonical_json
from harness.interfaces import EpisodeSpec
from harness.records import EpisodeResult, Outcome

SCHEMA_VERSION = 1
STORE_NAME = "run.sqlite"
LOCK_NAME = "run.lock"

_LOCK_PATIENCE_SECONDS = 0.5  # a reader that looks whether a run is being written holds the lock for an instant


class StoreError(Exception):
    """The run store cannot be used as asked; the message says what to do."""


@dataclass(frozen=True)
class PlannedEpisode:
    """One line of the plan."""

    key: str
    repeat: int
    spec: EpisodeSpec


class RunReader:
    """Reads a run, also while another process writes it.

    Raises:
        StoreError: if ``run_dir`` holds no run, or one of another schema version.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        path = run_dir / STORE_NAME
        if not path.is_file():
            raise StoreError(
                f"{run_dir} holds no run ({STORE_NAME} is missing); `harness list runs` shows what there is"
            )
        self._lock_path = run_dir / LOCK_NAME
        self._db = sqlite3.connect(path, timeout=60)
        self._db.row_factory = sqlite3.Row
        try:
            version = self.meta("schema_version")
        except (sqlite3.DatabaseError, KeyError) as error:
            raise StoreError(f"{path} is not a complete run store: {error}") from error
        if version != SCHEMA_VERSION:
            raise StoreError(f"{path} has schema version {version}, this harness reads {SCHEMA_VERSION}")

    def __enter__(self) -> RunReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def meta(self, key: str) -> Any:
        """One fact of the table ``meta``; ``KeyError`` if it is absent."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return json.loads(row["value"])

    @property
    def identity(self) -> RunIdentity:
        """What the run's results depend on."""
        return RunIdentity.from_dict(self.meta("identity"))

    @property
    def is_collection(self) -> bool:
        """Whether the run collected training data instead of evaluating."""
        return bool(self.meta("config").get("dataset", {}).get("enabled", False))

    def plan(self) -> list[PlannedEpisode]:
        """All planned episodes in order."""
        rows = self._db.execute("SELECT key, repeat, spec FROM episodes ORDER BY ordinal")
        return [PlannedEpisode(r["key"], r["repeat"], EpisodeSpec.from_dict(json.loads(r["spec"]))) for r in rows]

    def finished_keys(self) -> set[str]:
        """Keys of the episodes that have their final attempt."""
        return {row["key"] for row in self._db.execute("SELECT key FROM attempts WHERE final = 1")}

    def attempt_counts(self) -> dict[str, int]:
        """Attempts recorded per key, counting those that do not count (the next attempt's number)."""
        rows = self._db.execute("SELECT key, MAX(attempt) + 1 AS n FROM attempts GROUP BY key")
        return {row["key"]: row["n"] for row in rows}

    def failed_attempts(self) -> dict[str, int]:
        """Attempts per key that ended in an error, of episodes without a final attempt."""
        rows = self._db.execute("SELECT key, COUNT(*) AS n FROM attempts WHERE outcome = 'error' GROUP BY key")
        done = self.finished_keys()
        return {row["key"]: row["n"] for row in rows if row["key"] not in done}

    def outcome_counts(self) -> dict[str, int]:
        """Final attempts by outcome, and ``planned``."""
        rows = self._db.execute("SELECT outcome, COUNT(*) AS n FROM attempts WHERE final = 1 GROUP BY outcome")
        counts = {outcome.value: 0 for outcome in (Outcome.SUCCESS, Outcome.FAILURE, Outcome.ERROR)}
        counts |= {row["outcome"]: row["n"] for row in rows}
        counts["planned"] = self._db.execute("SELECT COUNT(*) FROM episodes").fetchone()[0]
        return counts

    def sessions(self) -> list[dict[str, Any]]:
        """Every process that wrote to the run, first to last, with its provenance."""
        rows = self._db.execute("SELECT * FROM sessions ORDER BY session")
        return [{**dict(row), "provenance": json.loads(row["provenance"])} for row in rows]

    def state(self) -> str:
        """``not started``, ``running``, ``killed``, or how the last session ended."""
        row = self._db.execute("SELECT ending FROM sessions ORDER BY session DESC LIMIT 1").fetchone()
        if row is None or row["ending"] is not None:
            return str(row["ending"]) if row else "not started"
        return "running" if _is_locked(self._lock_path) else "killed"

    def attempts(self) -> pd.DataFrame:
        """Every attempt, without the blobs."""
        columns = [r["name"] for r in self._db.execute("PRAGMA table_info(attempts)") if r["type"] != "BLOB"]
        query = f"SELECT {', '.join(columns)} FROM attempts ORDER BY recorded_at, key, attempt"
        return pd.read_sql_query(query, self._db)

    def stages(self) -> pd.DataFrame:
        """Every stage of every attempt; ``metrics`` as JSON text."""
        return pd.read_sql_query("SELECT * FROM stages ORDER BY key, attempt, stage", self._db)

    def events(self, *, final: bool = False) -> pd.DataFrame:
        """Every event, of every attempt or of the final ones; ``data`` as JSON text."""
        which = "JOIN attempts a USING (key, attempt) WHERE a.final = 1" if final else ""
        return pd.read_sql_query(f"SELECT e.* FROM events e {which} ORDER BY e.key, e.attempt, e.ordinal", self._db)

    def actions(self, key: str) -> npt.NDArray[np.float64]:
        """The actions ``(T, A)`` of an episode's final attempt; ``KeyError`` if there is none."""
        row = self._db.execute(
            "SELECT actions, action_size FROM attempts WHERE key = ? AND final = 1", (key,)
        ).fetchone()
        if row is None:
            raise KeyError(key)
        flat = np.frombuffer(zlib.decompress(row["actions"]), dtype="<f8")
        return flat.reshape(-1, row["action_size"]) if row["action_size"] else flat.reshape(0, 0)

    def decisions(self) -> npt.NDArray[np.float32]:
        """Seconds of env, agent and render ``(N, 3)`` of all decisions of all final attempts."""
        rows = self._db.execute("SELECT decisions FROM attempts WHERE final = 1 ORDER BY key")
        parts = [np.frombuffer(zlib.decompress(row["decisions"]), dtype="<f4").reshape(-1, 3) for row in rows]
        return np.concatenate([np.zeros((0, 3), np.float32), *parts])

    def frame(self) -> pd.DataFrame:
        """One row per planned episode, as `harness.interfaces.Benchmark.summarise` documents it."""
        final = {r["key"]: r for r in self._db.execute("SELECT * FROM attempts WHERE final = 1")}
        stages: dict[str, list[sqlite3.Row]] = {}
        query = "SELECT s.* FROM stages s JOIN attempts a USING (key, attempt) WHERE a.final = 1 ORDER BY s.stage"
        for row in self._db.execute(query):
            stages.setdefault(row["key"], []).append(row)
        return pd.DataFrame(
            [_frame_row(planned, final.get(planned.key), stages.get(planned.key, [])) for planned in self.plan()]
        )


def _frame_row(planned: PlannedEpisode, attempt: sqlite3.Row | None, stages: Sequence[sqlite3.Row]) -> dict[str, Any]:
    metrics = {name: value for stage in stages for name, value in json.loads(stage["metrics"]).items()}
    scalars = {k: v for k, v in planned.spec.meta.items() if isinstance(v, str | int | float | bool)}
    return {
        **metrics,
        **scalars,
        "key": planned.key,
        "episode_id": planned.spec.episode_id,
        "repeat": planned.repeat,
        "outcome": attempt["outcome"] if attempt else "missing",
        "success": bool(attempt and attempt["outcome"] == Outcome.SUCCESS),
        "progress": attempt["progress"] if attempt else 0.0,
        "steps": attempt["steps"] if attempt else 0,
        "attempts": attempt["attempt"] + 1 if attempt else 0,
        "wall_total": attempt["wall_total"] if attempt else 0.0,
        "stages_planned": len(planned.spec.stages),
        "stages_completed": sum(bool(stage["success"]) for stage in stages),
        "stage_tasks": [stage.task for stage in planned.spec.stages],
        "stage_success": [bool(stage["success"]) for stage in stages],
        "video": attempt["video"] if attempt else None,
    }


def _take(lock: IO[str], patience: float) -> bool:
    """Lock a file for writing a run; ``False`` if another process still has it after ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)


def _is_locked(path: Path) -> bool:
    """Whether a process is writing the run that the lock file ``path`` belongs to."""
    if not path.exists():
        return False
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class RunWriter:
    """The one writer of a run; use `create` or `reopen`."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._lock = (run_dir / LOCK_NAME).open("w")
        if not _take(self._lock, _LOCK_PATIENCE_SECONDS):
            self._lock.close()
            raise StoreError(f"another process is writing to {run_dir}; wait for it or stop it first")
        self._db = sqlite3.connect(run_dir / STORE_NAME, timeout=60, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._session: int | None = None
        self._plan: dict[str, PlannedEpisode] = {}

    @classmethod
    def create(cls, run_dir: Path, meta: Mapping[str, Any], plan: Sequence[PlannedEpisode]) -> RunWriter:
        """A new run with its whole plan. Nothing is visible of it before it is complete.

        Raises:
            StoreError: if the folder already holds a run.
        """
        if (run_dir / STORE_NAME).exists() and holds_run(run_dir):
            raise StoreError(f"{run_dir} already holds a run; `harness resume {run_dir}` continues it")
        run_dir.mkdir(parents=True, exist_ok=True)
        writer = cls(run_dir)
        with writer._transaction() as db:
            for statement in _statements(files("harness").joinpath("schema.sql").read_text()):
                db.execute(statement)
            facts = {**meta, "schema_version": SCHEMA_VERSION}
            db.executemany("INSERT INTO meta VALUES (?, ?)", [(k, canonical_json(v)) for k, v in facts.items()])
            db.executemany(
                "INSERT INTO episodes VALUES (?, ?, ?, ?, ?)",
                [
                    (p.key, ordinal, p.spec.episode_id, p.repeat, canonical_json(p.spec.to_dict()))
                    for ordinal, p in enumerate(plan)
                ],
            )
        writer._load_plan()
        return writer

    @classmethod
    def reopen(cls, run_dir: Path) -> RunWriter:
        """Go on writing to a run that exists."""
        RunReader(run_dir).close()
        writer = cls(run_dir)
        writer._load_plan()
        return writer

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._db.close()
        self._lock.close()

    def begin_session(self, provenance: Mapping[str, Any]) -> None:
        """Note who writes from now on."""
        cursor = self._db.execute(
            "INSERT INTO sessions (started_at, provenance) VALUES (?, ?)", (time.time(), canonical_json(provenance))
        )
        self._session = cursor.lastrowid

    def end_session(self, ending: str) -> None:
        """Note how the session ended: ``completed``, ``interrupted`` or ``errors``."""
        self._db.execute(
            "UPDATE sessions SET ended_at = ?, ending = ? WHERE session = ?", (time.time(), ending, self._session)
        )

    def record(self, result: EpisodeResult, *, final: bool) -> None:
        """Write one attempt, all or nothing. A second final attempt of an episode is refused by the database."""
        video = None
        if result.video is not None:
            video = self._video_name(result)
            (self.run_dir / "videos").mkdir(exist_ok=True)
            (self.run_dir / "videos" / video).write_bytes(result.video)
        with self._transaction() as db:
            db.execute(f"INSERT INTO attempts VALUES ({','.join('?' * 22)})", self._attempt_row(result, final, video))
            db.executemany(
                "INSERT INTO stages VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        *(result.key, result.attempt, index, stage.task, int(stage.success), stage.steps),
                        *(stage.progress, canonical_json(stage.metrics)),
                    )
                    for index, stage in enumerate(result.stages)
                ],
            )
            db.executemany(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        *(result.key, result.attempt, ordinal, logged.stage, logged.step),
                        *(logged.event.kind, canonical_json(logged.event.data)),
                    )
                    for ordinal, logged in enumerate(result.events)
                ],
            )

    def _video_name(self, result: EpisodeResult) -> str:
        """For example ``tower-h3-000.mp4``; repetitions and later attempts are numbered."""
        planned = self._plan[result.key]
        repeat = f".repeat{planned.repeat}" if planned.repeat else ""
        attempt = f".attempt{result.attempt}" if result.attempt else ""
        name = re.sub(r"[^\w.-]", "_", planned.spec.episode_id)[:100]
        unique = "" if name == planned.spec.episode_id else f".{result.key[:8]}"
        return f"{name}{unique}{repeat}{attempt}.mp4"

    def _attempt_row(self, result: EpisodeResult, final: bool, video: str | None) -> tuple[Any, ...]:
        error = result.error
        return (
            *(result.key, result.attempt, int(final), result.outcome.value, self._session, result.worker),
            *(result.started_at, time.time(), result.steps, result.progress(len(self._plan[result.key].spec.stages))),
            *(result.wall.env, result.wall.agent, result.wall.render, result.wall.total),
            *((error.phase.value, error.message, error.traceback) if error else (None, None, None)),
            result.final_digest,
            zlib.compress(np.ascontiguousarray(result.actions, dtype="<f8").tobytes()),
            result.actions.shape[1] if result.actions.ndim == 2 else 0,
            zlib.compress(np.ascontiguousarray(result.decision_seconds, dtype="<f4").tobytes()),
            video,
        )

    def _load_plan(self) -> None:
        with RunReader(self.run_dir) as reader:
            self._plan = {planned.key: planned for planned in reader.plan()}

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def holds_run(run_dir: Path) -> bool:
    """Whether the store in a folder was created completely.

    Raises:
        StoreError: if the file is no SQLite database.
    """
    try:
        with closing(sqlite3.connect(run_dir / STORE_NAME)) as db:
            return bool(db.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0])
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{run_dir / STORE_NAME} is damaged: {error}; name another folder") from error


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
