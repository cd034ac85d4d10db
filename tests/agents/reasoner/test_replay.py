from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agents.reasoner import Attempt, ReasonerError, ReplayReasoner, SubGoal, record
from tests.agents.reasoner.pictures import view
from tests.agents.thinkjepa.tiny import world_config

WORLD = world_config(grid=2)
LIFT = SubGoal("Lift the cube", torch.tensor([0.5, 1.5, 2.0, 0.0]), torch.ones(3), ("cube",))
DROP = SubGoal("Drop it", None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    record(tmp_path / "record.json", {"pick up the \u00fcber-cube": [LIFT, DROP]})
    return tmp_path / "record.json"


def test_what_was_recorded_is_proposed(path: Path) -> None:
    reasoner = ReplayReasoner(path, WORLD)
    lift, drop = reasoner.propose(view("pick up the \u00fcber-cube"), {})
    assert (lift.text, lift.objects, lift.embedding) == ("Lift the cube", ("cube",), None)
    torch.testing.assert_close(lift.attention, LIFT.attention)
    assert drop == DROP
    assert reasoner.look(lift, view("pick up the \u00fcber-cube"), {}) is lift
    assert [file.name for file in path.parent.iterdir()] == ["record.json"]


def test_recorded_attention_is_of_any_scale(path: Path) -> None:
    for attention, shown in (([1, 3, 4, 0], LIFT.attention), ([0, 0, 0, 0], torch.ones(4))):
        path.write_text(json.dumps({"a": [{"text": "x", "attention": attention}]}))
        (subgoal,) = ReplayReasoner(path, WORLD).propose(view("a"), {})
        torch.testing.assert_close(subgoal.attention, shown)


def test_recorded_attention_covers_the_part_of_the_picture_that_it_says(tmp_path: Path) -> None:
    """What one world model's record shows at a place, another one finds there."""
    looked = torch.zeros(8, 8)
    looked[5, 2] = 1.0
    record(
        tmp_path / "r.json", {"a": [SubGoal("x", looked.flatten(), objects=("x",)), DROP]}, crop=(0.0, 0.0, 1.0, 1.0)
    )
    crop = (0.25, 0.5, 0.75, 1.0)
    world = world_config(grid=4)
    world = replace(world, encoder=replace(world.encoder, crop=crop))
    seen, without = ReplayReasoner(tmp_path / "r.json", world).propose(view("a"), {})
    assert without == DROP
    assert seen.attention is not None
    expected = torch.zeros(4, 4)
    expected[1, 0] = 16.0
    torch.testing.assert_close(seen.attention.view(4, 4), expected)
    assert "crop" not in json.loads((tmp_path / "r.json").read_text())["a"][1]


def test_what_is_to_be_done_twice_is_left_out_as_often_as_it_was_done(tmp_path: Path) -> None:
    record(tmp_path / "r.json", {"a": [LIFT, DROP, LIFT]})
    reasoner = ReplayReasoner(tmp_path / "r.json", WORLD)
    lifted, dropped = (Attempt(subgoal.text, reached=True) for subgoal in (LIFT, DROP))
    for history, left in (
        ((lifted,), [DROP, LIFT]),
        ((lifted, dropped), [LIFT]),
        ((lifted, dropped, lifted), [LIFT, DROP, LIFT]),
        ((lifted, dropped, lifted, lifted), [DROP, LIFT]),
        ((lifted, lifted, lifted), [DROP]),
    ):
        assert [subgoal.text for subgoal in reasoner.propose(view("a"), {}, history)] == [one.text for one in left]


def test_what_was_reached_is_not_proposed_again(path: Path) -> None:
    reasoner = ReplayReasoner(path, WORLD)

    def texts(*history: Attempt) -> list[str]:
        return [subgoal.text for subgoal in reasoner.propose(view("pick up the \u00fcber-cube"), {}, history)]

    assert texts(Attempt(LIFT.text, True)) == [DROP.text]
    assert texts(Attempt(LIFT.text, False)) == [LIFT.text, DROP.text]
    assert texts(Attempt(LIFT.text, True), Attempt(DROP.text, True)) == [LIFT.text, DROP.text]


def test_an_unknown_instruction_names_the_nearest(path: Path) -> None:
    with pytest.raises(
        ReasonerError, match="no answer to 'pick up the cube'; the nearest of 1 is 'pick up the \u00fcber-cube'"
    ):
        ReplayReasoner(path, WORLD).propose(view("pick up the cube"), {})
    path.write_text("{}")
    with pytest.raises(ReasonerError, match="has no answers; write it with"):
        ReplayReasoner(path, WORLD).propose(view("pick up the cube"), {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": [{"text": "x"}, {"objects": []}]}, r'\["a"\]\[1\]\["text"\]: Field required'),
        ({"a": [{"text": "x", "object": []}]}, r'\["a"\]\[0\]\["object"\]: Unexpected'),
        ({"a": [{"text": 1}]}, r'\["a"\]\[0\]\["text"\]'),
        ({"a": [{"text": "x", "attention": [1, -1]}]}, r'\["a"\]\[0\]\["attention"\]\[1\]'),
        ({"a": [{"text": "x", "attention": [1, 1, 1]}]}, r'\["a"\]\[0\]\["attention"\]: 3 numbers.*has 4 tokens'),
        ({"a": [{"text": "x", "attention": [1, 1, 1], "crop": [0, 0, 1, 1]}]}, "3 numbers are no square grid"),
        ({"a": [{"text": "x", "attention": [1], "crop": [0.5, 0, 0.5, 1]}]}, r"crop=.*: give left, top, right and"),
        ({"a": []}, r'\["a"\]'),
        ([], "the whole file"),
    ],
)
def test_errors_name_the_key(path: Path, content: Any, message: str) -> None:
    path.write_text(json.dumps(content))
    with pytest.raises(ReasonerError, match=message):
        ReplayReasoner(path, WORLD)


def test_a_file_that_is_missing_or_no_json_is_refused(path: Path) -> None:
    path.write_bytes(b"\x80\x04pickle")
    with pytest.raises(ReasonerError, match="the whole file"):
        ReplayReasoner(path, WORLD)
    with pytest.raises(ReasonerError, match="cannot be read"):
        ReplayReasoner(path.parent / "none.json", WORLD)
    with pytest.raises(ReasonerError, match="no sub-goal to record for 'a'"):
        record(path, {"a": []})
