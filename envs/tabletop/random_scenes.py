"""Random scenes of objects that do not overlap."""

from __future__ import annotations

import math

import numpy as np

from envs.tabletop.scene import Colour, Kind, ObjectSpec, SceneSpec, Size, ZoneSpec
from envs.tabletop.shapes import CONTAINERS, FINGER_GAP, WORKSPACE, dimensions

_ATTEMPTS = 400


def random_scene(rng: np.random.Generator, objects: int = 6, kinds: tuple[Kind, ...] | None = None) -> SceneSpec:
    """A scene of random objects lying apart from each other, and one zone.

    Containers come at most once. If the table gets too full, the scene has fewer objects than asked for.

    Args:
        rng: Source of randomness.
        objects: How many.
        kinds: Which kinds to draw from; all by default.
    """
    pool = list(kinds or Kind)
    placed: list[ObjectSpec] = []
    discs: list[tuple[float, float, float]] = []
    for _ in range(_ATTEMPTS):
        if len(placed) == objects or not pool:
            break
        kind = pool[rng.integers(len(pool))]
        size = list(Size)[rng.integers(len(Size))]
        x, y, z = dimensions(kind, size)
        radius = math.hypot(x, y) / 2
        margin = min(radius, 0.08) if kind in CONTAINERS else 0.02
        centre = [float(rng.uniform(low + margin, high - margin)) for low, high in WORKSPACE]
        if any(math.hypot(centre[0] - a, centre[1] - b) < radius + r + FINGER_GAP for a, b, r in discs):
            continue
        colour = list(Colour)[rng.integers(len(Colour))]
        name = f"{colour}_{kind}_{len(placed)}"
        position = (centre[0], centre[1], z / 2)
        placed.append(ObjectSpec(name, kind, colour, size, position, float(rng.uniform(-math.pi / 2, math.pi / 2))))
        discs.append((centre[0], centre[1], radius))
        if kind in CONTAINERS:
            pool.remove(kind)
    zone_centre = (float(rng.uniform(-0.1, 0.1)), float(rng.uniform(-0.2, 0.2)))
    zone = ZoneSpec("zone", list(Colour)[rng.integers(len(Colour))], zone_centre, (0.05, 0.05))
    return SceneSpec(tuple(placed), (zone,))
