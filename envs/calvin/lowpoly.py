"""Fast pictures of a play table: simple meshes, and a static view whose unmoving parts are drawn once.

Frames come from separate physics clients that are only posed and never stepped, so the world's physics cannot be
touched. The arm is drawn with its collision hulls, the light and the finger tips as boxes. In the static view, table
body and floor never move: they are rendered once, and what moves is composed onto them by depth.
"""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from envs.bullet.camera import Frame
from envs.bullet.client import BulletClient
from envs.calvin.assets import AssetSet
from envs.calvin.cameras import gripper_camera, static_camera
from envs.calvin.layouts import Scene
from envs.calvin.robot import ARM_JOINTS, BASE_POSITION, FINGER_JOINTS, load_base_cylinder
from envs.calvin.world import (
    BUTTON,
    DRAWER,
    GLOBAL_SCALING,
    LIGHT_COLOURS,
    LIGHT_OFF,
    SLIDE,
    SWITCH,
    TABLE_LINKS,
    World,
)
from envs.official import cache_folder

_ROBOT_MESHES = ("link1", "link2", "link3", "link4", "link5", "link6", "hand", "longer_finger_v2")
_TOOL_LINKS = frozenset(
    ("panda_hand", "panda_leftfinger", "panda_rightfinger", "finger_left_tip", "finger_right_tip", "gripper_cam")
)
_FIXED_LINKS = ("base_link", "plank_link")


def _simplify(visual: ET.Element) -> None:
    """Replace the mesh of one visual by a smaller one, or by a box."""
    geometry = visual.find("geometry")
    mesh = geometry.find("mesh") if geometry is not None else None
    if geometry is None or mesh is None:
        return
    file = mesh.get("filename", "")
    stem = Path(file).stem
    box = {"digit_gel_only": "0.02 0.02 0.02", "light_link": "0.06 0.06 0.06"}.get(stem)
    if box:
        geometry.remove(mesh)
        ET.SubElement(geometry, "box", size=box)
        origin = visual.find("origin")
        if stem == "light_link" and origin is not None:
            origin.set("xyz", "0 0.03 0")
    elif stem in _ROBOT_MESHES:
        mesh.set("filename", file.replace("meshes/visual/", "meshes/collision/"))
    elif stem == "switch_link":
        mesh.set("filename", file.replace(".obj", "_vhacd2.obj"))


def _drawing(urdf: Path, keep: frozenset[str] | None = None) -> str:
    """A URDF's drawing: no collision shapes, simple visuals, and only those of the links in ``keep``."""
    root = ET.parse(urdf).getroot()
    for link in root.findall("link"):
        for collision in link.findall("collision"):
            link.remove(collision)
        for visual in link.findall("visual"):
            if keep is not None and link.get("name") not in keep:
                link.remove(visual)
            else:
                _simplify(visual)
    for mesh in root.iter("mesh"):
        name = mesh.get("filename", "").removeprefix("package://")
        mesh.set("filename", os.path.normpath(urdf.parent / name))
    # One element per line: Bullet's reader garbles long lines.
    return ET.tostring(root, encoding="unicode").replace("><", ">\n<")


@functools.cache
def _written(urdf: Path, keep: frozenset[str] | None = None) -> str:
    """Path of a drawing in the cache folder, named by its content."""
    content = _drawing(urdf, keep).encode()
    path = cache_folder("calvin").parent / "calvin-lowpoly" / f"{hashlib.sha256(content).hexdigest()[:20]}.urdf"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
            stream.write(content)
        os.replace(stream.name, path)
    return str(path)


class _Drawing:
    """A client that shows a world: loaded once, posed like the world before each frame."""

    def __init__(self, world: World, *, fixed: bool, moving: bool) -> None:
        """``fixed``: table body and floor; ``moving``: arm, blocks and the table's other parts."""
        self.client = BulletClient()
        self._world = world
        layout, assets = world.layout, world.assets
        links = frozenset(name for name in TABLE_LINKS if (fixed if name in _FIXED_LINKS else moving))
        self._table = self.client.loadURDF(
            _written(assets.table(layout.scene), links), globalScaling=GLOBAL_SCALING, useFixedBase=True
        )
        self._robot = -1
        self._blocks: dict[str, int] = {}
        self._lights: dict[int, int] = {}
        if fixed:
            self.client.loadURDF(_written(assets.plane), useFixedBase=True)
            load_base_cylinder(self.client)
        if moving:
            # The gripper camera, which alone needs the whole scene at once, looks away from the arm.
            tool = _TOOL_LINKS if fixed else None
            self._robot = self.client.loadURDF(_written(assets.robot, tool), BASE_POSITION, useFixedBase=True)
            for name, (colour, size) in zip(layout.block_names, layout.blocks, strict=True):
                urdf = _written(assets.block(colour, size))
                self._blocks[name] = self.client.loadURDF(urdf, globalScaling=GLOBAL_SCALING)

    def pose(self) -> None:
        """Put everything where it is in the world."""
        world = self._world
        for joints, own, theirs in (
            ((*ARM_JOINTS, *FINGER_JOINTS), self._robot, world.robot.uid),
            ((BUTTON, SWITCH, SLIDE, DRAWER), self._table, world.bodies.table),
        ):
            for joint, state in zip(joints, world.client.getJointStates(theirs, joints), strict=True):
                self.client.resetJointState(own, joint, state[0])
        for name, uid in self._blocks.items():
            self.client.resetBasePositionAndOrientation(
                uid, *world.client.getBasePositionAndOrientation(world.bodies.blocks[name])
            )
        if self._lights != world.lights:
            self._lights = dict(world.lights)
            for link, on in self._lights.items():
                colour = LIGHT_COLOURS[link] if on else LIGHT_OFF
                self.client.changeVisualShape(self._table, link, rgbaColor=colour)

    def close(self) -> None:
        self.client.close()


_backgrounds: dict[tuple[AssetSet, Scene], Frame] = {}
"""Table body and floor as the static camera sees them; the same in every episode of a process."""


class LowpolyView:
    """Both cameras of a world, drawn fast. The world need not have loaded any visuals."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._moving: _Drawing | None = None
        self._whole: _Drawing | None = None

    def static(self) -> Frame:
        """As `render_static`, without a segmentation of its own (-1 everywhere)."""
        if self._moving is None:
            self._moving = _Drawing(self._world, fixed=False, moving=True)
        self._moving.pose()
        behind = self._background()
        front = static_camera().render(self._moving.client)
        nearer = front.depth < behind.depth
        return Frame(
            rgb=np.where(nearer[..., None], front.rgb, behind.rgb),
            depth=np.where(nearer, front.depth, behind.depth),
            segmentation=np.full_like(front.segmentation, -1),
        )

    def _background(self) -> Frame:
        key = (self._world.assets, self._world.layout.scene)
        if key not in _backgrounds:
            drawing = _Drawing(self._world, fixed=True, moving=False)
            _backgrounds[key] = static_camera().render(drawing.client)
            drawing.close()
        return _backgrounds[key]

    def gripper(self) -> Frame:
        """As `render_gripper`; the segmentation's ids are those of the drawing."""
        if self._whole is None:
            self._whole = _Drawing(self._world, fixed=True, moving=True)
        self._whole.pose()
        return gripper_camera(self._world).render(self._whole.client)

    def close(self) -> None:
        """Release the drawings."""
        for drawing in (self._moving, self._whole):
            if drawing is not None:
                drawing.close()
        self._moving = self._whole = None
