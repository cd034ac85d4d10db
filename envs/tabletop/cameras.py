"""The two cameras of the tabletop world and how its pictures are lit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pybullet

from envs.bullet import BulletClient, Camera, Frame, perspective
from envs.tabletop.kinematics import rotation_matrix
from envs.tabletop.linear import norm, product
from envs.tabletop.shapes import Vector

CameraName = Literal["rgb_static", "rgb_gripper"]

CAMERAS: tuple[CameraName, ...] = ("rgb_static", "rgb_gripper")
"""All cameras: one that looks at table and arm from the front, one on the gripper."""

STATIC_EYE = (0.70, 0.0, 0.62)
"""Where the static camera stands, metres in the world frame."""

_NEAR = 0.02
FAR = 6.0
"""Distance of the far plane in metres, which is the depth where nothing is."""


@dataclass(frozen=True)
class Views:
    """Where the cameras are and what they look at.

    Attributes:
        static_eye: Where the static camera stands, metres in the world frame.
        static_target: The point in the middle of its picture.
        static_roll: By how much it is turned about its line of sight, radians.
        static_fov: Its field of view in degrees.
        gripper_eye: Where the gripper's camera is, metres in the tool's frame: beside the hand, above the fingers.
        gripper_target: The point in the middle of its picture, in the tool's frame.
        gripper_fov: Its field of view in degrees.
    """

    static_eye: Vector = STATIC_EYE
    static_target: Vector = (-0.05, 0.0, 0.10)
    static_roll: float = 0.0
    static_fov: float = 45.0
    gripper_eye: Vector = (0.075, 0.0, -0.06)
    gripper_target: Vector = (0.015, 0.0, 0.05)
    gripper_fov: float = 75.0


@dataclass(frozen=True)
class Light:
    """How pictures are lit. The defaults are soft daylight without cast shadows, which would cost a second pass.

    Attributes:
        direction: Where the light comes from.
        colour: Red, green and blue in [0, 1].
        ambient: Share of light that comes from everywhere.
        diffuse: Share that dull surfaces reflect.
        specular: Share that shines.
        shadows: Whether things cast shadows.
    """

    direction: Vector = (0.6, 0.5, 1.0)
    colour: Vector = (1.0, 1.0, 1.0)
    ambient: float = 0.55
    diffuse: float = 0.5
    specular: float = 0.05
    shadows: bool = False


def camera(
    name: CameraName,
    views: Views,
    size: int,
    tool_position: npt.NDArray[np.float64],
    tool_rotation: npt.NDArray[np.float64],
) -> Camera:
    """A camera as it stands when the tool is at a pose; pictures are ``size`` pixels square.

    Raises:
        ValueError: There is no camera of that name.
    """
    if name == "rgb_static":
        eye, target, fov = views.static_eye, views.static_target, views.static_fov
        up = _rolled_up(np.array(target) - np.array(eye), views.static_roll)
    elif name == "rgb_gripper":
        eye = tuple(tool_position + product(tool_rotation, np.array(views.gripper_eye)))
        target = tuple(tool_position + product(tool_rotation, np.array(views.gripper_target)))
        up, fov = tuple(tool_rotation[:, 0]), views.gripper_fov
    else:
        raise ValueError(f"There is no camera '{name}'; the world has {', '.join(CAMERAS)}")
    view = tuple(pybullet.computeViewMatrix(eye, target, up))
    return Camera(view, perspective(fov, _NEAR, FAR), size, size, _NEAR, FAR)


def render(client: BulletClient, view: Camera, light: Light) -> Frame:
    """One picture."""
    return view.render(
        client,
        shadow=int(light.shadows),
        lightDirection=light.direction,
        lightColor=light.colour,
        lightAmbientCoeff=light.ambient,
        lightDiffuseCoeff=light.diffuse,
        lightSpecularCoeff=light.specular,
    )


def _rolled_up(sight: npt.NDArray[np.float64], roll: float) -> Vector:
    """The vertical, turned about a line of sight by ``roll`` radians."""
    if not roll:
        return (0.0, 0.0, 1.0)
    x, y, z = product(rotation_matrix(roll * sight / norm(sight)), np.array([0.0, 0.0, 1.0]))
    return (float(x), float(y), float(z))
