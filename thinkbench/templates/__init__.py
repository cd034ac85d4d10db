"""Task templates: data files, and the dataclasses that they are read into and checked against.

A template says which objects an episode has (roles with the shapes, sizes and colours they may take), how they are
piled up at the start, what must hold at the end and all the time, how that is put into words, and how many moves the
shortest solution takes. A new family is a new file; a new horizon is a new entry.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Formatter
from typing import Any, get_args
from typing import Literal as Choice

import yaml

from envs.tabletop.scene import Kind, Size
from envs.tabletop.shapes import CONTAINERS
from thinkbench.literals import Goal, Literal
from thinkbench.predicates import check
from thinkbench.selection import Selection

CHOSEN = "chosen"
"""In a goal: each object that the template's selection picks out."""

ARRANGEMENT = "goal"
"""In a slot: what the goal wants to rest on what, pile by pile."""

EVERYTHING_ELSE = "*"
"""In a negative literal of a goal: every object that can be picked up and that no positive literal puts there. In a
rule: every object of the task that can be picked up."""

Insight = Choice["clearing", "buffer", "order", "none"]
"""What a plan needs beyond putting things straight where the goal wants them: other things put out of the way, a place
where a thing waits before it goes where it belongs, or only the right order; see ``Template.insight``."""

DISTRACTOR_KINDS = (Kind.CUBE, Kind.CYLINDER, Kind.PYRAMID, Kind.WEDGE)
MIN_PARAPHRASES = 5
MIN_HELD_OUT = 3


@dataclass(frozen=True)
class Role:
    """What an object of the scene may look like.

    Attributes:
        kinds: Shapes to draw from.
        sizes: Sizes to draw from.
        colour: A colour variable, shared by all roles and zones that name it; ``None`` draws a colour that no variable
            has.
        like: An earlier role whose shape and colour it has, in another size: easily taken for it.
        hides: A role of another pile. The pile with this one stands between that and the static camera.
    """

    kinds: tuple[Kind, ...]
    sizes: tuple[Size, ...]
    colour: str | None = None
    like: str | None = None
    hides: str | None = None

    @property
    def is_container(self) -> bool:
        """Whether things are put into it rather than moved."""
        return bool(self.kinds) and CONTAINERS.issuperset(self.kinds)


@dataclass(frozen=True)
class ZoneRole:
    """A zone of the scene.

    Attributes:
        colour: A colour variable.
        slots: Objects that fit along x and y.
    """

    colour: str
    slots: tuple[int, int]


@dataclass(frozen=True)
class Rows:
    """Zones of one size in parallel rows.

    Attributes:
        zones: The rows, the farthest from the robot first; each from the robot's left to its right.
        gap: Metres between neighbouring zones.
    """

    zones: tuple[tuple[str, ...], ...]
    gap: float


@dataclass(frozen=True)
class Template:
    """A kind of task at one horizon.

    Attributes:
        name: Unique, for example ``tower-h5``.
        family: Which data file it is from.
        horizon: Moves of every shortest plan; the generator proves it for each episode.
        objects: Roles by name.
        zones: Zones by name.
        start: Piles, each from the bottom upwards; a pile in a zone begins with the zone's name.
        goal: What must hold at the end; see `EVERYTHING_ELSE`.
        rules: What must hold after every action, too.
        insight: What the family claims that no plan can do without. ``clearing`` and ``buffer`` are proven for every
            episode: moves of things straight to the supports that the goal wants for them do not reach it.
        slots: For each placeholder of the paraphrases, the objects, zones or colour variables that it lists.
        distractors: Loose objects that the goal does not mention.
        distractor_kinds: Shapes to draw them from.
        paraphrases: Instructions to choose from; they state the goal, never the steps.
        held_out: More of them, for the test of unseen wording.
        rows: Zones that are lined up; the others are anywhere on the table.
        drawn: Start and goal are not declared, but drawn among all arrangements of the objects in piles on the zones
            that keep to the rules, as many moves apart as the horizon says.
        selection: Which objects the word ``chosen`` in the goal means.
    """

    name: str
    family: str
    horizon: int
    objects: Mapping[str, Role]
    zones: Mapping[str, ZoneRole]
    start: tuple[tuple[str, ...], ...]
    goal: Goal
    rules: Goal
    insight: Insight
    slots: Mapping[str, tuple[str, ...]]
    distractors: int
    distractor_kinds: tuple[Kind, ...]
    paraphrases: tuple[str, ...]
    held_out: tuple[str, ...]
    rows: Rows | None = None
    drawn: bool = False
    selection: Selection | None = None

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise ValueError(f"template {self.name}: {problem}")

    @property
    def colour_variables(self) -> tuple[str, ...]:
        """Names of the colour variables, sorted."""
        of_objects = {role.colour for role in self.objects.values() if role.colour is not None}
        return tuple(sorted(of_objects | {zone.colour for zone in self.zones.values()}))


def _problem(template: Template) -> str | None:
    """What is wrong with a template, if anything."""
    return _problem_of_piles(template) or _problem_of_goal(template) or _problem_of_words(template)


