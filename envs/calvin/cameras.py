"""The two cameras of the public benchmark: a static one beside the table, and one on the gripper."""

from __future__ import annotations

import functools

import numpy as np
import pybullet

from envs.bullet.camera import Camera, Frame, perspective
from envs.calvin.world import World

STATIC_SIZE = 200
GRIPPER_SIZE = 84
GRIPPER_CAMERA_LINK = 14

_STATIC_EYE = (2.871459009488717, -2.166602199425597, 2.555159848480571)
_STATIC_TARGET = (-0.026242351159453392, -0.0302329882979393, 0.3920000493526459)
_STATIC_UP = (0.4041403970338857, 0.22629790978217404, 0.8862616969685161)
_STATIC_NEAR_FAR = (0.01, 10.0)
_GRIPPER_NEAR_FAR = (0.01, 2.0)


@functools.cache
def static_camera() -> Camera:
    """The static camera: 200x200, field of view 10 degrees."""
    view = pybullet.computeViewMatrix(_STATIC_EYE, _STATIC_TARGET, _STATIC_UP)
    near, far = _STATIC_NEAR_FAR
    return Camera(tuple(view), perspective(10, near, far), STATIC_SIZE, STATIC_SIZE, near, far)


def gripper_camera(world: World) -> Camera:
    """The gripper camera now: 84x84, field of view 75 degrees; looks along its link's y axis, with -z up."""
    position, orientation = world.client.getLinkState(world.robot.uid, GRIPPER_CAMERA_LINK)[:2]
    axes = np.array(world.client.getMatrixFromQuaternion(orientation)).reshape(3, 3)
    view = world.client.computeViewMatrix(position, position + axes[:, 1], -axes[:, 2])
    near, far = _GRIPPER_NEAR_FAR
    return Camera(tuple(view), perspective(75, near, far), GRIPPER_SIZE, GRIPPER_SIZE, near, far)


def render_static(world: World) -> Frame:
    """The static camera's frame of a world that was loaded with visuals."""
    return static_camera().render(world.client)


def render_gripper(world: World) -> Frame:
    """The gripper camera's frame of a world that was loaded with visuals."""
    return gripper_camera(world).render(world.client)
