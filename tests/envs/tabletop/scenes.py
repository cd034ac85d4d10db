"""Short ways to write scenes for tests."""

from __future__ import annotations

from envs.tabletop.scene import Colour, Kind, ObjectSpec, SceneSpec, Size
from envs.tabletop.shapes import dimensions

COLOURS = list(Colour)


def lying(name, kind, x, y, size=Size.MEDIUM, yaw=0.0, on=0.0):
    """An object whose bottom is at the height ``on``."""
    colour = COLOURS[sum(map(ord, name)) % len(COLOURS)]
    return ObjectSpec(name, kind, colour, size, (x, y, on + dimensions(kind, size)[2] / 2), yaw)


def tower(count, x=0.0, y=0.0, shift=0.0):
    """Medium cubes ``t0``, ``t1``, ... on top of each other, each ``shift`` metres farther along x."""
    return [lying(f"t{level}", Kind.CUBE, x + shift * level, y, on=0.04 * level) for level in range(count)]


def scene(*objects):
    return SceneSpec(tuple(objects))
