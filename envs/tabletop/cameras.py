"""The two cameras of the tabletop world and how its pictures are lit."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pybullet

from envs.bullet import BulletClient, Camera, Frame, perspective

CameraName = Literal["rgb_static", "rgb_gripper"]

CAMERAS: tuple[CameraName, ...] = ("rgb_static", "rgb_gripper")
"""All cameras: one that looks at table and arm from the front, one on the gripper."""

_STATIC_EYE = (0.70, 0.0, 0.62)
_STATIC_TARGET = (-0.05, 0.0, 0.10)
_STATIC_FOV = 45.0
_GRIPPER_FOV = 75.0
_GRIPPER_EYE = (0.075, 0.0, -0.06)  # in the tool's frame: beside the hand, above the fingers
_GRIPPER_TARGET = (0.015, 0.0, 0.05)
_NEAR = 0.02
FAR = 6.0
"""Distance of the far plane in metres, which is the depth where nothing is."""

LIGHT: dict[str, Any] = {
    "shadow": 0,
    "lightDirection": (0.6, 0.5, 1.0),
    "lightColor": (1.0, 1.0, 1.0),
    "lightAmbientCoeff": 0.55,
    "lightDiffuseCoeff": 0.5,
    "lightSpecularCoeff": 0.05,
}
"""Soft daylight without cast shadows, which would cost a second pass."""


def camera(
    name: CameraName, size: int, tool_position: npt.NDArray[np.float64], tool_rotation: npt.NDArray[np.float64]
) -> Camera:
    """A camera as it stands when the tool is at a pose; pictures are ``size`` pixels square.

    Raises:
        ValueError: There is no camera of that name.
    """
    if name == "rgb_static":
        eye, target, up, fov = _STATIC_EYE, _STATIC_TARGET, (0.0, 0.0, 1.0), _STATIC_FOV
    elif name == "rgb_gripper":
        eye = tuple(tool_position + tool_rotation @ np.array(_GRIPPER_EYE))
        target = tuple(tool_position + tool_rotation @ np.array(_GRIPPER_TARGET))
        up = tuple(tool_rotation[:, 0])
        fov = _GRIPPER_FOV
    else:
        raise ValueError(f"There is no camera '{name}'; the world has {', '.join(CAMERAS)}")
    view = tuple(pybullet.computeViewMatrix(eye, target, up))
    return Camera(view, perspective(fov, _NEAR, FAR), size, size, _NEAR, FAR)


def render(client: BulletClient, view: Camera) -> Frame:
    """One picture in the world's light."""
    return view.render(client, **LIGHT)
