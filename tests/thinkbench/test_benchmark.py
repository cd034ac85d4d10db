"""Protocol, episode order, fingerprint and tables."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import configs
from harness.interfaces import EnvRequest, EpisodeSpec, MeanCell, RateCell
from thinkbench.benchmark import ThinkBench, ThinkBenchProtocol, suite_hash
from thinkbench.generator import GENERATOR_VERSION

SUITE = "ced2df0764acb6134c1e5bd6ff824c4a46b689acdfe31908f20c4614c8e66636"


def standard() -> ThinkBenchProtocol:
    data = yaml.safe_load((Path(configs.__path__[0]) / "protocol" / "thinkbench.yaml").read_text("utf-8"))
    assert data.pop("_target_") == "thinkbench.benchmark.ThinkBenchProtocol"
    assert set(data) == {field.name for field in fields(ThinkBenchProtocol)}
    return ThinkBenchProtocol(**data)


@pytest.fixture(scope="module")
def benchmark_() -> ThinkBench:
    return ThinkBench(standard())


def test_sixty_episodes_in_an_order_whose_prefixes_are_balanced(benchmark_: ThinkBench) -> None:
    specs = benchmark_.episodes()
    assert len(specs) == len({spec.episode_id for spec in specs}) == 60
    templates = [spec.meta["template"] for spec in specs]
    assert len(set(templates[:12])) == 12
    assert templates == templates[:12] * 5
    assert [spec.episode_id for spec in benchmark_.episodes(limit=12)] == [spec.episode_id for spec in specs[:12]]
    with pytest.raises(ValueError, match="at least 1"):
        benchmark_.episodes(limit=0)


def test_episodes_say_what_they_are(benchmark_: ThinkBench) -> None:
    for spec in benchmark_.episodes():
        meta = spec.meta
        assert spec.episode_id.startswith(f"{meta['family']}-h{meta['horizon']}-")
        (stage,) = spec.stages
        assert stage.max_steps == 2 * meta["horizon"] + 2
        assert len(meta["plan"]) == len(meta["milestones"]) == meta["horizon"]
        assert EpisodeSpec.from_dict(spec.to_dict()) == spec


def test_fingerprint_depends_on_the_episodes_only(benchmark_: ThinkBench) -> None:
    specs = benchmark_.episodes()
    assert benchmark_.fingerprint()["suite"] == suite_hash(specs[::-1])
    small = replace(standard(), episodes_per_template=1, horizons=(3,))
    prints = [
        ThinkBench(small).fingerprint()["suite"],
        ThinkBench(small).fingerprint()["suite"],
        ThinkBench(replace(small, suite_seed=1)).fingerprint()["suite"],
        ThinkBench(replace(small, wording="held_out")).fingerprint()["suite"],
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_the_suite_is_the_published_one(benchmark_: ThinkBench) -> None:
    """A change that alters an episode makes numbers incomparable: raise GENERATOR_VERSION and protocol.version."""
    assert (GENERATOR_VERSION, benchmark_.fingerprint()["suite"]) == (1, SUITE)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("benchmark", "calvin", "choose one of thinkbench"),
        ("control", "joints", "choose one of skill, delta"),
        ("renderer", "cuda", "choose one of tiny, egl, auto"),
        ("wording", "odd", "choose one of standard, held_out"),
        ("observations", ("rgb_top",), "from rgb_static, rgb_gripper, robot_obs"),
        ("families", ("juggle",), "from sort, tower, unearth"),
        ("families", (), "choose each once"),
        ("horizons", (3, 3), "choose each once, from 3, 5, 7, 10"),
        ("horizons", (4,), "from 3, 5, 7, 10"),
        ("episodes_per_template", 0, "must be at least 1"),
        ("image_size", 0, "must be at least 1"),
        ("step_factor", 0, "must be at least 1"),
        ("settle_seconds", -1.0, "must be at least 0"),
    ],
)
def test_impossible_protocols_are_refused(key: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"protocol.{key}=.*{message}"):
        replace(standard(), **{key: value})


def test_environments_compute_only_what_is_asked_for() -> None:
    bench = ThinkBench(replace(standard(), observations=("rgb_static", "robot_obs"), image_size=16))
    env = bench.make_env(EnvRequest())
    assert set(env.observation_space) == {"rgb_static", "robot_obs"}
    env.close()
    env = bench.make_env(EnvRequest(observation_keys=()))
    assert set(env.observation_space) == set()
    env.close()
    with pytest.raises(ValueError, match="asks for 'rgb_gripper', but protocol 'thinkbench' offers rgb_static"):
        bench.make_env(EnvRequest(observation_keys=("rgb_gripper",)))


def test_control_rate_is_that_of_the_mode(benchmark_: ThinkBench) -> None:
    assert benchmark_.control_hz() is None
    assert ThinkBench(replace(standard(), control="delta")).control_hz() == 20.0


def test_tables(benchmark_: ThinkBench) -> None:
    rows = [
        ("tower", 3, "success", 1.0),
        ("tower", 3, "failure", 0.5),
        ("sort", 3, "success", 1.0),
        ("sort", 10, "failure", 0.2),
        ("sort", 10, "error", 0.0),
    ]
    frame = pd.DataFrame(
        [
            {
                "episode_id": f"{family}-h{horizon}-e{index}",
                "family": family,
                "horizon": horizon,
                "template": f"{family}-h{horizon}",
                "outcome": outcome,
                "success": outcome == "success",
                "progress": progress,
            }
            for index, (family, horizon, outcome, progress) in enumerate(rows)
        ]
    )
    by_horizon, by_family = benchmark_.summarise(frame)
    assert by_horizon.one_line
    assert by_horizon.columns == ("h3", "h10", "average", "progress")
    progress = MeanCell((1.0, 0.5, 1.0, 0.2), ("tower-h3", "tower-h3", "sort-h3", "sort-h10"))
    rates = (RateCell(2, 3), RateCell(0, 1, 1), RateCell(2, 4, 1))
    assert by_horizon.rows == (("success", (*rates, progress)),)
    assert [name for name, _ in by_family.rows] == ["sort", "tower"]
    assert by_family.rows[1][1][1] == RateCell(0, 0)
