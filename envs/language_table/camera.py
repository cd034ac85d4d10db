"""The public simulator's camera: one fixed view of the board from the far side, looking at the robot.

The focal length is tied to a width of 320 pixels, so another image size changes the field of view; only 320x180 is
offered here.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import pybullet

from envs.bullet import Camera, perspective
from envs.language_table import geometry


@functools.cache
def camera() -> Camera:
    """The camera with 320x180 pixels."""
    # float32 on purpose: the matrices are then the public simulator's to the last bit.
    quaternion = pybullet.getQuaternionFromEuler(geometry.CAMERA_EULER)
    rotation = np.array(pybullet.getMatrixFromQuaternion(quaternion), np.float32).reshape(3, 3)
    forward = rotation @ np.array([0, 0, 1], np.float32)
    up = rotation @ np.array([0, -1, 0], np.float32)
    view = pybullet.computeViewMatrix(geometry.CAMERA_POSITION, geometry.CAMERA_POSITION + forward, up)
    fov = 180 * np.arctan(geometry.IMAGE_HEIGHT / 2 / geometry.FOCAL_LENGTH) * 2 / math.pi
    aspect = geometry.IMAGE_WIDTH / geometry.IMAGE_HEIGHT
    return Camera(
        view=tuple(view),
        projection=perspective(float(fov), geometry.CAMERA_NEAR, geometry.CAMERA_FAR, aspect),
        width=geometry.IMAGE_WIDTH,
        height=geometry.IMAGE_HEIGHT,
        near=geometry.CAMERA_NEAR,
        far=geometry.CAMERA_FAR,
    )
