"""The episodes of a run in full, as data files that a page loads one by one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from harness.store import PlannedEpisode, RunReader
from results.consistency import episode_name
from results.leaderboard.texts import seconds_text

CHUNK = 20
"""Episodes per data file."""

EVENTS_SHOWN = 1000
"""Events per episode; an agent that reports more has the rest in its entry."""

Row = dict[str, Any]


def chunks(reader: RunReader, videos: Mapping[str, str]) -> Iterator[list[Row]]:
    """``CHUNK`` episodes at a time, in the order of the plan.

    Args:
        reader: The run.
        videos: Where the video of an episode (by key) is, relative to the site.
    """
    attempts = {row["key"]: row for row in reader.rows("attempts") if row["final"]}
    stages = _of_final(reader, "stages", attempts)
    events = _of_final(reader, "events", attempts)
    part: list[Row] = []
    for planned in reader.plan():
        key = planned.key
        part.append(_episode(planned, attempts.get(key), stages.get(key, []), events.get(key, [])))
        replay = shlex.join(["harness", "replay", "RUN", episode_name(planned), "--video", "episode.mp4"])
        part[-1] |= {"video": videos.get(key), "replay": replay}
        if len(part) == CHUNK:
            yield part
            part = []
    if part:
        yield part


def _of_final(reader: RunReader, table: str, attempts: Mapping[str, Row]) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    for row in reader.rows(table):
        if row["key"] in attempts and row["attempt"] == attempts[row["key"]]["attempt"]:
            rows.setdefault(row["key"], []).append(row)
    return rows


def _episode(planned: PlannedEpisode, attempt: Row | None, stages: list[Row], events: list[Row]) -> Row:
    error = None
    if attempt and attempt["error_phase"]:
        error = {"phase": attempt["error_phase"], "message": attempt["error_message"]}
    return {
        "id": episode_name(planned),
        "error": error,
        "stages": [
            {"instruction": stage.instruction, "task": stage.task, "max_steps": stage.max_steps}
            | _ended(stages[index] if index < len(stages) else None)
            for index, stage in enumerate(planned.spec.stages)
        ],
        "events": [[row["stage"], row["step"], row["kind"], json.loads(row["data"])] for row in events[:EVENTS_SHOWN]],
        "events_left_out": max(0, len(events) - EVENTS_SHOWN),
        "facts": list(_facts(planned, attempt)),
    }


def _ended(row: Row | None) -> Row:
    if row is None:
        return {"success": None, "steps": None, "progress": None, "metrics": {}}
    done = {name: row[name] for name in ("steps", "progress")}
    return done | {"success": bool(row["success"]), "metrics": json.loads(row["metrics"])}


def _facts(planned: PlannedEpisode, attempt: Row | None) -> Iterator[tuple[str, str]]:
    yield "Episode key", planned.key
    yield "Environment seed", str(planned.spec.seed)
    if attempt is None:
        return
    yield "Outcome", str(attempt["outcome"])
    yield "Steps, attempts", f"{attempt['steps']}, {attempt['attempt'] + 1}"
    wall = " · ".join(f"{name} {seconds_text(attempt[f'wall_{name}'])}" for name in ("env", "agent", "render", "total"))
    yield "Wall-clock time", wall
    yield "State after the last action", str(attempt["final_digest"])
