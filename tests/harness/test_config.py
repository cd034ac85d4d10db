"""Bad input: each mistake is refused before anything starts, with the key and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from gymnasium.spaces import Box

from harness.cli import main
from harness.config import compose_runs, override_recorded, parse_video
from harness.instantiate import ConfigError
from harness.runs import prepare
from tests.harness.toy_runs import ROOT, TOY, run_toy
from tests.toys import ToyBenchmark, Walker

CONFIGS = ROOT / "tests" / "configs"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("ablation=no_gpu", "there is no such ablation; did you mean 'no_gpi'?"),
        ("sede=1", "unknown key sede; did you mean 'seed'?"),
        ("executor.wokers=2", "did you mean 'executor.workers'?"),
        ("benchmark=toyy", "there is no such benchmark; did you mean 'toy'?"),
        ("agent=walkr", "there is no such agent; did you mean 'walker'?"),
        ("protocol=toi", "there is no such protocol; did you mean 'toy'?"),
        ("protocol=toy@2", "this harness has toy@1"),
        ("executor=rey", "did you mean 'ray'?"),
        ("agent.gian=2", "unknown key agent.gian; did you mean 'agent.gain'?"),
        ("agent.sed=2", "unknown key agent.sed; known: agent."),
        ("agent.gain=abc", "agent.gain='abc' must be a number"),
        ("agent.gain=true", "agent.gain=True must be a number"),
        ("agent.checkpoint=no/such/file", "agent.checkpoint=no/such/file: no such file or folder"),
        ("agent._target_=tests.toys.Walkr", "did you mean 'Walker'?"),
        ("agent._target_=nosuchmodule.Agent", "cannot import 'nosuchmodule'"),
        ("agent._target_=tests.toys.ToyEnv", "is not a class derived from harness.interfaces.Agent"),
        ("seed=abc", "seed: Value 'abc'"),
        ("seed=-1", "seed=-1 is too small"),
        ("limit=0", "limit=0 is too small; it must be at least 1"),
        ("repeats=0", "repeats=0 is too small"),
        ("executor.workers=2", "executor=local has one worker; use executor=ray"),
        ("executor.lanes=0", "executor.lanes=0 is too small"),
        ("errors.threshold=2", "errors.threshold=2.0 must be a share between 0 and 1"),
        ("deadlines.step=0", "deadlines.step must be a positive number of seconds"),
        ("deadlines.step=inf", "deadlines.step=inf must be finite; give another number"),
        ("deadlines.agent_act=nan", "deadlines.agent_act=nan must be finite"),
        ("executor.cpus_per_worker=nan", "executor.cpus_per_worker=nan must be finite"),
        ("executor.gpus_per_worker=inf", "executor.gpus_per_worker=inf must be finite"),
        ("errors.threshold=nan", "errors.threshold=nan must be a share between 0 and 1"),
        ("video=some", "is not one of none, all, failures, first:N"),
        ("protocol.episodes=0", "episodes=0 is too small; give at least 1"),
        ("protocol.episode=3", "unknown key protocol.episode; did you mean 'protocol.episodes'?"),
        ("protocol.faults=abc", "must be a list"),
        ("agent=walker,batch_walker", "names several values; add -m"),
        ("~seed", "keys cannot be deleted"),
        ("+new=1", "unknown key new"),
        ("agent.gain", "write key=value"),
        ("protocol.benchmark=other", "is for benchmark=other, not toy"),
        ("agent.gain=nan", "agent.gain=nan must be finite"),
        ("agent.name=foo", "it cannot be set"),
        ("ray.address=auto", "no effect with executor=local"),
        ("deadlines.step=3", "no effect with executor=local"),
        ("executor.gpus_per_worker=1", "no effect with executor=local"),
        ("dataset.enabled=true", "use `harness collect`"),
        ("hydra.run.dir=x", "unknown key hydra.run.dir"),
        ("agent.mode=a(b)", "quote values with brackets"),
    ],
)
def test_mistakes_are_named(override: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = tmp_path / "run"
    assert run_toy(run_dir, override) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") <= 2
    assert not run_dir.exists()


def test_actions_that_the_agent_cannot_give_are_refused_where_they_are_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(
        cls: type[Walker], settings: Mapping[str, Any], action_space: Box | None, control_hz: float | None
    ) -> None:
        assert control_hz == ToyBenchmark.control_hz(ToyBenchmark)  # type: ignore[arg-type]
        if action_space is not None:
            raise ValueError(f"agent.gain={settings['gain']}: not for {action_space.shape}; give another")

    monkeypatch.setattr(Walker, "check_settings", classmethod(check))
    assert run_toy(tmp_path / "unknown", "limit=1") == 0
    monkeypatch.setattr(ToyBenchmark, "action_space", lambda self: Box(-1.0, 1.0, (2,)))
    assert run_toy(tmp_path / "known", "limit=1") == 2
    assert "error: agent.gain=0.5: not for (2,); give another" in capsys.readouterr().err
    assert not (tmp_path / "known").exists()


def test_an_agent_must_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *TOY]) == 2
    assert "no agent given; add agent=NAME with one of: " in capsys.readouterr().err


def test_missing_config_dir(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config-dir", "no/such/dir", "agent=walker"]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_sweeps_are_the_product_of_their_values() -> None:
    words = ["benchmark=toy", "agent=walker,batch_walker", "seed=0,1,2"]
    points = compose_runs(words, multirun=True, config_dir=CONFIGS)
    assert [(p.config.agent["name"], p.config.seed) for p in points] == [
        (agent, seed) for agent in ("walker", "batch_walker") for seed in range(3)
    ]


def test_protocol_overrides_are_deviations_and_their_names_may_carry_the_version() -> None:
    words = ["benchmark=toy", "agent=walker", "protocol=toy@1", "protocol.max_steps=7"]
    (composed,) = compose_runs(words, config_dir=CONFIGS)
    assert composed.protocol_changes == ("protocol.max_steps: 6 -> 7",)
    (standard,) = compose_runs(words[:3], config_dir=CONFIGS)
    assert standard.protocol_changes == ()


def test_parameters_that_the_file_does_not_list_can_be_set() -> None:
    (composed,) = compose_runs(["benchmark=toy", "agent=walker", "agent.gain=0.25"], config_dir=CONFIGS)
    assert composed.config.agent["gain"] == 0.25


def test_values_of_a_group_count_wherever_they_stand_beside_its_choice() -> None:
    (composed,) = compose_runs(["benchmark=toy", "agent=walker"], config_dir=CONFIGS)
    recorded = asdict(composed.config)
    for words in permutations(["executor=ray", "executor.workers=4", "executor.lanes=3"]):
        executor = override_recorded(recorded, words).executor
        assert (executor.kind, executor.workers, executor.lanes) == ("ray", 4, 3)


def test_a_run_goes_on_without_ray_and_what_was_meant_for_it() -> None:
    words = [
        "executor=ray",
        "ray.address=auto",
        "deadlines.step=600",
        "executor.gpus_per_worker=0.5",
        "executor.lanes=2",
    ]
    (composed,) = compose_runs(["benchmark=toy", "agent=walker", *words], config_dir=CONFIGS)
    config = override_recorded(asdict(composed.config), ["executor=local"])
    assert (config.executor.kind, config.executor.workers, config.executor.lanes) == ("local", 1, 2)
    assert (config.ray.address, config.executor.gpus_per_worker) == (None, 0)
    with pytest.raises(ConfigError, match="deadlines has no effect with executor=local"):
        override_recorded(asdict(composed.config), ["executor=local", "deadlines.step=600"])


def test_whole_numbers_and_floats_make_one_run() -> None:
    common = ["benchmark=toy", "agent=walker"]
    spelled = [["protocol.goal=2", "agent.gain=1"], ["protocol.goal=2.0", "agent.gain=1.0"]]
    one, other = (prepare(compose_runs([*common, *words], config_dir=CONFIGS)[0]) for words in spelled)
    assert one.identity.run_key == other.identity.run_key
    (standard,) = compose_runs([*common, "protocol.goal=1"], config_dir=CONFIGS)
    assert prepare(standard).deviations == ()
    assert (
        prepare(standard).identity.protocol_hash
        == prepare(compose_runs(common, config_dir=CONFIGS)[0]).identity.protocol_hash
    )


def test_video_modes() -> None:
    assert [parse_video(v) for v in ("none", "all", "failures", "first:12")] == [
        ("none", 0),
        ("all", 0),
        ("failures", 0),
        ("first", 12),
    ]
    with pytest.raises(ConfigError, match="first:N"):
        parse_video("first:0")
