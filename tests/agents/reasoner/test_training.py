"""A reasoner learns from plans, goes on after a kill as if nothing had been, and is examined."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from agents.reasoner import ReplayReasoner, SubGoal, record
from agents.reasoner.loading import VLMConfig
from agents.reasoner.prompt import parse
from agents.reasoner.tiny import TinySizes, make_tiny
from agents.reasoner.training import answering, run
from agents.reasoner.training.answering import ambiguous, ask, to_replay
from agents.reasoner.training.data import DESCRIBE, answer, asked, description, read_data, shifted, texts
from agents.reasoner.training.run import read_config
from agents.reasoner.training.tuning import Tuning
from agents.reasoner.vlm import VLMReasoner
from agents.thinkjepa.training.config import TrainingError
from agents.thinkjepa.training.distributed import Ranks
from agents.thinkjepa.training.loop import Ended, ExitCode
from agents.thinkjepa.training.optimiser import groups_of, make_optimiser
from agents.thinkjepa.training.state import STATE
from harness.cli import main
from harness.plans import Answered, Answers, Question, question_ids, read_plans
from tests.agents.reasoner.pictures import view
from tests.agents.thinkjepa.tiny import world_config

CPU = torch.device("cpu")
SIZES = {
    "image_size": 32,
    "patch_size": 8,
    "merge": 2,
    "vision_width": 32,
    "vision_layers": 1,
    "width": 48,
    "layers": 2,
    "heads": 2,
    "crop": [0, 0, 1, 1],
}
SMALL = [
    f"sizes={{{','.join(f'{key}:{value}' for key, value in SIZES.items())}}}",
    "device=cpu",
    "batch=4",
    "pieces=2",
    "health_samples=8",
    "optimiser.warmup=5",
    "optimiser.learning_rate=5.0e-3",
]


def train(*overrides: str, **given: Any) -> Ended:
    torch.set_num_threads(1)
    config = read_config([*SMALL, *overrides])
    return run.start(config, Ranks(), CPU, console=Console(file=io.StringIO()), **given)


def stage(out: Path, plans: Path, *overrides: str) -> Tuning:
    config = read_config([*SMALL, f"out={out}", f"data.sources=[{plans}]", *overrides])
    out.mkdir(exist_ok=True)
    data = read_data(config.data)
    run._make(config, data)
    return run._stage(config, data, CPU, bf16=False)


def test_answers_are_read_as_they_were_stated(plans: Path) -> None:
    for question in read_plans(plans):
        for aloud in (False, True):
            plan = parse(answer(question, aloud=aloud))
            stated = [(step.text, step.objects) for step in plan.steps]
            assert stated == [(said.text, said.objects) for said in question.subgoals]
            resting = [thing for thing in question.things if thing.on]
            assert len(plan.reasoning.splitlines()) == (len(resting) if aloud else 0)
        assert (question.reached == ()) == (asked(question, told=True) == asked(question, told=False))
        lines = description(question).splitlines()
        assert len(lines) == len(question.things)
        assert any(line.startswith("red") for line in lines) == any(t.phrase.startswith("red") for t in question.things)


def test_instructions_of_several_scenes_are_known(plans: Path) -> None:
    questions = list(read_plans(plans))
    (first, *_), (later, *_) = ([one for one in questions if bool(one.reached) == told] for told in (False, True))
    assert ambiguous([first, later]) == []
    assert ambiguous([first, replace(first, id="another"), later, later]) == [first.task]


def test_answers_can_be_replayed(plans: Path, tmp_path: Path) -> None:
    questions = list(read_plans(plans))
    world = world_config(grid=2)
    looks = (1.0, 1.0, 2.0, 0.0)
    answered = [Answered(one.id, 0.0, one.subgoals, (looks,) * len(one.subgoals)) for one in questions]
    record(tmp_path / "record.json", to_replay(questions, answered))
    reasoner = ReplayReasoner(tmp_path / "record.json", world)
    for one in questions:
        proposed = reasoner.propose(view(one.task), {})
        first = next(other for other in questions if other.task == one.task and not other.reached)
        assert [(goal.text, goal.objects) for goal in proposed] == [
            (goal.text, goal.objects) for goal in first.subgoals
        ]
        torch.testing.assert_close(proposed[0].attention, torch.tensor(looks))
    silent = to_replay(questions, [Answered(one.id, 0.0, error="none") for one in questions])
    assert {task: [goal.text for goal in goals] for task, goals in silent.items()} == {
        one.task: [one.task] for one in questions if not one.reached
    }, "as an agent goes on that asks the model itself"


@torch.no_grad()
def test_the_loss_is_that_of_each_answer_by_itself(plans: Path, tmp_path: Path) -> None:
    """Neither padding nor pieces nor shares of processes change it."""
    tuning = stage(tmp_path / "a", plans).eval()
    batch = tuning.draw(np.arange(4), 0)
    total = 0.0
    for encoded in (example.encoded for example in batch.examples):
        labels = encoded.inputs["input_ids"].clone()
        labels[:, : encoded.asked] = -100
        count = int((labels >= 0).sum())
        total += float(tuning.model(**encoded.inputs, labels=labels).loss) * count
    losses = tuning(batch)
    assert float(losses["answers"]) == pytest.approx(total / (4 * tuning._mean_length), rel=1e-4)
    halves = [tuning(batch.part(rows, CPU)) for rows in (slice(0, 2), slice(2, 4))]
    for term, loss in losses.items():
        assert float(loss) == pytest.approx(sum(float(half[term]) for half in halves) / 2, rel=1e-4), term


@torch.no_grad()
def test_who_names_a_thing_is_to_look_at_it(plans: Path, tmp_path: Path) -> None:
    """Against the attention of transformers' slow path, token by token."""
    tuning = stage(tmp_path / "d", plans, "data.described=0.5", "sizes.merge=1").eval()
    batch = tuning.draw(np.arange(4), 0)
    slow = AutoModelForImageTextToText.from_pretrained(tmp_path / "d" / "made", attn_implementation="eager").eval()
    expected = 0.0
    for example in batch.examples:
        question, encoded = example.question, example.encoded
        seen = slow(**encoded.inputs, use_cache=False, output_attentions=True).attentions[-1][0].mean(dim=0)
        says = tuning._chat.decode(encoded.inputs["input_ids"][0, encoded.asked :].tolist())
        surprises = []
        for (start, stop), row in zip(encoded.characters.tolist(), seen[encoded.asked :], strict=True):
            phrases = sorted({thing.phrase for thing in question.things}, key=len, reverse=True)
            named = [m for m in re.finditer("|".join(phrases), says) if start < m.end() and stop > m.start()]
            things = [thing for thing in question.things if named and thing.phrase == named[0][0]]
            looked, labels = row[encoded.image], question.labels()
            side = len(labels) // 4
            cells = set()
            for thing in things:
                own = labels == 1 + question.things.index(thing)
                pixels = own.reshape(4, side, 4, side).sum(axis=(1, 3)).ravel()
                cells |= {cell for cell, count in enumerate(pixels) if count > 0 and count >= pixels.max() / 2}
            near = sum(float(looked[cell]) for cell in cells)
            if cells:
                surprises.append(-np.log(near / float(row[encoded.image].sum()) + 1e-6))
        expected += float(np.mean(surprises)) / 4
    assert float(tuning(batch)["looks"]) == pytest.approx(expected, rel=1e-3)
    assert expected == pytest.approx(np.log(16), rel=0.1), "an untrained one looks everywhere alike"


