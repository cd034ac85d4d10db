"""The 34 tasks and their oracle: what must have changed between two moments for a task to count as done.

The oracle reads two `SceneInfo` records, one taken where the task began and one taken now. Thresholds and contact rules
are those of the public simulator (``Tasks`` and ``new_playtable_tasks.yaml``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from math import asin, atan2, degrees, sqrt

Contact = tuple[int, int]
"""``(body uid, link index)`` of the other party of a contact; -1 is a body's base."""


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """One block at one moment.

    Attributes:
        position: Metres, world frame.
        orientation: Quaternion ``xyzw``.
        linear_velocity: Metres per second.
        angular_velocity: Radians per second.
        contacts: Everything that it touches.
    """

    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float]
    linear_velocity: tuple[float, float, float]
    angular_velocity: tuple[float, float, float]
    contacts: frozenset[Contact]

    @property
    def bodies(self) -> frozenset[int]:
        """Uids of the bodies that it touches."""
        return frozenset(body for body, _ in self.contacts)


@dataclass(frozen=True, slots=True)
class SceneInfo:
    """All that the oracle needs to know of one moment.

    Attributes:
        blocks: By name (``block_red``, ``block_blue``, ``block_pink``).
        robot_contacts: Uids of the bodies that the robot touches.
        doors: Joint positions (m) of ``base__slide`` and ``base__drawer``.
        lights: Logical states (0 or 1) of ``lightbulb`` and ``led``.
    """

    blocks: Mapping[str, BlockInfo]
    robot_contacts: frozenset[int]
    doors: Mapping[str, float]
    lights: Mapping[str, int]


@dataclass(frozen=True)
class Bodies:
    """Uids and links by which contacts are told apart.

    Attributes:
        robot: Uid of the robot.
        table: Uid of the table.
        blocks: Uid of each block by name.
        links: Link index of the table's parts by name; ``base_link`` is -1.
    """

    robot: int
    table: int
    blocks: Mapping[str, int]
    links: Mapping[str, int]


def rotation_difference(
    start: tuple[float, float, float, float], end: tuple[float, float, float, float]
) -> tuple[float, float, float]:
    """``end * start^-1`` as extrinsic Euler angles ``xyz`` in degrees; arguments are quaternions ``xyzw``.

    Where the second angle is 90 degrees the other two are not unique; no task is done there.
    """
    ax, ay, az, aw = end
    bx, by, bz, bw = -start[0], -start[1], -start[2], start[3]
    x = aw * bx + ax * bw + ay * bz - az * by
    y = aw * by - ax * bz + ay * bw + az * bx
    z = aw * bz + ax * by - ay * bx + az * bw
    w = aw * bw - ax * bx - ay * by - az * bz
    norm = x * x + y * y + z * z + w * w
    sine = max(-1.0, min(1.0, 2 * (w * y - x * z) / norm))
    return (
        degrees(atan2(2 * (w * x + y * z), w * w - x * x - y * y + z * z)),
        degrees(asin(sine)),
        degrees(atan2(2 * (w * z + x * y), w * w + x * x - y * y - z * z)),
    )


def _rotated(bodies: Bodies, start: SceneInfo, end: SceneInfo, *, block: str, sign: int) -> bool:
    """Turned by more than 60 degrees about the vertical, moved at most 0.1 m, and resting on something."""
    before, after = start.blocks[block], end.blocks[block]
    if not after.bodies - {bodies.robot}:
        return False
    moved = sqrt(sum((b - a) ** 2 for a, b in zip(before.position, after.position, strict=True)))
    if moved > 0.1:
        return False
    x, y, z = rotation_difference(before.orientation, after.orientation)
    return 60 < sign * z < 180 and abs(x) < 30 and abs(y) < 30


def _pushed(bodies: Bodies, start: SceneInfo, end: SceneInfo, *, block: str, sign: int) -> bool:
    """Moved by more than 0.1 m along x, on the same surface as before."""
    before, after = start.blocks[block], end.blocks[block]
    if sign * (after.position[0] - before.position[0]) <= 0.1:
        return False
    surfaces = {contact for contact in before.contacts if contact[0] != bodies.robot}
    return bool(surfaces) and surfaces <= after.contacts


def _lifted(bodies: Bodies, start: SceneInfo, end: SceneInfo, *, block: str, height: float, link: str) -> bool:
    """Raised by more than ``height`` from ``link`` of the table, and touched by nothing but the robot."""
    before, after = start.blocks[block], end.blocks[block]
    return (
        after.position[2] - before.position[2] > height
        and (bodies.table, bodies.links[link]) in before.contacts
        and after.bodies == {bodies.robot}
    )


def _placed(bodies: Bodies, start: SceneInfo, end: SceneInfo, *, link: str) -> bool:
    """The block that the robot held at the start (and nothing else) rests on ``link``, let go."""
    if len(start.robot_contacts) != 1:
        return False
    (uid,) = start.robot_contacts
    if uid in end.robot_contacts:
        return False
    return any(
        bodies.blocks[name] == uid
        and start.blocks[name].bodies == {bodies.robot}
        and (bodies.table, bodies.links[link]) in end.blocks[name].contacts
        for name in start.blocks
    )


