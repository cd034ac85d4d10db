-- The run store: one SQLite file per run (WAL mode, one writer). This file is the schema's only definition.
-- JSON columns hold canonical JSON. Times are Unix seconds, durations seconds.
-- Schema version 2. Version 1 had no columns `facts` and `peak_memory`; such stores are read, and resuming adds them.

-- Facts about the run as a whole. Keys: schema_version, identity (see harness.identity.RunIdentity), run_key,
-- protocol_hash, config (the resolved configuration), deviations (why the run is non-standard; [] if it is not),
-- suite_size (episodes of the whole protocol), privileged (whether the agent reads ground truth).
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL                       -- JSON
) STRICT;

-- One row per process that wrote to this run: the first `harness run` and every `harness resume`.
CREATE TABLE sessions (
    session    INTEGER PRIMARY KEY,
    started_at REAL NOT NULL,
    ended_at   REAL,                          -- NULL while it runs, and after a crash
    ending     TEXT,                          -- completed | interrupted | errors; NULL as above
    provenance TEXT NOT NULL                  -- JSON: commit, versions, hardware, renderer, executor, command
) STRICT;

-- The plan: every episode that the run consists of, in order. Written once, before anything starts.
CREATE TABLE episodes (
    key        TEXT PRIMARY KEY,              -- the episode key (harness.identity)
    ordinal    INTEGER NOT NULL UNIQUE,
    episode_id TEXT NOT NULL,
    repeat     INTEGER NOT NULL,
    spec       TEXT NOT NULL,                 -- JSON of EpisodeSpec
    facts      TEXT                           -- JSON: the spec's {meta: its scalars, tasks: of its stages}, by which
                                              -- tables group; kept apart so that they need not parse whole specs
) STRICT;

-- Every attempt at an episode. `final` marks the one that counts; there is at most one per episode.
CREATE TABLE attempts (
    key           TEXT NOT NULL REFERENCES episodes (key),
    attempt       INTEGER NOT NULL,
    final         INTEGER NOT NULL,           -- 1: this is the episode's result
    outcome       TEXT NOT NULL,              -- success | failure | error | interrupted
    session       INTEGER NOT NULL REFERENCES sessions (session),
    worker        TEXT NOT NULL,
    started_at    REAL NOT NULL,
    recorded_at   REAL NOT NULL,
    steps         INTEGER NOT NULL,
    progress      REAL NOT NULL,              -- mean over planned stages
    wall_env      REAL NOT NULL,
    wall_agent    REAL NOT NULL,
    wall_render   REAL NOT NULL,
    wall_total    REAL NOT NULL,
    error_phase   TEXT,                       -- harness.records.Phase
    error_message TEXT,
    traceback     TEXT,
    final_digest  TEXT NOT NULL,              -- hash of the simulator's last state
    video         TEXT,                       -- file name below videos/
    peak_memory   INTEGER,                    -- bytes: most that the worker's process had resident so far
    action_size   INTEGER NOT NULL,           -- A
    -- The blobs are last: reading what stands before them does not touch them.
    actions       BLOB NOT NULL,              -- zlib of float64 little-endian (T, A), C order
    decisions     BLOB NOT NULL,              -- zlib of float32 little-endian (T, 3): env, agent, render seconds
    PRIMARY KEY (key, attempt)
) STRICT;
CREATE UNIQUE INDEX one_final_attempt ON attempts (key) WHERE final = 1;

-- Stages that were started and ended, of every attempt.
CREATE TABLE stages (
    key      TEXT NOT NULL,
    attempt  INTEGER NOT NULL,
    stage    INTEGER NOT NULL,
    task     TEXT NOT NULL,
    success  INTEGER NOT NULL,
    steps    INTEGER NOT NULL,
    progress REAL NOT NULL,
    metrics  TEXT NOT NULL,                   -- JSON
    PRIMARY KEY (key, attempt, stage),
    FOREIGN KEY (key, attempt) REFERENCES attempts (key, attempt)
) STRICT;

-- What the agent reported: sub-goals, replans, planner numbers.
CREATE TABLE events (
    key     TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    stage   INTEGER NOT NULL,
    step    INTEGER NOT NULL,                 -- of the decision within the stage
    kind    TEXT NOT NULL,
    data    TEXT NOT NULL,                    -- JSON
    PRIMARY KEY (key, attempt, ordinal),
    FOREIGN KEY (key, attempt) REFERENCES attempts (key, attempt)
) STRICT;
