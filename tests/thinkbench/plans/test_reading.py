"""Ordinary words for moves: plans of generated problems in many forms, and sentences that must not be read as moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.tabletop.scene import Colour, Kind, ObjectSpec, SceneSpec, Size, ZoneSpec
from harness.plans import Said
from thinkbench.abstraction import abstract, domain_of
from thinkbench.generator import Episode, generate
from thinkbench.ideal import ideal_state
from thinkbench.plans.judge import Judged, judge
from thinkbench.plans.reading import grasped, readings
from thinkbench.subgoals.goals import called
from thinkbench.symbolic import TABLE, Domain, Move, SymbolicState
from thinkbench.templates import load_templates

FORMS = [
    "{item} is on {place}",
    "{item} should be on top of {place}.",
    "{item} is placed on {place}.",
    "Pick up {item} and place it on {place}",
    "Move {item} onto {place}",
    "Place {item} on {place}.",
    "Take {item} off {here} and put it down on {place}.",
    "Put {item} from {here} onto {place}.",
    "Next, stack {item} on {place}!",
]
ROOM_FORMS = [
    "{item} is inside {place}",
    "Move {item} to {place}.",
    "Take {item} from {here} to {place}.",
    "Pick up {item}, carry it to where it belongs and drop it into {place}",
]
SPAN_FORMS = ["Lay {item} across {place}", "{item} lies over {place}"]


@cache
def drawn(template: str, index: int) -> Episode:
    return generate(load_templates()[template], index, 20)


EPISODES = st.builds(drawn, st.sampled_from(sorted(load_templates())), st.integers(0, 3))


def place_in_words(scene: SceneSpec, domain: Domain, place: str) -> str:
    phrases = called(scene)
    parts = domain.spans[place].posts if place in domain.spans else (place,)
    return "the table" if place == TABLE else " and ".join(phrases[part] for part in parts)


def forms(domain: Domain, place: str) -> list[str]:
    if place in domain.spans:
        return FORMS + SPAN_FORMS
    return FORMS if place in domain.index else FORMS + ROOM_FORMS


def walk(episode: Episode) -> Iterator[tuple[Domain, SymbolicState, Move, dict[str, str]]]:
    """Each move of an episode's plan with the state before it, and what item, destination and origin are called."""
    scene = episode.scene
    domain = domain_of(scene, episode.goal, episode.rules)
    state = abstract(ideal_state(scene), domain)
    for move in episode.plan:
        places = {"place": move.destination, "here": state[domain.index[move.item]]}
        words = {key: place_in_words(scene, domain, place) for key, place in places.items()}
        yield domain, state, move, {"item": called(scene)[move.item], **words}
        state = domain.apply(state, move)


@given(EPISODES, st.data())
@settings(max_examples=40)
def test_plans_in_any_of_these_forms_are_the_same_plans(episode: Episode, data: st.DataObject) -> None:
    said, phrase = [], called(episode.scene)
    for domain, state, move, words in walk(episode):
        texts = [form.format(**words) for form in forms(domain, move.destination)]
        listed = Said("Put one on the other", (words["item"], *words["place"].split(" and ")))
        for one in (*(Said(text, ()) for text in texts), listed):
            found = list(readings(episode.scene, domain, state, one))
            assert move in found, one
            alike = {(phrase[read.item], place_in_words(episode.scene, domain, read.destination)) for read in found}
            assert alike == {(words["item"], words["place"])}, one
        said.append(Said(data.draw(st.sampled_from(texts)), ()))
    problem = json.dumps({key: episode.meta()[key] for key in ("scene", "goal", "rules")})
    judged = judge(problem, said)
    assert (judged.legal, judged.correct) == (len(said), True)
    assert not judge(problem, said[:-1]).correct


@given(EPISODES)
@settings(max_examples=40)
def test_item_and_destination_are_not_taken_for_each_other(episode: Episode) -> None:
    for domain, state, move, words in walk(episode):
        if words["item"] == words["place"]:
            continue
        swapped = {**words, "item": words["place"], "place": words["item"]}
        for form in FORMS + ROOM_FORMS + SPAN_FORMS:
            said = Said(form.format(**swapped), ())
            assert move not in readings(episode.scene, domain, state, said), said


