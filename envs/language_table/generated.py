"""Stand-ins for the official models, made here with the same measured dimensions.

Blocks are prisms with two bevels at each end, 38.1 mm high; only their convex hulls collide. The rod is a 10 mm post
above a cylinder of 12.7 mm radius. Runs with these models are marked non-standard: contacts differ in detail.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from envs.language_table.assets import AssetSet
from envs.language_table.blocks import LOAD_ORDER
from envs.official import cache_folder

Outline = Sequence[tuple[float, float]]

HEIGHT: Final = 0.0381
_BEVELS: Final = (0.0, 0.000595, 0.002032)
"""Heights at which the outline reaches its three sizes, metres from either end."""

# Outlines in the block's ground plane (x, z) in metres, halves of shapes that are symmetric in x; each is given as
# measured at full size. The bevelled ends are shrunk versions of the same outline.
_RGBA: Final = {
    "red": "1 0.4 0.4 1",
    "blue": "0.4 0.4 1 1",
    "green": "0.4 1 0.4 1",
    "yellow": "1 1 0.4 1",
}

_CUBE: Final = tuple(
    (sx * x, sz * z)
    for sx, sz, corner in (
        (1, 1, ((0.019826, 0.016277), (0.019351, 0.018052), (0.018052, 0.019351), (0.016277, 0.019826))),
        (-1, 1, ((0.016277, 0.019826), (0.018052, 0.019351), (0.019351, 0.018052), (0.019826, 0.016277))),
        (-1, -1, ((0.019826, 0.016277), (0.019351, 0.018052), (0.018052, 0.019351), (0.016277, 0.019826))),
        (1, -1, ((0.016277, 0.019826), (0.018052, 0.019351), (0.019351, 0.018052), (0.019826, 0.016277))),
    )
    for x, z in corner
)


def _mirrored(half: Outline) -> Outline:
    """A closed outline from its right half, listed from the top middle to the bottom middle."""
    left = [(-x, z) for x, z in reversed(half) if x > 0]
    return (*half, *left)


_MOON: Final = _mirrored(
    (
        (0.0, 0.012861),
        (0.01404, 0.00915),
        (0.02432, -0.00099),
        (0.02624, -0.00808),
        (0.026267, -0.01117),
        (0.0245, -0.012861),
        (0.0205, -0.0108),
        (0.0125, -0.0042),
        (0.0, -0.0012),
    )
)
_PENTAGON: Final = _mirrored(
    (
        (0.01194, 0.017708),
        (0.01331, 0.01724),
        (0.0142, 0.01609),
        (0.022213, -0.00733),
        (0.02219, -0.00875),
        (0.02134, -0.0099),
        (0.00142, -0.02321),
        (0.0, -0.023607),
    )
)
_STAR: Final = _mirrored(
    (
        (0.0, 0.0122),
        (0.0114, 0.020414),
        (0.0133, 0.02035),
        (0.01398, 0.01858),
        (0.0109, 0.0061),
        (0.02167, -0.00383),
        (0.02219, -0.00561),
        (0.0207, -0.0067),
        (0.0082, -0.0083),
        (0.00164, -0.01938),
        (0.0, -0.020414),
    )
)
_OUTLINES: Final = {"cube": _CUBE, "moon": _MOON, "pentagon": _PENTAGON, "star": _STAR}
_SHRINK: Final = {"cube": (0.913, 0.975), "moon": (0.906, 0.972), "pentagon": (0.903, 0.973), "star": (0.877, 0.965)}
"""Size of the outline at a bevelled end and at the first bevel, as shares of the full one."""


def prism_obj(name: str, outline: Outline, shrink: tuple[float, float]) -> str:
    """A Wavefront mesh: ``outline`` (x, z) raised along y, bevelled at both ends."""
    levels = [
        *((height, scale) for height, scale in zip(_BEVELS, (*shrink, 1.0), strict=True)),
        *((HEIGHT - height, scale) for height, scale in reversed(list(zip(_BEVELS, (*shrink, 1.0), strict=True)))),
    ]
    lines = [f"o {name}", "v 0 0 0", f"v 0 {HEIGHT} 0"]
    lines += [f"v {x * scale:.6f} {height:.6f} {z * scale:.6f}" for height, scale in levels for x, z in outline]
    count = len(outline)
    for level in range(len(levels) - 1):
        for i in range(count):
            low, low_next = 3 + level * count + i, 3 + level * count + (i + 1) % count
            high, high_next = low + count, low_next + count
            lines += [f"f {low} {low_next} {high_next}", f"f {low} {high_next} {high}"]
    top = 3 + (len(levels) - 1) * count
    for i in range(count):
        lines += [f"f 1 {3 + (i + 1) % count} {3 + i}", f"f 2 {top + i} {top + (i + 1) % count}"]
    return "\n".join(lines) + "\n"


def _post_obj(radius: float = 5.0, height: float = 30.0, sides: int = 64) -> str:
    """The rod's upper part in millimetres, along z."""
    ring = [
        (radius * math.cos(2 * math.pi * i / sides), radius * math.sin(2 * math.pi * i / sides)) for i in range(sides)
    ]
    lines = ["o post", *(f"v {x:.4f} {y:.4f} {z:.1f}" for z in (0.0, height) for x, y in ring)]
    for i in range(sides):
        a, b = 1 + i, 1 + (i + 1) % sides
        lines += [f"f {a} {b} {b + sides}", f"f {a} {b + sides} {a + sides}"]
    for i in range(1, sides - 1):
        lines += [f"f 1 {2 + i} {1 + i}", f"f {sides + 1} {sides + 1 + i} {sides + 2 + i}"]
    return "\n".join(lines) + "\n"


