"""Stand-ins for the official models: a play table of boxes with the same joints, ranges, heights and handles, blocks of
the same size, and the arm of ``pybullet_data`` with longer fingers.

Runs with these models are marked non-standard: pixels differ, and so do contacts in detail.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pybullet_data

from envs.calvin.assets import AssetSet
from envs.calvin.layouts import BLOCK_LENGTH, BLOCK_WIDTH, LAYOUTS, BlockSize, Layout, Scene
from envs.official import cache_folder

SCALE = 0.8
"""Tables and blocks are loaded with this global scaling; models are written in sizes before scaling."""

Vector = tuple[float, float, float]
Part = tuple[Vector, Vector]
"""Centre and size of a box, metres."""

_COLOURS = {"red": "1 0 0 1", "blue": "0 0 1 1", "pink": "1 0.3 1 1"}
_WOOD = {
    Scene.A: "0.45 0.32 0.22 1",
    Scene.B: "0.80 0.66 0.45 1",
    Scene.C: "0.62 0.42 0.25 1",
    Scene.D: "0.38 0.27 0.2 1",
}


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value / SCALE:.6g}" for value in values)


def _link(name: str, parts: list[Part], rgba: str, mass: float, *, rpy: str = "0 0 0") -> str:
    """A link of boxes; every box is both seen and touched."""
    shapes = ""
    for centre, size in parts:
        geometry = f'<origin xyz="{_numbers(centre)}" rpy="{rpy}"/><geometry><box size="{_numbers(size)}"/></geometry>'
        shapes += f"<collision>{geometry}</collision>"
        shapes += f'<visual>{geometry}<material name="{name}"><color rgba="{rgba}"/></material></visual>'
    inertia = '<inertia ixx="0.01" ixy="0" ixz="0" iyy="0.01" iyz="0" izz="0.01"/>'
    return f'<link name="{name}"><inertial><mass value="{mass}"/>{inertia}</inertial>{shapes}</link>'


def _joint(name: str, link: str, xyz: Vector, *, roll: float, axis: str = "", upper: float = 0.0) -> str:
    """A fixed joint, or a prismatic one with ``axis`` and a range from 0 to ``upper`` metres."""
    limits = (
        f'<axis xyz="{axis}"/><limit lower="0" upper="{upper / SCALE:.6g}" effort="0" velocity="0"/>' if axis else ""
    )
    return (
        f'<joint name="{name}" type="{"prismatic" if axis else "fixed"}"><origin xyz="{_numbers(xyz)}" '
        f'rpy="{roll} 0 0"/><parent link="base_link"/><child link="{link}"/>{limits}</joint>'
    )


def _body_parts() -> list[Part]:
    """Table top, legs, back wall and the ledge that carries the lights."""
    return [
        ((0.0, 0.0, 0.42), (0.88, 0.36, 0.04)),
        ((-0.43, 0.0, 0.20), (0.02, 0.36, 0.40)),
        ((0.43, 0.0, 0.20), (0.02, 0.36, 0.40)),
        ((0.0, 0.17, 0.324), (0.88, 0.02, 0.648)),
        ((0.0, 0.155, 0.642), (0.88, 0.05, 0.012)),
    ]


def _drawer_parts() -> list[Part]:
    """Floor, walls and handle in the drawer's frame: x right, y up, z towards the front; y = 0.02 is mid-height."""
    return [
        ((0.0, 0.0005, 0.06), (0.44, 0.041, 0.24)),
        ((-0.21, 0.03, 0.06), (0.02, 0.10, 0.24)),
        ((0.21, 0.03, 0.06), (0.02, 0.10, 0.24)),
        ((0.0, 0.03, 0.17), (0.44, 0.10, 0.02)),
        ((0.0, 0.03, -0.05), (0.44, 0.10, 0.02)),
        ((0.0, 0.04, 0.25), (0.24, 0.03, 0.02)),
        ((-0.11, 0.04, 0.21), (0.02, 0.02, 0.06)),
        ((0.11, 0.04, 0.21), (0.02, 0.02, 0.06)),
    ]


