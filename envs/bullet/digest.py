"""Hashes and sanity checks of a world's exact dynamic state."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import numpy.typing as npt

from envs.bullet.client import BulletClient
from envs.bullet.errors import SimulationError


def dynamic_state(client: BulletClient) -> npt.NDArray[np.float64]:
    """Poses and velocities of all bodies, positions and velocities of all joints, in order of loading, ``(N,)``."""
    values: list[float] = []
    for index in range(client.getNumBodies()):
        body = client.getBodyUniqueId(index)
        position, orientation = client.getBasePositionAndOrientation(body)
        linear, angular = client.getBaseVelocity(body)
        values += [*position, *orientation, *linear, *angular]
        joints = range(client.getNumJoints(body))
        if joints:
            for joint_position, joint_velocity, *_ in client.getJointStates(body, joints):
                values += [joint_position, joint_velocity]
    return np.asarray(values, dtype=np.float64)


def digest(client: BulletClient) -> str:
    """SHA-256 over the bytes of `dynamic_state`: equal digests mean bit-identical worlds."""
    return hashlib.sha256(dynamic_state(client).tobytes()).hexdigest()


def require_finite(client: BulletClient, names: dict[int, str], reach: float = 5.0, speed: float = 50.0) -> None:
    """Check that every named body is where a body can be.

    Args:
        client: Whose world.
        names: Body id to the name used in messages.
        reach: Metres from the origin that no body may exceed.
        speed: Metres per second that no body may exceed.

    Raises:
        SimulationError: A pose or velocity is NaN or infinite, or exceeds a bound.
    """
    for body, name in names.items():
        position, orientation = client.getBasePositionAndOrientation(body)
        linear, angular = client.getBaseVelocity(body)
        values = (*position, *orientation, *linear, *angular)
        if not math.isfinite(sum(values)):  # so it is if any of them is not
            raise SimulationError(f"'{name}' has a pose or velocity that is not finite: {values}")
        if math.hypot(*position) > reach or math.hypot(*linear) > speed:
            raise SimulationError(f"'{name}' exploded: position {position} m, velocity {linear} m/s")