_BOARD_OBJ: Final = """o board
v 15 -15 0
v 15 15 0
v -15 15 0
v -15 -15 0
vt 15 0
vt 15 15
vt 0 15
vt 0 0
f 1/1 2/2 3/3
f 1/1 3/3 4/4
"""

_INERTIA: Final = '<inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/>'


def _link(name: str, mass: float, friction: str, geometry: str, *, rgba: str, collides: bool = True) -> str:
    shape = f"<geometry>{geometry}</geometry>"
    collision = f"<collision>{shape}</collision>" if collides else ""
    return (
        f'<link name="{name}"><contact>{friction}</contact><inertial><mass value="{mass}"/>{_INERTIA}</inertial>'
        f'<visual>{shape}<material name="{name}_colour"><color rgba="{rgba}"/></material></visual>{collision}</link>'
    )


def _friction(lateral: float, rolling: float = 0.0) -> str:
    return f'<lateral_friction value="{lateral}"/><rolling_friction value="{rolling}"/>'


def _mesh(name: str, scale: str = "1 1 1") -> str:
    return f'<mesh filename="{name}" scale="{scale}"/>'


def _robot(name: str, *elements: str) -> str:
    return f'<?xml version="1.0"?>\n<robot name="{name}">{"".join(elements)}</robot>\n'


def files() -> dict[str, str]:
    """The text of every generated file by its name."""
    made = {
        "plane.obj": _BOARD_OBJ,
        "workspace_real.urdf": _robot(
            "board",
            _link(
                "board",
                0,
                _friction(1.0),
                _mesh("plane.obj", "0.01524 0.02032 1"),
                rgba="0.2 0.2 0.2 1",
                collides=False,
            ),
        ),
        "suction/head.obj": _post_obj(),
        "suction/cylinder_real.urdf": _robot(
            "rod",
            _link("post", 0.1, _friction(1.0, 0.0001), _mesh("head.obj", "0.001 0.001 0.001"), rgba="0.2 0.2 0.2 1"),
            '<joint name="tip_joint" type="fixed"><parent link="post"/><child link="tip"/>'
            '<origin xyz="0 0 0.029"/></joint>',
            _link(
                "tip", 0.1, _friction(1.0, 0.0001), '<cylinder length="0.135" radius="0.0127"/>', rgba="0.5 0.5 0.5 1"
            ),
        ),
    }
    for shape, outline in _OUTLINES.items():
        made[f"blocks/{shape}.obj"] = prism_obj(shape, outline, _SHRINK[shape])
    for block in LOAD_ORDER:
        colour, shape = block.split("_")
        link = _link("block", 0.01, _friction(0.5, 0.0001), _mesh(f"{shape}.obj"), rgba=_RGBA[colour])
        made[f"blocks/{block}.urdf"] = _robot(block, link)
    return made


@functools.cache
def generate_assets() -> AssetSet:
    """Write the files to a cache folder named by their content, once, and return it."""
    made = files()
    digest = hashlib.sha256(repr(sorted(made.items())).encode()).hexdigest()[:16]
    root = cache_folder("generated") / f"language_table-{digest}"
    if not root.is_dir():
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
            for name, content in made.items():
                path = Path(scratch) / "new" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
            try:
                os.replace(Path(scratch) / "new", root)
            except OSError:
                # Another process made the same folder in the meantime; its content is the same.
                if not root.is_dir():
                    raise
    return AssetSet(root, generated=True)
