"""Reports: right numbers, one denominator, errors beside them, nothing mixed that must not be."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
from pathlib import Path

import pytest

from harness.cli import main
from harness.interfaces import MeanCell, RateCell
from harness.statistics import wilson
from results.cells import CellValue, cell_text, work_out
from results.compute import pareto_efficient
from results.published import published_tables
from results.render import as_csv, markdown
from results.report import COMPUTE_COLUMNS, Report, build_report
from tests.harness.toy_runs import ROOT, run_toy


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    fault = "protocol.faults=['toy-002:step:raise']"
    assert run_toy(folder / "plain") == 0
    assert run_toy(folder / "other", agent="batch_walker") == 0
    assert run_toy(folder / "errors", fault, "errors.attempts=2") == 4
    return {path.name: path for path in folder.iterdir()}


def test_cells() -> None:
    rate = work_out(RateCell(57, 60, errors=2))
    assert (rate.value, rate.interval) == (0.95, wilson(57, 60))
    assert cell_text(rate) == "95.0% [86.3, 98.3] (57/60, 2 errors)"
    assert cell_text(work_out(RateCell(0, 0, errors=3))) == "- (3 errors)"
    assert cell_text(work_out(MeanCell((1.0, 2.0, 3.0, 2.0, 2.0)))).startswith("2.00 [1.")
    assert cell_text(work_out(MeanCell((1.0,) * 60))) == "1.00 (60)"
    assert cell_text(work_out(MeanCell((1.0, 2.0), ("a", "a")))) == "1.50 (2)"
    assert cell_text(work_out(MeanCell(()))) == "-"
    assert cell_text(CellValue("text", "n/a")) == "n/a"


def test_markdown_says_what_was_measured(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(runs["errors"])]) == 0
    text = capsys.readouterr().out
    assert "100.0% [64.6, 100.0] (7/7, 1 errors)" in text
    assert "87.5% to 100.0%" in text, "the bounds count the error as a failure and as a success"
    assert "had errors in: step 1" in text
    assert "is non-standard: protocol.faults: [] -> ['toy-002:step:raise']" in text
    assert "walker† (seed 0)" in text


def test_all_cells_of_a_row_share_one_denominator(runs: dict[str, Path]) -> None:
    report = build_report([runs["errors"]])
    ((_, cells),) = next(table for table in report.tables if table.key == "overall").rows
    assert [cell.count for cell in cells] == [7, 7]
    assert report.runs[0].retried == 1


def test_agents_share_a_table_only_under_the_same_protocol(runs: dict[str, Path]) -> None:
    report = build_report([runs["plain"], runs["other"], runs["errors"]])
    overall = [[name for name, _ in table.rows] for table in report.tables if table.key == "overall"]
    assert overall == [["walker (seed 0)", "batch_walker (seed 0)"], ["walker† (seed 0)"]]


def test_rows_that_differ_have_names_that_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, words in {"a": [], "b": ["agent.gain=0.9"], "c": ["agent.gain=0.9"], "d": ["limit=2"]}.items():
        run_toy(tmp_path / name, *words)
    report = build_report([tmp_path / name for name in "abcd"])
    assert [run.label for run in report.runs] == [
        "walker (gain=0.5, seed 0)",
        "walker (gain=0.9, seed 0) b",
        "walker (gain=0.9, seed 0) c",
        "walker† (gain=0.5, seed 0)",
    ]
    rows = [len(table.rows) for table in report.tables if table.key == "overall"]
    assert rows == [3, 1], "a prefix does not stand beside the whole protocol"
    assert main(["report", str(tmp_path / "a"), str(tmp_path / "a")]) == 2
    assert "is given twice" in capsys.readouterr().err


def test_plots_with_the_same_title_all_stand_on_the_page(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_toy(tmp_path / "longer", "protocol.max_steps=9") == 0
    capsys.readouterr()
    words = ["--format", "html", "--plots", str(tmp_path / "plots")]
    assert main(["report", str(runs["plain"]), str(tmp_path / "longer"), *words]) == 0
    page = capsys.readouterr().out
    assert page.count("<figcaption>toy@1: Compute</figcaption>") == 2
    images = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert sorted(map(base64.b64decode, images)) == sorted(p.read_bytes() for p in (tmp_path / "plots").iterdir())
    assert len(set(images)) == 2


def test_entries_of_one_name_have_names_that_differ(runs: dict[str, Path], tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        assert main(["export", str(runs["plain"]), "--format", "zip", "-o", str(tmp_path / folder / "entry.zip")]) == 0
    entries = [tmp_path / folder / "entry.zip" for folder in ("one", "two")]
    labels = [run.label for run in build_report(entries, config_dir=ROOT / "tests/configs").runs]
    assert labels == ["walker (seed 0) #1", "walker (seed 0) #2"]


def test_repetitions_tell_less_than_episodes() -> None:
    assert work_out(RateCell(0, 80, distinct=8)).interval == wilson(0, 8)
    assert work_out(RateCell(0, 80)).interval == wilson(0, 80)


def test_compute_per_decision(runs: dict[str, Path]) -> None:
    (table,) = [table for table in build_report([runs["plain"], runs["other"]]).tables if table.key == "compute"]
    walker, batch = (dict(zip(COMPUTE_COLUMNS, (cell.value for cell in cells), strict=True)) for _, cells in table.rows)
    assert walker["decisions"] == 33
    seconds = [walker[name] for name in ("agent s", "p50", "p95", "p99", "env s", "render s")]
    assert all(isinstance(value, float) and value >= 0 for value in seconds)
    assert seconds[1:4] == sorted(seconds[1:4])
    assert (walker["model calls"], walker["calls p50"], walker["calls p99"]) == (1.0, 1.0, 1.0)
    assert str(walker["reported by the agent"]).startswith("model_calls 1, step ")
    assert batch["model calls"] is None
    assert 0.01 < walker["peak memory GiB"] < 64
    assert "yes" in (walker["efficient"], batch["efficient"])


def test_json_and_csv_hold_the_same_numbers(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(runs["plain"]), str(runs["errors"])]
    assert main(["report", *words, "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert main(["report", *words, "--format", "csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    from_json = [
        (table["key"], row["name"], column, cell["value"], cell.get("low"))
        for table in data["tables"]
        for row in table["rows"]
        for column, cell in row["cells"].items()
        if cell["kind"] != "text"
    ]
    from_csv = [
        (
            *(line["table"], line["row"], line["column"]),
            *(float(line[key]) if line[key] else None for key in ("value", "low")),
        )
        for line in lines
        if line["kind"] not in ("text", "note")
    ]
    assert from_csv == from_json
    assert data["runs"][1]["bounds"] == [0.875, 1.0]
    assert not any(isinstance(value, float) and math.isnan(value) for *_, value, _ in from_json)


def test_published_numbers_are_marked_and_stand_apart() -> None:
    tables = published_tables(["thinkbench", "calvin", "toy", "calvin"])
    assert list(dict.fromkeys(table.benchmark for table in tables)) == ["thinkbench", "calvin"]
    report = Report((), (), tables)
    text = markdown(report)
    assert "Published numbers, reported, not independently verified: CALVIN ABC->D" in text
    assert "| *ThinkJEPA*" in text
    assert "*91.4%*" in text
    assert {row["kind"] for row in csv.DictReader(io.StringIO(as_csv(report)))} == {"published"}


def test_an_unfinished_run_shows_what_is_missing(tmp_path: Path) -> None:
    import sqlite3

    run_toy(tmp_path, "limit=4")
    db = sqlite3.connect(tmp_path / "run.sqlite")
    for table in ("events", "stages", "attempts"):
        db.execute(f"DELETE FROM {table} WHERE key = (SELECT key FROM episodes WHERE ordinal = 3)")
    db.commit()
    db.close()
    (summary,) = build_report([tmp_path]).runs
    assert (summary.planned, summary.valid, summary.missing) == (4, 3, 1)
    assert summary.bounds == (0.75, 1.0)
    assert "‡" in summary.label


def test_efficient_is_what_no_other_point_beats() -> None:
    costs, successes = [1.0, 2.0, 3.0, 3.0, 0.5], [0.5, 0.5, 0.9, 0.8, 0.5]
    assert pareto_efficient(costs, successes) == [False, False, True, False, True]
    assert pareto_efficient([1.0, 1.0], [0.5, 0.5]) == [True, True]


def test_an_entry_reports_what_its_run_reports(runs: dict[str, Path], tmp_path: Path) -> None:
    assert main(["export", str(runs["plain"]), "--format", "zip", "-o", str(tmp_path / "entry.zip")]) == 0
    run, entry = (
        build_report([runs["plain"]]),
        build_report([tmp_path / "entry.zip"], config_dir=ROOT / "tests/configs"),
    )
    assert entry.tables == run.tables


def test_verb_writes_every_format_and_plots(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", str(runs["plain"]), "--baseline", str(runs["other"]), "--plots", str(tmp_path / "plots")]
    assert main([*words, "--plot-format", "pdf", "--format", "html"]) == 0
    page = capsys.readouterr().out
    plots = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert [name.split("-", 1)[1] for name in plots] == ["ablation_overall.pdf", "compute.pdf"]
    assert page.count("data:image/svg+xml;base64,") == len(plots)
    assert main([*words, "--format", "latex"]) == 0
    assert capsys.readouterr().out.startswith("\\documentclass")
