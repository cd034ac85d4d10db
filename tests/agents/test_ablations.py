"""The rows of the source document's ablation table compose, with what has to be trained for them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml

from agents.thinkjepa.training.compose import read_config
from harness.config import ConfigGroups, compose_runs
from harness.instantiate import build_agent
from harness.runs import check_agent

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
    (composed,) = compose_runs([f"ablation={row}", "benchmark=subgoals", "agent.checkpoint=mine"])
    _, settings = check_agent(composed.config.agent)
    assert settings["checkpoint"] == "mine", "what is given besides counts"
    option = ConfigGroups().load("ablation", row)
    if any("agent.checkpoint" in item for item in option["run"]):
        assert option["train"]
    trained = []
    for line in option["train"]:
        harness, train, target, *overrides = shlex.split(line)
        assert (harness, train) == ("harness", "train")
        config = read_config(target, overrides)
        assert config.init is None or config.init in [*trained, "runs/ablation/full/wm/checkpoint"]
        trained.append(f"{config.out}/checkpoint")
    if trained and row != "full":
        assert f"agent.checkpoint={trained[-1]}" in option["run"]


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
    swept = compose_runs(["ablation=full,no_gpi", "benchmark=subgoals", "agent.look=once"], multirun=True)
    assert [composed.config.agent["gpi"] for composed in swept] == ["learned", "random"]
    assert {composed.config.agent["look"] for composed in swept} == {"once"}
