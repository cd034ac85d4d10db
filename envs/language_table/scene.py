"""Draws the table: the same pixels as rendering the physics world, in less than half the time.

Most of a software-rendered frame goes into the ground and the board, which never move. They are drawn once; a frame
then draws the arm, the rod and the blocks in a server of their own and puts what lies in front over that background by
depth. The golden frames are reproduced to the last pixel.

With ``lowpoly`` the arm is drawn with its collision meshes: about half the time again, and slightly other pixels.
"""

from __future__ import annotations

import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pybullet

from envs.bullet import BulletClient
from envs.language_table.assets import AssetSet
from envs.language_table.blocks import BLOCK_INDEX, LOAD_ORDER
from envs.language_table.camera import camera
from envs.language_table.world import ARM_JOINTS, ARM_URDF, BOARD_POSITION, GROUND_POSITION, GROUND_URDF, World

_FAR_AWAY: Final = (5.0, 5.0, 0.0)
_BODY_BITS: Final = (1 << 24) - 1


@dataclass(frozen=True)
class View:
    """One frame.

    Attributes:
        rgb: ``uint8 (180, 320, 3)``.
        segmentation: Body at each pixel, ``int32 (180, 320)``: -1 nothing, 0 ground, 1 board, 2 arm, 3 rod, 4 to 19
            the blocks in load order.
    """

    rgb: npt.NDArray[np.uint8]
    segmentation: npt.NDArray[np.int32]


class Scene:
    """What is drawn of a table; holds no physics.

    Args:
        assets: Models of blocks, rod and board.
        lowpoly: Draw the arm with its collision meshes.
    """

    def __init__(self, assets: AssetSet, lowpoly: bool = False) -> None:
        self._client = BulletClient("tiny")
        still = [
            self._client.loadURDF(str(GROUND_URDF), GROUND_POSITION),
            self._client.loadURDF(str(assets.table), BOARD_POSITION),
        ]
        rgba, self._still_depth, segmentation = self._capture()
        self._still_rgb = np.ascontiguousarray(rgba[:, :, :3])
        self._still_bodies = _renamed(segmentation, {body: index for index, body in enumerate(still)})
        for body in still:
            self._client.removeBody(body)
        self._arm: int = _load_lowpoly_arm(self._client) if lowpoly else self._client.loadURDF(str(ARM_URDF))
        self._rod: int = self._client.loadURDF(str(assets.rod))
        self._blocks: list[int] = [self._client.loadURDF(str(assets.block(name)), _FAR_AWAY) for name in LOAD_ORDER]
        moving = (self._arm, self._rod, *self._blocks)
        self._names = {body: len(still) + index for index, body in enumerate(moving)}
        self._shown: frozenset[str] = frozenset()

    def draw(self, world: World, on_table: tuple[str, ...]) -> View:
        """The table as it is now."""
        self._follow(world, on_table)
        rgba, depth, segmentation = self._capture()
        front = depth < self._still_depth
        rgb = np.where(front[:, :, None], rgba[:, :, :3], self._still_rgb)
        bodies = np.where(front, _renamed(segmentation, self._names), self._still_bodies)
        return View(rgb, bodies)

    def _follow(self, world: World, on_table: tuple[str, ...]) -> None:
        client = self._client
        for joint, angle in zip(ARM_JOINTS, world.joint_angles(), strict=True):
            client.resetJointState(self._arm, joint, angle)
        client.resetBasePositionAndOrientation(self._rod, *world.rod_pose())
        for name in self._shown.difference(on_table):
            client.resetBasePositionAndOrientation(self._blocks[BLOCK_INDEX[name]], _FAR_AWAY, (0, 0, 0, 1))
        self._shown = frozenset(on_table)
        for name in on_table:
            index = BLOCK_INDEX[name]
            client.resetBasePositionAndOrientation(self._blocks[index], *world.block_pose(index))

    def _capture(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        view = camera()
        _, _, rgba, depth, segmentation = self._client.getCameraImage(
            width=view.width,
            height=view.height,
            viewMatrix=view.view,
            projectionMatrix=view.projection,
            renderer=pybullet.ER_TINY_RENDERER,
            flags=pybullet.ER_SEGMENTATION_MASK_OBJECT_AND_LINKINDEX,
        )
        shape = (view.height, view.width)
        return (
            np.array(rgba, dtype=np.uint8).reshape(*shape, 4),
            np.array(depth, dtype=np.float32).reshape(shape),
            np.array(segmentation, dtype=np.int32).reshape(shape),
        )

    def close(self) -> None:
        """Stop the server."""
        self._client.close()


def _renamed(segmentation: npt.NDArray[np.int32], names: dict[int, int]) -> npt.NDArray[np.int32]:
    """Body indices from Bullet's packed body and link ids; -1 where there is nothing."""
    table = np.full(max(names) + 2, -1, np.int32)
    for body, name in names.items():
        table[body] = name
    bodies: npt.NDArray[np.int32] = table[np.where(segmentation < 0, -1, segmentation & _BODY_BITS)]
    return bodies


def _load_lowpoly_arm(client: BulletClient) -> int:
    """The arm with its collision meshes as visible ones, from a scratch copy of its URDF."""
    tree = ET.parse(ARM_URDF)
    for link in tree.getroot().iter("link"):
        visual, collision = link.find("visual"), link.find("collision")
        if visual is None or collision is None:
            continue
        for tag in ("geometry", "origin"):
            _replace(visual, collision, tag)
    for mesh in tree.getroot().iter("mesh"):
        mesh.set("filename", str(ARM_URDF.parent / mesh.attrib["filename"].removeprefix("package://")))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arm.urdf"
        tree.write(path)
        return int(client.loadURDF(str(path)))


def _replace(visual: Any, collision: Any, tag: str) -> None:
    old, new = visual.find(tag), collision.find(tag)
    if old is not None:
        visual.remove(old)
    if new is not None:
        visual.append(new)
