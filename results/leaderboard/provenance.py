"""Where a run's numbers come from, as names and texts for its drawer."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from harness.identity import RunIdentity
from harness.store import RunReader


def provenance(reader: RunReader, digest: str) -> Iterator[tuple[str, str]]:
    """Everything, the most wanted first."""
    identity, sessions = reader.identity, reader.sessions()
    made = [session["provenance"] for session in sessions]
    first: dict[str, Any] = made[0] if made else {}
    yield "Reproduce", _reproduce(first, identity)
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


def _reproduce(session: dict[str, Any], identity: RunIdentity) -> str:
    """The recorded command for this run alone: of a sweep's lists only this run's choice, and no folders."""
    words = [str(word) for word in session.get("command") or []]
    own = {"agent": identity.agent["name"], "benchmark": identity.benchmark, "seed": identity.seed}
    kept = []
    for word in words:
        key, equals, value = word.partition("=")
        if word in ("-m", "--multirun") or key == "run_dir":
            continue
        kept.append(f"{key}={own[key]}" if equals and "," in value and key in own else word)
    commit = (session.get("git") or {}).get("commit")
    lines = [f"git checkout {commit}"] if commit else []
    return "\n".join([*lines, shlex.join(kept)]) if kept else "the command was not recorded"


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
