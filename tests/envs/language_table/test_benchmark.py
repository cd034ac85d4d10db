"""Protocols, frozen boards, tables."""

from dataclasses import replace

import pandas as pd
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from envs.language_table.assets import AssetSet
from envs.language_table.benchmark import LanguageTable
from envs.language_table.blocks import BlockMode
from envs.language_table.boards import BOARDS_PER_FAMILY, FROZEN_FAMILIES, FROZEN_MODES, frozen_boards, rejected_seeds
from envs.language_table.freeze import tried_seeds
from harness.interfaces import EnvRequest, RateCell

CONFIGS = "configs/protocol/language-table-{}.yaml"
SIM_FAMILIES = (
    "block2block",
    "block2absolutelocation",
    "block2block_relative_location",
    "block2relativelocation",
    "separate_blocks",
)


def protocol(name="sim", **changes):
    return replace(instantiate(OmegaConf.load(CONFIGS.format(name))), **changes)


@pytest.fixture
def benchmark():
    return LanguageTable(protocol())


def test_sim_protocol_is_the_public_evaluation(benchmark):
    episodes = benchmark.episodes()
    assert benchmark.protocol.families == SIM_FAMILIES
    assert len(episodes) == 250
    assert len({episode.episode_id for episode in episodes}) == 250
    assert {episode.stages[0].max_steps for episode in episodes} == {201}
    assert {episode.meta["mode"] for episode in episodes} == {"BLOCK_8"}


def test_a_prefix_holds_all_families(benchmark):
    assert [episode.meta["family"] for episode in benchmark.episodes(limit=5)] == list(SIM_FAMILIES)
    assert benchmark.episodes(limit=7) == benchmark.episodes()[:7]
    with pytest.raises(ValueError, match="limit=0"):
        benchmark.episodes(limit=0)


def test_three_categories_share_their_boards_with_sim(benchmark):
    three = LanguageTable(protocol("3cat")).episodes()
    assert len(three) == 150
    boards = {(episode.episode_id, episode.seed) for episode in benchmark.episodes()}
    assert {(episode.episode_id, episode.seed) for episode in three} <= boards


@pytest.mark.parametrize("family", FROZEN_FAMILIES)
@pytest.mark.parametrize("mode", FROZEN_MODES)
def test_frozen_boards_are_complete_and_ordered(family, mode):
    seeds = [board.seed for board in frozen_boards(family, mode)]
    rejected = rejected_seeds(family, mode)
    assert len(seeds) == BOARDS_PER_FAMILY
    assert sorted({*seeds, *rejected}) == list(range(max(seeds) + 1))
    assert not set(seeds) & set(rejected)
    assert set(rejected.values()) <= {"solved", "no way", "no room", "no board", "stand-ins differ"}


def test_freezing_again_gives_the_same_boards(official):
    frozen = [(board.seed, board.instruction) for board in frozen_boards("separate_blocks", "BLOCK_8")[:3]]
    tried = list(tried_seeds("separate_blocks", BlockMode.BLOCK_8, official, 3))
    assert [(seed, text) for seed, text, reason in tried if reason is None] == frozen
    rejected = rejected_seeds("separate_blocks", "BLOCK_8")
    assert {seed: reason for seed, _, reason in tried if reason} == {
        seed: reason for seed, reason in rejected.items() if seed < frozen[-1][0]
    }


def test_environment_draws_the_episode(benchmark, official, monkeypatch):
    monkeypatch.setattr(LanguageTable, "_assets", official)
    environment = benchmark.make_env(EnvRequest(observation_keys=("instruction_text",)))
    for episode in benchmark.episodes(limit=3):
        observation, info = environment.reset(seed=episode.seed, options={"episode": episode})
        assert observation["instruction_text"] == episode.stages[0].instruction
        assert info["family"] == episode.stages[0].task
        assert environment.render_seconds == 0, "no picture was asked for"
    environment.close()


def test_privileged_observations_are_refused(benchmark):
    with pytest.raises(ValueError, match="'segmentation'"):
        benchmark.make_env(EnvRequest(observation_keys=("segmentation",)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"families": ("juggle",)}, "protocol.families"),
        ({"families": ()}, "at least one family"),
        ({"mode": "BLOCK_1"}, "protocol.mode"),
        ({"episodes_per_family": 51}, "protocol.episodes_per_family=51"),
        ({"max_steps": 0}, "protocol.max_steps=0"),
        ({"extra_steps": -1}, "protocol.extra_steps=-1"),
        ({"visuals": "cubist"}, "protocol.visuals"),
        ({"observations": ("blocks",)}, "protocol.observations"),
    ],
)
def test_wrong_protocols_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        protocol(**changes)


def test_summary():
    families = ("block2block", "separate_blocks")
    outcomes = ["success", "failure", "error", "success", "success", "missing"]
    frame = pd.DataFrame(
        {
            "episode_id": list("abcdef"),
            "family": ["block2block"] * 3 + ["separate_blocks"] * 3,
            "outcome": outcomes,
            "success": [outcome == "success" for outcome in outcomes],
        }
    )
    labels = {"block2block": "Push Block"}
    (table,) = LanguageTable(protocol(families=families, labels=labels)).summarise(frame)
    assert table.columns == ("Push Block", "separate_blocks", "average")
    assert table.one_line
    assert table.rows == (("success", (RateCell(1, 2, 1), RateCell(2, 2, 0), RateCell(3, 4, 1))),)


def test_generated_assets_are_named_as_a_deviation(official, generated, monkeypatch):
    def deviations(assets: AssetSet):
        monkeypatch.setattr(LanguageTable, "_assets", assets)
        benchmark = LanguageTable(protocol())
        return benchmark.deviations(), benchmark.fingerprint()["assets"]

    assert deviations(official)[0] == ()
    assert "generated assets" in deviations(generated)[0][0]
    assert deviations(official)[1] != deviations(generated)[1]
