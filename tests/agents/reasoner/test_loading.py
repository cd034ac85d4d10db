"""Models that can be loaded, and what is said of others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from torch.nn import functional

from agents.reasoner import ReasonerError
from agents.reasoner.loading import VLMConfig
from agents.reasoner.training.config import LoraConfig
from agents.reasoner.training.tuning import with_adapter
from agents.reasoner.vlm import VLMReasoner
from agents.thinkjepa.checkpoints import SHIPPED
from harness.config import compose_runs
from harness.identity import difference
from harness.runs import prepare
from tests.agents.reasoner.families import FAMILIES, load, save, tokenizer, vlm_config
from tests.agents.thinkjepa.tiny import world_config

WORLD = world_config(grid=4)


@pytest.mark.parametrize(("layers", "chosen"), [("last", (3,)), ("middle", (1, 2)), ((0, 2), (0, 2))])
def test_layers(layers: Any, chosen: tuple[int, ...], folders: Any) -> None:
    assert VLMReasoner(vlm_config(folders["smolvlm"], layers=layers), WORLD)._layers == chosen


def test_what_cannot_be_loaded_says_what_to_do(folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReasonerError, match="has layers 0 to 3"):
        VLMReasoner(vlm_config(folders["smolvlm"], layers=(4,)), WORLD)
    with pytest.raises(ValueError, match="layers"):
        vlm_config(folders["smolvlm"], layers=())
    with pytest.raises(ReasonerError, match="give a hub id, or a folder"):
        VLMReasoner(vlm_config(str(tmp_path / "none")), WORLD)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(ReasonerError, match="model_type=vit; supported are qwen2_vl, "):
        VLMReasoner(vlm_config(str(tmp_path)), WORLD)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ReasonerError, match="give device=cpu"):
        VLMReasoner(VLMConfig(model=folders["smolvlm"], device="cuda"), WORLD)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("tokenizer.json", "tokenizer"),
        ("preprocessor_config.json", "no image processor"),
        ("chat_template.jinja", "no chat template"),
        ("model.safetensors", "pickled weights are never read"),
    ],
)
def test_a_model_with_a_part_missing_is_refused(file: str, message: str, tmp_path: Path) -> None:
    folder = Path(save("smolvlm", tmp_path))
    if file == "model.safetensors":
        torch.save({}, folder / "pytorch_model.bin")
    (folder / file).unlink()
    with pytest.raises(ReasonerError, match=message):
        VLMReasoner(vlm_config(str(folder)), WORLD)


def without(name: str, folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def of_another_shape(name: str, folder: Path) -> None:
    weights = load_file(folder / "model.safetensors") | {name: torch.zeros(3, 5)}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def cut_off(_: str, folder: Path, name: str = "model.safetensors") -> None:
    file = folder / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def pointer(_: str, folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


DAMAGE = [
    (without, r"\({name} is missing\); fetch it again"),
    (of_another_shape, r"\({name} is \(3, 5\) instead of \(48, 32\)\); fetch it again"),
    (cut_off, r"has weights that cannot be read \(Error while deserializing header: .*\); fetch it again"),
    (pointer, r"has weights that cannot be read \(Error while deserializing header: .*\); fetch it again"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_weights_that_are_missing_or_damaged_are_refused(
    damage: Any, message: str, folders: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(folders["smolvlm"], tmp_path / "model")
    name = "model.text_model.layers.1.mlp.up_proj.weight"
    damage(name, folder)
    capfd.readouterr()
    with pytest.raises(ReasonerError, match=f"^model={folder} .*{message.format(name=name)}") as refused:
        VLMReasoner(vlm_config(str(folder)), WORLD)
    assert "\n" not in str(refused.value)
    assert "REPORT" not in capfd.readouterr().err


def test_weights_that_are_shared_need_not_be_there_twice() -> None:
    from safetensors import safe_open

    with safe_open(SHIPPED / "tiny-reasoner" / "model.safetensors", "pt") as weights:
        assert "lm_head.weight" not in weights.keys()  # noqa: SIM118
    VLMReasoner(VLMConfig(device="cpu"), WORLD)


OLD, NEW = "1" * 40, "2" * 40
HUB_ID = "organisation/name"


@pytest.fixture
def hub(folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the hub's own client finds offline: a model tagged v1, of which the default branch has broken every file."""
    root = tmp_path / "models--organisation--name"
    shutil.copytree(folders["smolvlm"], root / "snapshots" / OLD)
    for path in (root / "snapshots" / OLD).iterdir():
        broken = root / "snapshots" / NEW / path.name
        broken.parent.mkdir(exist_ok=True)
        broken.write_text('{"model_type": "vit"}')
    (root / "refs").mkdir()
    for name, commit in (("v1", OLD), ("main", NEW)):
        (root / "refs" / name).write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return root