def test_what_is_drawn(plans: Path, tmp_path: Path) -> None:
    def questions(*overrides: str) -> list[str]:
        tuning = stage(tmp_path / "b", plans, *overrides)
        examples = tuning.draw(np.arange(tuning.samples()), 0).examples
        encoded = [example.encoded for example in examples]
        return [tuning._chat.decode(one.inputs["input_ids"][0, : one.asked].tolist()) for one in encoded]

    described, told = DESCRIBE.partition("\n")[2], "Sub-goals so far"
    plain = questions("data.described=0", "data.told=0")
    assert not any(described in text or told in text for text in plain)
    assert sum(told in text for text in questions("data.described=0", "data.told=1")) == len(plain) // 2
    assert any(described in text for text in questions("data.described=0.5"))


@given(st.integers(-40, 40), st.integers(-40, 40))
def test_things_move_with_a_shifted_picture(plans: Path, right: int, down: int) -> None:
    question = next(read_plans(plans))
    picture = question.picture()
    side = len(picture)
    moved, seen = shifted(question, right, down)
    assert seen.shape == picture.shape
    framed = np.pad(picture, ((40, 40), (40, 40), (0, 0)), mode="edge")
    np.testing.assert_array_equal(seen, framed[40 - down : 40 - down + side, 40 - right : 40 - right + side])
    stay = [thing for thing in question.things if 0 <= thing.u + right / side < 1 and 0 <= thing.v + down / side < 1]
    assert [thing.name for thing in moved.things] == [thing.name for thing in stay]
    for thing, before in zip(moved.things, stay, strict=True):
        row, column = int(before.v * side + 1e-6), int(before.u * side + 1e-6)
        if 0 <= row + down < side and 0 <= column + right < side:
            np.testing.assert_array_equal(seen[row + down, column + right], picture[row, column])
        assert (thing.u, thing.v) == pytest.approx((before.u + right / side, before.v + down / side))
    for place, thing in enumerate(moved.things, start=1):
        before = question.labels() == 1 + [one.name for one in question.things].index(thing.name)
        framed = np.pad(before, 40)[40 - down : 40 - down + side, 40 - right : 40 - right + side]
        np.testing.assert_array_equal(moved.labels() == place, framed)
    assert moved.labels().max(initial=0) <= len(moved.things)
    assert replace(moved, things=question.things, labels_png=question.labels_png) == question


