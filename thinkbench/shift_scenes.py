"""More on the table: distractors that resemble the task's objects, and clutter that stands in the way.

What is added leaves the task what it was: every description still fits one object, and no category that the instruction
speaks of gets a new member.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from envs.tabletop import kinematics
from envs.tabletop.cameras import Views, camera
from envs.tabletop.robot import HOME_POSITION
from envs.tabletop.scene import Colour, Kind, ObjectSpec, SceneSpec, Size, ZoneSpec
from envs.tabletop.shapes import WORKSPACE, dimensions, is_container
from thinkbench.binding import RejectedError
from thinkbench.geometry import Points, footprint, rectangle, separation
from thinkbench.ideal import ideal_state
from thinkbench.layout import MIN_GAP
from thinkbench.selection import AmbiguousSelectionError
from thinkbench.templates import Template, load_templates

_APRON = 0.08  # metres around the workspace where distractors may stand, as far as the static camera sees them
_IN_PICTURE = 0.92  # share of the picture, from its middle, in which a distractor must be
_NEAR = 0.04  # metres beyond the least gap within which clutter stands beside something that the goal names
_TRIES = 400


@dataclass(frozen=True)
class _Task:
    """What must not change, and what the additions are about.

    Attributes:
        template: What the episode is an instance of.
        scene: The episode's own scene.
        colours: Colour of each of the template's colour variables.
        targets: Objects that the goal wants somewhere.
        outlines: Of these and of the zones and containers that the goal names.
    """

    template: Template
    scene: SceneSpec
    colours: Mapping[str, Colour]
    targets: tuple[ObjectSpec, ...]
    outlines: tuple[Points, ...]


def with_distractors(meta: Mapping[str, Any], count: int, rng: np.random.Generator) -> SceneSpec:
    """The episode's scene with ``count`` more objects, each of the colour or the shape of one that the goal is about.

    They stand wherever the static camera sees them, out of reach as well.

    Raises:
        RejectedError: There is no place, or nothing that could be added.
    """
    task = _task(meta)

    kinds = task.template.distractor_kinds

    def look() -> tuple[Kind, Colour]:
        like, same = task.targets[rng.integers(len(task.targets))], rng.integers(8)
        kind, colour = kinds[rng.integers(len(kinds))], list(Colour)[rng.integers(len(Colour))]
        if same == 0:  # there may be nothing that resembles and cannot be mistaken
            return kind, colour
        return (like.kind, colour) if same % 2 and like.kind in kinds else (kind, like.colour)

    low = np.array([WORKSPACE[0][0], WORKSPACE[1][0] - _APRON])
    high = np.array([WORKSPACE[0][1] + _APRON, WORKSPACE[1][1] + _APRON])
    return _with_more(task, count, look, (low, high), rng, near=None)


def with_clutter(meta: Mapping[str, Any], count: int, rng: np.random.Generator) -> SceneSpec:
    """The episode's scene with ``count`` more objects, each right beside something that the goal names.

    Raises:
        RejectedError: There is no place, or nothing that could be added.
    """
    task = _task(meta)
    kinds = (*task.template.distractor_kinds, Kind.PLANK)

    def look() -> tuple[Kind, Colour]:
        return kinds[rng.integers(len(kinds))], list(Colour)[rng.integers(len(Colour))]

    low, high = np.array(WORKSPACE).T
    return _with_more(task, count, look, (low, high), rng, near=_NEAR)


def _task(meta: Mapping[str, Any]) -> _Task:
    scene = SceneSpec.from_dict(meta["scene"])
    names = {word for literal in meta["goal"] if literal[0] != "not" for word in literal[1:]}
    named = [spec for spec in scene.objects if spec.name in names]
    state = ideal_state(scene)
    return _Task(
        template=load_templates()[meta["template"]],
        scene=scene,
        colours={variable: Colour(colour) for variable, colour in meta["colours"].items()},
        targets=tuple(spec for spec in named if not is_container(spec.kind)),
        outlines=tuple(footprint(state, spec.name) for spec in named) + tuple(map(_outline, scene.zones)),
    )


def _outline(zone: ZoneSpec) -> Points:
    return rectangle(zone.centre, zone.half_extents)


def _with_more(
    task: _Task,
    count: int,
    look: Callable[[], tuple[Kind, Colour]],
    area: tuple[Points, Points],
    rng: np.random.Generator,
    *,
    near: float | None,
) -> SceneSpec:
    scene = task.scene
    for _ in range(_TRIES):
        if len(scene.objects) == len(task.scene.objects) + count:
            return scene
        kind, colour = look()
        size = Size.SMALL if rng.integers(2) else Size.MEDIUM
        x, y = np.round(rng.uniform(*area), 4).tolist()
        yaw = round(float(rng.uniform(-np.pi / 2, np.pi / 2)), 3)
        taken = {spec.name for spec in scene.objects}
        names = (f"{colour}_{kind}{suffix}" for suffix in ("", *(f"_{i}" for i in range(2, 20))))
        name = next(name for name in names if name not in taken)
        spec = ObjectSpec(name, kind, colour, size, (x, y, dimensions(kind, size)[2] / 2), yaw)
        bigger = replace(scene, objects=(*scene.objects, spec))
        if _is_unmistakable(task, spec) and _fits(scene, task, spec, near) and _selects_the_same(task, bigger):
            scene = bigger
    raise RejectedError(f"there is no place for {count} more objects")


def _is_unmistakable(task: _Task, spec: ObjectSpec) -> bool:
    """Whether nothing of the task looks like ``spec``, and no category of the instruction includes it.

    Categories are colours that an instruction names by themselves. Where a selection says what is meant, that decides.
    """
    if task.template.selection is not None:
        return True
    listed = {name for names in task.template.slots.values() for name in names}
    categories = {colour for variable, colour in task.colours.items() if variable in listed}
    categories |= {zone.colour for zone in task.scene.zones}
    looks = {(other.kind, other.colour) for other in task.scene.objects}
    return spec.colour not in categories and (spec.kind, spec.colour) not in looks


def _selects_the_same(task: _Task, scene: SceneSpec) -> bool:
    selection = task.template.selection
    if selection is None:
        return True
    try:
        chosen = [selection.choose(ideal_state(each), task.colours) for each in (task.scene, scene)]
    except AmbiguousSelectionError:
        return False
    return chosen[0] == chosen[1]


def _fits(scene: SceneSpec, task: _Task, spec: ObjectSpec, near: float | None) -> bool:
    """Whether there is room around ``spec``, and it is where it is wanted: in the picture, or near the task."""
    x, y, z = spec.position
    half_x, half_y = (edge / 2 for edge in dimensions(spec.kind, spec.size)[:2])
    outline = rectangle((x, y), (half_x, half_y), spec.yaw)
    state = ideal_state(scene)
    others = [footprint(state, other.name) for other in scene.objects] + [_outline(zone) for zone in scene.zones]
    if min(separation(outline, other) for other in others) < MIN_GAP:
        return False
    if near is None:
        return bool((np.abs(_in_picture(np.append(outline, np.full((4, 1), z), axis=1))) <= _IN_PICTURE).all())
    (x0, x1), (y0, y1) = WORKSPACE
    inside = bool((outline >= (x0, y0)).all() and (outline <= (x1, y1)).all())
    return inside and min(separation(outline, other) for other in task.outlines) <= MIN_GAP + near


def _in_picture(points: Points) -> Points:
    """Where the standard static camera sees points ``(N, 3)``: ``(N, 2)``, from -1 to 1 across its picture."""
    view = camera("rgb_static", Views(), 1, np.array(HOME_POSITION), kinematics.vertical(0.0))
    matrix = np.array(view.projection).reshape(4, 4).T @ np.array(view.view).reshape(4, 4).T
    clip = np.append(points, np.ones((len(points), 1)), axis=1) @ matrix.T
    return np.asarray(clip[:, :2] / clip[:, 3:])
