"""The frame of a run: one row per planned episode, column by column, so that a million of them take seconds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.interfaces import EpisodeSpec
from harness.records import Outcome

MOST_KNOWN = 10_000
"""Different facts that are parsed once only."""


def spec_facts(spec: EpisodeSpec) -> dict[str, Any]:
    """What tables group by: ``meta`` (the scalars of the spec's meta data) and ``tasks`` (of its stages)."""
    return _facts(spec.meta, [stage.task for stage in spec.stages])


def _facts(meta: Mapping[str, Any], tasks: list[str]) -> dict[str, Any]:
    return {"meta": {k: v for k, v in meta.items() if isinstance(v, str | int | float | bool)}, "tasks": tasks}


def _facts_of_json(spec: str) -> dict[str, Any]:
    data = json.loads(spec)
    return _facts(data["meta"], [stage["task"] for stage in data["stages"]])


def build_frame(
    plan: Iterable[Sequence[Any]], attempts: Iterable[Sequence[Any]], stages: Iterable[Sequence[Any]]
) -> pd.DataFrame:
    """The frame that `harness.interfaces.Benchmark.summarise` documents.

    Args:
        plan: ``(key, episode_id, repeat, facts, spec)`` in order; ``facts`` and ``spec`` are JSON, one may be ``None``.
        attempts: ``(key, outcome, progress, steps, attempt, wall_total, video)`` of the final attempts.
        stages: ``(key, stage, success, metrics)`` of the final attempts; ``metrics`` is JSON or, for none, ``None``.
    """
    keys: list[str] = []
    ids: list[str] = []
    repeats: list[int] = []
    tasks: list[list[str]] = []
    meta = _Columns()
    known: dict[str, dict[str, Any]] = {}  # repetitions, and many episodes of a suite, have the same facts
    for row, (key, episode_id, repeat, facts_json, spec) in enumerate(plan):
        facts = known.get(facts_json)
        if facts is None:
            facts = json.loads(facts_json) if facts_json is not None else _facts_of_json(spec)
            if facts_json is not None and len(known) < MOST_KNOWN:
                known[facts_json] = facts
        keys.append(key)
        ids.append(episode_id)
        repeats.append(repeat)
        tasks.append(facts["tasks"])
        meta.add(row, facts["meta"])
    rows = {key: row for row, key in enumerate(keys)}
    metrics, success = _stage_columns(stages, rows)
    columns: dict[str, Any] = metrics.lists(len(keys)) | meta.lists(len(keys))
    columns |= {"key": _objects(keys), "episode_id": _objects(ids), "repeat": repeats}
    columns |= _attempt_columns(attempts, rows)
    columns |= {
        "stages_planned": np.fromiter(map(len, tasks), dtype=np.int64, count=len(tasks)),
        "stages_completed": np.fromiter(map(sum, success), dtype=np.int64, count=len(success)),
        "stage_tasks": tasks,
        "stage_success": success,
    }
    return pd.DataFrame(columns)


class _Columns:
    """Columns that only some rows have a value in."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[list[int], list[Any]]] = {}

    def add(self, row: int, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if name not in self._values:
                self._values[name] = ([], [])
            rows, column = self._values[name]
            rows.append(row)
            column.append(value)

    def lists(self, count: int) -> dict[str, Any]:
        """Each as a list of ``count`` values, ``None`` where a row has none."""
        full = {}
        for name, (rows, values) in self._values.items():
            if rows == list(range(count)):
                full[name] = values
                continue
            spread = dict(zip(rows, values, strict=True))  # of several values of one row the last counts
            full[name] = [spread.get(row) for row in range(count)]
        return full


def _stage_columns(stages: Iterable[Sequence[Any]], rows: Mapping[str, int]) -> tuple[_Columns, list[list[bool]]]:
    """Metrics (of several stages that report one, the last stage's counts), and successes of the started stages."""
    success: list[list[bool]] = [[] for _ in rows]
    reported: list[tuple[int, int, str]] = []
    for key, stage, succeeded, metrics in stages:
        row = rows[key]
        done = success[row]
        if stage == len(done):
            done.append(succeeded == 1)
        else:
            done += [False] * (stage + 1 - len(done))
            done[stage] = succeeded == 1
        if metrics is not None:
            reported.append((row, stage, metrics))
    columns = _Columns()
    for row, _, metrics in sorted(reported):
        columns.add(row, json.loads(metrics))
    return columns, success


def _attempt_columns(attempts: Iterable[Sequence[Any]], rows: Mapping[str, int]) -> dict[str, Any]:
    count = len(rows)
    outcome: list[str] = ["missing"] * count
    video: list[str | None] = [None] * count
    progress, wall = [0.0] * count, [0.0] * count
    steps, number = [0] * count, [0] * count
    for key, ended, reached, taken, attempt, seconds, name in attempts:
        row = rows[key]
        outcome[row], video[row] = ended, name
        progress[row], wall[row] = reached, seconds
        steps[row], number[row] = taken, attempt + 1
    return {
        "outcome": _objects(outcome),
        "success": [ended == Outcome.SUCCESS for ended in outcome],
        "progress": progress,
        "steps": steps,
        "attempts": number,
        "wall_total": wall,
        "video": _objects(video),
    }


def _objects(values: Sequence[Any]) -> pd.Series[Any]:
    """Texts as they are: packing a million of them into an Arrow array takes longer than everything done with them."""
    return pd.Series(values, dtype=object)
