"""What lies on the table: scene descriptions (input of the world) and world states (its ground truth).

Pure data, no simulator. The table's top is the plane ``z = 0`` of the world frame; ``x`` points away from the robot's
base, ``y`` to its left. SI units, quaternions ``xyzw``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """Shapes that a scene can hold."""

    CUBE = "cube"
    CYLINDER = "cylinder"
    PLANK = "plank"
    PYRAMID = "pyramid"
    WEDGE = "wedge"
    BOWL = "bowl"
    TRAY = "tray"
    BIN = "bin"


class Colour(StrEnum):
    """The eight named colours."""

    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    GREEN = "green"
    CYAN = "cyan"
    BLUE = "blue"
    PURPLE = "purple"
    WHITE = "white"


class Size(StrEnum):
    """Three sizes; what they mean in metres is in ``envs.tabletop.shapes``."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


@dataclass(frozen=True)
class ObjectSpec:
    """One object and where it starts.

    Attributes:
        name: Unique in the scene, for example ``red_cube_1``.
        kind: Its shape.
        colour: Its colour.
        size: Its size class.
        position: Centre of its bounding box ``(x, y, z)`` in metres; the world settles it under gravity after loading.
        yaw: Rotation about the vertical in radians.
    """

    name: str
    kind: Kind
    colour: Colour
    size: Size
    position: tuple[float, float, float]
    yaw: float = 0.0


@dataclass(frozen=True)
class ZoneSpec:
    """A coloured rectangle drawn on the table; it has no physics.

    Attributes:
        name: Unique in the scene, for example ``blue_zone``.
        colour: Its colour.
        centre: ``(x, y)`` in metres.
        half_extents: Half sizes along ``x`` and ``y`` in metres.
    """

    name: str
    colour: Colour
    centre: tuple[float, float]
    half_extents: tuple[float, float]


@dataclass(frozen=True)
class SceneSpec:
    """Everything on the table at the start of an episode; JSON-serialisable."""

    objects: tuple[ObjectSpec, ...]
    zones: tuple[ZoneSpec, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data; ``from_dict`` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SceneSpec:
        """From ``to_dict``'s output."""
        return cls(
            objects=tuple(
                ObjectSpec(
                    name=item["name"],
                    kind=Kind(item["kind"]),
                    colour=Colour(item["colour"]),
                    size=Size(item["size"]),
                    position=(item["position"][0], item["position"][1], item["position"][2]),
                    yaw=item["yaw"],
                )
                for item in data["objects"]
            ),
            zones=tuple(
                ZoneSpec(
                    name=item["name"],
                    colour=Colour(item["colour"]),
                    centre=(item["centre"][0], item["centre"][1]),
                    half_extents=(item["half_extents"][0], item["half_extents"][1]),
                )
                for item in data["zones"]
            ),
        )


@dataclass(frozen=True)
class ObjectState:
    """Ground truth of one object.

    Attributes:
        position: Centre of its bounding box in its own frame, mapped to the world ``(x, y, z)``, metres.
        orientation: Quaternion ``xyzw``.
        linear_velocity: Metres per second.
        angular_velocity: Radians per second.
        touching: Names of the objects in contact with it; ``table`` and ``robot`` are names too.
    """

    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float]
    linear_velocity: tuple[float, float, float]
    angular_velocity: tuple[float, float, float]
    touching: frozenset[str]


@dataclass(frozen=True)
class WorldState:
    """Ground truth of a scene at one moment.

    Attributes:
        scene: What was loaded (shapes, colours, sizes, zones).
        objects: State of each object by name.
        held: The object that both fingers touch, if any.
        time: Simulated seconds since reset.
    """

    scene: SceneSpec
    objects: Mapping[str, ObjectState]
    held: str | None
    time: float