def _table(layout: Layout) -> str:
    """URDF of a play table; joint and link order is that of the official ones."""
    wood = _WOOD[layout.scene]
    metal = "0.6 0.6 0.6 1"
    plank_x = layout.slide_x
    right_angle, door, switch = 1.5707963267949, 1.04719755119659, 2.61799387799149
    links = [
        _link("base_link", _body_parts(), wood, 0.0),
        _link("button_link", [((0.0, 0.012, 0.0), (0.05, 0.026, 0.05))], "0.1 0.1 0.1 1", 0.154),
        _joint(
            "base__button", "button_link", (layout.button_x, -0.12, 0.46), roll=right_angle, axis="0 -1 0", upper=0.02
        ),
        _link(
            "switch_link",
            [((0.0, 0.03, -0.012), (0.025, 0.06, 0.02)), ((0.0, 0.068, -0.012), (0.11, 0.028, 0.024))],
            metal,
            0.239,
        ),
        _joint(
            "base__switch", "switch_link", (layout.switch_x, 0.0609, 0.4949), roll=switch, axis="0 0 -1", upper=0.088
        ),
        _link(
            "slide_link",
            [((0.14, -0.01, 0.02), (0.28, 0.20, 0.012)), ((0.1375, 0.0, 0.05), (0.035, 0.152, 0.055))],
            wood,
            1.54,
        ),
        _joint(
            "base__slide",
            "slide_link",
            (layout.slide_x, 0.075, 0.5353),
            roll=door,
            axis="-1 0 0",
            upper=layout.slide_range,
        ),
        _link("drawer_link", _drawer_parts(), wood, 4.23),
        _joint("base__drawer", "drawer_link", (layout.drawer_x, 0.0, 0.32), roll=right_angle, axis="0 0 1", upper=0.22),
        _link("led_link", [((0.0, 0.008, 0.0), (0.08, 0.016, 0.02))], "1 1 1 1", 0.204),
        _joint("base__led", "led_link", (layout.button_x, 0.155, 0.648), roll=right_angle),
        _link("light_link", [((0.0, 0.028, 0.0), (0.05, 0.05, 0.05))], "1 1 1 1", 0.174),
        _joint("base__light", "light_link", (layout.switch_x, 0.15, 0.648), roll=right_angle),
        _link("plank_link", [((0.0, 0.011, 0.0), (2 * layout.slide_range - 0.04, 0.021, 0.14))], wood, 2.84),
        _joint("base__plank", "plank_link", (plank_x, 0.09, 0.42), roll=right_angle),
    ]
    return f'<robot name="play_table_{layout.scene}">{"".join(links)}</robot>'


def _block(colour: str, size: BlockSize) -> str:
    box = f'<geometry><box size="{_numbers((BLOCK_LENGTH[size], BLOCK_WIDTH, BLOCK_WIDTH))}"/></geometry>'
    return (
        f'<robot name="block_{colour}"><link name="base_link"><contact><lateral_friction value="0.7"/>'
        '<spinning_friction value=".001"/></contact><inertial><mass value="1"/>'
        '<inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>'
        f'<visual>{box}<material name="{colour}"><color rgba="{_COLOURS[colour]}"/></material></visual>'
        f"<collision>{box}</collision></link></robot>"
    )


_PLANE = (
    '<robot name="plane"><link name="planeLink"><contact><lateral_friction value="1"/></contact><inertial>'
    '<mass value="0"/><inertia ixx="0" ixy="0" ixz="0" iyy="0" iyz="0" izz="0"/></inertial>'
    '<visual><origin xyz="0 0 -0.05"/><geometry><box size="30 30 0.1"/></geometry><material name="floor">'
    '<color rgba="0.55 0.65 0.85 1"/></material></visual><collision><origin xyz="0 0 -5"/>'
    '<geometry><box size="200 200 10"/></geometry></collision></link></robot>'
)

_FINGER_CONTACT = (
    "<contact><friction_anchor/><stiffness value='30000.0'/><damping value='1000.0'/>"
    "<spinning_friction value='0.1'/><lateral_friction value='1.0'/></contact>"
)


