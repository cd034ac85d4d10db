"""The seed's prompt (section 4.4) and how its answer is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from agents.reasoner.protocol import Attempt, ReasonerError

IMAGE = "[IMAGE]"
"""Where the picture goes in a prompt."""

NEUTRAL = f"{IMAGE}\nDescribe the image."
"""Asks for nothing in particular: where a model looks then, it looks always."""

_TEMPLATE = """\
You are a robot planning assistant.
Current observation: {image}
Task: {task}
{history}Decompose this task into ordered sub-goals. For each sub-goal,
describe the target scene state and which objects are involved.
Output format:
1. [sub-goal description] | [relevant objects]
2. [sub-goal description] | [relevant objects]
..."""
_HISTORY = """\
Sub-goals so far:
{attempts}
List only the sub-goals that are still to be reached.
"""

_NUMBERED = re.compile(
    r"""[\s>\#+•·*_`\u2013\u2014-]*           # quotation, headings, bullets, emphasis
        (?P<label>(?:step|sub[-\s]?goal|goal)[\s\#*_`]*)?
        (?:[\[(][*_`]*)?(?P<number>[0-9]{1,3})[\s*_`]*
        (?:[.):\]\uff0e\u3001\uff1a\uff09](?!\d)[.):\]*_`]*   # full-width marks, too
          |[\u2013\u2014-]+(?(label)|(?!\s*\d)))              # "2 - 3 cubes" is no sub-goal, "Step 2 - 3 cubes" is
        \s*(?P<rest>.*)""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_OBJECTS = r"(?:relevant )?objects?(?: involved)?[*_`]*\s*:"
_LABEL = re.compile(f"^{_OBJECTS}", re.IGNORECASE)
_LINE_OF_OBJECTS = re.compile(rf"[\s>+•·*_`\u2013\u2014-]*(?P<rest>{_OBJECTS}.*)", re.IGNORECASE | re.DOTALL)
_EMPHASIS = re.compile(r"(?<!\d)[*`]+|[*`]+(?!\d)|(?<!\w)_+|_+(?!\w)")
_EDGES = " -\u2013\u2014•·:;,"
_QUOTES = "\"'\u201c\u201d\u2018\u2019"
_BRACKETS = re.compile(r"^(?:\[([^\[\]]*)\]|\(([^()]*)\)|\{([^{}]*)\})$")
_NO_OBJECTS = frozenset({"", "none", "n/a", "nothing"})
_TEMPLATES_OWN = "sub-goal description"
"""What the template's lines say, which a model may repeat."""


@dataclass(frozen=True)
class Step:
    """A sub-goal as it is written.

    Attributes:
        text: In words, on one line, without ``|``.
        objects: What it involves, in the order of writing.
        span: Where the answer says so, text and objects: first character and the one after the last.
    """

    text: str
    objects: tuple[str, ...] = ()
    span: tuple[int, int] = field(default=(0, 0), compare=False)


@dataclass(frozen=True)
class Plan:
    """An answer that has been read.

    Attributes:
        steps: Its sub-goals; at least one.
        reasoning: All else that it says, before, between and after.
    """

    steps: tuple[Step, ...]
    reasoning: str = ""


def prompt(task: str, history: Sequence[Attempt] = ()) -> str:
    """What a model is asked: the seed's words, and what was tried before where it is asked again.

    The picture belongs where `IMAGE` is for the first time.
    """
    attempts = "\n".join(f"- {one.text}: {'reached' if one.reached else 'not reached'}" for one in history)
    told = _HISTORY.format(attempts=attempts) if history else ""
    return _TEMPLATE.format(image=IMAGE, task=" ".join(task.split()), history=told)


@dataclass
class _List:
    """Numbered lines that belong together.

    Attributes:
        first: The number that it begins with.
        indent: Blanks before its last line.
        steps: Its sub-goals, by their lines.
        lines: All that state them.
        formed: Whether any is written as it was asked for, with ``|`` or objects.
    """

    first: int
    indent: int = 0
    steps: dict[int, Step] = field(default_factory=dict)
    lines: set[int] = field(default_factory=set)
    formed: bool = False

    def add(self, stated: int, step: Step, line: int, *, formed: bool) -> None:
        """The sub-goal of line ``stated``, as ``line`` has it too."""
        self.steps[stated] = step
        self.lines.add(line)
        self.formed |= formed


def parse(answer: str) -> Plan:
    """Read an answer.

    A sub-goal is a line that begins with a number: ``1. text | object, object``. Also read are ``1)``, ``1:``, ``1 -``
    with any dash, ``Step 1:``, bullets, quotation marks and headings before the number, bold and italics, brackets
    around text or objects, lines without objects, and objects on the line below (``Objects: ...``). ``None`` and
    ``N/A`` are no objects, and a line of the prompt's template is no sub-goal. Other lines are reasoning.

    A number that is not greater than the first one of its list begins a new list; other slips in counting do not.
    The last list counts: a model that thinks first, or corrects itself, means what it says last. But where any list
    has objects, one without does not count, so that notes below a plan are reasoning. So is a list that is indented
    right below a sub-goal: its parts.

    Raises:
        ReasonerError: No line is a sub-goal.
    """
    lines = answer.splitlines(keepends=True)
    lists = _lists(lines)
    if not lists:
        begins = answer.strip()[:80]
        raise ReasonerError(f"the answer states no sub-goal as '1. text | objects'; it begins {begins!r}")
    chosen = [one for one in lists if one.formed or not any(other.formed for other in lists)][-1]
    reasoning = "\n".join(line.rstrip() for place, line in enumerate(lines) if place not in chosen.lines)
    return Plan(tuple(chosen.steps.values()), reasoning.strip())


def _lists(lines: Sequence[str]) -> list[_List]:
    """The lists of an answer in their order, without those that are indented below a sub-goal."""
    lists: list[_List] = []
    stated: int | None = None  # the line of a sub-goal, if nothing else has been said since
    below = parts = False  # whether all since the last sub-goal is indented below it, and whether its parts are listed
    end = 0
    for place, line in enumerate(lines):
        start, end = end, end + len(line)
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        deeper = below and indent > lists[-1].indent
        numbered = _read(line, start)
        if numbered is None:
            objects = _LINE_OF_OBJECTS.match(line)
            if objects is not None and stated is not None and not (step := lists[-1].steps[stated]).objects:
                span = step.span[0], start + len(line.rstrip())
                lists[-1].add(stated, replace(step, objects=_things(objects["rest"]), span=span), place, formed=True)
                deeper = below
            stated, below = None, deeper
            continue
        number, step = numbered
        parts = deeper and (parts or number <= lists[-1].first)
        if parts:
            stated = None
            continue
        if not lists or number <= lists[-1].first:
            lists.append(_List(number))
        lists[-1].add(place, step, place, formed="|" in line)
        lists[-1].indent, stated, below = indent, place, True
    return lists


def write(plan: Plan) -> str:
    """The answer that states a plan's sub-goals; `parse` reads them back."""
    return "\n".join(_written(plan.steps))


def _written(steps: Sequence[Step]) -> Iterator[str]:
    for number, step in enumerate(steps, start=1):
        yield f"{number}. {step.text}" + (f" | {', '.join(step.objects)}" if step.objects else "")


def _read(line: str, start: int) -> tuple[int, Step] | None:
    """Number and sub-goal of a line that begins at character ``start`` of its answer."""
    numbered = _NUMBERED.match(line)
    if numbered is None:
        return None
    text, _, objects = numbered["rest"].partition("|")
    text = _clean(text)
    if not re.search(r"\w", text) or text.lower() == _TEMPLATES_OWN:
        return None
    span = start + numbered.start("rest"), start + len(line.rstrip())
    return int(numbered["number"]), Step(text, _things(objects), span)


def _things(objects: str) -> tuple[str, ...]:
    """The things of a list of objects."""
    things = (_thing(part) for part in re.split(r"[,;|\[\]]", _clean(objects)))
    return tuple(thing for thing in things if thing.lower() not in _NO_OBJECTS)


def _thing(text: str) -> str:
    """What a thing is called, without what stands around it or around the list that it begins or ends."""
    while True:
        cleaner = _clean(text).strip(_QUOTES + ".")
        if ")" not in cleaner:
            cleaner = cleaner.removeprefix("(")
        if "(" not in cleaner:
            cleaner = cleaner.removesuffix(")")
        if cleaner == text:
            return text
        text = cleaner


def _clean(text: str) -> str:
    """Without markup, on one line. What is clean stays as it is."""
    while True:
        cleaner = " ".join(_EMPHASIS.sub("", text).split()).strip(_EDGES)
        cleaner = _LABEL.sub("", _BRACKETS.sub(r"\1\2\3", cleaner))
        if cleaner == text:
            return text
        text = cleaner
