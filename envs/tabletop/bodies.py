"""Builds table, zones and objects in a Bullet world."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.bullet import BulletClient
from envs.tabletop import shapes
from envs.tabletop.conditions import Conditions
from envs.tabletop.meshes import obj_text, scratch_folder
from envs.tabletop.scene import ObjectSpec, SceneSpec, ZoneSpec
from envs.tabletop.shapes import Part, PartKind, Rgba, Vector

VISIBLE_TO_RAYS = 2
"""Collision filter bit of everything that height queries see: table and objects, not the arm."""

_TABLE_SIZE: Vector = (1.3, 1.2, 0.05)
_TABLE_CENTRE = (-0.1, 0.0)
_FLOOR_HEIGHT = -0.7
_FLOOR_REACH = 30.0  # metres; what is flung off the table lands somewhere, which is an outcome and no error
_ZONE_THICKNESS = 0.002
_GROUP_DEFAULT = 1
_HULL_MARGIN = 0.001  # metres that Bullet adds around the convex hull of given vertices
_SLEEP_THRESHOLD = 1e-3
"""Sum of squared speeds (m/s, rad/s) below which, after two seconds, an object sleeps until touched by what moves.

It ends the slow creep of towers and most of the cost of what rests.
"""


def check(scene: SceneSpec) -> None:
    """Refuse a malformed scene.

    Raises:
        ValueError: Names are not unique or reserved, or a number is not finite.
    """
    names = [item.name for item in scene.objects] + [zone.name for zone in scene.zones]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(f"Names in a scene must be unique; used twice: {', '.join(doubled)}")
    reserved = {"table", "robot"} & set(names)
    if reserved:
        raise ValueError(f"'{reserved.pop()}' is the world's own name; choose another for the scene's object")
    for item in scene.objects:
        if not all(math.isfinite(value) for value in (*item.position, item.yaw)):
            raise ValueError(f"The pose of '{item.name}' is not finite: {item.position}, yaw {item.yaw}")


def build_table(client: BulletClient, conditions: Conditions) -> int:
    """The table's top at ``z = 0`` and an unseen floor below it, as one fixed body; returns its id.

    Built last: TinyRenderer draws bodies in the order of creation and shades only what is in front of what it has
    drawn, so the biggest surface comes last. The floor is not drawn, because it would double a picture's cost.
    """
    x, y, z = _TABLE_SIZE
    top = (*_TABLE_CENTRE, -z / 2)
    floor = (0.0, 0.0, _FLOOR_HEIGHT - 0.05)
    collision = client.createCollisionShapeArray(
        shapeTypes=[client.GEOM_BOX, client.GEOM_BOX],
        halfExtents=[[x / 2, y / 2, z / 2], [_FLOOR_REACH, _FLOOR_REACH, 0.05]],
        collisionFramePositions=[top, floor],
    )
    visual = client.createVisualShape(
        client.GEOM_BOX, halfExtents=[x / 2, y / 2, z / 2], rgbaColor=conditions.table, visualFramePosition=top
    )
    body = int(client.createMultiBody(0, collision, visual))
    client.changeDynamics(body, -1, lateralFriction=_friction(conditions))
    client.setCollisionFilterGroupMask(body, -1, _GROUP_DEFAULT | VISIBLE_TO_RAYS, -1)
    return body


def build_zones(client: BulletClient, zones: Sequence[ZoneSpec], conditions: Conditions) -> dict[str, int]:
    """Coloured rectangles on the table, without physics; returns their body ids by name."""
    built = {}
    for zone in zones:
        half = [*zone.half_extents, _ZONE_THICKNESS / 2]
        colour = _soften(conditions.palette[zone.colour])
        visual = client.createVisualShape(client.GEOM_BOX, halfExtents=half, rgbaColor=colour)
        built[zone.name] = int(client.createMultiBody(0, -1, visual, basePosition=[*zone.centre, 0.0]))
    return built


def build_object(client: BulletClient, spec: ObjectSpec, conditions: Conditions) -> int:
    """One object at its start pose; returns its body id."""
    body = int(
        client.createMultiBody(
            shapes.mass(spec.kind, spec.size) * conditions.mass,
            _collision_shape(client, spec),
            _visual_shape(client, spec, conditions.palette[spec.colour]),
            basePosition=spec.position,
            baseOrientation=client.getQuaternionFromEuler((0.0, 0.0, spec.yaw)),
        )
    )
    client.changeDynamics(  # no rolling friction: it would let things balance on a pyramid's point
        body,
        -1,
        lateralFriction=_friction(conditions),
        spinningFriction=0.001,
        linearDamping=0.04,
        angularDamping=0.04,
        activationState=client.ACTIVATION_STATE_ENABLE_SLEEPING,
        sleepThreshold=_SLEEP_THRESHOLD,
    )
    client.setCollisionFilterGroupMask(body, -1, _GROUP_DEFAULT | VISIBLE_TO_RAYS, -1)
    return body


def _friction(conditions: Conditions) -> float:
    """The coefficient of one surface; Bullet multiplies those of the two in contact."""
    return shapes.FRICTION * math.sqrt(conditions.friction)


def _collision_shape(client: BulletClient, spec: ObjectSpec) -> int:
    """One shape of all convex parts.

    A cylinder gets an inscribed box besides, which changes nothing of its outside: boxes find all four corners of a
    contact at once, round and meshed shapes one point per step, and would rock when a world is rebuilt.
    """
    pieces = list(shapes.parts(spec.kind, spec.size))
    for part in [part for part in pieces if part.kind is PartKind.CYLINDER]:
        x, y, z = part.extents
        pieces.append(shapes.box((x * math.sqrt(0.5), y * math.sqrt(0.5), z), part.offset))
    geometries = {
        PartKind.BOX: client.GEOM_BOX,
        PartKind.CYLINDER: client.GEOM_CYLINDER,
        PartKind.HULL: client.GEOM_MESH,
    }
    return int(
        client.createCollisionShapeArray(
            shapeTypes=[geometries[part.kind] for part in pieces],
            **_primitives(pieces),
            fileNames=[_hull_file(spec, part) for part in pieces],
            meshScales=[(1.0, 1.0, 1.0)] * len(pieces),
            collisionFramePositions=[part.offset for part in pieces],
            collisionFrameOrientations=[client.getQuaternionFromEuler(part.rpy) for part in pieces],
        )
    )


def _visual_shape(client: BulletClient, spec: ObjectSpec, colour: Rgba) -> int:
    """Boxes and containers are drawn part by part, everything else as the one convex solid that it is."""
    pieces = shapes.parts(spec.kind, spec.size)
    if spec.kind not in shapes.CONTAINERS and any(part.kind is not PartKind.BOX for part in pieces):
        file = _mesh_file(f"{spec.kind}_{spec.size}", shapes.outline(spec.kind, spec.size))
        return int(client.createVisualShape(client.GEOM_MESH, fileName=file, rgbaColor=colour))
    return int(
        client.createVisualShapeArray(
            shapeTypes=[client.GEOM_BOX if part.kind is PartKind.BOX else client.GEOM_CYLINDER for part in pieces],
            **_primitives(pieces),
            rgbaColors=[colour] * len(pieces),
            visualFramePositions=[part.offset for part in pieces],
            visualFrameOrientations=[client.getQuaternionFromEuler(part.rpy) for part in pieces],
        )
    )


def _primitives(pieces: Sequence[Part]) -> dict[str, Any]:
    return {
        "halfExtents": [[extent / 2 for extent in part.extents] for part in pieces],
        "radii": [part.extents[0] / 2 for part in pieces],
        "lengths": [part.extents[2] for part in pieces],
    }


def _hull_file(spec: ObjectSpec, part: Part) -> str:
    """A hull part as a file, centred, and smaller by the margin that Bullet adds around it."""
    if part.kind is not PartKind.HULL:
        return ""
    vertices = (part.vertices - np.array(part.offset)) * (1 - 2 * _HULL_MARGIN / np.array(part.extents))
    return _mesh_file(f"{spec.kind}_{spec.size}_hull", vertices)


def _mesh_file(name: str, vertices: npt.NDArray[np.float64]) -> str:
    """A convex mesh as a file, written once per process: Bullet leaks the memory of meshes that are given as lists."""
    path = scratch_folder() / f"{name}.obj"
    if not path.exists():
        path.write_text(obj_text(vertices))
    return str(path)


def _soften(colour: Rgba) -> Rgba:
    """A zone is a paler shade of its colour, so that an object of the same colour stands out on it."""
    red, green, blue, alpha = (0.55 * channel + 0.45 for channel in colour)
    return red, green, blue, alpha
