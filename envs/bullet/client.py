"""One PyBullet physics server per world, and the choice of its renderer."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pybullet

Renderer = Literal["tiny", "egl", "auto"]

_EGL_PLUGIN = "_eglRendererPlugin"
_EGL_PROBE = """
from envs.bullet.client import BulletClient
client = BulletClient("egl")
client.getCameraImage(8, 8)
client.close()
"""


def resolved(renderer: Renderer) -> Literal["tiny", "egl"]:
    """What really renders on this machine."""
    if renderer == "auto":
        return "egl" if egl_available() else "tiny"
    return renderer


class BulletClient:
    """A ``DIRECT`` physics server; every PyBullet function is a method that already carries its client id.

    Args:
        renderer: ``tiny`` renders on the CPU, ``egl`` on a GPU, ``auto`` takes ``egl`` where it works.

    Raises:
        RuntimeError: ``egl`` was asked for and the plugin cannot be loaded, or no server could be started.
    """

    def __init__(self, renderer: Renderer = "tiny") -> None:
        self._client_id = -1
        self._plugin = -1
        client_id = pybullet.connect(pybullet.DIRECT)
        if client_id < 0:
            raise RuntimeError("PyBullet could not start another physics server: too many worlds are open; close some")
        self._client_id = client_id
        if resolved(renderer) == "egl":
            self._plugin = self._load_egl()

    def __getattr__(self, name: str) -> Any:
        """PyBullet's function or constant of that name; functions get this client's id."""
        value = getattr(pybullet, name)
        if callable(value):
            value = functools.partial(value, physicsClientId=self._client_id)
        self.__dict__[name] = value
        return value

    @property
    def renderer_flag(self) -> int:
        """The ``renderer`` argument for ``getCameraImage``."""
        return int(pybullet.ER_TINY_RENDERER if self._plugin < 0 else pybullet.ER_BULLET_HARDWARE_OPENGL)

    def renderer_name(self) -> str:
        """``tiny`` or ``egl``: what really renders, for the provenance of a run."""
        return "tiny" if self._plugin < 0 else "egl"

    def close(self) -> None:
        """Stop the server; further calls raise ``pybullet.error``. Closing twice is fine."""
        if self._client_id < 0:
            return
        if self._plugin >= 0:
            pybullet.unloadPlugin(self._plugin, physicsClientId=self._client_id)
        if pybullet.isConnected(self._client_id):
            pybullet.disconnect(self._client_id)
        self._client_id = -1

    def __del__(self) -> None:
        if self.__dict__.get("_client_id", -1) >= 0:
            self.close()

    def _load_egl(self) -> int:
        spec = importlib.util.find_spec("eglRenderer")
        if spec is None or spec.origin is None:
            raise RuntimeError("This build of PyBullet has no EGL plugin; use renderer='tiny'")
        plugin = pybullet.loadPlugin(spec.origin, _EGL_PLUGIN, physicsClientId=self._client_id)
        if plugin < 0:
            raise RuntimeError("The EGL renderer could not be loaded (no GPU or no EGL driver); use renderer='tiny'")
        return int(plugin)


@functools.cache
def egl_available() -> bool:
    """Whether the EGL renderer works here.

    Tried in a child process, because a driver that is half there ends the process that loads it.
    """
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not any(Path("/dev").glob("dri/renderD*")):
        return False
    probe = subprocess.run([sys.executable, "-c", _EGL_PROBE], capture_output=True, timeout=60, check=False)
    return probe.returncode == 0
