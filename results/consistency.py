"""Whether the rows of a run agree with each other and with its identity: sums, verdicts, keys and counts.

A store that the harness wrote never contradicts itself, so every line is a sign of a changed or damaged one. What is
checked needs no simulator and no benchmark; `results.entry.verify` adds what does.
"""

from __future__ import annotations

import json
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from harness.identity import RunIdentity, identified_protocol
from harness.interfaces import EpisodeSpec, Stage
from harness.records import Outcome, Phase
from harness.store import PlannedEpisode, RunReader

_TOLERANCE = 1e-9
_MAX_SECONDS = 1e9
_MAX_MEMORY = 2**50
_CLOCK_NOISE = 1e-3
_OUTCOMES = {outcome.value for outcome in Outcome}
_PHASES = {phase.value for phase in Phase}

Row = dict[str, Any]


def contradictions(reader: RunReader) -> Iterator[str]:
    """One line per contradiction, the gravest first; nothing for a run that is as it was recorded.

    Facts come before rows, because rows are judged by them: after a contradiction among the facts nothing else is
    looked at.
    """
    problems = list(_facts(reader))
    if problems:
        yield from problems
        return
    problems = [*_sessions(reader), *_specs(reader)]
    if problems:
        yield from problems
        return
    plan = {planned.key: planned for planned in reader.plan()}
    yield from _plan(reader.identity, reader.meta("config"), list(plan.values()))
    stages: dict[tuple[str, int], list[Row]] = {}
    for row in reader.rows("stages"):
        stages.setdefault((row["key"], row["attempt"]), []).append(row)
    attempts = list(reader.rows("attempts"))
    unplanned = next((row["key"] for row in attempts if row["key"] not in plan), None)
    if unplanned is not None:
        yield f"there is an attempt at {unplanned:.40}, which is not planned"
        return
    for row in attempts:
        name = f"{plan[row['key']].spec.episode_id} attempt {row['attempt']}"
        own = stages.get((row["key"], row["attempt"]), [])
        yield from (f"{name}: {problem}" for problem in _attempt(row, own, plan[row["key"]]))
    yield from _attempts_of_episodes(attempts, plan)
    for row in reader.rows("events"):
        if row["key"] not in plan or not 0 <= row["stage"] < len(plan[row["key"]].spec.stages) or row["step"] < 0:
            yield f"attempt {row['attempt']} at {row['key']:.40}: an event outside of its stages"


def _facts(reader: RunReader) -> Iterator[str]:
    """The identity against its hashes and the configuration."""
    recorded = reader.meta("identity")
    problem = _identity_problem(recorded)
    if problem is not None:
        yield f"identity: {problem}"
        return
    identity = RunIdentity.from_dict(recorded)
    for name, derived in (("run_key", identity.run_key), ("protocol_hash", identity.protocol_hash)):
        if reader.meta(name) != derived:
            yield f"{name} is {reader.meta(name)!s:.40}, the identity gives {derived}"
    deviations, suite_size, privileged = (reader.meta(name) for name in ("deviations", "suite_size", "privileged"))
    if not (isinstance(deviations, list) and all(isinstance(line, str) for line in deviations)):
        yield "deviations must be a list of texts"
    if not _is_count(suite_size) or not isinstance(privileged, bool):
        yield "suite_size must be a number, privileged true or false"
    yield from _configuration(identity, reader.meta("config"))


def _identity_problem(recorded: Any) -> str | None:
    if not isinstance(recorded, dict) or set(recorded) != {item.name for item in fields(RunIdentity)}:
        return "it does not have the fields of an identity"
    protocol, agent = recorded["protocol"], recorded["agent"]
    mappings = (protocol, agent, recorded["fingerprint"], recorded["checkpoints"])
    if not all(isinstance(mapping, dict) for mapping in mappings):
        return "protocol, agent, fingerprint and checkpoints must be mappings"
    hashes = [*recorded["fingerprint"].values(), *recorded["checkpoints"].values()]
    names = (recorded["benchmark"], protocol.get("name"), agent.get("name"), agent.get("_target_"))
    if not all(isinstance(text, str) for text in (*names, *hashes)):
        return "names and hashes must be texts"
    if not (_is_count(recorded["seed"]) and _is_count(recorded["repeats"]) and recorded["repeats"] >= 1):
        return "seed and repeats must be numbers"
    return None


