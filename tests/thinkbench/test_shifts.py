"""Shifts: each changes what it should and nothing else, in grades, the same way every time."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import configs
from envs.tabletop.conditions import Conditions
from envs.tabletop.scene import Colour, SceneSpec
from envs.tabletop.shapes import FRICTION, RGBA, WORKSPACE
from harness.cli import main
from harness.config import compose_runs
from thinkbench import shift_scenes
from thinkbench.abstraction import abstract, domain_of
from thinkbench.benchmark import ThinkBench, ThinkBenchProtocol
from thinkbench.env import ThinkBenchEnv
from thinkbench.generator import generate
from thinkbench.geometry import footprint, separation
from thinkbench.ideal import ideal_state
from thinkbench.literals import Literal
from thinkbench.names import FROZEN
from thinkbench.shift_draws import certified_draw, draws_path, load_draws, rehearsed, write_draws
from thinkbench.shift_words import IRRELEVANT, UNSEEN, reworded
from thinkbench.shifts import LEVELS, RECERTIFIED, shifted
from thinkbench.specs import EpisodeRecord
from thinkbench.suite import load_suite, write_suite
from thinkbench.symbolic import shortest_plan
from thinkbench.templates import load_templates

TEMPLATES = load_templates()
SHIFTS = ("camera", "lighting", "colours", "distractors", "friction-mass", "unseen-words", "clutter")
NAMES = ("sort-h3", "conditional-h10", "hanoi-h5", "repack-h7")
RECORDS = {name: EpisodeRecord.of(generate(TEMPLATES[name], 0, 0)) for name in NAMES}


def conditions(shift, level, record=RECORDS["sort-h3"], draw=0):
    return Conditions.from_dict(shifted(record, shift, level, draw).meta["conditions"])


def test_none_changes_nothing():
    assert all(shifted(record, "none", 0) is record for record in RECORDS.values())


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("name", ["sort-h3", "repack-h7"])
def test_changes_its_own_part_only_and_always_alike(name, shift):
    record = RECORDS[name]
    changed = [rehearsed(record, shift, level) for level in LEVELS]
    assert changed == [rehearsed(record, shift, level) for level in LEVELS]
    own = {"distractors": {"scene"}, "clutter": {"scene"}, "unseen-words": set()}.get(shift, {"conditions"})
    for _, episode in changed:
        assert (episode.episode_id, episode.seed) == (record.episode_id, record.seed)
        assert {key for key in episode.meta if episode.meta[key] != record.meta.get(key)} == own
        assert (episode.instructions != record.instructions) == (shift == "unseen-words")
        assert json.loads(json.dumps(episode.meta)) == episode.meta
    assert len({json.dumps([e.meta, dict(e.instructions)]) for _, e in changed}) == len(LEVELS)


def test_refuses_other_shifts_and_levels():
    with pytest.raises(ValueError, match="levels 1, 2 and 3, not 4"):
        shifted(RECORDS["sort-h3"], "camera", 4)
    with pytest.raises(ValueError, match="no shift 'fog'"):
        shifted(RECORDS["sort-h3"], "fog", 1)


# ------------------------------------------------------------------------------------------------- looks


@pytest.mark.parametrize("draw", range(20))
def test_camera_goes_farther_with_each_level_and_keeps_the_workspace_in_view(draw, monkeypatch):
    standard = np.array(Conditions().views.static_eye)
    views = [conditions("camera", level, draw=draw).views for level in LEVELS]
    shifts = [np.linalg.norm(np.array(view.static_eye) - standard) for view in views]
    assert 0.05 < shifts[0] < shifts[1] < shifts[2] < 0.5
    corners = np.array([[x, y, z] for x in WORKSPACE[0] for y in WORKSPACE[1] for z in (0.0, 0.05)])
    for view in views:
        monkeypatch.setattr(shift_scenes, "Views", lambda view=view: view)
        assert np.abs(shift_scenes._in_picture(corners)).max() < 1.0


def test_light_gets_dimmer_and_casts_shadows_at_last():
    lights = [conditions("lighting", level).light for level in LEVELS]
    ambient = [light.ambient for light in lights]
    assert ambient == sorted(ambient, reverse=True)
    assert ambient[0] < Conditions().light.ambient
    tints = [max(light.colour) - min(light.colour) for light in lights]
    assert 0 < tints[0] < tints[1] < tints[2]
    assert [light.shadows for light in lights] == [False, False, True]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("draw", range(20))
def test_paints_remain_what_they_are_called(level, draw):
    shown = conditions("colours", level, draw=draw)
    for colour, paint in shown.palette.items():
        assert min(Colour, key=lambda name: math.dist(RGBA[name], paint)) == colour
        assert all(0 <= channel <= 1 for channel in paint)
    paints = [*shown.palette.values(), shown.table]
    assert min(math.dist(a, b) for i, a in enumerate(paints) for b in paints[:i]) >= 0.25
    assert shown.palette != RGBA


# ----------------------------------------------------------------------------------------------- physics


def test_friction_and_mass_grow_apart_from_the_standard():
    for draw in range(30):
        factors = [conditions("friction-mass", level, draw=draw) for level in LEVELS]
        for name in ("friction", "mass"):
            logs = [math.log(getattr(each, name)) for each in factors]
            assert 0 < abs(logs[0]) < abs(logs[1]) < abs(logs[2])
            assert len({value > 0 for value in logs}) == 1
        assert all(each.friction * FRICTION**2 < math.tan(math.radians(45)) for each in factors)


# ------------------------------------------------------------------------------------------------- scene


@pytest.mark.parametrize("shift", ["distractors", "clutter"])
@pytest.mark.parametrize("name", NAMES)
def test_more_on_the_table_leaves_the_task_what_it_was(name, shift):
    record = RECORDS[name]
    before = SceneSpec.from_dict(record.meta["scene"])
    goal, rules = (tuple(map(Literal.from_list, record.meta[key])) for key in ("goal", "rules"))
    template = TEMPLATES[name]
    counts = []
    for level in LEVELS:
        after = SceneSpec.from_dict(rehearsed(record, shift, level)[1].meta["scene"])
        counts.append(len(after.objects) - len(before.objects))
        assert after.objects[: len(before.objects)] == before.objects
        assert after.zones == before.zones
        domain, state = domain_of(after, goal, rules), ideal_state(after)
        assert len(shortest_plan(domain, abstract(state, domain), goal)) == record.horizon
        if template.selection is None:
            looks = {(spec.kind, spec.colour) for spec in before.objects}
            assert all((spec.kind, spec.colour) not in looks for spec in after.objects[len(before.objects) :])
        else:
            scenes = (ideal_state(before), state)
            assert len({template.selection.choose(each, record.meta["colours"]) for each in scenes}) == 1
        for i, spec in enumerate(after.objects[len(before.objects) :], len(before.objects)):
            others = [footprint(state, other.name) for other in after.objects[:i]]
            assert min(separation(footprint(state, spec.name), other) for other in others) > 0.025
    assert 0 < counts[0] < counts[1] < counts[2]


def test_categories_get_no_new_members():
    """All red objects belong to the red zone: so no distractor is red."""
    record = EpisodeRecord.of(generate(TEMPLATES["sort-h5"], 0, 0))
    zones = {zone["colour"] for zone in record.meta["scene"]["zones"]}
    for draw in range(10):
        scene = rehearsed(record, "distractors", 3, draw)[1].meta["scene"]
        added = scene["objects"][len(record.meta["scene"]["objects"]) :]
        assert not zones & {spec["colour"] for spec in added}


# ------------------------------------------------------------------------------------------------- words


def test_unseen_words_are_in_no_template():
    texts = [text for t in TEMPLATES.values() for text in (*t.paraphrases, *t.held_out)]
    seen = set(re.findall(r"[a-z-]+", " ".join(texts).lower())) | set(UNSEEN)
    assert not seen & set(UNSEEN.values())
    assert len(set(UNSEEN.values())) == len(UNSEEN)
    for remark in IRRELEVANT:
        assert not set(re.findall(r"[a-z-]+", remark.lower())) & ({*UNSEEN} | {*UNSEEN.values()})


def test_rewording_keeps_the_sentence():
    text = "Red is for small cubes; put both bins and the large white dishes, but no cubicles, on the zone."
    assert reworded(text) == (
        "Crimson is for petite blocks; put both crates and the hefty ivory dishes, but no cubicles, on the mat."
    )


@pytest.mark.parametrize("name", NAMES)
def test_levels_of_unseen_words(name):
    record = RECORDS[name]
    paraphrase, words, both = (shifted(record, "unseen-words", level).instructions["standard"] for level in LEVELS)
    assert paraphrase == record.instructions["held_out"]
    assert words == reworded(record.instructions["standard"]) != record.instructions["standard"]
    assert both.replace(reworded(paraphrase), "").strip() in IRRELEVANT
    for text in (words, both):
        assert not set(re.findall(r"[a-z]+", text.lower())) & set(UNSEEN)


# ------------------------------------------------------------------------------------- draws and protocol


@pytest.fixture(scope="module")
def env():
    made = ThinkBenchEnv(observation_keys=())
    yield made
    made.close()


def test_a_draw_is_certified_by_execution(env):
    record = RECORDS["sort-h3"]
    assert certified_draw(record, "friction-mass", 3, env) == 0
    with pytest.raises(ValueError, match="cannot be put under clutter/2: none of 200 draws"):
        rehearsed(record, "clutter", 2, first=200)


@pytest.fixture
def small(tmp_path):
    """A suite file with one short episode."""
    frozen, record = load_suite(FROZEN), RECORDS["sort-h3"]
    suite = replace(frozen, name="small", records=(record,))
    path = tmp_path / "small.jsonl.gz"
    write_suite(suite, path)
    return suite, path


def protocol(**changes):
    data = yaml.safe_load((Path(configs.__path__[0]) / "protocol" / "thinkbench.yaml").read_text("utf-8"))
    del data["_target_"]
    return ThinkBenchProtocol(**{**data, **changes})


def test_draws_are_used_where_they_are_and_called_missing_where_not(small):
    suite, path = small
    bench = ThinkBench(protocol(suite=str(path), shift="clutter", shift_level=2))
    (spec,) = bench.episodes()
    assert spec.meta["scene"] == rehearsed(suite.records[0], "clutter", 2)[1].meta["scene"]
    assert "nobody has shown" in bench.deviations()[0]
    later = rehearsed(suite.records[0], "clutter", 2, first=3)[0]
    write_draws(suite, {"clutter/2": {spec.episode_id: later}}, draws_path(path))
    certified = ThinkBench(protocol(suite=str(path), shift="clutter", shift_level=2))
    assert certified.episodes()[0].meta["scene"] == shifted(suite.records[0], "clutter", 2, later).meta["scene"]
    assert certified.deviations() == ()
    assert certified.fingerprint()["shift"] != bench.fingerprint()["shift"]
    assert [spec.episode_id for spec in certified.episodes()] == [suite.records[0].episode_id]


def test_draws_of_other_episodes_are_refused(small):
    suite, path = small
    write_draws(suite, {}, draws_path(path))
    other = replace(suite, records=(RECORDS["hanoi-h5"],))
    with pytest.raises(ValueError, match=r"is not for small .* as it is now; make it again with `harness shift`"):
        load_draws(other, draws_path(path))
    draws_path(path).write_text("{}")
    with pytest.raises(ValueError, match="is damaged"):
        load_draws(suite, draws_path(path))


def test_the_verb_finds_draws_and_checks_them(small, capsys, monkeypatch):
    suite, path = small
    monkeypatch.setattr("thinkbench.verbs.LEVELS", (1,))
    assert main(["shift", str(path)]) == 0
    assert f"{len(RECERTIFIED)} draws for {suite.label}" in capsys.readouterr().out
    found = load_draws(suite, draws_path(path))
    assert set(found) == {f"{shift}/1" for shift in RECERTIFIED}
    wrong = {**found, "friction-mass/1": {suite.records[0].episode_id: 7}}
    write_draws(suite, wrong, draws_path(path))
    assert main(["shift", str(path), "--check", "--sample", "1"]) == 1
    output = capsys.readouterr().out
    assert f"{suite.records[0].episode_id} under friction-mass/1: recorded draw 7, now 0" in output
    assert f"2 of 3 draws of {suite.label} are the same" in output
    assert main(["shift", str(path), "--sample", "1"]) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shift": "fog"}, "choose one of none, camera"),
        ({"shift": "camera"}, "shift_level=0: choose 1 or 2 or 3 for protocol.shift=camera"),
        ({"shift_level": 2}, "shift_level=2: choose 0 for protocol.shift=none"),
        ({"shift": "unseen-words", "shift_level": 1, "wording": "verbose"}, "has no effect"),
    ],
)
def test_impossible_shifts_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        protocol(**changes)


@pytest.fixture(scope="module")
def plain():
    """A run without a shift."""
    (composed,) = compose_runs(["agent=expert"])
    return composed


@pytest.mark.parametrize("shift", SHIFTS)
def test_every_shift_is_a_protocol_of_its_own(shift, plain):
    for level in LEVELS:
        (composed,) = compose_runs(["agent=expert", f"protocol=thinkbench-{shift}-{level}"])
        assert composed.protocol_changes == ()
        own = {key: value for key, value in composed.config.protocol.items() if plain.config.protocol[key] != value}
        assert own == {"name": f"thinkbench-v1+{shift}/{level}", "shift": shift, "shift_level": level}


def test_training_data_are_not_shifted():
    with pytest.raises(ValueError, match="is for evaluation"):
        ThinkBench(protocol(shift="camera", shift_level=1)).collection(1, 0, play=False)
    with pytest.raises(ValueError, match=r"protocol.episodes_per_template=2: .* give limit=80"):
        ThinkBench(protocol(episodes_per_template=2)).collection(1, 0, play=False)
