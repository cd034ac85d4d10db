"""Scenes for sub-goals: a few objects of any kind, alone, in piles, in containers and zones, with room for the gripper.

No two objects share kind and colour, so every one of them can be named.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from envs.tabletop.scene import Colour, Kind, ObjectSpec, SceneSpec, Size, ZoneSpec
from envs.tabletop.shapes import CONTAINERS, WORKSPACE, dimensions, floor_height, inner_dimensions, is_container
from thinkbench.abstraction import may_rest
from thinkbench.geometry import Points, rectangle, separation
from thinkbench.layout import MIN_GAP

MAX_OBJECTS = 8
"""Most objects of a scene."""

_LEAST_OBJECTS = 3
_MOVABLE = tuple(kind for kind in Kind if kind not in CONTAINERS)
_COMMON = (Kind.CUBE, Kind.CYLINDER, *_MOVABLE)  # what others can rest on comes more often
_GROUPS = {"single": 0.33, "pile": 0.27, "container": 0.2, "zone": 0.14, "posts": 0.06}
_MAX_YAW = 0.6  # radians
_MAX_PILE = 3
_OCCUPIED = 0.6  # share of containers and zones that have something in them
_POSTS_APART = (0.6, 0.85)  # distance of two posts over the length of the plank that fits across them
_ZONE_HALF = (0.03, 0.055)  # half sizes of a zone, metres
_MAX_ZONES = 2
_TRIES = 40

Pile = list[ObjectSpec]


class _Table:
    """A scene that grows group by group; a group that finds no room is left out."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.objects: list[ObjectSpec] = []
        self.zones: list[ZoneSpec] = []
        self._taken: list[Points] = []

    def add(self, group: str, room: int) -> None:
        """Draw one group of at most ``room`` objects."""
        match group:
            case "single":
                self._place(self._pile(1))
            case "pile":
                self._place(self._pile(min(room, int(self.rng.integers(2, _MAX_PILE + 1)))))
            case "container":
                self._add_container(room)
            case "zone":
                self._add_zone(room)
            case "posts":
                self._add_posts(room)

    def _add_container(self, room: int) -> None:
        container = self._thing(tuple(sorted(CONTAINERS)))
        if container is None or not self._place([container], yaw=0.0):
            return
        if room > 1 and self.rng.random() < _OCCUPIED:
            place = self.objects[-1]
            inner = inner_dimensions(place.kind, place.size)[:2]
            pile = self._pile(min(room - 1, int(self.rng.integers(1, 3))), inner)
            self._stack(pile, (place.position[0], place.position[1]), 0.0, floor_height(place.kind))

    def _add_zone(self, room: int) -> None:
        colours = [colour for colour in Colour if colour not in {zone.colour for zone in self.zones}]
        half_x, half_y = np.round(self.rng.uniform(*_ZONE_HALF, 2), 4).tolist()
        centre = self._find(rectangle((0.0, 0.0), (half_x, half_y)))
        if centre is None or len(self.zones) == _MAX_ZONES:
            return
        colour = colours[int(self.rng.integers(len(colours)))]
        self.zones.append(ZoneSpec(f"{colour}_zone", colour, centre, (half_x, half_y)))
        if self.rng.random() < _OCCUPIED:
            pile = self._pile(min(room, int(self.rng.integers(1, 3))), (2 * half_x, 2 * half_y))
            self._stack(pile, centre, 0.0)

    def _add_posts(self, room: int) -> None:
        """Two equal posts and, somewhere else, a plank that fits across them."""
        plank, post = self._thing((Kind.PLANK,)), self._thing((Kind.CUBE, Kind.CYLINDER))
        if plank is None or post is None or room < 3:
            return
        length, width = dimensions(plank.kind, plank.size)[0], dimensions(post.kind, post.size)[0]
        twin = self._thing((post.kind,), size=post.size, without=post.colour)
        apart = length * float(self.rng.uniform(*_POSTS_APART))
        if twin is None or apart < 2 * width or apart > length - width / 2:
            return
        along_y = bool(self.rng.random() < 0.7)  # the table is wider than deep
        reach = (apart + width) / 2
        centre = self._find(rectangle((0.0, 0.0), (width / 2, reach) if along_y else (reach, width / 2)))
        if centre is None:
            return
        shift = np.array([0.0, apart / 2] if along_y else [apart / 2, 0.0])
        for sign, spec in ((-1, post), (1, twin)):
            x, y = np.round(np.array(centre) + sign * shift, 4).tolist()
            self._stack([spec], (x, y), 0.0)
        self._place([plank])

    def _thing(
        self, kinds: Sequence[Kind], size: Size | None = None, without: Colour | None = None
    ) -> ObjectSpec | None:
        """Something of one of ``kinds`` in a colour that no other of its kind has; no pose yet."""
        kind = kinds[int(self.rng.integers(len(kinds)))]
        used = {spec.colour for spec in self.objects if spec.kind is kind} | {without}
        free = [colour for colour in Colour if colour not in used]
        sizes = list(Size)
        size = size or sizes[int(self.rng.integers(len(sizes)))]
        if not free or (is_container(kind) and sum(is_container(spec.kind) for spec in self.objects) == 2):
            return None
        colour = free[int(self.rng.integers(len(free)))]
        return ObjectSpec(f"{colour}_{kind}", kind, colour, size, (0.0, 0.0, 0.0))

    def _pile(self, count: int, room: Sequence[float] = (1.0, 1.0)) -> Pile:
        """Up to ``count`` things each of which may rest on the one before; the first fits into ``room``."""
        pile: Pile = []
        for _ in range(_TRIES):
            thing = self._thing(_COMMON)
            if len(pile) == count:
                break
            if thing is None or thing.name in {spec.name for spec in pile}:
                continue
            if pile:
                fits = may_rest(thing, pile[-1])
            else:
                edges = sorted(dimensions(thing.kind, thing.size)[:2])
                fits = all(edge + 0.01 <= length for edge, length in zip(edges, sorted(room), strict=True))
            if fits:
                pile.append(thing)
        return pile

    def _place(self, pile: Pile, yaw: float | None = None) -> bool:
        """Put a pile where there is room for it; whether there is."""
        if not pile:
            return False
        yaw = round(float(self.rng.uniform(-_MAX_YAW, _MAX_YAW)), 3) if yaw is None else yaw
        if pile[0].kind is Kind.PLANK and self.rng.random() < 0.5:
            yaw = round(yaw + math.pi / 2, 3)
        x, y, _ = dimensions(pile[0].kind, pile[0].size)
        centre = self._find(rectangle((0.0, 0.0), (x / 2, y / 2), yaw))
        if centre is not None:
            self._stack(pile, centre, yaw)
        return centre is not None

    def _stack(self, pile: Pile, centre: tuple[float, float], yaw: float, height: float = 0.0) -> None:
        for spec in pile:
            thickness = dimensions(spec.kind, spec.size)[2]
            position = (*centre, round(height + thickness / 2, 5))
            self.objects.append(replace(spec, position=position, yaw=yaw))
            height += thickness

    def _find(self, outline: Points) -> tuple[float, float] | None:
        """A place for a convex outline around 0, in the workspace and `MIN_GAP` from all others; it is taken then."""
        reach = np.abs(outline).max(axis=0)
        low = np.array([axis[0] for axis in WORKSPACE]) + reach
        high = np.array([axis[1] for axis in WORKSPACE]) - reach
        for _ in range(_TRIES):
            centre = np.round(self.rng.uniform(low, np.maximum(low, high)), 4)
            here = outline + centre
            if all(separation(other, here) >= MIN_GAP for other in self._taken):
                self._taken.append(here)
                x, y = centre.tolist()
                return x, y
        return None


def draw_scene(rng: np.random.Generator) -> SceneSpec:
    """A scene of 3 to `MAX_OBJECTS` objects and up to two zones; every object can be named by kind and colour."""
    while True:
        table = _Table(rng)
        wanted = int(rng.integers(_LEAST_OBJECTS, MAX_OBJECTS + 1))
        for group in rng.choice(list(_GROUPS), size=_TRIES, p=list(_GROUPS.values())).tolist():
            room = wanted - len(table.objects)
            if room <= 0:
                break
            table.add(group, room)
        if len(table.objects) >= _LEAST_OBJECTS:
            return SceneSpec(tuple(table.objects), tuple(table.zones))