def _pushed_into_drawer(bodies: Bodies, start: SceneInfo, end: SceneInfo) -> bool:
    """A block that touched the table top, and nothing else, now touches the drawer.

    The public rule also means to ask that the robot does not touch the block, but looks for the robot's uid among
    ``(uid, link)`` pairs, where it never is. The verdicts of the public code count, so there is no such condition here.
    """
    top = frozenset({(bodies.table, bodies.links["base_link"])})
    drawer = (bodies.table, bodies.links["drawer_link"])
    return any(start.blocks[name].contacts == top and drawer in end.blocks[name].contacts for name in start.blocks)


def _door_moved(bodies: Bodies, start: SceneInfo, end: SceneInfo, *, joint: str, by: float) -> bool:  # noqa: ARG001
    """The joint moved by more than ``by`` metres, in the direction of its sign."""
    difference = end.doors[joint] - start.doors[joint]
    return difference > by if by > 0 else difference < by


def _toggled(bodies: Bodies, start: SceneInfo, end: SceneInfo, *, light: str, to: int) -> bool:  # noqa: ARG001
    """The light was in the other state and is now in ``to``."""
    return start.lights[light] == 1 - to and end.lights[light] == to


def _at_rest(block: BlockInfo) -> bool:
    return all(abs(v) < 1 for v in (*block.linear_velocity, *block.angular_velocity))


def _stacked(bodies: Bodies, start: SceneInfo, end: SceneInfo) -> bool:
    """A block that touched no block before now touches blocks only, at rest."""
    blocks = frozenset(bodies.blocks.values())
    return any(
        not blocks & start.blocks[name].bodies
        and bool(end.blocks[name].bodies)
        and end.blocks[name].bodies <= blocks
        and _at_rest(end.blocks[name])
        for name in start.blocks
    )


def _unstacked(bodies: Bodies, start: SceneInfo, end: SceneInfo) -> bool:
    """A block that touched blocks only, at rest, now touches no block."""
    blocks = frozenset(bodies.blocks.values())
    return any(
        bool(start.blocks[name].bodies)
        and start.blocks[name].bodies <= blocks
        and _at_rest(start.blocks[name])
        and not blocks & end.blocks[name].bodies
        for name in start.blocks
    )


Check = Callable[[Bodies, SceneInfo, SceneInfo], bool]

_COLOURS = ("red", "blue", "pink")
_LIFTS = (("table", 0.05, "base_link"), ("slider", 0.03, "plank_link"), ("drawer", 0.05, "drawer_link"))
_SIDES = (("right", 1), ("left", -1))

# The order is part of the protocol: chains are drawn by index.
_CHECKS: Mapping[str, Check] = {
    **{
        f"rotate_{c}_block_{side}": partial(_rotated, block=f"block_{c}", sign=-s)
        for c in _COLOURS
        for side, s in _SIDES
    },
    **{f"push_{c}_block_{side}": partial(_pushed, block=f"block_{c}", sign=s) for c in _COLOURS for side, s in _SIDES},
    "move_slider_left": partial(_door_moved, joint="base__slide", by=0.15),
    "move_slider_right": partial(_door_moved, joint="base__slide", by=-0.15),
    "open_drawer": partial(_door_moved, joint="base__drawer", by=0.12),
    "close_drawer": partial(_door_moved, joint="base__drawer", by=-0.12),
    **{
        f"lift_{c}_block_{place}": partial(_lifted, block=f"block_{c}", height=height, link=link)
        for c in _COLOURS
        for place, height, link in _LIFTS
    },
    "place_in_slider": partial(_placed, link="plank_link"),
    "place_in_drawer": partial(_placed, link="drawer_link"),
    "stack_block": _stacked,
    "unstack_block": _unstacked,
    "turn_on_lightbulb": partial(_toggled, light="lightbulb", to=1),
    "turn_off_lightbulb": partial(_toggled, light="lightbulb", to=0),
    "turn_on_led": partial(_toggled, light="led", to=1),
    "turn_off_led": partial(_toggled, light="led", to=0),
    "push_into_drawer": _pushed_into_drawer,
}

TASKS: tuple[str, ...] = tuple(_CHECKS)
"""Names of the 34 tasks in the order of the public protocol."""

PLAY = "play"
"""Task of a stage that asks for nothing and never succeeds."""


def needs(task: str) -> tuple[tuple[str, ...], bool]:
    """Which blocks' contacts the oracle reads at the end of ``task``, and whether it reads the robot's."""
    check = _CHECKS[task]
    if isinstance(check, partial):
        if "block" in check.keywords:
            return (check.keywords["block"],), False
        if check.func in (_door_moved, _toggled):
            return (), False
    return tuple(f"block_{colour}" for colour in _COLOURS), task.startswith("place")


def achieved(bodies: Bodies, start: SceneInfo, end: SceneInfo, tasks: Collection[str] = TASKS) -> frozenset[str]:
    """Which of ``tasks`` were done between ``start`` and ``end``.

    Raises:
        KeyError: A name in ``tasks`` is not one of `TASKS`.
    """
    return frozenset(task for task in tasks if _CHECKS[task](bodies, start, end))
