from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForImageTextToText

from agents.reasoner import ReasonerError
from agents.reasoner.chat import Chat
from agents.reasoner.loading import VLMConfig
from agents.reasoner.prompt import Plan, parse, prompt, write
from agents.reasoner.tiny import TinySizes, make_tiny
from agents.reasoner.vlm import VLMReasoner
from tests.agents.reasoner.pictures import picture, see, view
from tests.agents.thinkjepa.tiny import world_config

TEXTS = ("put the red cube on the bowl", "The red cube is lifted.", "The red cube is on the bowl.", "red cube", "bowl")
ANSWER = "1. The red cube is lifted. | red cube\n2. The red cube is on the bowl. | red cube, bowl"
SMALL = TinySizes(image_size=32, patch_size=8, vision_width=32, vision_layers=1, width=48, layers=2, heads=2)


def test_the_default_has_about_two_million_parameters_and_a_token_per_patch(tmp_path: Path) -> None:
    folder = make_tiny(TEXTS, tmp_path / "tiny")
    files = {file.name for file in folder.iterdir()}
    assert files >= {"config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"}
    assert all(file.suffix in {".json", ".safetensors", ".jinja"} for file in folder.iterdir())
    reasoner = VLMReasoner(VLMConfig(model=str(folder), device="cpu"), world_config())
    assert 1e6 < sum(weight.numel() for weight in reasoner._model.parameters()) < 3e6
    encoded = reasoner._chat.encode(picture(height=200, width=200), prompt(TEXTS[0]))
    assert encoded.grid == (14, 14)
    assert encoded.inputs["input_ids"].shape[1] < 300
    with pytest.raises(ReasonerError, match="holds a model already"):
        make_tiny(TEXTS, folder)


def test_texts_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    folder = str(make_tiny(TEXTS, tmp_path, SMALL))
    chat = Chat(folder, AutoConfig.from_pretrained(folder), side=1)
    written = f"{ANSWER}\n12. The bowl, red:\n\n  put it"
    tokens = chat.tokenizer(written)["input_ids"]
    assert chat.decode(tokens) == written.replace(" it", "")
    assert tokens.count(chat.tokenizer.unk_token_id) == 1
    asked = chat.encode(picture(), prompt(TEXTS[0])).inputs["input_ids"]
    assert chat.tokenizer.unk_token_id not in asked


def test_a_model_may_be_shown_a_part_of_pictures(tmp_path: Path) -> None:
    folder = str(make_tiny(TEXTS, tmp_path, replace(SMALL, crop=(0.25, 0.5, 0.75, 1.0))))
    chat = Chat(folder, AutoConfig.from_pretrained(folder), side=1)
    assert chat.crop == (0.25, 0.5, 0.75, 1.0)
    whole = picture(height=64, width=64)
    beside, within = whole.copy(), whole.copy()
    beside[:28], beside[:, :12], beside[:, 52:] = 255, 255, 255
    within[40:44, 30:34] = 255
    seen, same, other = (chat.encode(p, prompt(TEXTS[0])).inputs["pixel_values"] for p in (whole, beside, within))
    torch.testing.assert_close(seen, same)
    moved = (seen - other).abs().sum(dim=(0, 1, 2)).nonzero()
    assert moved.min(dim=0).values.tolist() == pytest.approx([8, 14], abs=4)
    assert moved.max(dim=0).values.tolist() == pytest.approx([12, 18], abs=4)
    with pytest.raises(ValueError, match=r"crop=.*: give left, top, right and bottom from 0 to 1"):
        replace(SMALL, crop=(0.5, 0, 0.5, 1))


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    one, same, other = (make_tiny(TEXTS, tmp_path / n, SMALL, seed=s) for n, s in (("a", 0), ("b", 0), ("c", 1)))
    weights = [(folder / "model.safetensors").read_bytes() for folder in (one, same, other)]
    assert weights[0] == weights[1] != weights[2]