def test_pictures_are_drawn_with_shifts(plans: Path, tmp_path: Path) -> None:
    tuning = stage(tmp_path / "e", plans, "data.shifted=3")
    side = len(next(read_plans(plans)).picture())
    shifts = set()
    for step in range(3):
        for index, example in enumerate(tuning.draw(np.arange(4), step).examples):
            before = {thing.name: thing for thing in tuning._data.train[index].things}
            moved = {
                (round((t.u - before[t.name].u) * side), round((t.v - before[t.name].v) * side))
                for t in example.question.things
            }
            assert len(moved) == 1, "everything moves together"
            shifts |= moved
    assert len(shifts) > 3
    assert max(max(map(abs, shift)) for shift in shifts) == 3
    unmoved = stage(tmp_path / "e", plans, "data.shifted=0").draw(np.arange(4), 0)
    assert [example.question for example in unmoved.examples] == list(tuning._data.train[:4])


def test_muon_trains_the_matrices_of_blocks(plans: Path, tmp_path: Path) -> None:
    """Its first step is as long in all directions of the gradient, AdamW's of all else is the gradient's sign."""
    tuning = stage(tmp_path / "g", plans, "weights={answers:1,looks:0.3,sees:0.1}")
    config = read_config([f"out={tmp_path}", f"data.sources=[{plans}]"]).optimiser
    named = dict(tuning.named_parameters())
    assert type(make_optimiser(groups_of(named.items(), 1e-3, config), config)) is torch.optim.AdamW
    config = replace(config, muon=10, weight_decay=0.0)
    optimiser = make_optimiser(groups_of(named.items(), 1e-3, config), config)
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(named)
    before = {name: parameter.detach().clone() for name, parameter in named.items()}
    sum(tuning(tuning.draw(np.arange(4), 0)).values(), torch.zeros(())).backward()
    for group in optimiser.param_groups:
        group["lr"] = group["rate"]
    optimiser.step()
    muon = set()
    for name, parameter in named.items():
        if parameter.grad is None or not parameter.grad.any():
            continue
        moved = before[name] - parameter.detach()
        if "momentum_buffer" in optimiser.state[parameter]:
            muon.add(name)
            left, sizes, right = torch.linalg.svd(parameter.grad, full_matrices=False)
            along = (left.T @ moved @ right.T).diagonal()[sizes > 0.05 * sizes[0]]
            assert (along / (0.01 * 0.2 * max(parameter.shape) ** 0.5) - 1).abs().max() < 0.4, name
        else:
            strong = parameter.grad.abs() > 1e-5
            torch.testing.assert_close(moved[strong], 1e-3 * parameter.grad[strong].sign(), rtol=0.02, atol=1e-5)
    assert {name for name in muon if not re.search(r"\.layers\.\d+\..*(proj|fc\d)\.weight$", name)} == set()
    assert len(muon) == 6 + 2 * 7


