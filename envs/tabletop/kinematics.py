"""Forward and inverse kinematics of the Panda arm.

Written out here, because Bullet's own solver keeps state between calls, which would let one episode leak into the
next, and ignores joint limits.
"""

from __future__ import annotations

import math

import numpy as np

from envs.arrays import FloatArray
from envs.tabletop.linear import norm, product, solved
from envs.tabletop.shapes import BASE_POSITION, Vector, rotation

# Joint frames in their parents (xyz, roll) and the tool in the seventh link, from the arm's URDF. The tool frame is the
# URDF's ``panda_grasptarget``: between the finger pads, 7 mm above their tips.
_ORIGINS = (
    ((0.0, 0.0, 0.333), 0.0),
    ((0.0, 0.0, 0.0), -math.pi / 2),
    ((0.0, -0.316, 0.0), math.pi / 2),
    ((0.0825, 0.0, 0.0), math.pi / 2),
    ((-0.0825, 0.384, 0.0), -math.pi / 2),
    ((0.0, 0.0, 0.0), math.pi / 2),
    ((0.088, 0.0, 0.0), math.pi / 2),
)
TOOL_LENGTH = 0.107 + 0.105
"""Metres from the seventh joint's frame to the tool frame."""

_TOOL_TWIST = -math.pi / 4

LOWER = np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973])
"""Lower soft limits of the joints in radians."""

UPPER = np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973])
"""Upper soft limits of the joints in radians."""

POSTURE = np.array([0.0, -0.35, 0.0, -2.4, 0.0, 2.05, math.pi / 4])
"""Elbow-up posture that the redundant joint is drawn to."""

_AXES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_DAMPING = 1e-4
_POSTURE_GAIN = 0.01
_MAX_STEP = 0.35


def forward(joints: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The tool's pose and Jacobian.

    Args:
        joints: ``(7,)`` radians.

    Returns:
        Position ``(3,)`` in metres, rotation ``(3, 3)``, and Jacobian ``(6, 7)`` (linear over angular), world frame.
    """
    place = BASE_POSITION
    x, y, z = _AXES
    origins, axes = [], []
    for (offset, roll), joint in zip(_ORIGINS, joints.tolist(), strict=True):
        place = _moved(place, x, y, z, offset)
        y, z = _turned(y, z, roll)
        x, y = _turned(x, y, joint)
        origins.append(place)
        axes.append(z)
    place = _moved(place, x, y, z, (0.0, 0.0, TOOL_LENGTH))
    x, y = _turned(x, y, _TOOL_TWIST)
    linear = [_velocity(axis, origin, place) for axis, origin in zip(axes, origins, strict=True)]
    return np.array(place), np.array((x, y, z)).T, np.concatenate([np.array(linear).T, np.array(axes).T])


def _moved(place: Vector, x: Vector, y: Vector, z: Vector, offset: Vector) -> Vector:
    """The point at ``offset`` in the frame at ``place`` with these axes."""
    a, b, c = offset
    return (
        place[0] + a * x[0] + b * y[0] + c * z[0],
        place[1] + a * x[1] + b * y[1] + c * z[1],
        place[2] + a * x[2] + b * y[2] + c * z[2],
    )


def _turned(one: Vector, other: Vector, angle: float) -> tuple[Vector, Vector]:
    """Two axes of a frame, turned by ``angle`` about the third."""
    c, s = math.cos(angle), math.sin(angle)
    (a, b, d), (u, v, w) = one, other
    return (c * a + s * u, c * b + s * v, c * d + s * w), (c * u - s * a, c * v - s * b, c * w - s * d)


def _velocity(axis: Vector, origin: Vector, place: Vector) -> Vector:
    """How ``place`` moves when what stands at ``origin`` turns about ``axis`` by one radian per second."""
    a, b, c = axis
    u, v, w = place[0] - origin[0], place[1] - origin[1], place[2] - origin[2]
    return b * w - c * v, c * u - a * w, a * v - b * u


def inverse(
    start: FloatArray, position: FloatArray, orientation: FloatArray, iterations: int = 20, tolerance: float = 2e-5
) -> FloatArray:
    """Joint angles ``(7,)`` that bring the tool to a pose, or as near as limits allow, by damped least squares.

    Args:
        start: Angles to start from, ``(7,)``; the solution stays on their branch.
        position: Target ``(3,)`` in metres.
        orientation: Target rotation ``(3, 3)``.
        iterations: Upper bound.
        tolerance: Metres and radians at which to stop.
    """
    joints = start.copy()
    damping = _DAMPING * np.eye(6)
    for _ in range(iterations):
        reached, reached_rotation, jacobian = forward(joints)
        error = np.concatenate([position - reached, rotation_vector(product(orientation, reached_rotation.T))])
        if np.abs(error).max() < tolerance:
            break
        pull = _POSTURE_GAIN * (POSTURE - joints)
        pull[-1] = 0.0
        gram = product(jacobian, jacobian.T) + damping
        step = pull + product(jacobian.T, solved(gram, error - product(jacobian, pull)))
        largest = np.abs(step).max()
        if largest > _MAX_STEP:
            step *= _MAX_STEP / largest
        joints = np.clip(joints + step, LOWER, UPPER)
    return joints


def rotation_vector(matrix: FloatArray) -> FloatArray:
    """Axis times angle ``(3,)`` of a rotation matrix; exact for small angles, the short way round for large ones."""
    skew = 0.5 * np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]])
    sine = norm(skew)
    cosine = 0.5 * (float(np.trace(matrix)) - 1.0)
    if sine < 1e-9:
        return skew if cosine > 0 else np.array([math.pi, 0.0, 0.0])
    return np.asarray(skew * (math.atan2(sine, cosine) / sine))


def vertical(yaw: float) -> FloatArray:
    """Tool orientation ``(3, 3)`` that points straight down, turned by ``yaw``; at 0 the fingers close along ``y``."""
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, s, 0.0], [s, -c, 0.0], [0.0, 0.0, -1.0]])


def euler(matrix: FloatArray) -> FloatArray:
    """Roll, pitch, yaw ``(3,)`` (fixed axes x, y, z, in that order) of a rotation matrix."""
    return np.array(
        [
            math.atan2(matrix[2, 1], matrix[2, 2]),
            math.asin(float(np.clip(-matrix[2, 0], -1.0, 1.0))),
            math.atan2(matrix[1, 0], matrix[0, 0]),
        ]
    )


def rotation_matrix(vector: FloatArray) -> FloatArray:
    """Rotation matrix ``(3, 3)`` of an axis times an angle ``(3,)``; the inverse of `rotation_vector`."""
    angle = norm(vector)
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * product(cross, cross))


def from_euler(angles: FloatArray) -> FloatArray:
    """Rotation matrix ``(3, 3)`` of roll, pitch, yaw ``(3,)``; the inverse of `euler`."""
    roll, pitch, yaw = angles.tolist()
    return rotation((roll, pitch, yaw))