_PROVENANCE: dict[str, tuple[type, ...]] = {
    "command": (list,),
    "executor": (dict,),
    "git": (dict, type(None)),
    "gpus": (list,),
    "packages": (dict,),
}
"""Types of what `harness.provenance` collects and reports look into."""


def _sessions(reader: RunReader) -> Iterator[str]:
    for session in reader.sessions():
        for name, types in _PROVENANCE.items():
            if not isinstance(session["provenance"].get(name), (*types, type(None))):
                yield f"session {session['session']}: the provenance's {name} has the wrong type"


def _specs(reader: RunReader) -> Iterator[str]:
    """Specifications have the form of `harness.interfaces.EpisodeSpec`, and stand in the right row."""
    for row in reader.rows("episodes"):
        spec = json.loads(row["spec"])
        if not _is_spec(spec):
            yield f"the specification of {row['episode_id']!r:.60} is none"
        elif spec["episode_id"] != row["episode_id"]:
            yield f"{row['episode_id']!r:.60} has the specification of {spec['episode_id']!r:.60}"


def _is_spec(spec: Any) -> bool:
    if not isinstance(spec, dict) or set(spec) != {item.name for item in fields(EpisodeSpec)}:
        return False
    if not (isinstance(spec["benchmark"], str) and isinstance(spec["episode_id"], str) and _is_count(spec["seed"])):
        return False
    if not isinstance(spec["meta"], dict) or not isinstance(spec["stages"], list) or not spec["stages"]:
        return False
    return all(
        isinstance(stage, dict)
        and set(stage) == {item.name for item in fields(Stage)}
        and isinstance(stage["instruction"], str)
        and isinstance(stage["task"], str)
        and _is_count(stage["max_steps"])
        for stage in spec["stages"]
    )


def _configuration(identity: RunIdentity, config: Any) -> Iterator[str]:
    """The configuration must be that of the identity, because reports and replays are made with it."""
    groups = ("benchmark", "protocol", "agent")
    if not isinstance(config, dict) or not all(isinstance(config.get(group), dict) for group in groups):
        yield "config does not name benchmark, protocol and agent"
        return
    if not (config.get("limit") is None or _is_count(config["limit"])) or not isinstance(config.get("dataset"), dict):
        yield "config.limit must be a number, config.dataset a mapping"
        return
    agent = {key: value for key, value in config["agent"].items() if key in identity.agent}
    pairs: Sequence[tuple[str, Any, Any]] = (
        ("benchmark.name", config["benchmark"].get("name"), identity.benchmark),
        ("protocol", identified_protocol(config["protocol"], config["dataset"]), identity.protocol),
        ("agent", agent, {key: identity.agent[key] for key in agent}),
        ("agent.name", agent.get("name"), identity.agent["name"]),
        ("seed", config.get("seed"), identity.seed),
        ("repeats", config.get("repeats"), identity.repeats),
    )
    for name, configured, identified in pairs:
        if configured != identified:
            yield f"config.{name} is not what the identity says"


def _plan(identity: RunIdentity, config: Mapping[str, Any], plan: Sequence[PlannedEpisode]) -> Iterator[str]:
    for planned in plan:
        if planned.key != identity.episode_key(planned.spec.episode_id, planned.repeat):
            yield (
                f"{planned.spec.episode_id}: its key does not follow from the run's identity; "
                f"it is of another protocol, seed or repetition"
            )
        if planned.spec.benchmark != identity.benchmark:
            yield f"{planned.spec.episode_id}: it is no episode of {identity.benchmark}"
    repeats = Counter(planned.repeat for planned in plan)
    numbered = len(repeats) == identity.repeats and sorted(repeats) == list(range(len(repeats)))
    if not numbered or len(set(repeats.values())) != 1:
        yield f"the plan does not have every episode {identity.repeats} times"
    limit = config["limit"]
    if limit is not None and repeats[0] > limit:
        yield f"limit={limit}, and {repeats[0]} episodes are planned"


