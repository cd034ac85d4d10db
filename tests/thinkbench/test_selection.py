"""Conditions and selections over small scenes, and what is refused as ambiguous."""

from dataclasses import replace
from typing import Any

import pytest

from envs.tabletop.scene import Colour, Kind, ObjectSpec, Size
from thinkbench.selection import AmbiguousSelectionError, Condition, Selection

from .worlds import thing, world

COLOURS = {"A": Colour.BLUE}


def painted(spec: ObjectSpec, colour: Colour) -> ObjectSpec:
    return replace(spec, colour=colour)


STATE = world(
    thing("base", position=(0, 0, 0.02)),
    painted(thing("top", Kind.CYLINDER, (0, 0, 0.055), Size.SMALL), Colour.BLUE),
    thing("alone", Kind.WEDGE, (0.1, 0, 0.025), Size.LARGE),
    painted(thing("blue", position=(0.1, 0.1, 0.02)), Colour.BLUE),
    painted(thing("tray", Kind.TRAY, (-0.1, 0, 0.01)), Colour.BLUE),
    touching={"base": ["top", "table"], "top": ["base"], "alone": ["table"], "blue": ["table"], "tray": ["table"]},
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("colour A", {"top", "blue"}),
        ("colour red", {"base", "alone"}),
        ("kind cube", {"base", "blue"}),
        ("size small", {"top"}),
        ("touching A", {"base"}),
        ("touching red", {"top"}),
        ("carrying", {"base"}),
        ("lying", {"top"}),
        ("not lying", {"base", "alone", "blue"}),
        ("not touching A", {"top", "alone", "blue"}),
    ],
)
def test_conditions(text: str, expected: set[str]) -> None:
    assert set(Selection((Condition.from_text(text),)).choose(STATE, COLOURS)) == expected


def test_exceptions_leave_out() -> None:
    selection = Selection.from_dict({"where": ["not touching A"], "unless": ["colour A"]})
    assert selection.choose(STATE, COLOURS) == ("alone",)
    assert Selection.from_dict({"where": [], "but": "smallest"}).choose(STATE, COLOURS) == ("base", "alone", "blue")
    assert Selection.from_dict({"where": ["not kind cube"], "but": "largest"}).choose(STATE, COLOURS) == ("top",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"where": ["colour green"]}, "nothing is selected"),
        ({"where": ["kind wedge"], "unless": ["colour A"]}, "an exception excludes nothing"),
        ({"where": ["kind cube"], "but": "smallest"}, "no single smallest"),  # two of one size
        ({"where": ["kind wedge"], "but": "largest"}, "no single smallest or largest"),  # nothing to compare with
    ],
)
def test_what_readers_could_dispute_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(AmbiguousSelectionError, match=message):
        Selection.from_dict(data).choose(STATE, COLOURS)


@pytest.mark.parametrize("text", ["heavy", "colour", "carrying red", "not", ""])
def test_unknown_conditions_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no condition; there are colour, kind"):
        Condition.from_text(text)


def test_unknown_exceptions_are_refused() -> None:
    with pytest.raises(ValueError, match="but: 'reddest': choose one of smallest, largest"):
        Selection.from_dict({"but": "reddest"})
