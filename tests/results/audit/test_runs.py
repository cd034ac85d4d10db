"""The audit of runs: silent about what the harness recorded, loud about what was changed in a store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from shutil import copytree

import pandas as pd
import pytest

from harness.cli import main
from harness.interfaces import MeanCell, RateCell, Table
from results.audit.commands import audit_subject
from results.audit.runs import audit_measured
from results.entry import export_entry
from tests.harness.toy_runs import ROOT, TOY, run_toy


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audit") / "run"
    faults = "protocol.faults=['toy-002:step:raise']"
    assert run_toy(path, faults, "protocol.stages=2", "errors.attempts=2", "protocol.max_steps=5") == 4
    return path


def test_nothing_is_found_in_our_own_runs(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_subject(run) == []
    entry = export_entry(run, tmp_path / "entry.zip")[0]
    words = ["audit", str(run), str(entry), "--config-dir", str(ROOT / "tests" / "configs")]
    assert main(words) == 0
    assert capsys.readouterr().out == "nothing was found\n"


@pytest.mark.parametrize("words", [[], ["size=4", "record=[rgb]", "images=jpeg"]])
def test_nothing_is_found_in_our_own_collections(words: list[str], tmp_path: Path) -> None:
    assert main(["collect", *TOY, "agent=walker", "limit=2", f"run_dir={tmp_path}", *words]) == 0
    assert audit_subject(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            "UPDATE attempts SET outcome = 'success' WHERE outcome = 'failure'",
            "a success without the success of all stages",
        ),
        ("UPDATE attempts SET steps = steps + 1", "steps, its stages have"),
        ("UPDATE stages SET progress = 0.5 WHERE success = 1", "a success with progress 0.5"),
        ("UPDATE episodes SET key = 'x' WHERE ordinal = 0", "which is not planned|its key does not follow"),
        ("UPDATE meta SET value = '\"0\"' WHERE key = 'run_key'", "run_key is 0, the identity gives"),
        ("DELETE FROM stages", "a failure that is not the failure of its last stage|its stages have"),
    ],
)
def test_changed_stores(change: str, reason: str, run: Path, tmp_path: Path) -> None:
    copytree(run, tmp_path / "run")
    with closing(sqlite3.connect(tmp_path / "run" / "run.sqlite")) as db:
        db.execute(change)
        db.commit()
    findings = audit_subject(tmp_path / "run")
    assert {finding.level for finding in findings} == {"inconsistent"}
    assert any(part in finding.text for finding in findings for part in reason.split("|"))
    assert main(["audit", str(tmp_path / "run")]) == 1


def test_an_unfinished_run_is_noted(run: Path, tmp_path: Path) -> None:
    copytree(run, tmp_path / "run")
    with closing(sqlite3.connect(tmp_path / "run" / "run.sqlite")) as db:
        for table in ("events", "stages", "attempts"):
            db.execute(f"DELETE FROM {table} WHERE key = (SELECT key FROM episodes WHERE ordinal = 5)")
        db.commit()
    (finding,) = audit_subject(tmp_path / "run")
    assert (finding.level, finding.text) == ("note", "1 episodes have no result yet")


def chain_table(lengths: list[int]) -> Table:
    survival = [RateCell(sum(length >= k for length in lengths), len(lengths)) for k in (1, 2, 3)]
    mean = MeanCell(tuple(float(length) for length in lengths))
    return Table("chain", "chains", ("1", "2", "3", "average length"), (("all", (*survival, mean)),))


def wrong_mean(table: Table) -> Table:
    row, cells = table.rows[0]
    return Table("chain", "chains", table.columns, ((row, (*cells[:-1], MeanCell((1.0, 3.0)))),))


def rising(table: Table) -> Table:
    row, cells = table.rows[0]
    return Table("chain", "chains", table.columns, ((row, (cells[2], cells[1], cells[0], cells[3])),))


def impossible(table: Table) -> Table:
    row, cells = table.rows[0]
    return Table("chain", "chains", table.columns, ((row, (RateCell(9, 8), *cells[1:])),))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (wrong_mean, "average length is printed as 2.00; the sum of its columns is 1.2"),
        (rising, "it cannot rise"),
        (impossible, "9 successes of 8"),
    ],
)
def test_tables_that_do_not_add_up(change: Callable[[Table], Table], reason: str) -> None:
    table = chain_table([0, 0, 1, 1, 1, 2, 2, 3])
    assert audit_measured(table, "here") == []
    assert any(reason in finding.text for finding in audit_measured(change(table), "here"))


def test_pooled_averages() -> None:
    def table(pooled: RateCell) -> Table:
        cells = (RateCell(1, 3), RateCell(10, 11), pooled)
        return Table("t", "t", ("a", "b", "average"), (("row", cells),))

    assert audit_measured(table(RateCell(11, 14)), "here") == []
    (finding,) = audit_measured(table(RateCell(9, 14)), "here")
    assert "average is printed as 64.3%; the mean of its columns is 78.5" in finding.text


def test_verdicts_of_frames_are_no_burden() -> None:
    frame = pd.DataFrame({"outcome": ["success", "failure", "error"], "success": [True, False, False]})
    frame["episode_id"] = ["a", "b", "c"]
    assert audit_measured(Table("t", "t", ("success",), (("r", (RateCell.of(frame),)),)), "here") == []
