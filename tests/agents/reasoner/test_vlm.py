from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from agents.reasoner import Attempt, ReasonerError, SubGoal, UnreadableError
from agents.reasoner.attention import install, to_world, watching
from agents.reasoner.chat import Chat, Encoded
from agents.reasoner.prompt import parse, prompt
from agents.reasoner.vlm import VLMReasoner
from agents.thinkjepa.config import WHOLE
from tests.agents.reasoner.families import ANSWER, FAMILIES, GRIDS, SIDE, image_processor, load, tokenizer, vlm_config
from tests.agents.reasoner.pictures import picture, see, view
from tests.agents.thinkjepa.tiny import world_config

transformers = pytest.importorskip("transformers")
WORLD = world_config(grid=4)
TASK = "lift the cube"


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def answering(reasoner: VLMReasoner, answer: str = ANSWER, end: bool = True) -> list[int]:
    """Let the model say ``answer``; returns the lengths of the questions that it gets."""
    asked: list[int] = []
    tokens = reasoner._chat.tokenizer(answer, add_special_tokens=False)["input_ids"] + [2] * end

    def generate(input_ids: Tensor, **_: Any) -> Tensor:
        asked.append(input_ids.shape[1])
        return torch.cat([input_ids, torch.tensor([tokens])], dim=1)

    reasoner._model.generate = generate
    return asked


def chat(folder: str) -> Chat:
    return Chat(folder, transformers.AutoConfig.from_pretrained(folder), SIDE)


@torch.no_grad()
def eager(folder: str, encoded: Encoded) -> Tensor:
    """Attention of all tokens to those of the picture, ``(layers, heads, S, C)``."""
    model = load(folder, "eager")
    model.set_attn_implementation({"text_config": "eager", "vision_config": "sdpa"})
    seen = model(**encoded.inputs, use_cache=False, output_attentions=True).attentions
    return torch.stack(list(seen))[:, 0, :, :, encoded.image]


