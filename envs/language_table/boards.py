"""The frozen boards of the evaluation protocols: accepted seeds and their instructions.

Accepting a board takes a full reset, so the accepted seeds ship as data; `envs.language_table.freeze` makes the file.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from envs.language_table.blocks import BlockMode

BOARDS_FILE: Final = Path(__file__).with_name("data") / "boards.json.gz"
BOARDS_SHA256: Final = "e3abe6dbb6d2fb10662bc3a126507fb8115d8f1bd0554dd2e6d078dc5ac041dc"
BOARDS_PER_FAMILY: Final = 50
FROZEN_MODES: Final = (BlockMode.BLOCK_8, BlockMode.BLOCK_4)
FROZEN_FAMILIES: Final = (
    "block2block",
    "block2absolutelocation",
    "block2block_relative_location",
    "block2relativelocation",
    "separate_blocks",
    "point2block",
    "block1_to_corner",
)


@dataclass(frozen=True)
class FrozenBoard:
    """One accepted board.

    Attributes:
        seed: What the environment is reset with.
        instruction: What it draws then.
    """

    seed: int
    instruction: str


@functools.cache
def _content() -> Mapping[str, Any]:
    text = gzip.decompress(BOARDS_FILE.read_bytes())
    digest = hashlib.sha256(text).hexdigest()
    if digest != BOARDS_SHA256:
        raise ValueError(f"{BOARDS_FILE} was changed: SHA-256 {digest}, expected {BOARDS_SHA256}; restore it")
    content: Mapping[str, Any] = json.loads(text)
    return content


def frozen_boards(family: str, mode: str) -> list[FrozenBoard]:
    """The accepted boards in the order of their seeds.

    Raises:
        ValueError: None are frozen for the family and mode, or the file was changed.
    """
    if mode not in FROZEN_MODES or family not in FROZEN_FAMILIES:
        raise ValueError(
            f"no boards are frozen for '{family}' in {mode}: choose families from {', '.join(FROZEN_FAMILIES)} and "
            f"mode from {', '.join(FROZEN_MODES)}"
        )
    return [FrozenBoard(seed, instruction) for seed, instruction in _content()[mode][family]["accepted"]]


def rejected_seeds(family: str, mode: str) -> dict[int, str]:
    """Seeds below the last accepted one that were rejected, with the reason."""
    rejected = _content()[mode][family]["rejected"]
    return {int(seed): reason for seed, reason in rejected.items()}