def test_a_model_begins_with_the_weights_of_another(tmp_path: Path) -> None:
    """It says what the other says, word for word, though it knows other words beside."""
    old, made = (
        Chat(str(folder), AutoConfig.from_pretrained(folder), side=1)
        for folder in (
            make_tiny(TEXTS, tmp_path / "old", SMALL, seed=1),
            make_tiny((*TEXTS[:2], "a green vase"), tmp_path / "made", SMALL, init=tmp_path / "old"),
        )
    )
    logits = []
    for chat, folder in ((old, "old"), (made, "made")):
        model = AutoModelForImageTextToText.from_pretrained(tmp_path / folder)
        words = sorted(old.tokenizer.get_vocab().keys() & made.tokenizer.get_vocab().keys())
        with torch.no_grad():
            said = model(**chat.encode(picture(), prompt(TEXTS[0])).inputs).logits[0, -1]
        logits.append(said[chat.tokenizer.convert_tokens_to_ids(words)])
    assert len(old.tokenizer) != len(made.tokenizer)
    torch.testing.assert_close(*logits)
    for wrong in (replace(SMALL, width=32), replace(SMALL, layers=1), replace(SMALL, layers=3)):
        with pytest.raises(ReasonerError, match="has other sizes"):
            make_tiny(TEXTS, tmp_path / "wrong", wrong, init=tmp_path / "old")
    weights = load_file(tmp_path / "old" / "model.safetensors")
    weights.popitem()
    save_file(weights, tmp_path / "old" / "model.safetensors", {"format": "pt"})
    for wrong_init in ("none", "old"):
        with pytest.raises(ReasonerError, match="cannot be loaded"):
            make_tiny(TEXTS, tmp_path / "wrong", SMALL, init=tmp_path / wrong_init)


def test_patches_that_are_alike_say_the_same_whatever_their_number(tmp_path: Path) -> None:
    patches = torch.randn(1, 1, SMALL.vision_width, generator=torch.Generator().manual_seed(0)).repeat(1, 16, 1)
    fine, coarse = SMALL, replace(SMALL, merge=2)
    for before, now in ((coarse, fine), (fine, coarse)):
        folders = [make_tiny(TEXTS, tmp_path / f"old-{before.merge}", before, seed=1)]
        folders += [make_tiny(TEXTS, tmp_path / f"{now.merge}", now, init=folders[0])]
        models = [AutoModelForImageTextToText.from_pretrained(folder).model for folder in folders]
        with torch.no_grad():
            said = [model.connector(patches) for model in models]
        assert [one.shape[1] for one in said] == [(4 // sizes.merge) ** 2 for sizes in (before, now)]
        torch.testing.assert_close(said[0][:, :1], said[1][:, :1])
        torch.testing.assert_close(said[1], said[1][:, :1].expand_as(said[1]))
        torch.testing.assert_close(*(model.text_model.layers[0].mlp.up_proj.weight for model in models))


@pytest.mark.parametrize("sizes", [{"image_size": 100}, {"width": 100, "heads": 3}])
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"no multiple of|do not fit"):
        TinySizes(**sizes)


def test_it_learns_answers_and_gives_them(tmp_path: Path) -> None:
    """Training as it is described in `make_tiny`, to the end: what it says depends on what it sees."""
    folder = str(make_tiny(TEXTS, tmp_path / "made", SMALL))
    chat = Chat(folder, AutoConfig.from_pretrained(folder), side=1)
    model = AutoModelForImageTextToText.from_pretrained(folder).train()
    answers = [ANSWER, write(Plan(parse(ANSWER).steps[1:]))]
    end = chat.tokenizer.eos_token
    examples = [chat.encode(picture(seed), prompt(TEXTS[0]), answer + end) for seed, answer in enumerate(answers)]
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(160):
        example = examples[step % 2]
        labels = example.inputs["input_ids"].clone()
        labels[:, : example.asked] = -100
        optimiser.zero_grad()
        model(**example.inputs, labels=labels).loss.backward()
        optimiser.step()
    model.save_pretrained(folder)

    reasoner = VLMReasoner(VLMConfig(model=folder, device="cpu", max_new_tokens=64), world_config())
    assert [reasoner.answer(view(TEXTS[0]), see(seed)).text for seed in (0, 1)] == answers
    first, second = reasoner.propose(view(TEXTS[0]), see(0))
    assert (first.text, second.objects) == ("The red cube is lifted.", ("red cube", "bowl"))