def _problem_of_piles(template: Template) -> str | None:
    bases = {*template.zones, *(name for name, role in template.objects.items() if role.is_container)}
    placed = [name for pile in template.start for name in pile if name not in bases]
    if template.drawn and (template.start or template.goal):
        return "where start and goal are drawn, 'start' and 'goal' must be empty"
    if not template.drawn and sorted(placed) != sorted(set(template.objects) - bases):
        return "every object must be in exactly one pile of 'start', and piles may name only objects and zones"
    if any(name in bases for pile in template.start for name in pile[1:]):
        return "a zone or container can only be the first of a pile"
    lined_up = [name for row in template.rows.zones for name in row] if template.rows else []
    if strangers := set(lined_up) - set(template.zones):
        return f"rows name {', '.join(sorted(strangers))}, which is no zone of the template"
    earlier: set[str] = set()
    for name, role in template.objects.items():
        if role.like is not None and role.like not in earlier:
            return f"{name} is like {role.like}, which is not defined before it"
        if role.hides is not None and role.hides not in template.objects:
            return f"{name} hides {role.hides}, which the template does not define"
        earlier.add(name)
    return None


def _problem_of_goal(template: Template) -> str | None:
    known = {*template.objects, *template.zones}
    if template.horizon < 1 or not (template.goal or template.drawn):
        return "the horizon must be at least 1 and the goal must not be empty"
    for literal in (*template.goal, *template.rules):
        check(literal)
        special = {EVERYTHING_ELSE, CHOSEN} if template.selection else {EVERYTHING_ELSE}
        if strangers := set(literal.args) - known - special:
            return f"{literal} names {', '.join(sorted(strangers))}, which the template does not define"
    for literal in template.goal:
        if literal.positive and EVERYTHING_ELSE in literal.args:
            return f"the goal {literal} says {EVERYTHING_ELSE!r}, which only a negative literal may"
    if template.insight not in get_args(Insight):
        return f"insight {template.insight!r}: choose one of {', '.join(get_args(Insight))}"
    return None


def _problem_of_words(template: Template) -> str | None:
    known = {*template.objects, *template.zones, *template.colour_variables, ARRANGEMENT}
    for slot, names in template.slots.items():
        if strangers := set(names) - known:
            return f"slot {slot!r} lists {', '.join(sorted(strangers))}, which the template does not define"
    if len(set(template.paraphrases)) < MIN_PARAPHRASES or len(set(template.held_out)) < MIN_HELD_OUT:
        return f"needs {MIN_PARAPHRASES} different paraphrases and {MIN_HELD_OUT} held-out ones"
    if set(template.paraphrases) & set(template.held_out):
        return "a held-out paraphrase must not be among the others"
    for text in (*template.paraphrases, *template.held_out):
        fields = {field for _, field, _, _ in Formatter().parse(text) if field is not None}
        if not fields or fields - set(template.slots):
            return f"paraphrase {text!r} must have placeholders, all of them from {', '.join(sorted(template.slots))}"
    return None


def parse_family(data: Mapping[str, Any]) -> tuple[Template, ...]:
    """Templates of one data file.

    Raises:
        ValueError: A value is impossible; the message names the template and what is wrong.
        KeyError: An entry is missing.
    """
    return tuple(_parse(entry, data) for entry in data["templates"])


def _parse(entry: Mapping[str, Any], data: Mapping[str, Any]) -> Template:
    def own(key: str, default: Sequence[str]) -> Sequence[str]:
        """The entry's own value, or else its family's."""
        value: Sequence[str] = entry.get(key, data.get(key, default))
        return value

    rows, selection = entry.get("rows"), entry.get("selection")
    return Template(
        name=entry["name"],
        family=data["family"],
        horizon=entry["horizon"],
        objects={name: _role(role) for name, role in entry["objects"].items()},
        zones={
            name: ZoneRole(zone["colour"], (zone["slots"][0], zone["slots"][1]))
            for name, zone in entry.get("zones", {}).items()
        },
        start=_nested(entry.get("start", ())),
        goal=_literals(entry.get("goal", ())),
        rules=_literals(own("rules", ())),
        insight=entry["insight"],
        slots={name: tuple(names) for name, names in entry["slots"].items()},
        distractors=entry["distractors"],
        distractor_kinds=tuple(map(Kind, own("distractor_kinds", DISTRACTOR_KINDS))),
        paraphrases=tuple(own("paraphrases", ())),
        held_out=tuple(own("held_out", ())),
        rows=None if rows is None else Rows(_nested(rows["zones"]), rows["gap"]),
        drawn=entry.get("drawn", False),
        selection=None if selection is None else Selection.from_dict(selection),
    )


def _role(data: Mapping[str, Any]) -> Role:
    return Role(
        tuple(Kind(kind) for kind in data.get("kinds", ())),
        tuple(Size(size) for size in data["sizes"]),
        data.get("colour"),
        data.get("like"),
        data.get("hides"),
    )


def _literals(texts: Sequence[str]) -> Goal:
    return tuple(Literal.from_list(text.split()) for text in texts)


def _nested(piles: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(pile) for pile in piles)


@functools.cache
def load_templates() -> Mapping[str, Template]:
    """All templates that ship with the package, by name, ordered by family and horizon.

    Raises:
        ValueError: See `parse_family`; or two templates have the same name.
    """
    sources = sorted((path for path in files(__name__).iterdir() if path.name.endswith(".yaml")), key=lambda p: p.name)
    found = [template for path in sources for template in parse_family(yaml.safe_load(path.read_text("utf-8")))]
    ordered = sorted(found, key=lambda template: (template.family, template.horizon, template.name))
    names = [template.name for template in ordered]
    if len(set(names)) < len(names):
        raise ValueError(f"template names must be unique; repeated: {sorted({n for n in names if names.count(n) > 1})}")
    return {template.name: template for template in ordered}
