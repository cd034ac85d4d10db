"""Generated convex meshes: triangles for pictures, files for what Bullet reads from files only."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull

from envs.tabletop.linear import product
from envs.tabletop.shapes import Vector


@functools.cache
def scratch_folder() -> Path:
    """A folder for generated meshes, made once per process and removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix="tabletop-meshes-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def hull_faces(vertices: npt.NDArray[np.float64]) -> tuple[list[Vector], list[int], list[Vector]]:
    """The convex hull as separate flat-shaded triangles: vertices, indices, one normal per vertex."""
    hull = ConvexHull(vertices)
    points: list[Vector] = []
    normals: list[Vector] = []
    for simplex, equation in zip(hull.simplices, hull.equations, strict=True):
        normal = equation[:3]
        a, b, c = vertices[simplex]
        if product(np.cross(b - a, c - a), normal) < 0:
            b, c = c, b
        for corner in (a, b, c):
            points.append((float(corner[0]), float(corner[1]), float(corner[2])))
            normals.append((float(normal[0]), float(normal[1]), float(normal[2])))
    return points, list(range(len(points))), normals


def obj_text(vertices: npt.NDArray[np.float64]) -> str:
    """The convex hull of vertices ``(N, 3)`` as a Wavefront file, flat-shaded."""
    points, indices, normals = hull_faces(vertices)
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in points]
    lines += [f"vn {x:.4f} {y:.4f} {z:.4f}" for x, y, z in normals]
    corners = [f"{index + 1}//{index + 1}" for index in indices]
    lines += [f"f {a} {b} {c}" for a, b, c in zip(corners[::3], corners[1::3], corners[2::3], strict=True)]
    return "\n".join(lines) + "\n"