def _finger(name: str, side: int, tip: bool) -> ET.Element:
    """One finger, or its tip. The pads meet at y = 0 when the gripper is closed."""
    low, high = (0.06, 0.0876) if tip else (0.0, 0.06)
    origin = f'<origin xyz="0 {side * 0.0075} {(low + high) / 2}"/>'
    shape = f'{origin}<geometry><box size="0.02 0.014 {high - low}"/></geometry>'
    inertial = (
        f'<inertial>{origin}<mass value="{0.0001 if tip else 0.1}"/>'
        '<inertia ixx="0.1" ixy="0" ixz="0" iyy="0.1" iyz="0" izz="0.1"/></inertial>'
    )
    colour = "1 1 1 1" if tip else "0.3 0.3 0.3 1"
    return ET.fromstring(
        f'<link name="{name}">{_FINGER_CONTACT}{inertial}<collision>{shape}</collision><visual>{shape}'
        f'<material name="{name}"><color rgba="{colour}"/></material></visual></link>'
    )


def _attachment(name: str, parent: str, xyz: str, rpy: str, mass: float) -> list[ET.Element]:
    """A massive point fixed to a link."""
    inertia = '<inertia ixx="0.1" ixy="0" ixz="0" iyy="0.1" iyz="0" izz="0.1"/>'
    return [
        ET.fromstring(
            f'<joint name="{name}_joint" type="fixed"><parent link="{parent}"/><child link="{name}"/>'
            f'<origin xyz="{xyz}" rpy="{rpy}"/></joint>'
        ),
        ET.fromstring(f'<link name="{name}"><inertial><mass value="{mass}"/>{inertia}</inertial></link>'),
    ]


def _arm(source: Path) -> str:
    """The Panda of ``pybullet_data`` with the public simulator's tool: long fingers, camera mount, tcp.

    The joints come out with the public simulator's indices: fingers 9 and 11, camera 14, tcp 15.
    """
    root = ET.parse(source).getroot()
    for link in list(root.findall("link")):
        if link.get("name") in ("panda_leftfinger", "panda_rightfinger"):
            root.remove(link)
    for name, side in (("left", 1), ("right", -1)):
        root.append(_finger(f"panda_{name}finger", side, tip=False))
        tip = f"finger_{name}_tip"
        root.append(_finger(tip, side, tip=True))
        root.append(_attachment(tip, f"panda_{name}finger", "0 0 0", "0 0 0", 0.0)[0])
    root.extend(_attachment("gripper_cam", "panda_hand", "-0.1 0 0", "1.3 0 -1.57", 0.2))
    root.extend(_attachment("tcp", "panda_hand", "0 0 0.14", "0 0 0", 0.00001))
    return ET.tostring(root, encoding="unicode")


def _write(root: Path) -> None:
    """All models into ``root``."""
    files = {"plane/plane.urdf": _PLANE}
    for scene, layout in LAYOUTS.items():
        files[f"calvin_table_{scene}/urdf/calvin_table_{scene}.urdf"] = _table(layout)
    for colour in _COLOURS:
        for size in BlockSize:
            files[f"blocks/block_{colour}_{size}.urdf"] = _block(colour, size)
    panda = Path(pybullet_data.getDataPath()) / "franka_panda"
    files["franka_panda/panda_longer_finger.urdf"] = _arm(panda / "panda.urdf")
    shutil.copytree(panda / "meshes", root / "franka_panda" / "meshes")
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        # One element per line: Bullet's reader garbles long lines.
        (root / name).write_text(content.replace("><", ">\n<"))


@functools.cache
def generate_assets() -> AssetSet:
    """The generated models, written once per version of this file into the cache folder."""
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    root = cache_folder("calvin").parent / f"calvin-generated-{version}"
    if not root.is_dir():
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root.parent) as folder:
            _write(Path(folder) / "assets")
            try:
                os.rename(Path(folder) / "assets", root)
            except OSError:
                # Another process was faster; its files are the same.
                if not root.is_dir():
                    raise
    return AssetSet(root, generated=True)
