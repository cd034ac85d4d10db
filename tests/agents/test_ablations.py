"""The rows of the source document's ablation table compose, with what has to be trained for them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml

from agents.thinkjepa.training.compose import read_config
from harness.config import ConfigGroups, compose_runs
from harness.instantiate import ConfigError, build_agent
from harness.runs import check_agent, prepare

ROOT = Path(__file__).parents[2]
ROWS = sorted(path.stem for path in (ROOT / "configs" / "ablation").glob("*.yaml"))


def test_they_are_the_published_ones() -> None:
    tables = yaml.safe_load((ROOT / "results/published/thinkjepa.yaml").read_text())
    text = str(tables)
    names = {ConfigGroups().load("ablation", row)["row"] for row in ROWS}
    assert len(names) == len(ROWS) == 11
    assert [name for name in names if name not in text] == []


@pytest.mark.parametrize("row", ROWS)
def test_a_row_composes(row: str) -> None:
    option = ConfigGroups().load("ablation", row)
    has_own = any("agent.checkpoint" in item for item in option["run"])
    mine = ["benchmark=subgoals", "agent.checkpoint=mine"]
    if has_own:
        assert option["train"]
        with pytest.raises(ConfigError, match=rf"^agent.checkpoint=mine: the row ablation={row} sets .*; leave"):
            compose_runs([f"ablation={row}", *mine])
        mine = ["benchmark=subgoals"]
    (composed,) = compose_runs([f"ablation={row}", *mine])
    _, settings = check_agent(composed.config.agent)
    assert has_own or settings["checkpoint"] == "mine", "what is given besides counts"
    assert compose_runs([*option["run"], *mine])[0].config == composed.config, "as the refusal says"
    trained = []
    for line in option["train"]:
        harness, train, target, *overrides = shlex.split(line)
        assert (harness, train) == ("harness", "train")
        config = read_config(target, overrides)
        assert config.init is None or config.init in [*trained, "runs/ablation/full/wm/checkpoint"]
        trained.append(f"{config.out}/checkpoint")
    if trained and row != "full":
        assert f"agent.checkpoint={trained[-1]}" in option["run"]


def test_a_row_that_was_not_trained_is_refused_with_the_commands_that_train_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (composed,) = compose_runs(["ablation=mse", "benchmark=subgoals"])
    with pytest.raises(ConfigError) as caught:
        prepare(composed)
    message, *commands = str(caught.value).split("\n  ")
    assert message.startswith("agent.checkpoint=runs/ablation/mse/gpi/checkpoint: ")
    assert commands == ConfigGroups().load("ablation", "mse")["train"]
    (composed,) = compose_runs(["ablation=full", "benchmark=subgoals", "agent.checkpoint=none/such/model"])
    with pytest.raises(ConfigError, match="no shipped model") as caught:
        prepare(composed)
    assert "harness train" not in str(caught.value), "its training makes another model than the one that is missing"


@pytest.mark.parametrize("row", ["no_gpi", "no_guidance", "no_vlm"])
def test_rows_without_training_run_on_the_shipped_weights(row: str) -> None:
    (composed,) = compose_runs([f"ablation={row}", "benchmark=subgoals"])
    build_agent(composed.config.agent)


def test_rows_differ_from_the_full_one_by_what_they_say() -> None:
    full, *others = (
        compose_runs([f"+ablation={row}", "benchmark=subgoals"])[0].config.agent
        for row in ("full", "no_gpi", "no_guidance", "no_vlm")
    )
    assert others[0] == {**full, "gpi": "random"}
    assert others[1] == {**full, "guidance": {"attention": True, "alpha": 0}}
    assert others[2]["name"] == "flat_cem"
    with pytest.raises(ConfigError, match="ablation=full and no_gpi: an agent is one row"):
        compose_runs(["ablation=full", "ablation=no_gpi", "benchmark=subgoals"])
    swept = compose_runs(["ablation=full,no_gpi", "benchmark=subgoals", "agent.look=once"], multirun=True)
    assert [composed.config.agent["gpi"] for composed in swept] == ["learned", "random"]
    assert {composed.config.agent["look"] for composed in swept} == {"once"}


VLM = ["agent.reasoner=vlm", "agent.vlm.model=Qwen/Qwen2.5-VL-7B-Instruct"]


@pytest.mark.parametrize(
    ("full", "row"),
    [
        (["agent.checkpoint=runs/ablation/full/gpi/checkpoint"], ["ablation=mse"]),
        (VLM, ["ablation=vlm_70b"]),
        ([*VLM, "agent.vlm.lora=adapter"], ["ablation=no_lora"]),
        ([*VLM, "agent.vlm.lora=adapter"], ["ablation=no_lora", *VLM, "agent.vlm.lora=null"]),
        (["agent=thinkjepa", "agent.guidance.attention=false"], ["ablation=no_guidance"]),
        ([], ["ablation=no_guidance", "agent.guidance.alpha=0"]),
        ([], ["ablation=no_vlm", "agent=flat_cem", "agent.planner.population=16"]),
    ],
)
def test_documented_comparisons_compose_to_different_agents(full: list[str], row: list[str]) -> None:
    agents = [compose_runs([*words, "benchmark=subgoals"])[0].config.agent for words in (["ablation=full", *full], row)]
    assert agents[0] != agents[1]


@pytest.mark.parametrize(
    ("rows", "given", "own"),
    [
        ("full,vlm_70b", "agent.vlm.model=mine", "vlm_70b sets agent.vlm.model=Qwen/Qwen2.5-VL-72B-Instruct"),
        ("full,no_lora", "agent.reasoner=scripted", "no_lora sets agent.reasoner=vlm"),
        ("full,no_guidance", "agent.guidance.alpha=0.3", "no_guidance sets agent.guidance.alpha=0"),
        ("full,no_guidance", "agent.guidance={attention:true,alpha:0.3}", "no_guidance sets agent.guidance.alpha=0"),
        ("no_lora", "agent.vlm.lora.rank=4", "no_lora sets agent.vlm.lora=null"),
        ("full,no_gpi", "agent.gpi=learned,random", "no_gpi sets agent.gpi=random"),
        ("no_vlm", "agent=thinkjepa_seed", "no_vlm sets agent=flat_cem"),
        ("no_vlm,full", "agent=flat_cem", "full sets agent=thinkjepa"),
    ],
)
def test_what_contradicts_a_row_is_refused(rows: str, given: str, own: str) -> None:
    key = given.partition("=")[0]
    row = own.partition(" ")[0]
    with pytest.raises(ConfigError) as refused:
        compose_runs([given, f"ablation={rows}", "benchmark=subgoals"], multirun=True)
    message = str(refused.value)
    assert message.startswith(f"{key}=")
    assert f": the row ablation={own}; leave {key} away" in message
    assert message.endswith(f"give what configs/ablation/{row}.yaml lists under `run`, with your value")
