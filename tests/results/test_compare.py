"""Two runs against each other, ablations and shifts, on toy runs whose outcomes differ."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest

from harness.cli import main
from harness.interfaces import RateCell
from harness.store import RunReader, StoreError
from results.cells import CellValue, cell_text, work_out
from results.compare import compare, comparison_markdown
from results.paired import mcnemar_exact, newcombe_paired
from results.report import ReportTable, build_report
from results.runs import load_runs
from results.ties import mark_best
from tests.harness.toy_runs import run_toy

WORDS = ("protocol.episodes=24", "protocol.goal=1.2", "protocol.max_steps=4")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    assert run_toy(folder / "strong", *WORDS, "agent.gain=0.9", "video=first:24") == 0
    assert run_toy(folder / "weak", *WORDS, "agent.gain=0.6") == 0
    assert run_toy(folder / "other_seed", *WORDS, "agent.gain=0.6", "seed=5") == 0
    for level in (1, 2):
        assert (
            run_toy(
                folder / f"far{level}", *WORDS, "agent.gain=0.9", "protocol.shift=far", f"protocol.shift_level={level}"
            )
            == 0
        )
    assert run_toy(folder / "short", *WORDS, "agent.gain=0.6", "limit=10") == 0
    return {path.name: path for path in folder.iterdir()}


def solved(run: Path) -> np.ndarray:
    with RunReader(run) as reader:
        return reader.frame()["success"].to_numpy()


def table(tables: tuple[ReportTable, ...], key: str) -> ReportTable:
    return next(table for table in tables if table.key == key)


def test_the_numbers_are_those_of_the_pairs(runs: dict[str, Path]) -> None:
    strong, weak = solved(runs["strong"]), solved(runs["weak"])
    counts = [int((strong & weak).sum()), int((strong & ~weak).sum()), int((~strong & weak).sum())]
    assert counts[1] > 0
    comparison = compare(runs["strong"], runs["weak"])
    success = next(cell for cell in comparison.cells if cell.column == "success").difference
    assert (success.better, success.worse) == tuple(counts[1:])
    assert success.p_value == mcnemar_exact(*counts[1:])
    assert success.interval == newcombe_paired(*counts, 24 - sum(counts))
    assert comparison.bounds.low == comparison.bounds.high == pytest.approx(success.difference)
    assert [episode.episode for episode in comparison.discordant] == [
        f"toy-{i:03}" for i in np.flatnonzero(strong != weak)
    ]
    families = [cell for cell in comparison.cells if cell.table == "success by family"]
    assert [cell.row for cell in families] == ["even", "odd"]
    smaller = min(families, key=lambda cell: cell.difference.p_value)
    assert smaller.adjusted_p == pytest.approx(min(1.0, 2 * smaller.difference.p_value)), "Holm over the table"


def test_swapping_the_runs_swaps_the_signs(runs: dict[str, Path]) -> None:
    forth, back = compare(runs["strong"], runs["weak"]), compare(runs["weak"], runs["strong"])
    for one, other in zip(forth.cells, back.cells, strict=True):
        assert one.difference.difference == pytest.approx(-other.difference.difference)
        assert one.adjusted_p == pytest.approx(other.adjusted_p)
    assert {episode.solved_by for episode in forth.discordant} | {episode.solved_by for episode in back.discordant} == {
        "A",
        "B",
    }


def test_verb_links_the_videos_and_writes_a_plot(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", str(runs["strong"]), str(runs["weak"])]
    assert main([*words, "--plots", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    video = next((runs["strong"] / "videos").glob("*.mp4"))
    assert f"[video]({quote(runs['strong'].as_posix())}/videos/toy-" in text
    assert video.is_file()
    assert "p = " in text
    assert (tmp_path / "comparison.svg").read_text().startswith("<?xml")
    assert main([*words, "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["pairs"] == 24
    assert len(data["discordant"]) == len(compare(runs["strong"], runs["weak"]).discordant)


def test_other_protocols_are_refused_with_every_reason(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(runs["strong"]), str(runs["far2"])]) == 2
    error = capsys.readouterr().err
    assert "protocol.shift: none -> far" in error
    assert "protocol.shift_level: 0 -> 2" in error


def test_a_run_is_not_compared_with_itself(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs["weak"]), str(runs["weak"])]) == 2
    assert "is given twice; name another run" in capsys.readouterr().err


def test_what_a_reader_must_know(runs: dict[str, Path], tmp_path: Path) -> None:
    assert "the seeds differ (0, 5)" in comparison_markdown(compare(runs["weak"], runs["other_seed"]))
    comparison = compare(runs["strong"], runs["short"])
    assert (comparison.planned, comparison.pairs) == (10, 10)
    assert any("only the 10 episodes" in note for note in comparison.notes)
    faults = "protocol.faults=['toy-001:step:raise']"
    for name, gain in (("a", 0.9), ("b", 0.5)):
        run_toy(tmp_path / name, faults, f"agent.gain={gain}", "errors.attempts=1")
    errors = compare(tmp_path / "a", tmp_path / "b")
    assert (errors.planned, errors.pairs) == (8, 7)
    assert any(note.startswith("1 of 8 common episodes lack a verdict") for note in errors.notes)
    assert errors.bounds.high - errors.bounds.low == pytest.approx(2 / 8)


def test_repetitions_are_clusters(tmp_path: Path) -> None:
    for name, gain in (("a", 0.9), ("b", 0.4)):
        run_toy(tmp_path / name, "repeats=3", "protocol.max_steps=3", f"agent.gain={gain}")
    success = next(cell for cell in compare(tmp_path / "a", tmp_path / "b").cells if cell.column == "success")
    assert (success.difference.pairs, success.difference.episodes) == (24, 8)


def test_ablation_table(runs: dict[str, Path]) -> None:
    report = build_report([runs["weak"], runs["other_seed"], runs["short"]], baseline=runs["strong"])
    ablation = table(report.tables, "ablation_overall")
    (full, _), *rows = ablation.rows
    assert full == "walker† (gain=0.9, seed 0)"
    assert len(rows) == 2
    expected = compare(runs["weak"], runs["strong"])
    success = next(cell for cell in expected.cells if cell.column == "success").difference
    cell = rows[0][1][0]
    assert (cell.value, cell.interval, cell.count) == (success.difference, success.interval, 24)
    assert cell.p_value is not None
    assert cell.p_value >= success.p_value
    assert any(note.startswith("Not compared") for note in ablation.notes)
    with pytest.raises(StoreError, match=r"no run can be compared with the baseline .*: none has its protocol"):
        build_report([runs["short"]], baseline=runs["strong"])
    with pytest.raises(StoreError, match=r": all runs are seeds of one agent; name one of another agent as well"):
        build_report([runs["weak"]], baseline=runs["other_seed"], seeds_pooled=True)
    with pytest.raises(StoreError, match=r": there is no other; name one of another agent as well"):
        build_report([runs["strong"]], baseline=runs["strong"])


def test_shift_table(runs: dict[str, Path]) -> None:
    report = build_report([runs["far2"], runs["strong"], runs["far1"], runs["weak"]])
    shift = table(report.tables, "shift")
    strong, weak = "walker† (gain=0.9, seed 0)", "walker† (gain=0.6, seed 0)"
    columns = [f"{label}, {kind}" for label in (strong, weak) for kind in ("success", "change")]
    assert list(shift.columns) == columns, "agents are named without the protocol, which differs from row to row"
    assert [name for name, _ in shift.rows] == ["none", "far 1", "far 2"]
    cells = {name: dict(zip(shift.columns, row, strict=True)) for name, row in shift.rows}
    plain, far = solved(runs["strong"]), solved(runs["far2"])
    counts = [int((far & plain).sum()), int((far & ~plain).sum()), int((~far & plain).sum())]
    change = cells["far 2"][f"{strong}, change"]
    assert change.interval == newcombe_paired(*counts, 24 - sum(counts))
    assert change.value == pytest.approx(far.mean() - plain.mean())
    assert change.value == pytest.approx(
        float(cells["far 2"][f"{strong}, success"].value or 0) - float(cells["none"][f"{strong}, success"].value or 0)
    )
    assert cells["none"][f"{weak}, success"].value == pytest.approx(solved(runs["weak"]).mean())
    absent = [cells[name][column] for name in ("far 1", "far 2") for column in columns[2:]]
    assert [cell_text(cell) for cell in [cells["none"][f"{strong}, change"], *absent]] == ["-"] * 5


def test_a_quick_look_takes_no_runs_place_under_a_shift(runs: dict[str, Path], tmp_path: Path) -> None:
    look = tmp_path / "look"
    assert run_toy(look, *WORDS, "agent.gain=0.9", "protocol.shift=far", "protocol.shift_level=1", "limit=2") == 0
    shift = table(build_report([look, runs["strong"], runs["far1"]]).tables, "shift")
    assert dict(shift.rows)["far 1"][0].count == 24
    assert any(note.startswith("Not in the table") and note.endswith("look") for note in shift.notes)


def test_best_is_bold_by_test_and_not_by_digits(runs: dict[str, Path], tmp_path: Path) -> None:
    run_toy(tmp_path / "hopeless", *WORDS, "agent.gain=0.05")
    report = build_report([runs["strong"], runs["weak"], runs["other_seed"], tmp_path / "hopeless"])
    overall = table(report.tables, "overall")
    success = {name: cells[0] for name, cells in overall.rows}
    assert [cell.best for cell in success.values()].count(True) >= 1
    assert success[next(name for name in success if "0.9" in name)].best
    assert not success[next(name for name in success if "0.05" in name)].best
    steps = {name: cells[1] for name, cells in overall.rows}
    assert not steps[next(name for name in steps if "0.05" in name)].best, "fewer steps are better"
    pair = table(build_report([runs["strong"], runs["weak"]]).tables, "overall")
    (_, strong), (_, weak) = pair.rows
    p_value = next(cell for cell in compare(runs["strong"], runs["weak"]).cells if cell.column == "success")
    assert strong[0].best
    assert weak[0].best == (p_value.difference.p_value >= 0.05)


def test_nobody_loses_the_best_mark_by_being_better(tmp_path: Path) -> None:
    """The agent with the higher rate has errors; where both have a verdict, it is the worse one."""
    for name, gain in (("a", 0.9), ("b", 0.5)):
        run_toy(tmp_path / name, "protocol.episodes=40", f"agent.gain={gain}")
    verdicts = [pd.Series([False] * 6 + [True] * 6), pd.Series([True] * 12 + [False] * 28)]
    loaded = load_runs([tmp_path / "a", tmp_path / "b"])
    marked = mark_best([(run, (work_out(RateCell.over(own)),)) for run, own in zip(loaded, verdicts, strict=True)])
    assert [cells[0].value for _, cells in marked] == [0.5, 0.3]
    assert [cells[0].best for _, cells in marked] == [True, True]


def test_privileged_agents_are_not_ranked(tmp_path: Path) -> None:
    for agent in ("walker", "curious"):
        run_toy(tmp_path / agent, *WORDS, "limit=6", agent=agent)
    overall = table(build_report([tmp_path / "walker", tmp_path / "curious"]).tables, "overall")
    assert not any(cell.best for _, cells in overall.rows for cell in cells)


def test_texts_of_differences() -> None:
    cell = CellValue("rate difference", -0.125, newcombe_paired(10, 2, 5, 7), count=24, p_value=0.4531)
    assert cell_text(cell).startswith("-12.5 pp [-3")
    assert cell_text(cell).endswith("(24 pairs, p = 0.453)")
    assert cell_text(CellValue("mean difference", 0.5, count=3, p_value=0.0001)) == "+0.50 (3 pairs, p < 0.001)"
