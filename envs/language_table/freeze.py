"""Makes ``data/boards.json.gz``, the boards of the evaluation protocols: ``python -m envs.language_table.freeze``.

For every family and block mode the seeds 0, 1, 2, ... are tried in order; see `envs.language_table.solvable` for which
boards are accepted. Needs the official data files; takes some minutes.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from envs.language_table.assets import AssetSet, find_official
from envs.language_table.blocks import BlockMode
from envs.language_table.board import Board, BoardError
from envs.language_table.boards import BOARDS_FILE, BOARDS_PER_FAMILY, FROZEN_FAMILIES, FROZEN_MODES
from envs.language_table.families import FAMILIES, Draws
from envs.language_table.generated import generate_assets
from envs.language_table.solvable import rejection
from envs.language_table.world import World


def tried_seeds(family: str, mode: BlockMode, assets: AssetSet, count: int) -> Iterator[tuple[int, str, str | None]]:
    """Seed, instruction and reason of rejection of each board tried until ``count`` are accepted.

    Besides unusable boards, those are rejected on which the stand-in models draw another instruction, so that runs
    without the official files have the same episodes.
    """
    seed = 0
    while count > 0:
        instruction, reason = _draw(family, mode, seed, assets)
        if reason is None and _draw(family, mode, seed, generate_assets())[0] != instruction:
            reason = "stand-ins differ"
        yield seed, instruction, reason
        count -= reason is None
        seed += 1


def _draw(family: str, mode: BlockMode, seed: int, assets: AssetSet) -> tuple[str, str | None]:
    world = World(assets)
    try:
        board = Board(world, FAMILIES[family](Draws.from_seed(seed), mode), mode)
        return board.reset().instruction, rejection(board)
    except BoardError:
        return "", "no board"
    finally:
        world.close()


def freeze(families: Sequence[str], modes: Sequence[BlockMode], assets: AssetSet, count: int) -> dict[str, Any]:
    """Accepted boards ``[seed, instruction]`` and rejected seeds with their reasons, by mode and family."""
    frozen: dict[str, Any] = {}
    for mode in modes:
        for family in families:
            tried = list(tried_seeds(family, mode, assets, count))
            accepted = [[seed, text] for seed, text, reason in tried if reason is None]
            rejected = {str(seed): reason for seed, _, reason in tried if reason is not None}
            frozen.setdefault(mode.value, {})[family] = {"accepted": accepted, "rejected": rejected}
            print(f"{mode} {family}: {len(accepted)} accepted, {len(rejected)} rejected", flush=True)  # noqa: T201
    return frozen


def write(data: dict[str, Any], path: Path) -> None:
    """Write the file so that equal content gives equal bytes."""
    text = json.dumps(data, indent=0, sort_keys=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def main() -> None:
    """Make the file.

    Raises:
        SystemExit: The official data files are not on this machine.
    """
    assets = find_official()
    if assets is None:
        raise SystemExit("freezing boards needs the official files: harness assets language_table")
    write(freeze(FROZEN_FAMILIES, FROZEN_MODES, assets, BOARDS_PER_FAMILY), BOARDS_FILE)


if __name__ == "__main__":
    main()
