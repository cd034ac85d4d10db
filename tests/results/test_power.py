from __future__ import annotations

import numpy as np
import pytest

from harness.cli import main
from results.paired import mcnemar_exact
from results.power import Design, detectable_effect, episodes_needed, paired_power, unpaired_power


def test_unpaired_sizes_are_the_textbooks() -> None:
    """Cohen 1988, arcsine: n = ((1.96 + 0.8416) / h)^2 with h of 0.5 and 0.6."""
    h = 2 * (np.arcsin(np.sqrt(0.6)) - np.arcsin(np.sqrt(0.5)))
    assert episodes_needed(Design(), 0.1, unpaired_power) == int(np.ceil(2 * ((1.959964 + 0.841621) / h) ** 2))


@pytest.mark.parametrize(("episodes", "effect", "discordant"), [(100, 0.15, None), (60, 0.2, 0.3)])
def test_paired_power_is_what_simulated_runs_find(episodes: int, effect: float, discordant: float | None) -> None:
    design = Design(baseline=0.5, discordant=discordant)
    share = design.discordant_share(effect)
    rng = np.random.default_rng(0)
    count, upwards = rng.binomial(episodes, share, size=2000), (share + effect) / (2 * share)
    better = rng.binomial(count, upwards)
    found = np.mean([mcnemar_exact(int(b), int(c - b)) <= design.level for b, c in zip(better, count, strict=True)])
    assert paired_power(design, episodes, effect) == pytest.approx(found, abs=0.035)


@pytest.mark.parametrize("power", [paired_power, unpaired_power])
def test_the_two_questions_are_each_others_inverse(power) -> None:
    design = Design(baseline=0.6)
    episodes = episodes_needed(design, 0.1, power)
    assert detectable_effect(design, episodes, power) == pytest.approx(0.1, rel=0.03)
    assert power(design, episodes, 0.1) >= design.power
    assert detectable_effect(design, 3, power) is None


def test_agents_that_disagree_less_need_fewer_episodes() -> None:
    alike, unlike = (episodes_needed(Design(0.5, discordant=share), 0.1, paired_power) for share in (0.15, 0.45))
    assert alike < unlike / 2


def test_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["power", "--effect", "0.1"]) == 0
    text = capsys.readouterr().out
    assert "unpaired: 388 episodes per agent for 10 pp" in text
    assert main(["power", "--episodes", "3", "--baseline", "0.9"]) == 0
    assert "none, however large" in capsys.readouterr().out
    wrong = ["--effect 0.6", "--episodes 1", "--episodes 9 --baseline 1", "--effect 0.2 --discordant 0.1"]
    for words in wrong:
        assert main(["power", *words.split()]) == 2
        assert "must be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--episodes 200 --power 0.04", "power=0.04: must be above level=0.05, the chance of a false alarm"),
        ("--effect 0.05 --power 0.04", "power=0.04: must be above level=0.05"),
        ("--episodes 200 --level 0.9", "power=0.8: must be above level=0.9"),
        ("--episodes 200 --discordant 1", "discordant=1.0: must be below 1, because the stronger agent alone solves"),
        ("--effect 0.05 --discordant 0.9 --baseline 0.9", "discordant=0.9: must be below 0.2, because"),
        ("--effect 0.25 --discordant 0.8", "effect=0.25: must be above 0 and at most 0.2"),
        ("--effect 0.1 --discordant 0.5 --baseline 0.1", "effect=0.1: must be at least 0.3 and at most 0.5"),
        ("--episodes 20000000", "--episodes 20000000: must be at least 2 and at most 10000000"),
    ],
)
def test_what_cannot_be_is_refused_in_words(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["power", *words.split()]) == 2
    assert message in capsys.readouterr().err


def test_discordant_episodes_say_nothing_about_runs_on_different_episodes(capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for words in ([], ["--discordant", "0.05"]):
        assert main(["power", "--episodes", "200", *words]) == 0
        lines += [line for line in capsys.readouterr().out.splitlines() if line.startswith("unpaired")]
    assert lines == ["unpaired: minimum detectable effect with 200 episodes per agent: 13.8 pp"] * 2


def test_the_smallest_effect_that_there_can_be_may_be_found_already() -> None:
    design = Design(baseline=0.1, discordant=0.5)
    assert detectable_effect(design, 200, paired_power) == pytest.approx(0.3)
    assert detectable_effect(design, 20, paired_power) > 0.3


@pytest.mark.parametrize("power", [paired_power, unpaired_power])
def test_a_power_hardly_above_the_level_has_its_effect(power) -> None:
    effect = detectable_effect(Design(power=0.0501), 1000, power)
    assert effect is not None
    assert 0 < effect < 0.01
