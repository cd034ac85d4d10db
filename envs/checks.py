"""Findings of ``harness doctor`` about simulators, renderers and official files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pybullet

from envs.bullet.camera import Camera, Frame, perspective
from envs.bullet.client import BulletClient, egl_available
from envs.calvin.assets import manifest as calvin_files
from envs.language_table.assets import manifest as language_table_files
from envs.official import find_official
from harness.interfaces import Check, OfficialFiles

REFERENCE_FRAME = "fe9fd888a20bef26ac364563c82cc312ba97cec8d8dcd4adfe37c6d11cb275ae"
"""SHA-256 of `reference_frame`'s pixels: PyBullet 3.2.7 with its CPU renderer on x86-64."""


def checks() -> Iterator[Check]:
    """All of them; named by the entry point ``thinkjepa_harness.checks``."""
    yield _renderer()
    yield _egl()
    yield _files(calvin_files())
    yield _files(language_table_files())


def reference_frame() -> Frame:
    """Two boxes, one leaning, in 64 x 48 pixels."""
    client = BulletClient("tiny")
    try:
        for half, position, tilt, colour in (
            ((0.5, 0.5, 0.05), (0.0, 0.0, -0.05), 0.0, (0.8, 0.8, 0.7, 1.0)),
            ((0.1, 0.15, 0.2), (0.1, 0.0, 0.22), 0.3, (0.9, 0.1, 0.2, 1.0)),
        ):
            shape = client.createVisualShape(pybullet.GEOM_BOX, halfExtents=half, rgbaColor=colour)
            turned = pybullet.getQuaternionFromEuler((tilt, 0.0, 0.5))
            client.createMultiBody(0, baseVisualShapeIndex=shape, basePosition=position, baseOrientation=turned)
        view = pybullet.computeViewMatrix((1.0, 0.8, 0.9), (0.0, 0.0, 0.1), (0.0, 0.0, 1.0))
        return Camera(tuple(view), perspective(50.0, 0.01, 10.0, 64 / 48), 64, 48).render(client)
    finally:
        client.close()


def _renderer() -> Check:
    found = hashlib.sha256(reference_frame().rgb.tobytes()).hexdigest()
    if found == REFERENCE_FRAME:
        return Check("renderer", "ok", "TinyRenderer draws the reference frame pixel for pixel")
    return Check(
        "renderer",
        "note",
        f"TinyRenderer draws another reference frame here ({found[:12]})",
        "images will differ in a few pixels from those that published runs saw; state-only agents are not affected",
    )


def _egl() -> Check:
    if egl_available():
        return Check("egl", "ok", "renderer=egl works")
    if any(Path("/dev").glob("nvidia[0-9]*")):
        return Check(
            "egl",
            "note",
            "there is a GPU, but the EGL renderer cannot be loaded",
            "install the driver's EGL library (libnvidia-gl); in a container allow NVIDIA_DRIVER_CAPABILITIES=graphics",
        )
    return Check("egl", "ok", "not available; renderer=tiny draws on the CPU")


def _files(files: OfficialFiles) -> Check:
    name = f"{files.world} files"
    remedy = f"`harness assets {files.world}`"
    try:
        root = find_official(files)
    except FileNotFoundError as error:
        return Check(name, "fail", str(error).partition(";")[0], remedy)
    if root is None:
        return Check(name, "note", "generated ones: results are non-standard", remedy)
    return Check(name, "ok", f"{len(files.files)} official files in {root}")
