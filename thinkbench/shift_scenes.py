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
from envs.tabletop.linear import product
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
    return _with_more(task, count, look, area=(low, high), is_wanted=_is_seen, rng=rng)


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

    def is_near(outline: Points) -> bool:
        reachable = bool((outline >= low).all() and (outline <= high).all())
        return reachable and min(separation(outline, other) for other in task.outlines) <= MIN_GAP + _NEAR

    return _with_more(task, count, look, area=(low, high), is_wanted=is_near, rng=rng)


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
    *,
    area: tuple[Points, Points],
    is_wanted: Callable[[Points], bool],
    rng: np.random.Generator,
) -> SceneSpec:
    """The task's scene with ``count`` more objects in ``area``, whose outlines keep apart and are wanted there."""
    scene, state = task.scene, ideal_state(task.scene)
    taken = [footprint(state, spec.name) for spec in scene.objects] + [_outline(zone) for zone in scene.zones]
    chosen = _selected(task, scene)
    for _ in range(_TRIES):
        if len(scene.objects) == len(task.scene.objects) + count:
            return scene
        spec = _drawn(scene, *look(), area, rng)
        half_x, half_y = (edge / 2 for edge in dimensions(spec.kind, spec.size)[:2])
        outline = rectangle(spec.position[:2], (half_x, half_y), spec.yaw)
        if not _is_unmistakable(task, spec) or not is_wanted(outline):
            continue
        bigger = replace(scene, objects=(*scene.objects, spec))
        if min(separation(outline, other) for other in taken) >= MIN_GAP and _selected(task, bigger) == chosen:
            scene = bigger
            taken.append(outline)
    raise RejectedError(f"there is no place for {count} more objects")


def _drawn(
    scene: SceneSpec, kind: Kind, colour: Colour, area: tuple[Points, Points], rng: np.random.Generator
) -> ObjectSpec:
    size = Size.SMALL if rng.integers(2) else Size.MEDIUM
    x, y = np.round(rng.uniform(*area), 4).tolist()
    yaw = round(float(rng.uniform(-np.pi / 2, np.pi / 2)), 3)
    alike = sum(spec.name.startswith(f"{colour}_{kind}") for spec in scene.objects)
    name = f"{colour}_{kind}_{alike + 1}" if alike else f"{colour}_{kind}"
    return ObjectSpec(name, kind, colour, size, (x, y, dimensions(kind, size)[2] / 2), yaw)


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


def _selected(task: _Task, scene: SceneSpec) -> tuple[str, ...] | None:
    """What the template's selection picks out of ``scene``; ``None`` if that is not clear, or there is no selection."""
    selection = task.template.selection
    try:
        return None if selection is None else selection.choose(ideal_state(scene), task.colours)
    except AmbiguousSelectionError:
        return None


def _is_seen(outline: Points) -> bool:
    """Whether the static camera has all of an outline on the table in its picture."""
    return bool((np.abs(_in_picture(np.insert(outline, 2, 0.0, axis=1))) <= _IN_PICTURE).all())


def _in_picture(points: Points) -> Points:
    """Where the standard static camera sees points ``(N, 3)``: ``(N, 2)``, from -1 to 1 across its picture."""
    view = camera("rgb_static", Views(), 1, np.array(HOME_POSITION), kinematics.vertical(0.0))
    matrix = product(np.array(view.projection).reshape(4, 4).T, np.array(view.view).reshape(4, 4).T)
    clip = product(np.append(points, np.ones((len(points), 1)), axis=1), matrix.T)
    return np.asarray(clip[:, :2] / clip[:, 3:])
