"""Generated episodes: valid scenes, exact horizons, certificates that hold, the same in every process."""

import functools
import itertools
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.tabletop.scene import Colour, Kind, SceneSpec, Size, ZoneSpec
from envs.tabletop.shapes import FINGER_GAP, WORKSPACE_X, WORKSPACE_Y, is_container
from thinkbench.abstraction import abstract, domain_of, may_rest, zone_capacity
from thinkbench.generator import Episode, generate
from thinkbench.geometry import footprint, separation
from thinkbench.ideal import carry_out, ideal_state
from thinkbench.layout import zone_half_extents
from thinkbench.literals import Literal
from thinkbench.milestones import MilestoneTracker
from thinkbench.motion import next_placement
from thinkbench.predicates import broken_rule, evaluate, goal_holds
from thinkbench.symbolic import satisfied, shortest_plan
from thinkbench.templates import ZoneRole, load_templates

from .worlds import changed, thing, world

TEMPLATES = load_templates()


@functools.cache
def episode(name: str, index: int, seed: int = 0) -> Episode:
    return generate(TEMPLATES[name], index, seed)


episodes = st.builds(episode, st.sampled_from(sorted(TEMPLATES)), st.integers(0, 50), st.integers(0, 3))
many = settings(max_examples=15)


@many
@given(episodes)
def test_scenes_are_valid(drawn: Episode) -> None:
    state = ideal_state(drawn.scene)
    outlines = {name: footprint(state, name) for name in state.objects}
    for spec in drawn.scene.objects:
        x, y = outlines[spec.name].T
        assert WORKSPACE_X[0] - 1e-3 <= x.min() <= x.max() <= WORKSPACE_X[1] + 1e-3
        assert WORKSPACE_Y[0] - 1e-3 <= y.min() <= y.max() <= WORKSPACE_Y[1] + 1e-3
    specs = {spec.name: spec for spec in drawn.scene.objects}
    zones = {zone.name for zone in drawn.scene.zones}
    containers = {spec.name for spec in drawn.scene.objects if is_container(spec.kind)}
    start = dict(zip(domain_of(drawn.scene, drawn.goal, drawn.rules).movable, abstract_start(drawn), strict=True))
    for one, two in itertools.combinations(drawn.scene.objects, 2):
        if one.position[:2] == two.position[:2] or _above(start, containers, one.name, two.name):
            continue  # one pile, or a tray and what is in it
        gap = separation(outlines[one.name], outlines[two.name])
        shared_zone = start.get(one.name) in zones and start.get(one.name) == start.get(two.name)
        assert gap > (0.01 if shared_zone or _above(start, zones, one.name, two.name) else FINGER_GAP), (one, two)
    for item, base in start.items():
        if base in specs and not is_container(specs[base].kind):
            assert may_rest(specs[item], specs[base])


def _above(start: dict[str, str], places: set[str], *names: str) -> bool:
    """Whether all of ``names`` belong to piles in the same one of these ``places``, or are the place itself."""

    def ground(name: str) -> str:
        while name in start:
            name = start[name]
        return name

    grounds = {ground(name) for name in names}
    return len(grounds) == 1 and grounds <= places


def abstract_start(drawn: Episode) -> tuple[str, ...]:
    return abstract(ideal_state(drawn.scene), domain_of(drawn.scene, drawn.goal, drawn.rules))


@many
@given(episodes)
def test_the_shortest_plan_is_as_long_as_the_horizon(drawn: Episode) -> None:
    domain, state = domain_of(drawn.scene, drawn.goal, drawn.rules), abstract_start(drawn)
    assert len(shortest_plan(domain, state, drawn.goal)) == len(drawn.plan) == drawn.template.horizon
    for move in drawn.plan:
        state = domain.apply(state, move)
    assert satisfied(domain, state, drawn.goal)


@many
@given(episodes)
def test_the_plan_reaches_one_milestone_per_move_and_then_the_goal(drawn: Episode) -> None:
    domain, state = domain_of(drawn.scene, drawn.goal, drawn.rules), ideal_state(drawn.scene)
    tracker = MilestoneTracker(drawn.milestones)
    tracker.update(state)
    assert tracker.progress == 0
    for done, move in enumerate(drawn.plan):
        assert not goal_holds(state, drawn.goal)
        assert broken_rule(state, drawn.rules) is None
        placement = next_placement(state, domain, drawn.goal)
        assert placement is not None
        assert placement.move == move
        assert placement.room >= 0
        assert tracker.first_missing == done
        state = carry_out(state, placement)
        tracker.update(state)
        assert tracker.progress == pytest.approx((done + 1) / drawn.template.horizon)
    assert goal_holds(state, drawn.goal)
    assert broken_rule(state, drawn.rules) is None