def _attempt(row: Row, stages: Sequence[Row], planned: PlannedEpisode) -> Iterator[str]:
    """One attempt against its stages, its arrays and its specification."""
    specs, outcome = planned.spec.stages, row["outcome"]
    if outcome not in _OUTCOMES:
        yield f"the outcome {outcome!r:.40} is unknown"
        return
    if [stage["stage"] for stage in stages] != list(range(len(stages))) or len(stages) > len(specs):
        yield "its stages are not the first of the episode, each once"
        return
    for stage, spec in zip(stages, specs, strict=False):
        yield from (f"stage {stage['stage']}: {problem}" for problem in _stage(stage, spec.task, spec.max_steps))
    passed = [bool(stage["success"]) for stage in stages]
    if outcome == Outcome.SUCCESS and not (len(passed) == len(specs) and all(passed)):
        yield "a success without the success of all stages"
    if outcome == Outcome.FAILURE and not (passed and all(passed[:-1]) and not passed[-1]):
        yield "a failure that is not the failure of its last stage"
    if not all(passed[:-1]):
        yield "a stage was started after a failed one"
    described = row["error_phase"] in _PHASES and row["error_message"] is not None
    if outcome == Outcome.ERROR and not described:
        yield "an error without phase and message"
    if outcome in (Outcome.SUCCESS, Outcome.FAILURE) and not (row["error_phase"] is row["error_message"] is None):
        yield f"a {outcome} with an error"
    progress = math.fsum(stage["progress"] for stage in stages) / len(specs)
    if not abs(row["progress"] - progress) <= _TOLERANCE:
        yield f"progress is {row['progress']}, its stages give {progress}"
    yield from _steps(row, sum(stage["steps"] for stage in stages), ended=outcome in ("success", "failure"))
    times = [row[f"wall_{part}"] for part in ("env", "agent", "render", "total")]
    if not all(-_CLOCK_NOISE <= seconds <= _MAX_SECONDS for seconds in times):
        yield "its times are impossible"
    if row["peak_memory"] is not None and not 0 <= row["peak_memory"] <= _MAX_MEMORY:
        yield f"its memory is impossible: {row['peak_memory']} bytes"


def _stage(stage: Row, task: str, max_steps: int) -> Iterator[str]:
    if stage["task"] != task:
        yield f"the task is {stage['task']!r:.60}, planned is {task!r}"
    if stage["success"] not in (0, 1) or not 0 <= stage["progress"] <= 1:
        yield "success must be 0 or 1, progress within 0 and 1"
    elif stage["success"] and stage["progress"] != 1:
        yield f"a success with progress {stage['progress']}"
    if not 1 <= stage["steps"] <= max_steps:
        yield f"{stage['steps']} steps, of {max_steps}"


def _steps(row: Row, in_stages: int, ended: bool) -> Iterator[str]:
    """Steps are those of the stages; every one has an action and a duration, and no others do if the attempt ended."""
    if row["steps"] != in_stages:
        yield f"{row['steps']} steps, its stages have {in_stages}"
    actions = np.frombuffer(zlib.decompress(row["actions"]), dtype="<f8")
    seconds = np.frombuffer(zlib.decompress(row["decisions"]), dtype="<f4")
    count = len(actions) // row["action_size"] if row["action_size"] else 0
    if not np.isfinite(actions).all() or not ((seconds >= -_CLOCK_NOISE) & (seconds <= _MAX_SECONDS)).all():
        yield "its actions or durations are impossible numbers"
    if count < in_stages or count * 3 != len(seconds) or (ended and count != in_stages):
        yield f"{count} actions and {len(seconds) // 3} durations for {in_stages} steps"
    if ended and not row["final_digest"]:
        yield "the final state has no hash"


def _attempts_of_episodes(attempts: Sequence[Row], plan: Mapping[str, PlannedEpisode]) -> Iterator[str]:
    """Attempts are numbered; the one that counts is the last, and those before it have no verdict."""
    by_key: dict[str, list[Row]] = {}
    for row in attempts:
        by_key.setdefault(row["key"], []).append(row)
    for key, own in by_key.items():
        name = plan[key].spec.episode_id
        if [row["attempt"] for row in own] != list(range(len(own))):
            yield f"{name}: its attempts are not numbered from 0"
        for row in own:
            verdict = row["outcome"] in ("success", "failure")
            if row["final"] not in (0, 1) or (verdict and not row["final"]):
                yield f"{name} attempt {row['attempt']}: a verdict that does not count"
            if row["final"] and (row is not own[-1] or row["outcome"] == Outcome.INTERRUPTED):
                yield f"{name} attempt {row['attempt']}: it counts, but the episode did not end with it"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def lacking(reader: RunReader) -> list[str]:
    """Names of the planned episodes without a result."""
    done = reader.finished_keys()
    return [episode_name(planned) for planned in reader.plan() if planned.key not in done]


def episode_name(planned: PlannedEpisode) -> str:
    """Its id, with ``#R`` for repetitions, as ``harness replay`` takes it."""
    return f"{planned.spec.episode_id}{f'#{planned.repeat}' if planned.repeat else ''}"
