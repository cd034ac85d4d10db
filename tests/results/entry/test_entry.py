"""An entry holds what the run holds, reads like it, and is verified by deriving everything again."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from harness.cli import main
from harness.store import RunReader, StoreError
from results.entry import EntryError, export_entry, open_entry
from results.entry.format import MEMBERS, without_folder
from results.entry.verify import verify_entry
from tests.harness.toy_runs import TOY, run_toy
from tests.results.entry.forgery import CONFIGS


def test_an_entry_reads_like_its_run(toy_run: Path, entry: Path) -> None:
    with RunReader(toy_run) as run, open_entry(entry, CONFIGS) as read:
        assert read.run_dir == entry
        assert read.identity == run.identity
        pd.testing.assert_frame_equal(read.frame(), run.frame())
        pd.testing.assert_frame_equal(read.events(), run.events())
        pd.testing.assert_frame_equal(read.stages(), run.stages())
        assert read.outcome_counts() == run.outcome_counts()
        assert read.sessions() == run.sessions()
        assert (read.decisions() == run.decisions()).all()
        for planned in run.plan():
            assert (read.actions(planned.key) == run.actions(planned.key)).all()


def test_the_same_run_gives_the_same_bytes(toy_run: Path, tmp_path: Path) -> None:
    one, other = (export_entry(toy_run, tmp_path / name)[0].read_bytes() for name in ("a.zip", "b.zip"))
    assert one == other
    assert zipfile.ZipFile(tmp_path / "a.zip").namelist() == list(MEMBERS)


def test_where_the_run_lay_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["harness", "run", "seed=3", f"run_dir={tmp_path / 'mine'}"])
    assert run_toy(tmp_path / "mine", "seed=3") == 0
    (entry,) = export_entry(tmp_path / "mine", tmp_path / "entry.zip")
    with zipfile.ZipFile(entry) as archive:
        assert not [name for name in archive.namelist() if str(tmp_path).encode() in archive.read(name)]
    with open_entry(entry, CONFIGS) as read:
        assert [session["provenance"]["command"] for session in read.sessions()] == [["harness", "run", "seed=3"]]
    assert verify_entry(entry, config_dir=CONFIGS, replays=1).replayed
    resumed = ["harness", "resume", str(tmp_path), "video=all"]
    assert without_folder(resumed) == ["harness", "resume", "RUN", "video=all"]


def test_verify_says_what_it_is(entry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["verify", str(entry), "--config-dir", str(CONFIGS)]
    assert main([*words, "--replay", "-1"]) == 2
    assert "--replay -1: give the number of episodes" in capsys.readouterr().err
    assert main([*words, "--replay", "3", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["outcomes"]["planned"] == 8
    assert found["outcomes"]["success"] + found["outcomes"]["failure"] == 8
    assert 0 < found["outcomes"]["success"] < 8
    assert found["deviations"] == ["protocol.max_steps: 6 -> 4"]
    assert len(set(found["replayed"])) == 3
    assert found["cells"] == 4
    assert main(words) == 0
    text = capsys.readouterr().out
    assert f"verified {entry}" in text
    assert "non-standard: protocol.max_steps: 6 -> 4" in text
    assert main([*words, "--standard"]) == 1
    assert "REFUSED the entry is non-standard" in capsys.readouterr().out


def test_which_episodes_are_replayed_is_the_verifiers_choice(entry: Path) -> None:
    drawn = {verify_entry(entry, config_dir=CONFIGS, replays=2, draw=draw).replayed for draw in range(4)}
    assert len(drawn) > 1
    assert verify_entry(entry, config_dir=CONFIGS, replays=2, draw=1).replayed in drawn


def test_errors_repetitions_and_chains_survive(tmp_path: Path) -> None:
    run = tmp_path / "run"
    faults = "protocol.faults=['toy-002:step:raise']"
    assert run_toy(run, faults, "protocol.stages=2", "repeats=2", "errors.attempts=2", "limit=5") == 4
    path = export_entry(run, tmp_path / "entry.zip")[0]
    found = verify_entry(path, config_dir=CONFIGS, replays=8)
    assert found.outcomes["error"] == 2
    assert len(set(found.replayed)) == 8
    assert "toy-004#1" in found.replayed
    assert found.outcomes["planned"] == 10
    assert "limit: the first 5 of 8 episodes" in found.deviations
    with open_entry(path, CONFIGS) as reader:
        assert len(reader.attempts()) == 12, "both attempts at the episode that fails, of each repetition"
        assert reader.attempts()["traceback"].isna().all(), "source lines of the submitter's machine stay there"


def test_stores_of_the_first_schema_version_can_be_handed_in(toy_run: Path, tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    old = tmp_path / "old"
    old.mkdir()
    with closing(sqlite3.connect(toy_run / "run.sqlite")) as new, closing(sqlite3.connect(old / "run.sqlite")) as db:
        new.backup(db)
        db.execute("ALTER TABLE episodes DROP COLUMN facts")
        db.execute("ALTER TABLE attempts DROP COLUMN peak_memory")
        db.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")
        db.commit()
    path = export_entry(old, tmp_path / "entry.zip")[0]
    assert verify_entry(path, config_dir=CONFIGS).outcomes["planned"] == 8


def test_what_is_unfinished_or_no_evaluation_is_not_exported(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    run = tmp_path / "run"
    run_toy(run)
    with closing(sqlite3.connect(run / "run.sqlite")) as db:
        for table in ("events", "stages", "attempts"):
            db.execute(f"DELETE FROM {table} WHERE key = (SELECT key FROM episodes WHERE ordinal = 3)")
        db.commit()
    with pytest.raises(EntryError, match="lacks 1 episodes"):
        export_entry(run, tmp_path / "entry.zip")
    assert not (tmp_path / "entry.zip").exists()
    assert main(["collect", *TOY, "agent=walker", "limit=2", f"run_dir={tmp_path / 'collected'}"]) == 0
    with pytest.raises(EntryError, match="collection of training data"):
        export_entry(tmp_path / "collected", None)


def test_what_agents_say_is_made_printable(tmp_path: Path) -> None:
    from harness.store import RunWriter

    run = tmp_path / "run"
    run_toy(run)
    with RunReader(run) as reader:
        key = reader.plan()[0].key
    with RunWriter.reopen(run) as writer, writer._transaction() as db:
        row = (key, 0, 99, 0, 0, "plan", json.dumps({"trace": "a\x1b[2Jb", "x\x00": 1}))
        db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    with open_entry(export_entry(run, None)[0], CONFIGS) as reader:
        events = reader.events(kind="plan")
    assert json.loads(events["data"].iloc[0]) == {"trace": "a\ufffd[2Jb", "x\ufffd": 1}


def test_other_content_is_noted_and_cannot_be_replayed(entry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_FINGERPRINT", "2")
    found = verify_entry(entry, config_dir=CONFIGS)
    assert "toy: 1 -> 2" in found.notes[0]
    with pytest.raises(StoreError, match="cannot be replayed here"):
        verify_entry(entry, config_dir=CONFIGS, replays=1)


def test_protocols_are_found_by_the_name_that_they_give_themselves(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_toy(run, "limit=2", "protocol=toy_far") == 0
    found = verify_entry(export_entry(run, tmp_path / "entry.zip")[0], config_dir=CONFIGS)
    assert (found.protocol, found.deviations) == ("toy+far/1@1", ("limit: the first 2 of 8 episodes",))


def test_benchmarks_that_are_not_here_are_named(entry: Path) -> None:
    with pytest.raises(EntryError, match=r"there is no such benchmark.*--config-dir"):
        open_entry(entry)


def test_the_format_of_the_output_follows_its_name(toy_run: Path, tmp_path: Path) -> None:
    assert main(["export", str(toy_run), "-o", str(tmp_path / "tables")]) == 0
    assert (tmp_path / "tables" / "episodes.parquet").is_file()
    assert main(["export", str(toy_run), "--format", "zip", "-o", str(tmp_path / "odd.name")]) == 0
    assert zipfile.is_zipfile(tmp_path / "odd.name")
