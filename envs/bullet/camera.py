"""Cameras: matrices and rendered frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pybullet

from envs.bullet.client import BulletClient

Matrix = tuple[float, ...]
"""An OpenGL 4x4 matrix, column-major, as PyBullet takes it."""


class Frame(NamedTuple):
    """One rendered frame.

    Attributes:
        rgb: ``uint8 (H, W, 3)``.
        depth: Metres along the optical axis, ``float32 (H, W)``; rounding may put the far plane a hair beyond itself.
        segmentation: Body id at each pixel, -1 for none, ``int32 (H, W)``.
    """

    rgb: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    segmentation: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        view: World to camera, column-major.
        projection: Camera to clip space, column-major.
        width: Pixels.
        height: Pixels.
        near: Distance of the near plane in metres, to turn depth into metres.
        far: Distance of the far plane in metres.
    """

    view: Matrix
    projection: Matrix
    width: int
    height: int
    near: float = 0.01
    far: float = 10.0

    def project(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Where points ``(..., 3)`` of the world are seen: ``(..., 2)`` from 0 to 1, u to the right and v down."""
        world = np.asarray(points, dtype=np.float64)
        matrix = np.reshape(self.view, (4, 4)) @ np.reshape(self.projection, (4, 4))  # transposed, as both are given
        clip = world @ matrix[:3] + matrix[3]
        return np.asarray((clip[..., :2] / clip[..., 3:] * (1, -1) + 1) / 2)

    def render(self, client: BulletClient, **options: Any) -> Frame:
        """The client's world as this camera sees it.

        Args:
            client: Whose world.
            **options: Further arguments of ``pybullet.getCameraImage``: ``shadow``, ``lightDirection``, ...
        """
        width, height, rgba, depth, segmentation = client.getCameraImage(
            width=self.width,
            height=self.height,
            viewMatrix=self.view,
            projectionMatrix=self.projection,
            renderer=client.renderer_flag,
            **options,
        )
        shape = (height, width)
        buffer = np.asarray(depth, dtype=np.float32).reshape(shape)
        metres = self.far * self.near / (self.far - (self.far - self.near) * buffer)
        return Frame(
            rgb=np.ascontiguousarray(np.asarray(rgba, dtype=np.uint8).reshape(*shape, 4)[:, :, :3]),
            depth=np.asarray(metres, dtype=np.float32),
            segmentation=np.array(segmentation, dtype=np.int32).reshape(shape),
        )


def perspective(fov_degrees: float, near: float, far: float, aspect: float = 1.0) -> Matrix:
    """The projection matrix of a field of view (vertical, degrees)."""
    return tuple(pybullet.computeProjectionMatrixFOV(fov_degrees, aspect, near, far))