def test_muon_is_not_for_adapters(plans: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"adapter's are factors; give optimiser\.muon=null or lora=null"):
        read_config([f"out={tmp_path}", f"data.sources=[{plans}]", "model=x", "optimiser.muon=5"])


@pytest.mark.parametrize(
    ("precision", "muon"),
    [("float32", "null"), ("float32", "5"), pytest.param("bf16", "null", marks=pytest.mark.slow)],
)
def test_a_killed_run_goes_on_bit_for_bit(plans: Path, tmp_path: Path, precision: str, muon: str) -> None:
    given = [f"data.sources=[{plans}]", "steps=6", "every={log:2,save:3,health:6}", f"precision={precision}"]
    given += [f"optimiser.muon={muon}"]
    bf16 = precision == "bf16"
    assert train(f"out={tmp_path / 'whole'}", *given, bf16=bf16).code == ExitCode.COMPLETED
    calls = iter([False, False, False, True])
    ended = train(f"out={tmp_path / 'killed'}", *given, bf16=bf16, interrupted=lambda: next(calls))
    assert (ended.code, ended.step) == (ExitCode.INTERRUPTED, 4)
    assert train(f"out={tmp_path / 'killed'}", *given, bf16=bf16).code == ExitCode.COMPLETED
    for name in (STATE, "checkpoint/model.safetensors"):
        one, other = (load_file(tmp_path / run_ / name) for run_ in ("whole", "killed"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    with pytest.raises(TrainingError, match=r"another configuration \(batch: 4 -> 8\)"):
        train(f"out={tmp_path / 'killed'}", *given, "batch=8")


def test_it_learns_and_is_examined(plans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    given = [f"data.sources=[{plans}]", "steps=100", "data.described=0", "every={log:20,save:100,health:100}"]
    assert main(["train", "reasoner", f"out={out}", *SMALL, *given]) == 0
    assert capsys.readouterr().out.strip() == str(out / "checkpoint")
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    losses = [line["answers"] for line in lines if line["what"] == "train"]
    assert losses[-1] < 0.4 * losses[0]
    (health,) = [line for line in lines if line["what"] == "health"]
    assert health["tokens"] > 0.4
    assert health["looks"] > 0.25, "of four cells"
    assert 0 <= health["answers"] <= health["first"] <= 1
    assert "held-out number" in (out / "checkpoint" / "README.md").read_text()

    answers = tmp_path / "answers.json"
    asks = ["answer", str(plans), "--model", str(out / "checkpoint"), "--limit", "4", "-o", str(answers)]
    assert main([*asks, "--max-new-tokens", "300", "--device", "cpu"]) == 0
    read = Answers.read(answers)
    assert (read.grid, read.crop, len(read.answers)) == (14, (0.0, 0.0, 1.0, 1.0), 4)
    first = next(one for one in read.answers if one.error is None)
    assert first.subgoals[0].text.split()[0] in {"Put", "Lay"}
    assert first.attention[0] is not None
    assert [step.text for step in parse(first.text).steps] == [said.text for said in first.subgoals]
    assert np.mean(first.attention[0]) == pytest.approx(1, abs=1e-3)
    assert main(["check-plans", str(plans), str(answers)]) == 0
    printed = capsys.readouterr().out
    assert "Seconds per answer" in printed
    assert "have an answer here" in printed

    asks[asks.index("4")] = "6"
    assert main([*asks, "--max-new-tokens", "300", "--device", "cpu"]) == 0
    again = {one.id: one for one in Answers.read(answers).answers}
    assert len(again) >= 6
    assert [again[one.id] for one in read.answers] == list(read.answers), "seconds too: they were not asked again"
    assert main([*asks, "--max-new-tokens", "200", "--device", "cpu"]) == 2
    assert "name another file or remove it" in capsys.readouterr().err
    assert main([*asks, "--max-new-tokens", "300", "--device", "cpu", "--world", "tiny-tabletop"]) == 2
    told = capsys.readouterr().err
    assert "attention over 14 x 14 cells of [0.0, 0.0, 1.0, 1.0]" in told
    assert "attention over 8 x 8 cells of [0.02, 0.4, 0.98, 0.86] (--world)" in told


def test_no_answer_is_lost_whatever_is_asked_next(
    plans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    order = [one.id for one in read_plans(plans)]
    assert question_ids(plans) == order
    record(tmp_path / "record.json", {"Tidy up.": [SubGoal("Put it away.", None)]})
    out = tmp_path / "answers.json"
    known: list[str] = []

    def held() -> list[str]:
        return [one.id for one in Answers.read(out).answers]

    def asker(stop: int | None) -> Any:
        """Stops after so many answers; at each question the file lacks one of those before at most."""
        asked: list[str] = []

        def ask(_: object, question: Question) -> Answered:
            if len(asked) == stop:
                raise RuntimeError("killed")
            assert len(set(known) - set(held() if out.exists() else ())) <= 1
            assert question.id not in known
            asked.append(question.id)
            known.append(question.id)
            return Answered(question.id, seconds=float(len(known)), error="none")

        return ask

    def run_(*more: str, stop: int | None = None) -> int:
        monkeypatch.setattr(answering, "ask", asker(stop))
        return main(["answer", str(plans), "--record", str(tmp_path / "record.json"), "-o", str(out), *more])

    monkeypatch.setattr(answering, "_SAVED_EVERY", 2)
    with pytest.raises(RuntimeError):
        run_(stop=0)
    assert not out.exists(), "a file without answers is none"
    assert run_("--limit", "5") == 0
    before = out.read_bytes()
    assert len(held()) == 5
    assert run_("--limit", "2") == 0
    assert out.read_bytes() == before
    with pytest.raises(RuntimeError):
        run_("--split", "held_out", stop=3)
    assert held() == [one for one in order if one in known]
    assert len(known) == 8, "five and three"
    assert run_() == 0
    assert held() == order
    assert {one.id: one.seconds for one in Answers.read(out).answers} == {one: 1.0 + n for n, one in enumerate(known)}

    before = out.read_bytes()
    record(tmp_path / "record.json", {"Tidy up.": [SubGoal("Put it elsewhere.", None)]})
    assert run_("--limit", "2") == 2
    assert "name another file or remove it" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_greedy_answers_to_the_letter_are_found_without_generating(plans: Path, tmp_path: Path) -> None:
    """A model that learnt one answer by heart: health and generation agree."""
    tuning = stage(tmp_path / "c", plans, "health_samples=8").train()
    question = min(tuning._data.train, key=lambda one: one.horizon)
    object.__setattr__(tuning._data, "held_out", (question,))
    object.__setattr__(tuning._data, "train", (question,))
    object.__setattr__(tuning._config.data, "described", 0.0)
    object.__setattr__(tuning._config.data, "told", 1.0)
    assert tuning.health(8)["answers"] == 0
    optimiser = torch.optim.AdamW(tuning.parameters(), lr=3e-3)
    for step in range(60):
        optimiser.zero_grad()
        tuning.weights.total(tuning(tuning.draw(np.zeros(1, np.int64), step))).backward()
        optimiser.step()
    tuning.eval()
    health = tuning.health(8)
    assert health.pop("held_out") < 0.5
    assert health.pop("looks") > 0.3, "of 4 cells"
    assert health == {"tokens": 1, "answers": 1, "first": 1}
    tuning.save(tmp_path / "learnt")
    reasoner = VLMReasoner(VLMConfig(model=str(tmp_path / "learnt"), device="cpu"), world_config())
    assert ask(reasoner, question).subgoals == question.subgoals


def test_an_adapter_of_another_model(plans: Path, tmp_path: Path) -> None:
    """LoRA touches the language model's attention only, and is all that is saved; in either precision."""
    base = make_tiny(texts(list(read_plans(plans))), tmp_path / "base", TinySizes(**SIZES))
    given = [f"data.sources=[{plans}]", f"model={base}", "lora={rank:4,alpha:8}", "steps=8", "checkpointing=true"]
    given += ["weights.looks=0"]
    before = (base / "model.safetensors").read_bytes()
    ended = train(f"out={tmp_path / 'run'}", *given, "every={log:4,save:4,health:8}")
    assert ended.code == ExitCode.COMPLETED
    assert train(f"out={tmp_path / 'bf16'}", *given, "steps=2", "precision=bf16", bf16=True).code == ExitCode.COMPLETED
    assert (base / "model.safetensors").read_bytes() == before
    folder = tmp_path / "run" / "checkpoint"
    assert {path.name for path in folder.iterdir()} == {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    weights = load_file(folder / "adapter_model.safetensors")
    assert len(weights) == 2 * 4 * 2  # layers, projections, A and B
    assert all("text_model" in name for name in weights)
    assert any(weight.abs().sum() > 0 for name, weight in weights.items() if "lora_B" in name)
    reasoner = VLMReasoner(VLMConfig(model=str(base), lora=folder, device="cpu"), world_config())
    assert reasoner.language_dim == 48


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.told=2"], "data.told=2"),
        (["lora.rang=3"], "unknown key lora.rang; did you mean 'lora.rank'"),
        (["sizes.width=50"], "do not fit heads"),
        (["objective=causal"], "unknown key objective"),
        (["steps=0"], "steps=0"),
        (["model=x", "init=y"], "^init=y is for model=tiny"),
        (["checkpointing=true"], r"^weights\.looks=0\.3 .* give weights.looks=0"),
        (["out="], "out has no value; give one, for example out=runs/reasoner"),
    ],
)
def test_bad_configuration_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        read_config(["out=x", "data.sources=[y]", *overrides])


def test_bad_data_and_models_are_refused(plans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TrainingError, match="holds no complete set of plans; make it with `harness plans"):
        train(f"out={tmp_path / 'x'}", f"data.sources=[{tmp_path}]")
    assert main(["plans", str(tmp_path / "exam"), "suite=thinkbench-v1", "episodes=1", "image=32"]) == 0
    with pytest.raises(TrainingError, match="no questions of split train"):
        train(f"out={tmp_path / 'x'}", f"data.sources=[{tmp_path / 'exam'}]")
    with pytest.raises(TrainingError, match="no such folder and no shipped model"):
        train(f"out={tmp_path / 'x'}", f"data.sources=[{plans}]", f"model={tmp_path / 'nothing'}")
    with pytest.raises(TrainingError, match="init=nothing cannot be loaded"):
        train(f"out={tmp_path / 'x'}", f"data.sources=[{plans}]", "init=nothing")
    assert not (tmp_path / "x").exists(), "the same out serves once the mistake is mended"
    out = str(tmp_path / "answers.json")
    assert main(["answer", str(plans), "--model", "x", "--split", "evaluation", "-o", out]) == 2
    assert "has no such questions" in capsys.readouterr().err
    assert main(["answer", str(plans), "--model", "x", "--max-new-tokens", "0", "-o", out]) == 2
    assert "--max-new-tokens 0: must be at least 1" in capsys.readouterr().err
    assert main(["answer", str(plans), "--record", str(tmp_path / "none.json"), "-o", out]) == 2
    assert "cannot be read" in capsys.readouterr().err
    for option, value in (("--revision", "v1"), ("--layers", "last"), ("--max-new-tokens", "9")):
        assert main(["answer", str(plans), "--record", "x", option, value, "-o", out]) == 2
        assert f"{option} {value} has no effect on --record" in capsys.readouterr().err
    damaged = make_tiny(["Tidy up."], tmp_path / "damaged", TinySizes(**SIZES))
    (damaged / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    capsys.readouterr()
    assert main(["answer", str(plans), "--model", str(damaged), "-o", out]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: model={damaged} has weights that cannot be read (")
