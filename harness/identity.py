"""What makes two episodes, or two runs, the same: hashes of everything that a result depends on, and of nothing else.

Workers, lanes, hosts, videos and output paths are not part of any identity.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

KEY_LENGTH = 32
"""Hex digits kept of a SHA-256 (128 bits)."""


def canonical_json(data: Any) -> str:
    """One spelling per value: sorted keys, no spaces. NaN and infinities raise ``ValueError``."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def plain_data(value: Any) -> Any:
    """JSON data from what agents and environments report: NumPy values become numbers and lists, tuples become lists,
    and numbers that JSON does not know (NaN, infinities) become ``None``.

    Raises:
        TypeError: for anything else, naming its type.
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(item) for item in value]
    raise TypeError(f"{type(value).__name__} is no JSON data; report numbers, strings, lists and mappings")


def content_hash(data: Any) -> str:
    """SHA-256 (first 128 bits, hex) of JSON data."""
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()[:KEY_LENGTH]


def hash_path(path: Path) -> str:
    """SHA-256 (first 128 bits, hex) of a file's bytes, or of the names and bytes of all files below a folder."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    return digest.hexdigest()[:KEY_LENGTH]


@dataclass(frozen=True)
class RunIdentity:
    """Everything that the results of a run depend on. Plain JSON data, so that two of them can be compared.

    Attributes:
        benchmark: The benchmark's name.
        protocol: The protocol's resolved fields, with ``name`` and ``version``.
        fingerprint: Hashes of the benchmark's content (suites, assets, renderer).
        agent: The agent's resolved configuration, with ``name`` and ``_target_``.
        checkpoints: SHA-256 of each file or folder that the agent loads, or its commit on a hub, by parameter name.
        seed: Seed of the run.
        repeats: How often each episode is run, with different draws of the agent.
    """

    benchmark: str
    protocol: Mapping[str, Any]
    fingerprint: Mapping[str, str]
    agent: Mapping[str, Any]
    checkpoints: Mapping[str, str]
    seed: int
    repeats: int

    @property
    def protocol_id(self) -> str:
        """For example ``thinkbench@1``."""
        return f"{self.protocol['name']}@{self.protocol['version']}"

    @property
    def protocol_hash(self) -> str:
        """Of the protocol's fields and of the content it is about."""
        return content_hash({"protocol": self.protocol, "fingerprint": self.fingerprint})

    @property
    def run_key(self) -> str:
        """Equal for two runs exactly when their results may be mixed."""
        return content_hash(self.to_dict())

    def episode_key(self, episode_id: str, repeat: int) -> str:
        """Names one episode independently of the agent, so that runs of two agents can be paired by it."""
        return content_hash(
            {
                "benchmark": self.benchmark,
                "protocol": self.protocol_id,
                "protocol_hash": self.protocol_hash,
                "episode": episode_id,
                "seed": self.seed,
                "repeat": repeat,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data; ``from_dict`` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunIdentity:
        """From ``to_dict``'s output."""
        return cls(**data)


def identified_protocol(protocol: Mapping[str, Any], dataset: Mapping[str, Any]) -> dict[str, Any]:
    """The protocol of an identity, from that of a configuration and from what is recorded.

    Args:
        protocol: The configuration's ``protocol``.
        dataset: Its ``dataset``. What a collection records is part of the protocol's hash, so that a collection can
            share a table with no evaluation.
    """
    identified = {key: value for key, value in protocol.items() if key != "_target_"}
    if dataset.get("enabled"):
        collection = {key: dataset.get(key) for key in ("record", "images")}
        if dataset.get("image_size") is not None:
            collection["image_size"] = dataset["image_size"]
        identified["collection"] = collection
    return identified


def difference(old: Any, new: Any, path: str = "") -> list[str]:
    """Lines ``path: old -> new`` for every leaf at which two JSON values differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        lines = []
        for key in sorted({*old, *new}):
            below = f"{path}.{key}" if path else str(key)
            lines += difference(old.get(key, "(absent)"), new.get(key, "(absent)"), below)
        return lines
    return [] if canonical_json(old) == canonical_json(new) else [f"{path}: {old} -> {new}"]