@given(EPISODES, st.data())
@settings(max_examples=40)
def test_picking_up_may_be_a_sub_goal_of_its_own(episode: Episode, data: st.DataObject) -> None:
    said = []
    for _, _, _, words in walk(episode):
        pick = data.draw(st.sampled_from(["Pick up {item}", "The gripper holds {item}.", "Grasp {item}"]))
        place = data.draw(st.sampled_from(["Place it on {place}", "Put {item} on {place}", "{item} is on {place}"]))
        said += [Said(form.format(**words), ()) for form in (pick, place)]
    problem = json.dumps({key: episode.meta()[key] for key in ("scene", "goal", "rules")})
    assert judge(problem, said) == Judged(len(said), executable=True, correct=True)
    assert judge(problem, said[:-1]) == Judged(len(said) - 2, executable=False, correct=False)
    assert not judge(problem, [said[0], *said]).executable, "something is held already"


def thing(name: str, kind: Kind, colour: Colour, size: Size = Size.MEDIUM) -> ObjectSpec:
    return ObjectSpec(name, kind, colour, size, (0.0, 0.0, 0.0))


SCENE = SceneSpec(
    (
        thing("red", Kind.CUBE, Colour.RED),
        thing("blue", Kind.CUBE, Colour.BLUE),
        thing("green", Kind.CUBE, Colour.GREEN),
        thing("little", Kind.CYLINDER, Colour.WHITE, Size.SMALL),
        thing("big", Kind.CYLINDER, Colour.WHITE, Size.LARGE),
        thing("bin", Kind.BIN, Colour.GREEN, Size.LARGE),
    ),
    tuple(ZoneSpec(name, Colour.CYAN, (0.0, 0.0), (0.1, 0.1)) for name in ("left", "right")),
)
DOMAIN = domain_of(SCENE, (), ())
START = DOMAIN.state({"red": "green"})


def read(text: str, *objects: str, state: SymbolicState = START) -> list[tuple[str, str]]:
    return [(move.item, move.destination) for move in readings(SCENE, DOMAIN, state, Said(text, objects))]


@pytest.mark.parametrize(
    ("text", "moves"),
    [
        ("The red cube is on the blue cube", [("red", "blue")]),
        ("the MEDIUM red cube now rests atop the blue cube.", [("red", "blue")]),
        ("Pick up the red cube from the green cube, and place it gently on top of the blue cube", [("red", "blue")]),
        ("The red cube, which is on the green cube, goes onto the blue cube", [("red", "blue")]),
        ("The red cube is inside the green bin", [("red", "bin")]),
        ("Put the red cube down on the table", [("red", TABLE)]),
        ("The red cube is on the bare table", [("red", TABLE)]),
        ("The small white cylinder is on the large white cylinder", [("little", "big")]),
        ("Move the small white cylinder to the second cyan zone", [("little", "right")]),
        ("Move the small white cylinder to the cyan zone", [("little", "left"), ("little", "right")]),
    ],
)
def test_ordinary_words_are_read(text: str, moves: list[tuple[str, str]]) -> None:
    assert read(text) == moves