@pytest.mark.parametrize("revision", ["v1", OLD])
def test_all_of_a_hub_model_is_of_its_revision(revision: str, hub: Path, folders: Any) -> None:
    reasoner = VLMReasoner(vlm_config(HUB_ID, revision=revision), WORLD)
    assert reasoner.revision == OLD
    here = VLMReasoner(vlm_config(folders["smolvlm"]), WORLD)
    assert torch.equal(reasoner.embed("Lift the cube"), here.embed("Lift the cube"))
    assert reasoner._chat._template == here._chat._template


def test_a_hub_model_is_of_the_default_branch_unless_told_otherwise(hub: Path) -> None:
    with pytest.raises(ReasonerError, match="model_type=vit"):
        VLMReasoner(vlm_config(HUB_ID), WORLD)
    (hub / "refs" / "main").write_text(OLD)
    assert VLMReasoner(vlm_config(HUB_ID), WORLD).revision == OLD


def test_revisions_that_are_not_there_are_refused(hub: Path, folders: Any) -> None:
    with pytest.raises(
        ReasonerError, match=r"name with revision=v2: .*the hub did not give it.*check the name, the rev"
    ):
        VLMReasoner(vlm_config(HUB_ID, revision="v2"), WORLD)
    with pytest.raises(ReasonerError, match=r"^revision=v1 is for models of the hub, and .* is a folder; leave"):
        VLMReasoner(vlm_config(folders["smolvlm"], revision="v1"), WORLD)


def test_the_commit_of_a_hub_model_is_part_of_a_run(hub: Path) -> None:
    def identity(*words: str) -> dict[str, Any]:
        (composed,) = compose_runs(["benchmark=subgoals", "agent=vlm_only", f"agent.vlm.model={HUB_ID}", *words])
        return prepare(composed).identity.to_dict()

    pinned = identity("agent.vlm.revision=v1")
    assert pinned["checkpoints"] == {"vlm.model": OLD}
    assert pinned["agent"]["vlm"] == {"model": HUB_ID, "revision": "v1"}
    (hub / "refs" / "main").write_text(OLD)
    before = identity()
    moved = hub / "snapshots" / ("3" * 40)
    shutil.copytree(hub / "snapshots" / OLD, moved)
    (hub / "refs" / "main").write_text(moved.name)
    assert difference(before, identity()) == [f"checkpoints.vlm.model: {OLD} -> {moved.name}"]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_is_of_the_language_model_only(folders: Any, family: str) -> None:
    model = load(folders[family], "sdpa")
    adapted = with_adapter(model, LoraConfig(rank=16, alpha=32))
    trained = {name: weight for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert len(trained) == 4 * 4 * 2  # layers, projections, A and B
    assert not any("vis" in name for name in trained)
    assert {min(weight.shape) for weight in trained.values()} == {16}
    assert adapted.peft_config["default"].lora_alpha == 32


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_an_adapter_is_added(folders: Any, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    settings = peft.LoraConfig(
        r=2, lora_alpha=4, target_modules=r".*text_model.*\.(q_proj|v_proj)", init_lora_weights=False
    )
    torch.manual_seed(0)
    adapted = peft.get_peft_model(load(folders["smolvlm"], "sdpa"), settings)
    adapted.save_pretrained(tmp_path)
    with_it = VLMReasoner(vlm_config(folders["smolvlm"], lora=tmp_path), WORLD)
    without = VLMReasoner(vlm_config(folders["smolvlm"]), WORLD)
    tokens = tokenizer()("Lift it", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        states = adapted.eval()(input_ids=tokens, output_hidden_states=True).hidden_states[-1]
    expected = functional.layer_norm(states[0, 1:].mean(dim=0), (32,))
    torch.testing.assert_close(with_it.embed("Lift it"), expected, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(without.embed("Lift it"), expected, atol=1e-2)

    with pytest.raises(ReasonerError, match="does not fit this model"):
        VLMReasoner(vlm_config(folders["qwen3_vl"], lora=tmp_path), WORLD)
    cut_off("", tmp_path, "adapter_model.safetensors")
    with pytest.raises(
        ReasonerError, match=r"^lora=.* cannot be read \(Error while deserializing header.*fetch it again"
    ):
        VLMReasoner(vlm_config(folders["smolvlm"], lora=tmp_path), WORLD)
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(ReasonerError, match=r"holds no adapter_model\.safetensors"):
        VLMReasoner(vlm_config(folders["smolvlm"], lora=tmp_path), WORLD)
