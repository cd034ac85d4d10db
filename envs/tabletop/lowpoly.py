"""Low-polygon visuals for the arm, generated from its collision meshes.

The stock visuals have tens of thousands of triangles and cost most of a CPU-rendered frame. Here each link is drawn as
the convex hull of the few collision vertices that lie farthest out in evenly spread directions. Joints, inertias and
collision meshes stay those of the URDF, so the motion is bit-identical.
"""

from __future__ import annotations

import functools
import math
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pybullet_data

from envs.tabletop.linear import around, product
from envs.tabletop.meshes import obj_text, scratch_folder

_DIRECTIONS = 40
_LIGHT, _DARK, _PAD = "0.93 0.93 0.95 1", "0.25 0.27 0.32 1", "0.36 0.38 0.44 1"
_COLOURS = {"link2": _DARK, "link4": _DARK, "link6": _DARK, "hand": _DARK, "finger": _PAD}


def stock_urdf() -> Path:
    """The Panda's URDF as ``pybullet_data`` ships it."""
    return Path(pybullet_data.getDataPath()) / "franka_panda" / "panda.urdf"


@functools.cache
def lowpoly_urdf() -> Path:
    """A copy of the Panda's URDF with generated visuals; written once per process, removed at its end."""
    folder = scratch_folder()
    source = stock_urdf()
    text = source.read_text()
    for mesh in sorted(set(re.findall(r"meshes/collision/(\w+)\.obj", text))):
        vertices = _read_vertices(source.parent / "meshes" / "collision" / f"{mesh}.obj")
        (folder / f"{mesh}.obj").write_text(obj_text(decimate(vertices)))
    text = text.replace("package://", f"{source.parent.as_posix()}/")
    text = re.sub(r"<visual>.*?</visual>", lambda match: _visual(match.group(0), folder), text, flags=re.DOTALL)
    path = folder / "panda.urdf"
    path.write_text(text)
    return path


def decimate(vertices: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The vertices that are extreme in one of a few evenly spread directions, ``(N, 3) -> (M, 3)``."""
    index = np.arange(_DIRECTIONS)
    height = 1 - (2 * index + 1) / _DIRECTIONS
    angle = index * math.pi * (3 - math.sqrt(5))
    radius = np.sqrt(1 - height**2)
    directions = np.column_stack([radius[:, None] * around(angle.tolist()), height])
    centred = (vertices - vertices.mean(axis=0)) / np.ptp(vertices, axis=0)
    outermost = np.unique(np.argmax(product(centred, directions.T), axis=0))
    return np.asarray(vertices[outermost])


def _visual(stock: str, folder: Path) -> str:
    mesh = re.search(r"meshes/\w+/(\w+)\.obj", stock)
    if mesh is None:
        raise ValueError(f"The arm's URDF has a visual without a mesh: {stock}")
    name = mesh.group(1)
    origin = re.search(r"<origin[^>]*/>", stock)
    colour = _COLOURS.get(name, _LIGHT)
    return (
        f"<visual>{origin.group(0) if origin else ''}"
        f'<geometry><mesh filename="{(folder / name).as_posix()}.obj"/></geometry>'
        f'<material name="lowpoly_{name}"><color rgba="{colour}"/></material></visual>'
    )


def _read_vertices(path: Path) -> npt.NDArray[np.float64]:
    lines = path.read_text().splitlines()
    return np.array([[float(value) for value in line.split()[1:4]] for line in lines if line.startswith("v ")])
