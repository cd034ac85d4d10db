"""Patches learn to tell what they show, and what it rests on."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import nn

from agents.reasoner.training import run
from agents.reasoner.training.run import read_config
from agents.reasoner.training.seeing import Seeing, vision_tower
from agents.thinkjepa.training.config import TrainingError
from agents.thinkjepa.training.distributed import Ranks
from agents.thinkjepa.training.loop import ExitCode
from harness.dataset import encode_image
from harness.plans import Question, Thing

SIZES = (
    "sizes={image_size:32,patch_size:8,merge:2,vision_width:32,vision_layers:1,width:48,layers:2,heads:2,"
    "crop:[0,0.4,1,0.9]}"
)
EYES = ["weights={answers:0,looks:0,sees:1}", SIZES, "device=cpu", "batch=8", "pieces=2", "health_samples=8"]
CUBE = Thing("cube", "red cube", "zone", 0.4, 0.4)
TOWER = Thing("top", "blue cube", "red cube", 0.4, 0.33)
ZONE = Thing("zone", "blue zone", "", 0.43, 0.43)
BIN = Thing("far", "red bin", "table", 0.96, 0.1)
PLACES = {"zone": (20, 30, 20, 30), "cube": (20, 26, 20, 26), "top": (17, 20, 21, 25), "far": (4, 8, 52, 56)}
"""Rows and columns of 56; who comes later hides who was before."""


def question(*things: Thing) -> Question:
    labels = np.zeros((56, 56), np.uint8)
    for name, (top, bottom, left, right) in PLACES.items():
        for place, thing in enumerate(things, start=1):
            if thing.name == name:
                labels[top:bottom, left:right] = place
    png = encode_image(labels)
    return Question("one", "train", "tower-h3", "tower", 3, b"", "Stack them.", (), (), things, png, "{}")


def words(seeing: Seeing, row: torch.Tensor) -> list[str]:
    return [word for word, place in sorted(seeing._words.items()) if row[place]]


def test_patches_tell_what_they_show_most_of_and_what_it_rests_on() -> None:
    all_four = question(CUBE, TOWER, ZONE, BIN)
    seeing = Seeing([all_four], 8)
    told = seeing.targets(all_four, 14)
    assert told.shape == (196, 2, 6)

    def at(row: int, column: int) -> tuple[list[str], list[str]]:
        one, other = told[row // 4 * 14 + column // 4]
        return words(seeing, one), words(seeing, other)

    assert at(20, 20) == (["cube", "red"], ["zone"]), "what lies on a zone hides it"
    assert at(24, 24) == (["blue", "zone"], []), "a quarter of it shows the cube, the rest the zone"
    assert at(16, 20) == (["blue", "cube"], ["cube", "red"])
    assert at(16, 24) == ([], []), "a quarter has to be shown, or the most that there is"
    assert at(4, 52) == (["bin", "red"], ["table"])
    assert at(40, 40) == ([], [])


def test_a_thing_between_patches_is_told_by_the_one_that_shows_most() -> None:
    between = question(BIN)
    seeing = Seeing([between], 8)
    assert seeing.targets(between, 2).any(dim=2).any(dim=1).nonzero().flatten().tolist() == [1]
    assert (between.coverage((2, 2)) < 0.25).all()


def test_patches_are_those_of_the_part_that_is_shown() -> None:
    shown = question(CUBE, TOWER, ZONE, BIN)
    seeing = Seeing([shown], 8, crop=(4 / 14, 4 / 14, 11 / 14, 11 / 14))
    part, whole = seeing.targets(shown, 7), Seeing([shown], 8).targets(shown, 14)
    torch.testing.assert_close(part.unflatten(0, (7, 7)), whole.unflatten(0, (14, 14))[4:11, 4:11])
    assert words(seeing, whole.any(dim=0)[0]) == ["bin", "blue", "cube", "red", "zone"]
    assert words(seeing, part.any(dim=0)[0]) == ["blue", "cube", "red", "zone"], "the bin lies beyond"


def test_nothing_there_and_words_that_were_never_taught() -> None:
    seeing = Seeing([question(CUBE)], 8)
    assert not seeing.targets(question(), 4).any()
    assert words(seeing, seeing.targets(question(TOWER), 14).any(dim=0)[0]) == ["cube"]
    assert seeing.loss(torch.zeros(1, 16, 8), [question()]).item() > 0


def test_the_loss_is_that_of_each_word() -> None:
    torch.manual_seed(0)
    asked = [question(CUBE, ZONE), question(TOWER)]
    seeing, patches = Seeing(asked, 8), torch.randn(2, 16, 8)
    expected = 0.0
    for states, one in zip(patches, asked, strict=True):
        told = seeing.targets(one, 4).flatten(1)
        chance = torch.sigmoid(seeing.readout(states))
        right = torch.where(told, chance, 1 - chance)
        expected += (-right.log().sum() / told.sum()).item()
    assert seeing.loss(patches, asked).item() == pytest.approx(expected, rel=1e-5)


def test_words_that_are_told_right() -> None:
    asked = question(CUBE, ZONE)
    seeing = Seeing([asked], 2)
    nn.init.zeros_(seeing.readout.weight)

    def right(*says: str) -> float:
        scores = [[float(word in part.split()) for word in sorted(seeing._words)] for part in says]
        seeing.readout.bias.data = torch.tensor(scores).flatten()
        (share,) = seeing.right(torch.zeros(1, 16, 2), [asked])
        return share

    strange = replace(BIN, phrase="green bin", on="tray")
    assert not list(seeing.right(torch.zeros(1, 16, 2), [question(strange)])), "words that were never taught"
    hidden = replace(asked, labels_png=encode_image(np.zeros((56, 56), np.uint8)))
    assert not list(seeing.right(torch.zeros(1, 16, 2), [hidden]))
    assert right("red cube", "zone") == 1
    assert right("blue cube", "zone") == pytest.approx(2 / 3)
    assert right("blue zone", "cube") == 0


def test_eyes_are_taught_alone(plans: Path, tmp_path: Path) -> None:
    """Nothing else moves, it can be killed, and the readout is no part of the model."""
    torch.set_num_threads(1)

    def train(out: Path, interrupted: list[bool]) -> ExitCode:
        calls = iter(interrupted)
        config = read_config(
            [f"out={out}", f"data.sources=[{plans}]", *EYES, "steps=8", "every={log:4,save:8,health:8}"]
        )
        quiet = Console(file=io.StringIO())
        return run.start(
            config, Ranks(), torch.device("cpu"), console=quiet, interrupted=lambda: next(calls, False)
        ).code

    assert train(tmp_path / "whole", []) == ExitCode.COMPLETED
    assert train(tmp_path / "killed", [False, False, True]) == ExitCode.INTERRUPTED
    assert train(tmp_path / "killed", []) == ExitCode.COMPLETED
    before = load_file(tmp_path / "whole" / "made" / "model.safetensors")
    after, again = (load_file(tmp_path / name / "checkpoint" / "model.safetensors") for name in ("whole", "killed"))
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], again[name]) for name in after)
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved
    assert all("vision_model" in name for name in moved)
    assert '"sees"' in (tmp_path / "whole" / "metrics.jsonl").read_text()
    assert "| sees |" in (tmp_path / "whole" / "checkpoint" / "README.md").read_text()


def test_they_are_taught_beside_answers(plans: Path, tmp_path: Path) -> None:
    config = read_config(
        [f"out={tmp_path}", f"data.sources=[{plans}]", *EYES, "weights={answers:1,looks:0.3,sees:0.1}"]
    )
    data = run.read_data(config.data)
    run._make(config, data)
    tuning = run._stage(config, data, torch.device("cpu"), bf16=False).eval()
    batch = tuning.draw(np.arange(6), 0)
    with torch.no_grad():
        whole = tuning(batch)
        parts = [tuning(batch.part(rows, torch.device("cpu"))) for rows in (slice(0, 3), slice(3, 6))]
    assert whole.keys() == {"answers", "looks", "sees"}
    for name, term in whole.items():
        assert float(term) == pytest.approx(sum(float(part[name]) for part in parts) / 2, rel=1e-4), name
    weighted = float(whole["answers"]) + 0.3 * float(whole["looks"]) + 0.1 * float(whole["sees"])
    assert float(tuning.weights.total(whole)) == pytest.approx(weighted, rel=1e-5)


def test_where_it_is_of_no_use(plans: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"weights of 0 teach nothing; give weights\.answers=1"):
        read_config([f"out={tmp_path}", f"data.sources=[{plans}]", "weights={answers:0,looks:0,sees:0}"])
    with pytest.raises(TrainingError, match=r"which an adapter leaves as it is; give weights\.sees=0 or lora=null"):
        read_config([f"out={tmp_path}", f"data.sources=[{plans}]", "model=x", "weights.sees=1"])
    with pytest.raises(TrainingError, match=r"is for model=tiny and SmolVLM; give 0 for a Linear"):
        vision_tower(nn.Linear(1, 1))
