"""Where objects are and how far they are apart: small functions over ground truth and shapes, in metres."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from envs.tabletop.linear import product
from envs.tabletop.scene import Kind, ObjectSpec, Size, WorldState
from envs.tabletop.shapes import dimensions, is_container, outline, parts

Points = npt.NDArray[np.float64]
Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]


def spec_of(state: WorldState, name: str) -> ObjectSpec:
    """What was loaded as ``name``.

    Raises:
        KeyError: The scene has no such object; the message lists those that it has.
    """
    for spec in state.scene.objects:
        if spec.name == name:
            return spec
    raise KeyError(f"no object {name!r} in the scene; it has {', '.join(spec.name for spec in state.scene.objects)}")


def rotation_matrix(orientation: Quaternion) -> Points:
    """Rotation matrix ``(3, 3)`` of a unit quaternion ``xyzw``."""
    x, y, z, w = orientation
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def world_points(state: WorldState, name: str) -> Points:
    """Corner points of an object where it is now, ``(N, 3)``; read-only."""
    spec, body = spec_of(state, name), state.objects[name]
    return _world_points(spec.kind, spec.size, body.position, body.orientation)


def footprint(state: WorldState, name: str) -> Points:
    """The object's outline seen from above: corners of a convex polygon, anticlockwise, ``(M, 2)``; read-only."""
    spec, body = spec_of(state, name), state.objects[name]
    return _footprint(spec.kind, spec.size, body.position, body.orientation)


# Most objects stay where they are while one moves, so most of these questions are asked again and again.


@functools.lru_cache(maxsize=1024)
def _world_points(kind: Kind, size: Size, position: Vector, orientation: Quaternion) -> Points:
    points: Points = product(outline(kind, size), rotation_matrix(orientation).T) + np.array(position)
    points.setflags(write=False)
    return points


@functools.lru_cache(maxsize=1024)
def _footprint(kind: Kind, size: Size, position: Vector, orientation: Quaternion) -> Points:
    corners = convex_hull(_world_points(kind, size, position, orientation)[:, :2])
    corners.setflags(write=False)
    return corners


def obstacles(state: WorldState, name: str, above: float) -> list[Points]:
    """Outlines seen from above of what rises over a height in metres; of a container, only the walls that do."""
    spec = spec_of(state, name)
    if not is_container(spec.kind):
        return [footprint(state, name)] if world_points(state, name)[:, 2].max() > above else []
    body = state.objects[name]
    return list(_walls(spec.kind, spec.size, body.position, body.orientation, above))


@functools.lru_cache(maxsize=256)
def _walls(kind: Kind, size: Size, position: Vector, orientation: Quaternion, above: float) -> tuple[Points, ...]:
    matrix = rotation_matrix(orientation)
    corners = [product(part.vertices, matrix.T) + np.array(position) for part in parts(kind, size)]
    return tuple(convex_hull(points[:, :2]) for points in corners if points[:, 2].max() > above)


def tilt(state: WorldState, name: str) -> float:
    """Angle between the object's own vertical axis and the world's, in radians."""
    up = rotation_matrix(state.objects[name].orientation)[2, 2]
    return math.acos(min(1.0, max(-1.0, float(up))))


def in_frame_of(state: WorldState, name: str, point: Vector) -> Points:
    """``point`` in the frame of the object ``name``, ``(3,)``."""
    body = state.objects[name]
    local: Points = product(np.array(point) - np.array(body.position), rotation_matrix(body.orientation))
    return local


def convex_hull(points: Points) -> Points:
    """Corners of the convex hull of points ``(N, 2)``, anticlockwise, ``(M, 2)``.

    Raises:
        ValueError: All points lie on one line.
    """
    ordered = sorted({(round(float(x), 9), round(float(y), 9)) for x, y in points})

    def half(sequence: list[tuple[float, float]]) -> list[tuple[float, float]]:
        chain: list[tuple[float, float]] = []
        for x, y in sequence:
            while len(chain) >= 2:
                (ax, ay), (bx, by) = chain[-2:]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 1e-12:
                    break
                chain.pop()
            chain.append((x, y))
        return chain[:-1]

    corners = half(ordered) + half(ordered[::-1])
    if len(corners) < 3:
        raise ValueError("a footprint needs three points that are not on one line")
    return np.array(corners)


def rectangle(centre: tuple[float, float], half_extents: tuple[float, float], yaw: float = 0.0) -> Points:
    """Corners of a rectangle, anticlockwise, ``(4, 2)``."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array(half_extents)
    turn = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
    return np.asarray(product(corners, turn.T) + np.array(centre), dtype=np.float64)


def distance_to_polygon(polygon: Points, points: Points) -> Points:
    """Signed distance of points ``(N, 2)`` to the edges of a convex anticlockwise polygon, ``(N,)``; negative inside.

    Beyond a corner it is the distance to the farther edge's line, which is less than the distance to the corner.
    """
    return np.asarray(_distances_to_edges(polygon, points).max(axis=1))


def separation(one: Points, other: Points) -> float:
    """How far two convex anticlockwise polygons are apart along the best edge normal; negative where they overlap.

    Corner to corner it is less than their distance.
    """
    return max(
        float(_distances_to_edges(one, other).min(axis=0).max()),
        float(_distances_to_edges(other, one).min(axis=0).max()),
    )


def _distances_to_edges(polygon: Points, points: Points) -> Points:
    """Distance of points ``(N, 2)`` from the lines through a polygon's edges, positive outside, ``(N, M)``."""
    normals, offsets = _edges(np.asarray(polygon, dtype=np.float64).tobytes())
    return np.asarray(product(points, normals.T) - offsets)


@functools.lru_cache(maxsize=2048)
def _edges(corners: bytes) -> tuple[Points, Points]:
    """The lines through a polygon's edges: outward normals ``(M, 2)``, distances from the origin ``(M,)``."""
    polygon = np.frombuffer(corners).reshape(-1, 2)
    edges = np.roll(polygon, -1, axis=0) - polygon
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1) / np.hypot(edges[:, 0], edges[:, 1])[:, None]
    return normals, (polygon * normals).sum(axis=1)


def radius(kind: Kind, size: Size) -> float:
    """Radius of the circle around the object's footprint when it stands upright, whatever its yaw."""
    x, y, _ = dimensions(kind, size)
    return x / 2 if kind in (Kind.CYLINDER, Kind.BOWL) else math.hypot(x, y) / 2