@many
@given(episodes)
def test_instructions_are_complete_and_unambiguous(drawn: Episode) -> None:
    """Whatever is called "the (size) colour kind" is one object of the scene, and "the colour zone" is one zone."""
    looks = [(spec.size.value, spec.colour.value, spec.kind.value) for spec in drawn.scene.objects]
    colours = [zone.colour.value for zone in drawn.scene.zones]
    for wording in ("standard", "held_out"):
        text = drawn.instructions[wording]
        assert "{" not in text
        for size, colour, kind in re.findall(
            rf"[Tt]he (?:({'|'.join(Size)}) )?({'|'.join(Colour)}) ({'|'.join(Kind)})\b", text
        ):
            assert sum(look[0] == size or not size for look in looks if look[1:] == (colour, kind)) == 1, text
        for colour in re.findall(rf"[Tt]he ({'|'.join(Colour)}) zone\b", text):
            assert colours.count(colour) == 1 or "row" in text or "left" in text, text


def test_nothing_else_means_distractors_too() -> None:
    drawn = episode("unearth-h5", 0)
    (container,) = (spec.name for spec in drawn.scene.objects if is_container(spec.kind))
    inside = {literal.args[0] for literal in drawn.goal if literal.positive}
    outside = {literal.args[0] for literal in drawn.goal if not literal.positive}
    assert len(inside) == 2
    assert inside | outside | {container} == {spec.name for spec in drawn.scene.objects}
    assert inside.isdisjoint(outside)


def test_wordings_differ() -> None:
    instructions = episode("tower-h3", 0).instructions
    assert instructions["standard"] != instructions["held_out"]


def test_a_later_first_attempt_gives_another_valid_draw() -> None:
    one = episode("tower-h3", 0)
    other = generate(TEMPLATES["tower-h3"], 0, 0, one.attempt + 1)
    assert other.attempt > one.attempt
    assert (other.episode_id, other.paraphrases) == (one.episode_id, one.paraphrases)
    assert other.scene != one.scene
    assert len(other.plan) == 3


def test_episodes_differ() -> None:
    scenes = [episode("sort-h3", index).scene for index in range(8)] + [episode("sort-h3", 0, 1).scene]
    assert all(one != two for one, two in itertools.combinations(scenes, 2))


def test_every_paraphrase_is_used() -> None:
    template = TEMPLATES["tower-h3"]
    used = {episode("tower-h3", index).paraphrases["standard"] for index in range(40)}
    assert used == set(range(len(template.paraphrases)))


def test_other_processes_generate_the_same() -> None:
    script = (
        "from thinkbench.generator import generate; from thinkbench.templates import load_templates;"
        "e = generate(load_templates()['unearth-h5'], 7, 3); print(e.meta(), e.instructions)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    here = episode("unearth-h5", 7, 3)
    assert outputs == {f"{here.meta()} {here.instructions}\n"}


def test_scenes_survive_json() -> None:
    scene = episode("sort-h10", 0).scene
    assert SceneSpec.from_dict(scene.to_dict()) == scene


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"horizon": 4}, "the shortest plan has 3 moves instead of 4"),
        ({"goal": (Literal("on", ("t1", "t4")), Literal("on", ("t4", "t1")))}, "does not rest|no plan"),
        ({"distractors": 18}, "too full|looks like another"),
    ],
)
def test_impossible_templates_are_named(change: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thinkbench.generator._ATTEMPTS", 20)
    template = replace(TEMPLATES["tower-h3"], **change)
    with pytest.raises(RuntimeError, match=f"template tower-h3, episode 0: none of 20 draws.*({message})"):
        generate(template, 0, 0)


@given(st.integers(1, 2), st.integers(1, 2), st.sampled_from([0.03, 0.04, 0.05]))
def test_zones_hold_what_they_are_made_for_and_not_one_more(x: int, y: int, edge: float) -> None:
    half = zone_half_extents(ZoneRole("A", (x, y)), edge)
    assert zone_capacity(ZoneSpec("z", Colour.RED, (0.0, 0.0), half), edge) == x * y


def test_what_leans_on_an_object_has_to_go_before_it_is_picked() -> None:
    state = world(
        thing("a", position=(0.035, 0.0, 0.05)),
        thing("b"),
        touching={"a": ["b", "table"], "b": ["a", "table"]},
    )
    domain = domain_of(state.scene, (Literal("on", ("a", "b")),), ())
    state = changed(state, "a", tilt=0.5)
    assert not evaluate(state, Literal("on", ("a", "b")))
    assert domain.is_clear(abstract(state, domain), "b") is False
