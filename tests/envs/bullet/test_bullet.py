"""The layer that all Bullet worlds share."""

import math

import numpy as np
import pybullet
import pytest

from envs.bullet import BulletClient, Camera, SimulationError, digest, egl_available, perspective, require_finite


@pytest.fixture
def client():
    client = BulletClient("tiny")
    yield client
    client.close()


def ball(client, position, rgba=(1, 0, 0, 1)):
    collision = client.createCollisionShape(client.GEOM_SPHERE, radius=0.1)
    visual = client.createVisualShape(client.GEOM_SPHERE, radius=0.1, rgbaColor=rgba)
    return client.createMultiBody(1.0, collision, visual, basePosition=position)


def looking_down(size=64):
    view = tuple(pybullet.computeViewMatrix((0, 0, 1), (0, 0, 0), (0, 1, 0)))
    return Camera(view, perspective(60, 0.05, 4.0), size, size, 0.05, 4.0)


def test_clients_are_separate_worlds(client):
    other = BulletClient()
    ball(client, [0, 0, 0])
    assert client.getNumBodies() == 1
    assert other.getNumBodies() == 0
    other.close()
    assert client.getNumBodies() == 1


def test_closing_twice_is_fine():
    client = BulletClient()
    client.close()
    client.close()


def test_camera_sees_colour_depth_and_body(client):
    body = ball(client, [0, 0, 0])
    frame = looking_down().render(client, shadow=0)
    assert frame.rgb.shape == (64, 64, 3)
    assert frame.rgb.dtype == np.uint8
    red, green, _ = frame.rgb[32, 32].astype(int)
    assert red > green + 50
    assert frame.depth[32, 32] == pytest.approx(0.9, abs=0.01)
    assert frame.depth[0, 0] == pytest.approx(4.0, abs=0.01)
    assert frame.segmentation[32, 32] == body
    assert frame.segmentation[0, 0] == -1


def test_digest_sees_the_last_bit(client):
    body = ball(client, [0, 0, 0.5])
    before = digest(client)
    assert digest(client) == before
    client.resetBasePositionAndOrientation(body, [0, 0, math.nextafter(0.5, 1)], [0, 0, 0, 1])
    assert digest(client) != before


def test_digest_sees_velocity(client):
    body = ball(client, [0, 0, 0.5])
    before = digest(client)
    client.resetBaseVelocity(body, [1e-12, 0, 0])
    assert digest(client) != before


def test_rendering_does_not_change_the_digest(client):
    ball(client, [0, 0, 0.5])
    before = digest(client)
    looking_down().render(client)
    assert digest(client) == before


def test_bodies_that_left_are_reported_by_name(client):
    body = ball(client, [0, 0, 0])
    require_finite(client, {body: "ball"})
    client.resetBasePositionAndOrientation(body, [9, 0, 0], [0, 0, 0, 1])
    with pytest.raises(SimulationError, match="'ball' exploded"):
        require_finite(client, {body: "ball"})
    client.resetBasePositionAndOrientation(body, [float("nan"), 0, 0], [0, 0, 0, 1])
    with pytest.raises(SimulationError, match="'ball' has a pose"):
        require_finite(client, {body: "ball"})


def test_auto_takes_what_works():
    client = BulletClient("auto")
    assert client.renderer_name() == ("egl" if egl_available() else "tiny")
    client.close()
