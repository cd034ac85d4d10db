"""Protocol, episode order, fingerprint and tables."""

from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import configs
from harness.interfaces import EnvRequest, EpisodeSpec, MeanCell, RateCell
from thinkbench.benchmark import ThinkBench, ThinkBenchProtocol
from thinkbench.names import FROZEN
from thinkbench.suite import load_suite, write_suite


def standard() -> ThinkBenchProtocol:
    data = yaml.safe_load((Path(configs.__path__[0]) / "protocol" / "thinkbench.yaml").read_text("utf-8"))
    assert data.pop("_target_") == "thinkbench.benchmark.ThinkBenchProtocol"
    assert set(data) == {field.name for field in fields(ThinkBenchProtocol)}
    return ThinkBenchProtocol(**data)


@pytest.fixture(scope="module")
def benchmark_() -> ThinkBench:
    return ThinkBench(standard())


def fresh(**changes: Any) -> ThinkBenchProtocol:
    small = {
        "suite": "generated",
        "suite_seed": 0,
        "episodes_per_template": 1,
        "horizons": (3,),
        "families": ("tower",),
    }
    return replace(standard(), **{**small, **changes})


def test_two_hundred_episodes_in_an_order_whose_prefixes_are_balanced(benchmark_: ThinkBench) -> None:
    specs = benchmark_.episodes()
    assert len(specs) == len({spec.episode_id for spec in specs}) == 200
    assert Counter(spec.meta["horizon"] for spec in specs) == {3: 50, 5: 50, 7: 50, 10: 50}
    templates = [spec.meta["template"] for spec in specs]
    assert len(set(templates[:40])) == 40
    assert templates == templates[:40] * 5
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
        assert meta["suite"] == benchmark_.suite.label
        assert EpisodeSpec.from_dict(spec.to_dict()) == spec


def test_protocols_choose_from_a_suite(benchmark_: ThinkBench) -> None:
    chosen = ThinkBench(replace(standard(), families=("sort", "tower"), horizons=(3,), episodes_per_template=2))
    ids = [spec.episode_id for spec in chosen.episodes()]
    assert ids == ["sort-h3-000", "tower-h3-000", "sort-h3-001", "tower-h3-001"]
    assert chosen.fingerprint()["suite"] == benchmark_.fingerprint()["suite"]


def test_wordings_change_the_words_only(benchmark_: ThinkBench) -> None:
    by_wording = {
        wording: ThinkBench(replace(standard(), wording=wording)).episodes(1)[0]
        for wording in ("standard", "held_out", "verbose")
    }
    assert len({spec.stages[0].instruction for spec in by_wording.values()}) == 3
    assert len({str(spec.meta["scene"]) for spec in by_wording.values()}) == 1


def test_suites_are_run_from_files(tmp_path: Path) -> None:
    frozen = load_suite(FROZEN)
    path = tmp_path / "three.jsonl.gz"
    write_suite(replace(frozen, name="three", records=frozen.records[:3]), path)
    bench = ThinkBench(replace(standard(), suite=str(path)))
    specs = bench.episodes()
    assert [spec.episode_id for spec in specs] == [record.episode_id for record in frozen.records[:3]]
    assert specs[0].meta["suite"] == f"three {bench.suite.hash[:8]}"


def test_fingerprint_depends_on_the_episodes_only(benchmark_: ThinkBench) -> None:
    assert benchmark_.fingerprint()["suite"] == load_suite(FROZEN).hash
    prints = [ThinkBench(fresh(suite_seed=seed)).fingerprint()["suite"] for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("benchmark", "calvin", "choose one of thinkbench"),
        ("control", "joints", "choose one of skill, delta"),
        ("renderer", "cuda", "choose one of tiny, egl, auto"),
        ("wording", "odd", "choose one of standard, held_out, verbose"),
        ("observations", ("rgb_top",), "from rgb_static, rgb_gripper, robot_obs"),
        ("families", ("juggle",), "from bridge, conditional, .*, tower, unearth"),
        ("families", (), "choose each once"),
        ("horizons", (3, 3), "choose each once, from 3, 5, 7, 10"),
        ("horizons", (4,), "from 3, 5, 7, 10"),
        ("episodes_per_template", 0, "must be at least 1"),
        ("image_size", 0, "must be at least 1"),
        ("step_factor", 0, "must be at least 1"),
        ("settle_seconds", -1.0, "must be at least 0"),
        ("suite", "generated", "say which and how many"),
        ("suite_seed", 3, "has no effect on protocol.suite=thinkbench-v1"),
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
                "suite": "thinkbench-v1 0123abcd",
            }
            for index, (family, horizon, outcome, progress) in enumerate(rows)
        ]
    )
    by_horizon, by_family = benchmark_.summarise(frame)
    assert by_horizon.one_line
    assert (by_horizon.title, by_family.title) == (
        "Success by horizon, thinkbench-v1 0123abcd",
        "Success by family, thinkbench-v1 0123abcd",
    )
    assert by_horizon.columns == ("h3", "h10", "average", "progress")
    progress = MeanCell((1.0, 0.5, 1.0, 0.2), ("tower-h3", "tower-h3", "sort-h3", "sort-h10"))
    rates = (RateCell(2, 3), RateCell(0, 1, 1), RateCell(2, 4, 1))
    assert by_horizon.rows == (("success", (*rates, progress)),)
    assert [name for name, _ in by_family.rows] == ["sort", "tower"]
    assert by_family.rows[1][1][1] == RateCell(0, 0)
    older, _ = benchmark_.summarise(frame.drop(columns="suite"))
    assert older.title == "Success by horizon"


def test_training_episodes_are_of_no_suite(benchmark_: ThinkBench) -> None:
    (spec,) = benchmark_.collection(1, 0, play=False)
    assert spec.meta["suite"] == "training (seed 0)"
    assert spec.meta["scene"] not in [other.meta["scene"] for other in benchmark_.episodes()]
