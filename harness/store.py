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

from harness.frames import build_frame, spec_facts
from harness.identity import RunIdentity, canonical_json
from harness.interfaces import EpisodeSpec
from harness.records import EpisodeResult, Outcome

SCHEMA_VERSION = 2
READABLE_VERSIONS = (1, 2)
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

    Args:
        run_dir: The run's folder.
        db: A store that was filled from elsewhere (see `empty_store`); ``run_dir`` is then only its name.

    Raises:
        StoreError: if ``run_dir`` holds no run, or one of another schema version.
    """

    def __init__(self, run_dir: Path, db: sqlite3.Connection | None = None) -> None:
        self.run_dir = run_dir
        path = run_dir / STORE_NAME
        if db is None and not path.is_file():
            raise StoreError(
                f"{run_dir} holds no run ({STORE_NAME} is missing); `harness list runs` shows what there is"
            )
        self._lock_path = run_dir / LOCK_NAME
        self._db = db or sqlite3.connect(path, timeout=60)
        self._db.row_factory = sqlite3.Row
        try:
            version = self.meta("schema_version")
        except (sqlite3.DatabaseError, KeyError) as error:
            raise StoreError(f"{path} is not a complete run store: {error}") from error
        if version not in READABLE_VERSIONS:
            readable = " and ".join(map(str, READABLE_VERSIONS))
            raise StoreError(f"{path} has schema version {version}, this harness reads {readable}")

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

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """Every row of a table of ``schema.sql`` as it is stored, in the order of its primary key."""
        columns = list(self._db.execute(f"PRAGMA table_info({table})"))
        order = ", ".join(c["name"] for c in sorted(columns, key=lambda c: int(c["pk"])) if c["pk"])
        for row in self._db.execute(f"SELECT * FROM {table} ORDER BY {order}"):
            yield dict(row)

    def attempts(self) -> pd.DataFrame:
        """Every attempt, without the blobs."""
        columns = [r["name"] for r in self._db.execute("PRAGMA table_info(attempts)") if r["type"] != "BLOB"]
        query = f"SELECT {', '.join(columns)} FROM attempts ORDER BY recorded_at, key, attempt"
        return pd.read_sql_query(query, self._db)

    def stages(self) -> pd.DataFrame:
        """Every stage of every attempt; ``metrics`` as JSON text."""
        return pd.read_sql_query("SELECT * FROM stages ORDER BY key, attempt, stage", self._db)

    def errors(self) -> pd.DataFrame:
        """Attempts that ended in an error: ``key``, ``attempt``, ``final``, ``error_phase``, ``error_message``."""
        columns = "key, attempt, final, error_phase, error_message"
        return pd.read_sql_query(
            f"SELECT {columns} FROM attempts WHERE outcome = 'error' ORDER BY key, attempt", self._db
        )

    def peak_memory(self) -> int | None:
        """Bytes: the most that any worker's process had resident; ``None`` if it was not recorded."""
        if not self._has_column("attempts", "peak_memory"):
            return None
        peak: int | None = self._db.execute("SELECT MAX(peak_memory) FROM attempts").fetchone()[0]
        return peak

    def events(self, *, final: bool = False, kind: str | None = None, episodes: int | None = None) -> pd.DataFrame:
        """Events; ``data`` as JSON text.

        Args:
            final: Only of final attempts.
            kind: Only of this kind.
            episodes: Only of as many final attempts, the same that `decisions` takes.
        """
        final = final or episodes is not None
        attempts = self._sample(episodes) if final else "SELECT key, attempt FROM attempts"
        which = "WHERE e.kind = ?" if kind is not None else ""
        order = "ORDER BY e.key, e.attempt, e.ordinal"
        query = f"SELECT e.* FROM events e JOIN ({attempts}) USING (key, attempt) {which} {order}"
        return pd.read_sql_query(query, self._db, params=[] if kind is None else [kind])

    @staticmethod
    def _sample(episodes: int | None) -> str:
        """Final attempts, or some of them. Keys are hashes, so the first ones are a random sample."""
        limit = "" if episodes is None else f"LIMIT {int(episodes)}"
        return f"SELECT key, attempt FROM attempts WHERE final = 1 ORDER BY key {limit}"

    def _has_column(self, table: str, column: str) -> bool:
        return any(row["name"] == column for row in self._db.execute(f"PRAGMA table_info({table})"))

    def actions(self, key: str) -> npt.NDArray[np.float64]:
        """The actions ``(T, A)`` of an episode's final attempt; ``KeyError`` if there is none."""
        row = self._db.execute(
            "SELECT actions, action_size FROM attempts WHERE key = ? AND final = 1", (key,)
        ).fetchone()
        if row is None:
            raise KeyError(key)
        flat = np.frombuffer(zlib.decompress(row["actions"]), dtype="<f8")
        return flat.reshape(-1, row["action_size"]) if row["action_size"] else flat.reshape(0, 0)

    def decisions(self, episodes: int | None = None) -> npt.NDArray[np.float32]:
        """Seconds of env, agent and render ``(N, 3)`` of all decisions of all final attempts, or of ``episodes`` of
        them, which are a random sample (and always the same).
        """
        query = f"SELECT decisions FROM attempts JOIN ({self._sample(episodes)}) USING (key, attempt) ORDER BY key"
        parts = [np.frombuffer(zlib.decompress(row["decisions"]), dtype="<f4") for row in self._db.execute(query)]
        return np.concatenate([np.zeros(0, np.float32), *parts]).reshape(-1, 3)

    def frame(self) -> pd.DataFrame:
        """One row per planned episode, as `harness.interfaces.Benchmark.summarise` documents it."""
        facts = "facts" if self._has_column("episodes", "facts") else "NULL"
        plan = self._rows(
            f"SELECT key, episode_id, repeat, {facts}, CASE WHEN {facts} IS NULL THEN spec END "
            "FROM episodes ORDER BY ordinal"
        )
        return build_frame(plan, self._final_attempts(), self._final_stages())

    def _final_attempts(self) -> sqlite3.Cursor:
        columns = "key, outcome, progress, steps, attempt, wall_total, video"
        return self._rows(f"SELECT {columns} FROM attempts WHERE final = 1")

    def _final_stages(self) -> sqlite3.Cursor:
        """``(key, stage, success, metrics)`` of the final attempts."""
        retries = "SELECT EXISTS (SELECT 1 FROM attempts WHERE attempt > 0 OR final = 0)"
        retried = self._db.execute(retries).fetchone()[0]
        which = "JOIN attempts a USING (key, attempt) WHERE a.final = 1" if retried else ""
        return self._rows(f"SELECT s.key, s.stage, s.success, NULLIF(s.metrics, '{{}}') FROM stages s {which}")

    def _rows(self, query: str) -> sqlite3.Cursor:
        """Rows as tuples, which are faster than rows that know their columns."""
        cursor = self._db.cursor()
        cursor.row_factory = None
        return cursor.execute(query)


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
            _create_tables(db)
            facts = {**meta, "schema_version": SCHEMA_VERSION}
            db.executemany("INSERT INTO meta VALUES (?, ?)", [(k, canonical_json(v)) for k, v in facts.items()])
            db.executemany(
                "INSERT INTO episodes VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (
                        *(p.key, ordinal, p.spec.episode_id, p.repeat),
                        *(canonical_json(p.spec.to_dict()), canonical_json(spec_facts(p.spec))),
                    )
                    for ordinal, p in enumerate(plan)
                ],
            )
        writer._load_plan()
        return writer

    @classmethod
    def reopen(cls, run_dir: Path) -> RunWriter:
        """Go on writing to a run that exists; one of schema version 1 becomes one of version 2."""
        with RunReader(run_dir) as reader:
            version = reader.meta("schema_version")
        writer = cls(run_dir)
        if version == 1:
            with writer._transaction() as db:
                db.execute("ALTER TABLE episodes ADD COLUMN facts TEXT")
                db.execute("ALTER TABLE attempts ADD COLUMN peak_memory INTEGER")
                db.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(SCHEMA_VERSION),))
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
            row = self._attempt_row(result, final, video)
            columns, places = ", ".join(row), ", ".join("?" * len(row))
            db.execute(f"INSERT INTO attempts ({columns}) VALUES ({places})", tuple(row.values()))
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

    def _attempt_row(self, result: EpisodeResult, final: bool, video: str | None) -> dict[str, Any]:
        error, wall = result.error, result.wall
        return {
            "key": result.key,
            "attempt": result.attempt,
            "final": int(final),
            "outcome": result.outcome.value,
            "session": self._session,
            "worker": result.worker,
            "started_at": result.started_at,
            "recorded_at": time.time(),
            "steps": result.steps,
            "progress": result.progress(len(self._plan[result.key].spec.stages)),
            "wall_env": wall.env,
            "wall_agent": wall.agent,
            "wall_render": wall.render,
            "wall_total": wall.total,
            "error_phase": error.phase.value if error else None,
            "error_message": error.message if error else None,
            "traceback": error.traceback if error else None,
            "final_digest": result.final_digest,
            "video": video,
            "peak_memory": result.peak_memory,
            "action_size": result.actions.shape[1] if result.actions.ndim == 2 else 0,
            "actions": zlib.compress(np.ascontiguousarray(result.actions, dtype="<f8").tobytes()),
            "decisions": zlib.compress(np.ascontiguousarray(result.decision_seconds, dtype="<f4").tobytes()),
        }

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


def discard(run_dir: Path) -> None:
    """Remove a run, and its folder where nothing else is in it."""
    for name in (STORE_NAME, f"{STORE_NAME}-wal", f"{STORE_NAME}-shm", f"{STORE_NAME}-journal", LOCK_NAME):
        (run_dir / name).unlink(missing_ok=True)
    if not any(run_dir.iterdir()):
        run_dir.rmdir()


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


def empty_store() -> sqlite3.Connection:
    """A store without rows, in memory, that refuses rows which contradict ``schema.sql``."""
    db = sqlite3.connect(":memory:")
    db.execute("PRAGMA foreign_keys = ON")
    _create_tables(db)
    return db


def _create_tables(db: sqlite3.Connection) -> None:
    for statement in _statements(files("harness").joinpath("schema.sql").read_text()):
        db.execute(statement)


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
