"""Questions with their sub-goals, and the judge of answers to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.cli import main
from harness.dataset import encode_image
from harness.plans import Answered, Answers, PlansError, Question, Said, Thing, digest, read_plans
from thinkbench.names import FROZEN
from thinkbench.plans.attention import looked
from thinkbench.plans.judge import Judged, judge
from thinkbench.plans.verbs import settings
from thinkbench.plans.verdicts import report, verdicts
from thinkbench.suite import load_suite

SETTINGS = ["seed=3", "episodes=6", "states=3", "image=48", "held_out=0.3", "unseen=bridge-h5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plans") / "set"
    assert main(["plans", str(out), *SETTINGS]) == 0
    return out


@pytest.fixture(scope="module")
def asked(folder: Path) -> list[Question]:
    return list(read_plans(folder))


def texts(question: Question) -> list[str]:
    return [said.text for said in question.subgoals]


def judged(question: Question, sentences: Sequence[str]) -> Judged:
    return judge(question.problem, [Said(sentence, ()) for sentence in sentences])


def test_the_stated_plan_is_right_and_its_parts_are_not(asked: list[Question]) -> None:
    assert len(asked) == 18
    for question in asked:
        whole = judged(question, texts(question))
        assert (whole.legal, whole.executable, whole.correct) == (question.horizon, True, True)
        short = judged(question, texts(question)[:-1])
        assert not short.correct
        assert short.executable == (question.horizon > 1)
    assert not judge(asked[0].problem, ()).executable


def test_later_states_are_on_the_way(asked: list[Question]) -> None:
    starts = {question.id.partition("+")[0]: question for question in asked if question.id.endswith("+0")}
    later = [question for question in asked if question.reached]
    assert len(later) == 12
    for question in later:
        episode, _, moves = question.id.partition("+")
        assert len(question.reached) == int(moves)
        assert question.task == starts[episode].task
        assert question.png != starts[episode].png
        assert judged(starts[episode], [*question.reached, *texts(question)]).correct


def test_splits_and_what_is_seen(asked: list[Question]) -> None:
    assert {question.template for question in asked if question.split == "unseen"} == {"bridge-h5"}
    assert {question.split for question in asked} == {"train", "held_out", "unseen"}
    for question in asked:
        assert question.picture().shape == (48, 48, 3)
        phrases = {thing.phrase for thing in question.things}
        assert {name for said in question.subgoals for name in said.objects} <= phrases
        assert all(0 < thing.u < 1 and 0 < thing.v < 1 for thing in question.things)
        assert {thing.on for thing in question.things} <= phrases | {"", "table"} | {
            on for on in {thing.on for thing in question.things} if " and " in on
        }


def test_no_training_episode_is_one_that_is_evaluated(asked: list[Question]) -> None:
    frozen = [record.meta["scene"] for record in load_suite(FROZEN).records]
    assert all(json.loads(question.problem)["scene"] not in frozen for question in asked)


def test_other_words_and_wrong_moves(asked: list[Question]) -> None:
    question = next(one for one in asked if texts(one)[0].endswith("on the table."))
    first, *rest = texts(question)
    thing = question.subgoals[0].objects[0]
    assert judged(question, [f"place {thing} down on TABLE", *rest]).correct
    assert judged(question, [f"Let nothing but the table carry the {thing}.", *rest]).correct
    assert judged(question, [f"The {thing} is on the table", *rest]).correct, "in ordinary words"
    assert judge(question.problem, [Said("Put it on what is free", (thing, "table")), *question.subgoals[1:]]).correct
    assert judged(question, ["Put the moon on the table.", first, *rest]).legal == 0
    bare = next(one for one in asked if "bare table" in texts(one)[0])
    _, *rest_bare = texts(bare)
    thing = bare.subgoals[0].objects[0]
    assert judged(bare, [f"Put {thing} on the table.", *rest_bare]).correct, "as it may be called"
    twice = judged(question, [first, first, *rest])
    assert (twice.legal, twice.executable) == (1, False)


def test_it_goes_on_where_it_was_and_refuses_other_settings(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    assert main(["plans", str(again), *SETTINGS]) == 0
    assert digest(again) == digest(folder)
    before = (again / "data/part-00000.parquet").stat().st_mtime_ns
    (again / "SHA256SUMS").unlink()
    with pytest.raises(PlansError, match="no complete set of plans"):
        digest(again)
    assert main(["plans", str(again), *SETTINGS]) == 0
    assert digest(again) == digest(folder)
    assert (again / "data/part-00000.parquet").stat().st_mtime_ns == before
    assert main(["plans", str(again), "seed=4"]) == 2
    assert "other settings" in capsys.readouterr().err
    (again / "data/part-00000.parquet").write_bytes(b"")
    with pytest.raises(PlansError, match="is damaged"):
        list(read_plans(again))


def test_a_suite_is_for_evaluation(tmp_path: Path) -> None:
    out = tmp_path / "exam"
    assert main(["plans", str(out), f"suite={FROZEN}", "episodes=2", "image=32", "wording=held_out"]) == 0
    record = load_suite(FROZEN).records[0]
    first, second = read_plans(out)
    assert (first.split, first.task, first.horizon) == ("evaluation", record.instructions["held_out"], record.horizon)
    assert list(read_plans(out, ["train"])) == []
    assert second.id.startswith(load_suite(FROZEN).records[1].episode_id)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["episodes=3"], "give either seed=N"),
        (["seed=1", f"suite={FROZEN}"], "give either seed=N"),
        (["seed=-1"], "seed=-1: must be a whole number"),
        (["seed=1", "unseen=tower-h4"], "there is no 'tower-h4'"),
        (["seed=1", "wording=verbose"], "is for evaluation"),
        (["seed=1", "held_out=1"], "must be a number from 0"),
        ([f"suite={FROZEN}", "unseen=tower-h5"], "has no effect"),
        ([f"suite={FROZEN}", "episodes=201"], "whole number from 1 to 200"),
        (["suite=missing"], "there is no such suite"),
        (["seed=1", "limit=3"], "with one of the keys"),
    ],
)
def test_impossible_settings_are_refused(given: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(given)


def test_labels_are_what_the_picture_shows(asked: list[Question]) -> None:
    """Pixels of a thing have its colour, and its middle is its own unless something is in front."""
    palette = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}
    met = set()
    for question in asked:
        picture, labels = question.picture() / 255, question.labels()
        assert labels.shape == picture.shape[:2]
        assert labels.max() <= len(question.things)
        for place, thing in enumerate(question.things, start=1):
            colour = palette.get(thing.phrase.split()[0])
            if thing.on and colour is not None and (labels == place).any():
                np.testing.assert_array_equal(picture[labels == place].mean(axis=0).argmax(), np.argmax(colour))
                met.add(colour)
        own = [
            labels[int(thing.v * 48), int(thing.u * 48)] == place
            for place, thing in enumerate(question.things, start=1)
            if thing.on
        ]
        assert np.mean(own) > 0.5
    assert len(met) == 3


@given(
    arrays(np.uint8, st.tuples(st.integers(4, 12), st.integers(4, 12)), elements=st.integers(0, 3)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(3, 4), st.integers(3, 4)),
)
def test_coverage_is_a_share_of_cells(
    labels: npt.NDArray[np.uint8], grid: tuple[int, int], edges: tuple[int, int, int, int]
) -> None:
    """Against pixels that are counted, in a picture so large that cells hold whole ones."""
    things = tuple(Thing(name, name, "", 0.5, 0.5) for name in "abc")
    question = Question("one", "train", "", "", 1, b"", "", (), (), things, encode_image(labels), "{}")
    crop = [edge / 4 for edge in edges]
    shown = question.coverage(grid, crop)
    left, top, right, bottom = edges
    height, width = labels.shape
    fine = labels.repeat(4 * grid[0], axis=0).repeat(4 * grid[1], axis=1)
    fine = fine[top * grid[0] * height : bottom * grid[0] * height, left * grid[1] * width : right * grid[1] * width]
    cells = [part for rows in np.split(fine, grid[0]) for part in np.split(rows, grid[1], axis=1)]
    expected = [[(cell == place).mean() for cell in cells] for place in (1, 2, 3)]
    np.testing.assert_allclose(shown, expected, atol=1e-5)


@pytest.mark.parametrize("crop", [(0.0, 0.0, 1.0, 1.0), (0.0, 0.4, 1.0, 0.9)])
def test_attention_agrees_with_what_is_named(asked: list[Question], crop: tuple[float, float, float, float]) -> None:
    question = asked[0]
    said = question.subgoals[0]
    shown = question.coverage((20, 20), crop)
    is_named = [thing.phrase in said.objects for thing in question.things]
    named, other = shown[is_named].sum(axis=0), shown[np.logical_not(is_named)].sum(axis=0)
    uniform, beside = np.ones(400), np.where(named > 0, 0, other)
    for attention, mass, hit in (
        (400.0 * (named == named.max()), named.max(), True),
        (400.0 * (beside == beside.max()), 0.0, False),
        (uniform, named.mean(), None),
    ):
        seen = tuple(attention.tolist())
        answered = Answered(question.id, 1.0, (said, Said("?", ("moon",)), said), (seen, seen, None))
        answers = Answers("", {}, crop, 20, [answered])
        (one,) = looked(question, answered, answers)
        assert 0 < one.even_mass < one.even_hit < 0.5
        assert one.mass == pytest.approx(mass)
        assert one.among == pytest.approx((attention * named).sum() / (attention * (named + other)).sum())
        assert (one.even_mass, one.even_among) == pytest.approx((named.mean(), named.sum() / (named + other).sum()))
        assert one.even_hit == pytest.approx((named > 0).mean())
        if hit is not None:
            assert one.hit == hit


def test_what_is_hidden_cannot_be_looked_at(asked: list[Question]) -> None:
    hidden = replace(asked[0], labels_png=encode_image(np.zeros((48, 48), np.uint8)))
    answered = Answered(hidden.id, 1.0, hidden.subgoals[:1], ((1.0,) * 49,))
    assert not list(looked(hidden, answered, Answers("", {}, (0, 0, 1, 1), 7, [answered])))


def test_answers_are_counted(
    folder: Path, asked: list[Question], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = [Answered(q.id, 0.5, q.subgoals, (None,) * len(q.subgoals)) for q in asked[:6]]
    wrong = [Answered(q.id, 1.5, q.subgoals[:-1], (None,) * (len(q.subgoals) - 1)) for q in asked[6:8]]
    silent = [Answered(asked[8].id, 0.1, error="nothing that can be read")]
    answers = Answers(digest(folder), {"model": "mine"}, (0, 0, 1, 1), 7, [*right, *wrong, *silent])
    answers.write(tmp_path / "answers.json")
    answers = Answers.read(tmp_path / "answers.json")
    data = report(verdicts(folder, answers), answers, asked=len(list(read_plans(folder))))
    assert data["all"]["questions"] == 9
    assert data["all"]["correct"]["count"] == data["all"]["as_stated"]["count"] == 6
    assert data["all"]["correct"]["low"] == pytest.approx(0.354, abs=1e-3)
    assert sum(row["questions"] for row in data["by_horizon"].values()) == 9
    assert (data["errors"], data["seconds"]["p50"]) == (1, 0.5)
    assert main(["check-plans", str(folder), str(tmp_path / "answers.json")]) == 0
    assert "66.7% [35.4, 87.9] (6/9)" in capsys.readouterr().out
    assert main(["check-plans", str(folder), str(tmp_path / "answers.json"), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == data
    with pytest.raises(PlansError, match="another set of plans"):
        verdicts(folder, replace(answers, plans="other"))
    torn = replace(answers, answers=[replace(right[0], attention=((1.0, 2.0),) * len(right[0].subgoals))])
    torn.write(tmp_path / "answers.json")
    with pytest.raises(PlansError, match=r"attention must be null or 49 numbers for each sub-goal"):
        Answers.read(tmp_path / "answers.json")
    answers.write(tmp_path / "answers.json")
    whole = json.loads((tmp_path / "answers.json").read_text())
    for change, message in (
        ({"crop": [0, 0, 1]}, "crop"),
        ({"reasoner": None}, "reasoner"),
        ({"answers": [whole["answers"][0] | {"seconds": "fast"}]}, r"answers\.0\.seconds"),
        ({"answers": [whole["answers"][0] | {"subgoals": [{"text": 5, "objects": []}]}]}, r"subgoals\.0\.text"),
        (
            {"answers": [whole["answers"][0] | {"subgoals": [{"text": "x", "objects": "cube"}]}]},
            r"subgoals\.0\.objects",
        ),
        ({"answers": whole["answers"][:1] * 2}, "answered twice"),
        ({"format_version": 99}, "another version"),
    ):
        (tmp_path / "answers.json").write_text(json.dumps(whole | change))
        with pytest.raises(PlansError, match=message):
            Answers.read(tmp_path / "answers.json")
    with pytest.raises(PlansError, match="has no question 'moon'"):
        verdicts(folder, replace(answers, answers=[replace(right[0], id="moon")]))
    (tmp_path / "answers.json").write_text("{}")
    assert main(["check-plans", str(folder), str(tmp_path / "answers.json")]) == 2
