"""The seed's prompt (section 4.4) and how its answer is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

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
        (?:(?:step|sub-?goal|goal)[\s\#*_`]*)?
        (?:[\[(][*_`]*)?(?P<number>[0-9]{1,3})[\s*_`]*
        (?:[.):\]](?!\d)[.):\]*_`]*|[\u2013\u2014-]+(?!\s*\d))
        \s*(?P<rest>.*)""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_EMPHASIS = re.compile(r"[*`]+|(?<!\w)_+|_+(?!\w)")
_EDGES = " -\u2013\u2014•·:;,"
_BRACKETS = re.compile(r"^\[([^\[\]]*)\]$")
_LABEL = re.compile(r"^(?:relevant )?objects?(?: involved)?\s*:", re.IGNORECASE)


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


def parse(answer: str) -> Plan:
    """Read an answer.

    A sub-goal is a line that begins with a number: ``1. text | object, object``. Also read are ``1)``, ``1:``, ``1 -``
    with any dash, ``Step 1:``, bullets, quotation marks and headings before the number, bold and italics, brackets
    around text or objects, and lines without objects. Other lines are reasoning. A number that is not greater than the
    one before it begins a new list, and the last list counts: a model that thinks first, or corrects itself, means what
    it says last.

    Raises:
        ReasonerError: No line is a sub-goal.
    """
    steps: list[Step] = []
    chosen: set[int] = set()
    lines = answer.splitlines(keepends=True)
    last, start = 0, 0
    for place, line in enumerate(lines):
        numbered = _read(line, start)
        start += len(line)
        if numbered is None:
            continue
        number, step = numbered
        if number <= last:
            steps, chosen = [], set()
        steps.append(step)
        chosen.add(place)
        last = number
    if not steps:
        begins = answer.strip()[:80]
        raise ReasonerError(f"the answer states no sub-goal as '1. text | objects'; it begins {begins!r}")
    reasoning = "\n".join(line.rstrip() for place, line in enumerate(lines) if place not in chosen)
    return Plan(tuple(steps), reasoning.strip())


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
    if not re.search(r"\w", text):
        return None
    things = (_clean(thing) for thing in re.split(r"[,;|\[\]]", _clean(objects)))
    span = start + numbered.start("rest"), start + len(line.rstrip())
    return int(numbered["number"]), Step(text, tuple(thing for thing in things if thing), span)


def _clean(text: str) -> str:
    """Without markup, on one line. What is clean stays as it is."""
    while True:
        cleaner = " ".join(_EMPHASIS.sub("", text).split()).strip(_EDGES)
        cleaner = _LABEL.sub("", _BRACKETS.sub(r"\1", cleaner))
        if cleaner == text:
            return text
        text = cleaner
