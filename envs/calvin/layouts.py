"""What differs between the four play tables, A to D, and what they share.

Numbers are those of the public simulator's scene files (lengths in metres, already scaled).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

Range = tuple[tuple[float, float, float], tuple[float, float, float]]


class Scene(StrEnum):
    """The four play tables."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"


class BlockSize(StrEnum):
    """Blocks are boxes with a cross-section of 0.04 x 0.04 m; the size names their length."""

    SMALL = "small"
    MIDDLE = "middle"
    BIG = "big"


BLOCK_LENGTH: Mapping[BlockSize, float] = {BlockSize.SMALL: 0.04, BlockSize.MIDDLE: 0.056, BlockSize.BIG: 0.08}
BLOCK_WIDTH = 0.04

TABLE_TOP = 0.44
SHELF_TOP = 0.444
DRAWER_FLOOR = 0.341


@dataclass(frozen=True)
class Layout:
    """One play table.

    Attributes:
        scene: Its letter.
        blocks: Colour and size of the blocks, in the order in which they are loaded and observed.
        spawn: Boxes ``(low, high)`` of positions by surface, from which blocks are drawn while they are loaded.
        button_x: Position of the button.
        switch_x: Position of the switch.
        slide_x: Origin of the sliding door at joint position 0 (it slides towards -x).
        slide_range: Upper limit of the door's joint; the lower one is 0.
        drawer_x: Centre of the drawer.
        handle_offset: The door's handle stands at ``slide_x + handle_offset - q``.
    """

    scene: Scene
    blocks: tuple[tuple[str, BlockSize], ...]
    spawn: Mapping[str, Range]
    button_x: float
    switch_x: float
    slide_x: float
    slide_range: float
    drawer_x: float
    handle_offset: float = 0.14

    @property
    def block_names(self) -> tuple[str, ...]:
        """``block_<colour>`` in the order of observation."""
        return tuple(f"block_{colour}" for colour, _ in self.blocks)


def _spawn(table: tuple[float, float], left: tuple[float, float], right: tuple[float, float]) -> dict[str, Range]:
    """Spawn boxes from their extents along x; the rest is the same in all scenes."""
    return {
        "table": ((table[0], -0.15, 0.46), (table[1], -0.03, 0.46)),
        "slider_left": ((left[0], 0.05, 0.46), (left[1], 0.12, 0.46)),
        "slider_right": ((right[0], 0.05, 0.46), (right[1], 0.12, 0.46)),
    }


LAYOUTS: Mapping[Scene, Layout] = {
    Scene.A: Layout(
        scene=Scene.A,
        blocks=(("pink", BlockSize.SMALL), ("blue", BlockSize.BIG), ("red", BlockSize.MIDDLE)),
        spawn=_spawn((-0.2, 0.35), (-0.32, -0.16), (-0.05, 0.13)),
        button_x=-0.28,
        switch_x=0.30,
        slide_x=-0.10,
        slide_range=0.28,
        drawer_x=0.10,
    ),
    Scene.B: Layout(
        scene=Scene.B,
        blocks=(("red", BlockSize.SMALL), ("blue", BlockSize.BIG), ("pink", BlockSize.MIDDLE)),
        spawn=_spawn((-0.35, 0.15), (-0.12, 0.06), (0.15, 0.33)),
        button_x=0.28,
        switch_x=-0.32,
        slide_x=0.088,
        slide_range=0.304,
        drawer_x=0.18,
    ),
    Scene.C: Layout(
        scene=Scene.C,
        blocks=(("blue", BlockSize.SMALL), ("red", BlockSize.BIG), ("pink", BlockSize.MIDDLE)),
        spawn=_spawn((0.0, 0.35), (-0.12, 0.06), (0.15, 0.3)),
        button_x=-0.12,
        switch_x=-0.32,
        slide_x=0.06,
        slide_range=0.24,
        drawer_x=0.10,
    ),
    Scene.D: Layout(
        scene=Scene.D,
        blocks=(("red", BlockSize.MIDDLE), ("blue", BlockSize.SMALL), ("pink", BlockSize.BIG)),
        spawn=_spawn((0.0, 0.35), (-0.32, -0.16), (-0.05, 0.13)),
        button_x=-0.12,
        switch_x=0.30,
        slide_x=-0.10,
        slide_range=0.28,
        drawer_x=0.18,
    ),
}