@pytest.mark.parametrize(
    "text",
    [
        "Pick up the red cube",
        "Take the red cube off the green cube",
        "The red cube is on the green cube",
        "The green cube is on the blue cube",
        "The red cube is not on the blue cube",
        "The red cube isn't on the blue cube",
        "Lift the red cube without touching it on the blue cube",
        "Instead of the red cube on the blue cube",
        "Check whether the red cube is on the blue cube",
        "Put the red cube on the blue cube or the table",
        "Put the red cube on the blue cube on the table",
        "Put the red cube and the small white cylinder on the blue cube",
        "The red cube is on the blue cube and the small white cylinder is on the table",
        "On the blue cube, put the red cube",
        "The blue cube is under the red cube",
        "The blue cube supports the red cube",
        "Take what is on the blue cube and put it on the table",
        "Make room for the blue cube on the table",
        "Put the red cube next to the blue cube",
        "Put the red cube on the table next to the blue cube",
        "Move the red cube to the left of the blue cube",
        "Place the red cube on the blue cube's left side",
        "Take the red cube from the top of the blue cube",
        "Take the red cube from inside the green bin",
        "Pick up the red cube on the blue cube",
        "Put the red cube on the pile that stands on the blue cube",
        "Hold the red cube over the blue cube",
        "Remove the red cube from the stack on the table",
        "Take the red cube from its position on the blue cube",
        "Pick up the red cube from the stack in the green bin",
        "Unstack the red cube on the table",
        "Move the gripper above the red cube in the green bin",
        "Look at the red cube on the table",
        "The red cube was on the blue cube",
        "Leave the red cube on the table",
        "Dont put the red cube on the blue cube",
        "The red cube is on the small blue cube",
        "The small red cube is on the blue cube",
        "The red block is on the blue cube",
        "The white cylinder is on the blue cube",
        "The red cube is on the white cylinder",
        "The red cube is on the purple cube",
        "The red cubes are on the blue cube",
        "The red cube is on the tabletop",
        "",
    ],
)
def test_what_is_no_move_or_not_clearly_one_is_not_read(text: str) -> None:
    assert read(text) == []


def test_the_list_of_objects_is_read_where_the_text_names_nothing() -> None:
    assert read("Stack one on the other", "red cube", "the blue cube") == [("red", "blue")]
    assert read("Put it down on what is free", "red cube", "table") == [("red", TABLE)]
    for text, *objects in (
        ("Stack one on the other", "blue cube", "red cube", "green cube"),
        ("Do not stack one on the other", "red cube", "blue cube"),
        ("Open the gripper", "red cube", "blue cube"),
        ("Put the red cube on it", "red cube", "blue cube"),
        ("Put it on the table", "red cube", "blue cube"),
        ("Stack one on the other", "red cube"),
        ("Stack one on the other", "red cube", "small blue cube"),
        ("Stack one on the other",),
    ):
        assert read(text, *objects) == [], text


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("Pick up the red cube", {"red"}),
        ("Take the red cube off the green cube", {"red"}),
        ("Pick up the red cube on the green cube", {"red"}),
        ("The red cube is held by the gripper", {"red"}),
        ("Lift the small white cylinder from the table", {"little"}),
        ("Pick up the small white cylinder from its place on the table", {"little"}),
        ("Pick up the green cube", set()),  # the red one is on it
        ("Pick up the red cube from the blue cube", set()),
        ("Pick up the red cube and put it on the green cube", set()),
        ("Do not pick up the red cube", set()),
        ("Find the red cube", set()),
        ("Pick up what is on the green cube", set()),
        ("Pick it up", set()),
    ],
)
def test_what_is_only_picked_up(text: str, things: set[str]) -> None:
    assert grasped(SCENE, DOMAIN, START, Said(text, ())) == things


def test_what_is_picked_up_is_placed_next() -> None:
    episode = drawn("sort-h3", 0)
    (_, _, _, words), (_, _, _, other), *_ = walk(episode)
    problem = json.dumps({key: episode.meta()[key] for key in ("scene", "goal", "rules")})

    def judged(*texts: str) -> Judged:
        return judge(problem, [Said(text, ()) for text in texts])

    off = f"Pick up {words['item']} from its place on {words['here']}"
    assert judged(off, f"Place it on {words['place']}").executable
    pick, place = f"Pick up {words['item']}", f"Place it on {words['place']}"
    assert words["item"] != other["item"]
    assert judged(pick, place) == Judged(2, executable=True, correct=False)
    assert judged(pick, f"Put {other['item']} on {other['place']}") == Judged(1, executable=False, correct=False)
    assert judged(place) == Judged(0, executable=False, correct=False)
    assert judged(pick, place, pick) == Judged(2, executable=False, correct=False)


def test_only_legal_moves_are_read() -> None:
    assert read("The green cube is on the blue cube", state=DOMAIN.state({})) == [("green", "blue")]
    assert read("The red cube is on the blue cube", state=DOMAIN.state({"little": "blue"})) == []
    assert read("The green cube is on the blue cube") == [], "the red one is on it"
