"""Where a run's numbers come from, as names and texts for its drawer."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.instantiate import ConfigError
from harness.store import RunReader
from harness.sweeps import overrides_of_run
from results.entry.format import without_folder

_MULTIRUN = ("-m", "--multirun")


def provenance(reader: RunReader, digest: str, config_dir: Path | None = None) -> Iterator[tuple[str, str]]:
    """Everything, the most wanted first. ``config_dir`` has further configuration groups."""
    identity, sessions = reader.identity, reader.sessions()
    made = [session["provenance"] for session in sessions]
    first: dict[str, Any] = made[0] if made else {}
    yield "Reproduce", _reproduce(first, reader.meta("config"), config_dir)
    yield "Commit", ", ".join(dict.fromkeys(_commit(one.get("git") or {}) for one in made)) or "unknown"
    yield "Protocol", f"{identity.protocol_id}, hash {identity.protocol_hash}"
    deviations = reader.meta("deviations")
    yield "Standing", "standard" if not deviations else "non-standard: " + "; ".join(map(str, deviations))
    yield "Run key", identity.run_key
    yield "Entry digest (SHA-256)", digest
    for name, value in sorted(identity.checkpoints.items()):
        yield f"Checkpoint {name}", str(value)
    yield "Content", _pairs(identity.fingerprint)
    yield "Seed, repeats", f"{identity.seed}, {identity.repeats}"
    yield "Hardware", "; ".join(dict.fromkeys(_hardware(one) for one in made)) or "unknown"
    yield "Software", "; ".join(dict.fromkeys(_software(one) for one in made)) or "unknown"
    yield "Sessions", ", ".join(str(session["ending"] or "killed") for session in sessions)
    yield (
        "Configuration",
        json.dumps(
            {"agent": identity.agent, "protocol": identity.protocol}, indent=1, sort_keys=True, ensure_ascii=False
        ),
    )


def _reproduce(session: Mapping[str, Any], config: Mapping[str, Any], config_dir: Path | None) -> str:
    """The recorded command, for this run alone and without the folder that it wrote to."""
    program, *words = [str(word) for word in session.get("command") or [""]]
    if not program:
        return "the command was not recorded"
    program = "harness" if program == "__main__.py" else program  # so it was once recorded of `python -m harness`
    words = without_folder(words)
    commit = (session.get("git") or {}).get("commit")
    lines = [f"git checkout {commit}"] if commit else []
    try:
        words = _alone(words, config, config_dir)
    except (ConfigError, RecursionError):  # in an entry it may be anything
        lines.append("# one of the runs of this sweep:")
    return "\n".join([*lines, shlex.join([program, *words])])


def _alone(words: Sequence[str], config: Mapping[str, Any], config_dir: Path | None) -> list[str]:
    """The words of a command that made several runs, with this run's choices; raises `ConfigError` if unknown here."""
    if not set(words) & set(_MULTIRUN):
        return list(words)
    overrides = [word for word in words if "=" in word and not word.startswith("-")]
    own = dict(zip(overrides, overrides_of_run(overrides, config, config_dir), strict=True))
    return [own.get(word, word) for word in words if word not in _MULTIRUN]


def _commit(git: dict[str, Any]) -> str:
    return str(git.get("commit", "unknown")) + (" with local changes" if git.get("dirty") else "")


def _hardware(session: dict[str, Any]) -> str:
    parts = [session.get("cpu"), f"{session.get('cores')} cores", f"{session.get('memory_gib')} GiB"]
    return ", ".join(str(part) for part in [*parts, *(session.get("gpus") or ["no GPU"])])


def _software(session: dict[str, Any]) -> str:
    packages = {name: version for name, version in (session.get("packages") or {}).items() if version}
    head = {"harness": session.get("harness"), "python": session.get("python")}
    return f"{_pairs(head | packages)}; {session.get('platform')}"


def _pairs(values: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(values.items()))
