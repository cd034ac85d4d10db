"""Under which conditions a scene is seen and touched: cameras, light, paints, friction and masses.

The defaults are the standard world. Conditions are part of a world's snapshot, like the scene.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from envs.tabletop.cameras import Light, Views
from envs.tabletop.scene import Colour
from envs.tabletop.shapes import RGBA, TABLE_RGBA, Rgba


@dataclass(frozen=True)
class Conditions:
    """What may vary about a world besides its scene; JSON-serialisable.

    Attributes:
        views: Where the cameras are.
        light: How pictures are lit.
        palette: What the named colours look like; zones are painted in a paler shade.
        table: What the table looks like.
        friction: Factor on the contact coefficients of objects and table.
        mass: Factor on the masses of objects.
    """

    views: Views = field(default_factory=Views)
    light: Light = field(default_factory=Light)
    palette: Mapping[Colour, Rgba] = field(default_factory=lambda: dict(RGBA))
    table: Rgba = TABLE_RGBA
    friction: float = 1.0
    mass: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data; ``from_dict`` is the inverse."""
        return asdict(self) | {"palette": {str(colour): list(rgba) for colour, rgba in self.palette.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Conditions:
        """From ``to_dict``'s output, or the same as JSON."""
        return cls(
            views=Views(**{key: _immutable(value) for key, value in data["views"].items()}),
            light=Light(**{key: _immutable(value) for key, value in data["light"].items()}),
            palette={Colour(colour): _immutable(rgba) for colour, rgba in data["palette"].items()},
            table=_immutable(data["table"]),
            friction=data["friction"],
            mass=data["mass"],
        )


def _immutable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
