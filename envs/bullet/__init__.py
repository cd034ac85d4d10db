"""What all simulators here share: a Bullet client of one's own, cameras, state digests and typed errors."""

from envs.bullet.camera import Camera, Frame, perspective
from envs.bullet.client import BulletClient, Renderer, egl_available, resolved
from envs.bullet.digest import digest, require_finite
from envs.bullet.errors import SimulationError

__all__ = [
    "BulletClient",
    "Camera",
    "Frame",
    "Renderer",
    "SimulationError",
    "digest",
    "egl_available",
    "perspective",
    "require_finite",
    "resolved",
]
