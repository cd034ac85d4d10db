"""Drawing the objects of an episode: shapes, sizes and colours for a template's roles, and distractors."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from envs.tabletop.scene import Colour, Kind, ObjectSpec, Size
from envs.tabletop.shapes import dimensions, is_container
from thinkbench.abstraction import may_rest
from thinkbench.language import ORDINALS, AmbiguousError, describe
from thinkbench.templates import Role, Template

_DISTRACTOR_SIZES = (Size.SMALL, Size.MEDIUM)


Look = tuple[Kind, Size, Colour]


class RejectedError(ValueError):
    """A draw that cannot be used; the generator draws again."""


@dataclass(frozen=True)
class Cast:
    """Who plays a template's roles.

    Attributes:
        objects: One object per role, and ``x1``, ``x2``, ... for the distractors; at the origin.
        colours: Colour of each colour variable.
        names: What each role and zone is called in the scene.
        phrases: What zones, colour variables and roles are called, but for roles of a shared colour that no slot lists.
    """

    objects: Mapping[str, ObjectSpec]
    colours: Mapping[str, Colour]
    names: Mapping[str, str]
    phrases: Mapping[str, str]


def draw_cast(template: Template, rng: np.random.Generator) -> Cast:
    """Draw objects for all roles, and distractors that share a colour with them where that is allowed.

    Raises:
        RejectedError: A described object is not unique, or a pile or goal would stack what does not rest.
    """
    palette = [Colour(str(colour)) for colour in rng.permutation([colour.value for colour in Colour])]
    colours = dict(zip(template.colour_variables, palette, strict=False))
    free = palette[len(colours) :]
    looks: dict[str, Look] = {}
    for role in template.objects:
        looks[role] = _look(template.objects[role], looks, colours, free, rng)
    for i in range(template.distractors):
        looks[f"x{i + 1}"] = _distractor(template, looks, free, rng)
    objects = _named(looks)
    for below, above in _stacked(template):
        if not is_container(objects[below].kind) and not may_rest(objects[above], objects[below]):
            raise RejectedError(f"{above} does not rest on {below}")
    names = {role: spec.name for role, spec in objects.items()} | _zone_names(template, colours)
    return Cast(objects, colours, names, _phrases(template, objects, colours))


def _look(
    role: Role,
    looks: Mapping[str, Look],
    colours: Mapping[str, Colour],
    free: Sequence[Colour],
    rng: np.random.Generator,
) -> Look:
    if role.like is not None:
        kind, taken, colour = looks[role.like]
        sizes = [size for size in role.sizes if size is not taken]
        if not sizes:
            raise RejectedError(f"nothing can be like {role.like} in another size")
        return kind, sizes[rng.integers(len(sizes))], colour
    kind, size = role.kinds[rng.integers(len(role.kinds))], role.sizes[rng.integers(len(role.sizes))]
    colour = free[int(rng.integers(len(free)))]
    return kind, size, colour if role.colour is None else colours[role.colour]


def _distractor(
    template: Template, looks: Mapping[str, Look], free: Sequence[Colour], rng: np.random.Generator
) -> Look:
    """Something that shares its colour, but not its shape, with an object of the task; or else a free colour."""
    kind = template.distractor_kinds[rng.integers(len(template.distractor_kinds))]
    size = _DISTRACTOR_SIZES[rng.integers(len(_DISTRACTOR_SIZES))]
    shape, _, colour = list(looks.values())[int(rng.integers(len(template.objects)))]
    if shape is kind or colour not in free:
        colour = free[int(rng.integers(len(free)))]
    return kind, size, colour


def _named(looks: Mapping[str, Look]) -> dict[str, ObjectSpec]:
    """Objects with readable unique names: ``red_cube``, ``red_cube_2``, ..."""
    counts: dict[str, int] = {}
    objects = {}
    for role, (kind, size, colour) in looks.items():
        base = f"{colour}_{kind}"
        counts[base] = counts.get(base, 0) + 1
        name = base if counts[base] == 1 else f"{base}_{counts[base]}"
        objects[role] = ObjectSpec(name, kind, colour, size, (0.0, 0.0, dimensions(kind, size)[2] / 2))
    return objects


def _stacked(template: Template) -> list[tuple[str, str]]:
    """Pairs (below, above) of roles that rest on each other at the start or at the goal."""
    piles = [[name for name in pile if name in template.objects] for pile in template.start]
    pairs = [pair for pile in piles for pair in itertools.pairwise(pile)]
    return pairs + [(literal.args[1], literal.args[0]) for literal in template.goal if literal.predicate == "on"]


def _zone_names(template: Template, colours: Mapping[str, Colour]) -> dict[str, str]:
    """Readable unique names of zones: ``red_zone``, ``red_zone_2``, ..."""
    counts: dict[str, int] = {}
    names = {}
    for zone, role in template.zones.items():
        base = f"{colours[role.colour]}_zone"
        counts[base] = counts.get(base, 0) + 1
        names[zone] = base if counts[base] == 1 else f"{base}_{counts[base]}"
    return names


def _phrases(template: Template, objects: Mapping[str, ObjectSpec], colours: Mapping[str, Colour]) -> dict[str, str]:
    """What zones, colour variables and roles are called; roles that are told by a shared colour need not be unique."""
    phrases = {variable: str(colour) for variable, colour in colours.items()}
    shared = Counter(role.colour for role in template.zones.values())
    for zone, role in template.zones.items():
        alike = [name for name, other in template.zones.items() if other.colour == role.colour]
        ordinal = f"{ORDINALS[alike.index(zone)]} " if shared[role.colour] > 1 else ""
        phrases[zone] = f"the {ordinal}{colours[role.colour]} zone"
    mentioned = {name for names in template.slots.values() for name in names if name in objects}
    named = [role for role, look in template.objects.items() if look.colour is None or role in mentioned]
    try:
        return phrases | {role: describe(objects[role], list(objects.values())) for role in named}
    except AmbiguousError as error:
        raise RejectedError(str(error)) from error
