"""Runs that differ in nothing but the seed, as one row."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main
from harness.statistics import wilson
from harness.store import StoreError
from results.cells import CellValue
from results.compare import compare
from results.pool import pool_seeds
from results.report import Report, build_report
from results.runs import load_runs
from tests.harness.toy_runs import run_toy

HARD = ("protocol.max_steps=3",)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pool")
    for name, gain, seed in (("a0", 0.9, 0), ("a1", 0.9, 1), ("a7", 0.9, 7), ("b0", 0.5, 0), ("b1", 0.5, 1)):
        assert run_toy(folder / name, *HARD, f"agent.gain={gain}", f"seed={seed}") == 0
    return {path.name: path for path in folder.iterdir()}


def rows(report: Report, key: str) -> dict[str, CellValue]:
    """The first cell of each row of a table."""
    (table,) = [table for table in report.tables if table.key == key]
    return {name: cells[0] for name, cells in table.rows}


def test_seeds_share_a_row(runs: dict[str, Path]) -> None:
    apart = rows(build_report(list(runs.values())), "overall")
    pooled = build_report([runs[name] for name in ("a7", "b0", "a1", "a0", "b1")], seeds_pooled=True)
    together = rows(pooled, "overall")
    assert list(together) == ["walker† (gain=0.9, seeds 0, 1, 7)", "walker† (gain=0.5, seeds 0, 1)"]
    for gain, cell in zip((0.9, 0.5), together.values(), strict=True):
        single = [one for name, one in apart.items() if f"gain={gain}" in name]
        assert cell.successes == sum(one.successes or 0 for one in single)
        assert cell.count == sum(one.count or 0 for one in single)
        assert isinstance(cell.value, float)
        assert cell.interval == wilson(8 * cell.value, 8), "as wide as 8 distinct episodes allow"
    assert len(pooled.runs) == 5, "what is said of runs is said of each"
    assert len(rows(pooled, "compute")) == 5


def test_pairs_are_of_one_episode_and_repetition(runs: dict[str, Path]) -> None:
    report = build_report([runs["a0"], runs["a1"], runs["b1"]], baseline=runs["b0"], seeds_pooled=True)
    ablation = rows(report, "ablation_overall")
    assert list(ablation) == ["walker† (gain=0.5, seeds 0, 1)", "walker† (gain=0.9, seeds 0, 1)"]
    assert list(ablation.values())[1].count == 16
    one = build_report([runs["a0"], runs["a1"], runs["b0"]], baseline=runs["b0"], seeds_pooled=True)
    assert list(rows(one, "ablation_overall").values())[1].count == 8, "the seed that both have"


def test_agents_are_compared_over_all_their_seeds(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    pooled = compare(*(runs[name] for name in ("a0", "a1", "b0", "b1")), seeds_pooled=True)
    report = build_report([runs[name] for name in ("a0", "a1", "b1")], baseline=runs["b0"], seeds_pooled=True)
    expected = list(rows(report, "ablation_overall").values())[1]
    success = next(cell.difference for cell in pooled.cells if cell.column == "success")
    assert (success.difference, success.interval) == (expected.value, expected.interval)
    assert (success.pairs, success.episodes) == (16, 8)
    assert pooled.first.run == f"{runs['a0']}, {runs['a1']}"
    alone = [compare(runs[f"a{seed}"], runs[f"b{seed}"]) for seed in range(2)]
    assert sorted(one.episode.removesuffix("#1") for one in pooled.discordant) == sorted(
        one.episode for both in alone for one in both.discordant
    )
    words = ["compare", *(str(runs[name]) for name in ("a0", "a1", "b0"))]
    assert main(words) == 2
    assert "3 runs are given; name two, or --pool-seeds" in capsys.readouterr().err
    assert main([*words[:3], "--pool-seeds"]) == 2
    assert "give the seeds of two agents" in capsys.readouterr().err
    assert main(["compare", str(runs["a7"]), str(runs["b0"]), "--pool-seeds"]) == 2
    assert "no seed in common (7 and 0); give a seed of both, or two runs without" in capsys.readouterr().err
    assert main([*words, "--pool-seeds"]) == 0
    assert "over the seeds that both have" in capsys.readouterr().out


def test_videos_of_pooled_runs_are_those_of_each(tmp_path: Path) -> None:
    for name, words in {"a0": [], "a1": ["seed=1"], "b0": [], "b1": ["seed=1"]}.items():
        gain = "agent.gain=0.9" if name[0] == "a" else "agent.gain=0.05"
        assert run_toy(tmp_path / name, *HARD, gain, "video=all", "limit=2", *words) == 0
    found = compare(*(tmp_path / name for name in ("a0", "a1", "b0", "b1")), seeds_pooled=True).discordant
    shown = [Path(video) for one in found for video in (one.first_video, one.second_video) if video is not None]
    assert {video.parts[-3] for video in shown} == {"a0", "a1", "b0", "b1"}
    assert all(video.is_file() for video in shown)


def test_different_seeds_are_told_and_compared_by_seed(runs: dict[str, Path]) -> None:
    apart = build_report([runs["a1"]], baseline=runs["b1"])
    report = build_report([runs["a1"], runs["b0"], runs["b1"]], baseline=runs["b1"], seeds_pooled=True)
    expected, found = (list(rows(one, "ablation_overall").values())[1] for one in (apart, report))
    assert (found.value, found.count) == (expected.value, 8), "those of seed 1, though a has one seed and b has two"
    (ablation,) = [table for table in report.tables if table.key == "ablation_overall"]
    assert any("of different seeds" in note for note in ablation.notes)
    alike = build_report([runs["a0"], runs["a1"], runs["b0"]], baseline=runs["b1"], seeds_pooled=True)
    assert not any("of different seeds" in note for table in alike.tables for note in table.notes)


def test_an_agent_without_a_common_seed_hides_no_winner(runs: dict[str, Path], tmp_path: Path) -> None:
    assert run_toy(tmp_path / "c7", *HARD, "agent.gain=0.05", "seed=7") == 0
    paths = [runs["a0"], runs["a1"], runs["b0"], runs["b1"], tmp_path / "c7"]
    best = {
        name.split(",")[0]: cell.best for name, cell in rows(build_report(paths, seeds_pooled=True), "overall").items()
    }
    assert best["walker† (gain=0.9"]
    assert not best["walker† (gain=0.05"]


def test_seeds_are_numbered_alike_whatever_is_repeated(tmp_path: Path) -> None:
    for name, words in {"one0": [], "one1": ["seed=1"], "two0": ["repeats=2"], "two1": ["repeats=2", "seed=1"]}.items():
        gain = "agent.gain=0.9" if "one" in name else "agent.gain=0.5"
        assert run_toy(tmp_path / name, *HARD, gain, *words) == 0
    one, two = pool_seeds(load_runs([tmp_path / name for name in ("one0", "one1", "two0", "two1")]))
    assert sorted(set(one.frame["repeat"])) == [0, 2]
    assert sorted(set(two.frame["repeat"])) == [0, 1, 2, 3]


def test_under_shifts_an_agent_is_one_whatever_its_seeds(tmp_path: Path) -> None:
    for name, words in {
        "0": ["seed=0"],
        "1": ["seed=1"],
        "far": ["seed=1", "protocol.shift=far", "protocol.shift_level=1"],
    }.items():
        assert run_toy(tmp_path / name, *HARD, *words) == 0
    report = build_report([tmp_path / name for name in ("0", "1", "far")], seeds_pooled=True)
    (shift,) = [table for table in report.tables if table.key == "shift"]
    assert len(shift.columns) == 2
    assert dict(shift.rows)["far 1"][1].count == 8


def test_nothing_else_is_pooled(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_toy(tmp_path / "again", *HARD, "agent.gain=0.9")
    with pytest.raises(StoreError, match=r"same agent and seed; pooled, its episodes would count twice"):
        build_report([runs["a0"], tmp_path / "again"], seeds_pooled=True)
    run_toy(tmp_path / "short", *HARD, "agent.gain=0.9", "limit=4", "seed=1")
    assert main(["report", str(runs["a0"]), str(tmp_path / "short"), "--pool-seeds"]) == 0
    text = capsys.readouterr().out
    assert "seeds" not in text
    assert text.count("success") >= 2
