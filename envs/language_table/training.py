"""Boards to gather training data on: none of them is one of the frozen boards of the evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from envs.language_table.assets import AssetSet
from envs.language_table.blocks import BlockMode
from envs.language_table.board import Board, BoardError
from envs.language_table.boards import FrozenBoard
from envs.language_table.families import FAMILIES, Draws
from envs.language_table.solvable import rejection
from envs.language_table.world import World
from harness.interfaces import derive_seed

PLAY: Final = "play"
PLAY_STEPS: Final = 300
"""Actions of one stretch of play: half a minute."""

_FIRST_SEED: Final = 1_000_000
"""Frozen boards have smaller seeds than this."""


def training_boards(family: str, mode: BlockMode, seed: int, assets: AssetSet) -> Iterator[FrozenBoard]:
    """Accepted boards without end, by the evaluation's rule of rejection; each takes a reset of the simulator."""
    number = 0
    while True:
        own = _FIRST_SEED + derive_seed("language_table training", family, mode.value, seed, number) % 2**31
        number += 1
        world = World(assets)
        try:
            board = Board(world, FAMILIES[family](Draws.from_seed(own), mode), mode)
            instruction = board.reset().instruction
            accepted = rejection(board) is None
        except BoardError:
            continue
        finally:
            world.close()
        if accepted:
            yield FrozenBoard(own, instruction)