def test_attention_is_that_of_the_slow_path_and_the_model_computes_the_same(family: str, folders: Any) -> None:
    folder = folders[family]
    encoded = chat(folder).encode(picture(height=48), prompt(TASK), ANSWER)
    rows = encoded.rows(parse(ANSWER).steps[0].span)
    plain, watched = load(folder, "sdpa"), load(folder, "sdpa")
    install(watched)
    with torch.no_grad(), watching((1, 3), rows, encoded.image) as watch:
        logits = watched(**encoded.inputs, use_cache=False).logits
        assert torch.equal(logits, plain(**encoded.inputs, use_cache=False).logits)
    expected = eager(folder, encoded)[:, :, rows]
    assert sorted(watch.seen) == [1, 3]
    for layer in (1, 3):
        torch.testing.assert_close(watch.seen[layer][0], expected[layer], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(watch.mean()[0], expected[[1, 3]].mean(dim=(0, 1)), rtol=1e-4, atol=1e-6)
    assert expected[3].mean(dim=0).std() > 1e-4  # it looks somewhere


def test_importing_the_package_imports_no_transformers() -> None:
    script = "import agents.reasoner.vlm, agents.reasoner.tiny, sys; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_padding_is_not_looked_at(folders: Any) -> None:
    encoded = chat(folders["smolvlm"]).encode(picture(), prompt(TASK), ANSWER)
    padding = torch.ones_like(encoded.inputs["input_ids"])[:, :5]
    inputs = encoded.inputs | {
        "input_ids": torch.cat([padding, encoded.inputs["input_ids"]], dim=1),
        "attention_mask": torch.cat([0 * padding, encoded.inputs["attention_mask"]], dim=1),
    }
    model = load(folders["smolvlm"], "sdpa")
    install(model)
    rows = encoded.rows((0, len(ANSWER)))

    def look(inputs: dict[str, Tensor], shift: int) -> Tensor:
        with torch.no_grad(), watching((0,), rows + shift, encoded.image + shift) as watch:
            model(**inputs, use_cache=False)
        return watch.mean()[0]

    torch.testing.assert_close(look(inputs, 5), look(encoded.inputs, 0), rtol=1e-4, atol=1e-6)


def test_watching_step_by_step_is_refused(folders: Any) -> None:
    model = load(folders["smolvlm"], "sdpa")
    install(model)
    encoded = chat(folders["smolvlm"]).encode(picture(), prompt(TASK))
    with watching((0,), torch.tensor([0]), encoded.image), pytest.raises(ValueError, match="use_cache=False"):
        model.generate(**encoded.inputs, max_new_tokens=2, do_sample=False)


def reference_tokens(family: str, seen: Any) -> str:
    """What transformers' processors write for a picture; those that cannot be made here are asked without being."""
    from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
    from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

    if family.startswith("qwen"):
        bare: Any = Qwen2_5_VLProcessor.__new__(Qwen2_5_VLProcessor)
        bare.image_processor, bare.image_token = image_processor(family), "<image>"
        return str(bare.replace_image_token({"image_grid_thw": seen["image_grid_thw"].numpy()}, 0))
    fake, whole = "<fake_token_around_image>", "<global-img>"
    return str(get_image_prompt_string(0, 0, 4, fake, "<image>", whole))


@pytest.mark.parametrize("size", [(64, 64), (90, 160), (33, 20)])
def test_pictures_become_what_transformers_makes_of_them(family: str, size: tuple[int, int], folders: Any) -> None:
    """Pixels against the image processors' own defaults, tokens against their processors."""
    seen = picture(height=size[0], width=size[1])
    encoded = chat(folders[family]).encode(seen, prompt(TASK))
    processor, shown = image_processor(family), Image.fromarray(seen)
    if family == "llava_next":
        whole = transformers.LlavaNextProcessor(
            processor,
            tokenizer(),
            patch_size=14,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        )
        text = chat(folders[family])._render(prompt(TASK))
        expected = whole(images=shown, text=text, add_special_tokens=False, return_tensors="pt")
        assert torch.equal(encoded.inputs["input_ids"], expected["input_ids"])
    elif family.startswith("qwen"):
        side = SIDE * processor.patch_size * processor.merge_size
        processor.size = {"shortest_edge": side**2, "longest_edge": side**2}
        expected = processor(images=shown, return_tensors="pt")
        assert (encoded.inputs["mm_token_type_ids"] == (encoded.inputs["input_ids"] == 3)).all()
    else:
        processor.do_image_splitting = False
        expected = processor(images=shown, return_tensors="pt")
        assert encoded.grid == (2, 2)
    if family != "llava_next":
        text = chat(folders[family])._render(prompt(TASK)).replace("<image>", reference_tokens(family, expected))
        assert encoded.inputs["input_ids"][0].tolist() == tokenizer()(text, add_special_tokens=False)["input_ids"]
    for key in set(expected) - {"input_ids", "attention_mask", "rows", "cols"}:
        assert torch.equal(encoded.inputs[key], torch.as_tensor(np.asarray(expected[key]))), key
    assert len(encoded.image) == encoded.grid[0] * encoded.grid[1]
    assert size != (64, 64) or encoded.grid == GRIDS[family]
    assert (encoded.inputs["input_ids"][0, encoded.image] == 3).all()
    assert "torchvision" not in sys.modules


@pytest.mark.parametrize("cell", [(0, 0), (0, 1), (1, 0)])
def test_image_tokens_show_the_picture_row_by_row(cell: tuple[int, int], family: str, folders: Any) -> None:
    model = load(folders[family], "sdpa")
    for name, weight in model.named_parameters():
        if "out_proj" in name or "attn.proj" in name:  # of the picture's transformer: patches keep to themselves
            weight.data.zero_()
    height, width = GRIDS[family]
    top, left = cell[0] * 96 // height, cell[1] * 96 // width
    dark, lit = np.zeros((2, 96, 96, 3), dtype=np.uint8)
    lit[top : top + 96 // height, left : left + 96 // width] = 255
    shown: list[Tensor] = []
    model.get_decoder().register_forward_pre_hook(
        lambda _, args, inputs: shown.append(inputs["inputs_embeds"][0]), with_kwargs=True
    )
    for seen in (dark, lit):
        encoded = chat(folders[family]).encode(seen, prompt(TASK))
        with torch.no_grad():
            model(**encoded.inputs, use_cache=False)
    change = (shown[1] - shown[0])[encoded.image].norm(dim=1)
    assert divmod(int(change.argmax()), width) == cell


def test_sub_goals_come_with_attention_embedding_and_reasons(family: str, folders: Any) -> None:
    reasoner = VLMReasoner(vlm_config(folders[family], layers="middle"), WORLD)
    asked = answering(reasoner)
    answer = reasoner.answer(view(TASK), see())
    assert (answer.text, answer.reasoning) == (ANSWER, "I see a cube .")
    lift, drop = answer.subgoals
    assert (lift.text, lift.objects, drop.text, drop.objects) == ("Lift the cube", ("cube",), "Drop it", ())

    encoded = reasoner._chat.encode(picture(), prompt(TASK), ANSWER)
    seen = eager(folders[family], encoded)[1:3].mean(dim=(0, 1))
    for subgoal, step in zip(answer.subgoals, parse(ANSWER).steps, strict=True):
        expected = seen[encoded.rows(step.span)].mean(dim=0).reshape(1, 1, *GRIDS[family])
        resized = functional.interpolate(expected, (4, 4), mode="bilinear", antialias=True).flatten()
        torch.testing.assert_close(subgoal.attention, resized / resized.mean(), rtol=1e-3, atol=1e-4)
        assert subgoal.embedding is not None
        torch.testing.assert_close(subgoal.embedding.square().mean(), torch.tensor(1.0), rtol=1e-3, atol=1e-3)

    assert reasoner.propose(view(TASK), see()) is answer.subgoals
    assert len(asked) == 1
    assert reasoner.propose(view(TASK), see(1)) is not answer.subgoals
    reasoner.propose(view(TASK), see(), [Attempt("Open it", False)])
    assert len(asked) == 3
    assert asked[2] > asked[0]


def most_likely(folder: str, encoded: Encoded, count: int) -> list[int]:
    """What a model says if each token is the most likely one after those before it; without a cache of keys."""
    model, inputs = load(folder, "sdpa"), dict(encoded.inputs)
    for _ in range(count):
        with torch.no_grad():
            token = model(**inputs, use_cache=False).logits[:, -1:].argmax(dim=-1)
        further = {"input_ids": token, "attention_mask": torch.ones_like(token), "mm_token_type_ids": 0 * token}
        inputs |= {name: torch.cat([inputs[name], more], dim=1) for name, more in further.items() if name in inputs}
        if token == 2:
            break
    return [int(token) for token in inputs["input_ids"][0, encoded.asked :]]


def test_the_most_likely_tokens_are_said_whatever_the_model_would_rather_do(
    family: str, folders: Any, tmp_path: Path
) -> None:
    folder = shutil.copytree(folders[family], tmp_path / family)
    own = {"bos_token_id": 6, "eos_token_id": 2, "pad_token_id": 1, "suppress_tokens": [*range(10, 40)]}
    own |= {"num_beams": 3, "repetition_penalty": 9.0, "no_repeat_ngram_size": 1, "do_sample": True, "temperature": 9.0}
    (folder / "generation_config.json").write_text(json.dumps(own))
    reasoner = VLMReasoner(vlm_config(str(folder), max_new_tokens=8), WORLD)
    generate, said = reasoner._model.generate, []
    reasoner._model.generate = lambda **given: said.append(generate(**given)) or said[-1]
    with pytest.raises(ReasonerError, match=r"states no sub-goal"):
        reasoner.propose(view(TASK), see())
    encoded = reasoner._chat.encode(picture(), prompt(TASK))
    assert said[0][0, encoded.asked :].tolist() == most_likely(folders[family], encoded, 8)


def test_an_answer_without_sub_goals_may_have_been_cut_off(folders: Any) -> None:
    reasoner = VLMReasoner(vlm_config(folders["smolvlm"], max_new_tokens=4), WORLD)
    answering(reasoner, "I se", end=False)
    with pytest.raises(ReasonerError, match=r"states no sub-goal.*cut off, give more than max_new_tokens=4"):
        reasoner.propose(view(TASK), see())


def test_an_embedding_is_repeatable(family: str, folders: Any) -> None:
    reasoner = VLMReasoner(vlm_config(folders[family]), WORLD)
    reasoner.look(SubGoal("Lift the cube", None), view(TASK), see())
    assert torch.equal(reasoner.embed("Lift the cube"), reasoner.embed("Lift the cube"))
    embedding = reasoner.embed("drop it")
    reasoner._embeddings._values.clear()
    torch.testing.assert_close(reasoner.embed("drop it"), embedding)  # a picture leaves no trace


def test_an_embedding_is_the_mean_of_the_final_states(folders: Any) -> None:
    reasoner = VLMReasoner(vlm_config(folders["llava_next"]), WORLD)
    tokens = tokenizer()("Lift it", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        states = load(folders["llava_next"], "eager")(input_ids=tokens, output_hidden_states=True).hidden_states[-1]
    expected = functional.layer_norm(states[0, 1:].mean(dim=0), (32,))  # the first token begins the text
    torch.testing.assert_close(reasoner.embed("Lift it"), expected, rtol=1e-4, atol=1e-5)
    assert reasoner.language_dim == 32


@pytest.fixture
def reasoner(folders: Any) -> VLMReasoner:
    return VLMReasoner(vlm_config(folders["qwen2_5_vl"]), WORLD)


def test_looking_at_another_picture_moves_the_attention_only(reasoner: VLMReasoner) -> None:
    answering(reasoner)
    lift, _ = reasoner.propose(view(TASK), see())
    there = reasoner.look(lift, view(TASK), see(1))
    assert lift.attention is not None
    assert there.attention is not None
    assert (there.text, there.objects) == (lift.text, lift.objects)
    assert not torch.allclose(there.attention, lift.attention)
    assert there.attention is reasoner.look(lift, view(TASK), see(1)).attention
    foreign = reasoner.look(SubGoal("Open it", None), view(TASK), see())
    assert foreign.attention is not None
    assert foreign.embedding is not None
    assert foreign.attention.shape == (16,)
    torch.testing.assert_close(foreign.attention.mean(), torch.tensor(1.0))


def test_a_cropped_world_gets_the_attention_of_its_part(folders: Any) -> None:
    right = replace(WORLD, encoder=replace(WORLD.encoder, crop=(1 / 3, 0.0, 1.0, 2 / 3)), grid=2)
    whole = replace(WORLD, grid=3)
    maps = []
    for world in (whole, right):
        reasoner = VLMReasoner(vlm_config(folders["qwen3_vl"]), world)
        answering(reasoner)
        maps.append(reasoner.propose(view(TASK), see())[0].attention)
    cells = maps[0].reshape(3, 3)[:2, 1:].flatten()
    torch.testing.assert_close(maps[1], cells / cells.mean(), rtol=1e-4, atol=1e-5)


def test_a_crop_between_the_cells_keeps_places() -> None:
    crop = (0.02, 0.4, 0.98, 0.86)
    torch.testing.assert_close(to_world(torch.ones(2, 14, 14), crop, 8), torch.ones(2, 64))
    maps = torch.zeros(1, 14, 14)
    maps[0, 9, 3] = 1.0  # its centre is at 0.25 across and 0.68 down
    assert divmod(int(to_world(maps, crop, 8).argmax()), 8) == (int(8 * (0.68 - 0.4) / 0.46), int(8 * 0.23 / 0.96))
    maps = torch.zeros(1, 14, 14)
    maps[0, :5] = 1.0  # above the crop
    torch.testing.assert_close(to_world(maps, crop, 8), torch.ones(1, 64))


def test_maps_over_a_part_are_brought_to_their_place() -> None:
    shown = (0.25, 0.5, 0.75, 1.0)
    part = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0))
    whole = torch.zeros(2, 8, 8)
    whole[:, 4:, 2:6] = part
    torch.testing.assert_close(to_world(part, WHOLE, 8, shown), to_world(whole, WHOLE, 8))
    torch.testing.assert_close(to_world(part, shown, 4, shown), (part / part.mean(dim=(1, 2), keepdim=True)).flatten(1))
    torch.testing.assert_close(to_world(part, (0.25, 0.5, 0.5, 0.75), 2, shown), to_world(part[:, :2, :2], WHOLE, 2))


def test_a_neutral_question_takes_out_what_is_always_looked_at(folders: Any) -> None:
    world = replace(WORLD, grid=3)
    plain, cleared = (VLMReasoner(vlm_config(folders["qwen2_5_vl"], sinks=s), world) for s in ("none", "neutral"))
    for reasoner in (plain, cleared):
        answering(reasoner)
    one, other = plain.propose(view(TASK), see())[0].attention, cleared.propose(view(TASK), see())[0].attention
    neutral = plain._neutral(picture())
    assert one is not None
    assert other is not None
    expected = one / (neutral + 0.01 * neutral.mean())
    torch.testing.assert_close(other, expected / expected.mean(), rtol=1e-4, atol=1e-5)


def test_an_answer_that_is_cut_off_loses_its_last_line(folders: Any) -> None:
    reasoner = VLMReasoner(vlm_config(folders["smolvlm"], max_new_tokens=len(ANSWER)), WORLD)
    answering(reasoner, end=False)
    assert [subgoal.text for subgoal in reasoner.propose(view(TASK), see())] == ["Lift the cube"]


def test_few_answers_are_kept(folders: Any) -> None:
    reasoner = VLMReasoner(vlm_config(folders["smolvlm"], remembered=1), WORLD)
    asked = answering(reasoner)
    for seed in (0, 1, 1, 0):
        reasoner.propose(view(TASK), see(seed))
    assert len(asked) == 3


def test_an_answer_without_a_subgoal_is_kept_too(folders: Any) -> None:
    reasoner = VLMReasoner(vlm_config(folders["smolvlm"]), WORLD)
    asked = answering(reasoner, "I see nothing.")
    for _ in range(2):
        with pytest.raises(UnreadableError, match="states no sub-goal") as caught:
            reasoner.propose(view(TASK), see())
        assert caught.value.text == "I see nothing."
    assert len(asked) == 1


def test_a_task_with_an_image_token_is_refused(reasoner: VLMReasoner) -> None:
    with pytest.raises(ReasonerError, match="contains the model's own <image>"):
        reasoner.propose(view("lift <image>"), see())
