"""The command line is a contract."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from harness.cli import main
from harness.store import RunReader
from tests.harness.toy_runs import ROOT, TOY, run_toy, spawn_toy

CONFIG_DIR = TOY[:2]
MIXED_METRICS = [{"odd": 1}, {"odd": "text"}, {"odd": {}}, {"odd": [1, "a"]}]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "one"
    assert run_toy(path, "protocol.stages=2") == 0
    return path


def test_run_prints_the_run_directory_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_toy(tmp_path / "here", "limit=1")
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "here")


def test_the_run_directory_is_printed_however_the_run_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for agent, words, code in [
        ("walker", ["agent.mode=raises", "errors.attempts=1", "errors.stop_after=3"], 4),
        ("unbuildable", [], 2),
        ("rude", [], 0),
    ]:
        folder = tmp_path / agent
        assert run_toy(folder, *words, agent=agent) == code
        assert capsys.readouterr().out.splitlines()[-1] == str(folder)


def test_what_can_never_be_built_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept")
    mistaken = ("agent._target_=tests.toys.Misconfigured",)
    assert run_toy(tmp_path / "new" / "run", *mistaken, agent="custom") == 2
    assert run_toy(tmp_path / "mine", *mistaken, agent="custom") == 2
    told = capsys.readouterr()
    assert str(tmp_path / "new") not in told.out
    assert told.err.splitlines()[-1] == "error: agent: eyes=3 are too many"
    assert not (tmp_path / "new" / "run").exists()
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    assert run_toy(tmp_path / "mine", "limit=1") == 0, "the mended command has its folder"


def test_places_that_cannot_be_written_are_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run_toy(tmp_path / "file") == 2
    assert run_toy(tmp_path / "file" / "below") == 2
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.sqlite").write_text("this is no database at all, and long enough to be looked at" * 9)
    assert run_toy(tmp_path / "damaged") == 2
    assert "is damaged" in capsys.readouterr().err
    run_toy(tmp_path / "sweep" / "toy-toy-walker-s1", "seed=1", "limit=1")
    assert main(["run", "-m", *TOY, "agent=walker", "seed=0,1,2", f"run_dir={tmp_path / 'sweep'}"]) == 2
    assert not (tmp_path / "sweep" / "toy-toy-walker-s0").exists()


def test_without_a_run_dir_a_new_folder_below_runs_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["run", "-m", *TOY, "agent=walker,batch_walker", "seed=0,1", "limit=1"])
    folders = capsys.readouterr().out.splitlines()
    assert len(set(folders)) == 4
    assert re.fullmatch(r"runs/\d{8}-\d{6}-toy-walker-s0", folders[0])
    main(["list", "runs"])
    listed = capsys.readouterr().out
    assert all(folder in listed for folder in folders)
    assert "completed" in listed


def test_python_m_harness_and_the_script_are_the_same() -> None:
    script = subprocess.run([Path(sys.executable).with_name("harness"), "--help"], capture_output=True, check=True)
    module = subprocess.run([sys.executable, "-m", "harness", "--help"], capture_output=True, check=True, cwd=ROOT)
    assert script.stdout == module.stdout


@pytest.mark.parametrize(
    "verb",
    [
        "run",
        "plan",
        "resume",
        "report",
        "list",
        "replay",
        "watch",
        "doctor",
        "export",
        "replay-golden",
        "assets",
        "collect",
    ],
)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: harness {verb}" in text
    assert max(map(len, text.splitlines())) < 120


def test_plan_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        *TOY,
        "agent=walker",
        f"run_dir={tmp_path / 'x'}",
        "limit=3",
        "repeats=2",
        "protocol.faults=['*:start:exit']",
    ]
    assert main(["plan", *words]) == 0
    out = capsys.readouterr().out
    assert re.search(r"# episodes +6\n", out)
    assert "standard   no: protocol.faults: [] -> ['*:start:exit']; limit: the first 3 of 8 episodes" in out
    assert not (tmp_path / "x").exists()


def test_plan_estimates_from_earlier_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plan", *TOY, "agent=walker"]) == 0
    assert "none yet: no earlier run" in capsys.readouterr().out
    main(["run", *TOY, "agent=walker", "limit=2"])
    assert main(["plan", *TOY, "agent=walker"]) == 0
    assert re.search(r"about \d+ s and [\d.]+ MiB, from 2 episodes of runs/", capsys.readouterr().out)


def test_replay_asserts_the_same_outcome(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = tmp_path / "replay.mp4"
    assert main(["replay", str(run_dir), "toy-003", "--video", str(video)]) == 0
    assert "identical to the recorded episode" in capsys.readouterr().out
    assert video.stat().st_size > 500
    assert main(["replay", str(run_dir), "toy-099"]) == 2
    assert "episode 'toy-099' is not in this run; it has 8 episodes: toy-000" in capsys.readouterr().err
    for name in ("toy-003#x", "toy-003#-1", "toy-003#²", "toy-003#1.5"):
        assert main(["replay", str(run_dir), name]) == 2
        message = f"episode {name!r}: what follows # is the number of a repetition, for example toy-003#1"
        assert message in capsys.readouterr().err


def test_replay_notices_a_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import zlib

    run_toy(tmp_path, "limit=1")
    with RunReader(tmp_path) as reader:
        key = reader.plan()[0].key
        actions = reader.actions(key).copy()
    actions[0, 0] += 1e-12
    db = sqlite3.connect(tmp_path / "run.sqlite")
    db.execute("UPDATE attempts SET actions = ?", (zlib.compress(actions.tobytes()),))
    db.commit()
    db.close()
    assert main(["replay", str(tmp_path), "toy-000"]) == 1
    assert "DIFFERS final state" in capsys.readouterr().out


def test_watch_reads_the_log(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(run_dir), "--once"]) == 0
    out = capsys.readouterr().out
    assert "8/8" in out
    assert "completed" in out


def test_a_run_whose_writer_was_killed_is_told_from_one_that_goes_on(run_dir: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run_dir, tmp_path / "copy"))
    with closing(sqlite3.connect(copy / "run.sqlite")) as db:
        db.execute("UPDATE sessions SET ending = NULL")
        db.commit()
    with RunReader(copy) as reader:
        assert reader.state() == "killed"
        with (copy / "run.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert reader.state() == "running"
        assert reader.state() == "killed"


@pytest.mark.parametrize("kind", ["benchmarks", "agents", "protocols", "ablations"])
def test_list(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", kind, *CONFIG_DIR]) == 0
    out = capsys.readouterr().out
    shown = {
        "benchmarks": "Points on lines.",
        "agents": "Pushes forward",
        "protocols": "toy@1",
        "ablations": "w/o SIGReg",
    }
    assert shown[kind] in out
    assert "not usable" not in out


def test_export_of_metrics_without_a_common_type(run_dir: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run_dir, tmp_path / "copy"))
    with closing(sqlite3.connect(copy / "run.sqlite")) as db:
        for key, metrics in zip(
            [row[0] for row in db.execute("SELECT DISTINCT key FROM stages")], MIXED_METRICS, strict=False
        ):
            db.execute("UPDATE stages SET metrics = ? WHERE key = ?", (json.dumps(metrics), key))
        db.commit()
    assert main(["export", str(copy), "-o", str(tmp_path / "out")]) == 0
    values = pd.read_parquet(tmp_path / "out" / "episodes.parquet")["odd"].dropna()
    assert sorted(values) == sorted(json.dumps(metrics["odd"]) for metrics in MIXED_METRICS)


def test_export_as_json_lines_keeps_every_bit_of_a_number(run_dir: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run_dir, tmp_path / "copy"))
    numbers = [0.1 + 0.2, 1 / 3, 1.2345678901234567e-9, 1e-300, 1753000000.1234567, 1e22, 0.0, -2.5e-12]
    with closing(sqlite3.connect(copy / "run.sqlite")) as db:
        keys = [row[0] for row in db.execute("SELECT key FROM episodes ORDER BY ordinal")]
        for key, number in zip(keys, numbers, strict=True):
            db.execute("UPDATE attempts SET wall_env = ? WHERE key = ?", (number, key))
            db.execute("UPDATE stages SET metrics = ? WHERE key = ?", (json.dumps({"odd": [number]}), key))
        db.commit()
    assert main(["export", str(copy), "--format", "jsonl", "-o", str(tmp_path / "out")]) == 0
    rows = {
        name: {
            row["key"]: row for row in map(json.loads, (tmp_path / "out" / f"{name}.jsonl").read_text().splitlines())
        }
        for name in ("attempts", "episodes")
    }
    assert [rows["attempts"][key]["wall_env"] for key in keys] == numbers
    assert [rows["episodes"][key]["odd"] for key in keys] == [[number] for number in numbers]
    assert rows["attempts"][keys[0]]["error_message"] is None


def test_export_holds_what_the_store_holds(run_dir: Path, tmp_path: Path) -> None:
    assert main(["export", str(run_dir), "-o", str(tmp_path / "p")]) == 0
    assert main(["export", str(run_dir), "--format", "jsonl", "-o", str(tmp_path / "j")]) == 0
    with RunReader(run_dir) as reader:
        for name, table in {
            "attempts": reader.attempts(),
            "stages": reader.stages(),
            "events": reader.events(),
        }.items():
            pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "p" / f"{name}.parquet"), table)
            lines = (tmp_path / "j" / f"{name}.jsonl").read_text().splitlines()
            assert [set(json.loads(line)) for line in lines] == [set(table.columns)] * len(table)
        assert len(pd.read_parquet(tmp_path / "p" / "episodes.parquet")) == 8
        assert json.loads((tmp_path / "p" / "run.json").read_text())["run_key"] == reader.identity.run_key


def test_provenance_is_kept(run_dir: Path) -> None:
    with RunReader(run_dir) as reader:
        (session,) = reader.sessions()
    provenance = session["provenance"]
    assert provenance["packages"]["pybullet"] == "3.2.7"
    assert len(provenance["git"]["commit"]) == 40
    assert {"python", "cpu", "cores", "memory_gib", "gpus", "executor", "command", "harness"} <= provenance.keys()


def test_the_command_is_kept_as_it_would_be_given_again(tmp_path: Path) -> None:
    process = spawn_toy(tmp_path, "limit=1")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, f"{tmp_path}\n"), err
    with RunReader(tmp_path) as reader:
        command = reader.sessions()[0]["provenance"]["command"]
    assert command == ["harness", "run", *TOY, "agent=walker", f"run_dir={tmp_path}", "limit=1"]


def test_doctor_finds_this_machine_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "FAIL" not in out
    for name in ("python", "disk", "ray", "pybullet", "gpu"):
        assert name in out


def test_no_run_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["report"], ["resume"], ["watch", "--once"], ["export"]):
        assert main([*words, str(tmp_path)]) == 2
        assert "holds no run" in capsys.readouterr().err


def test_an_agent_of_the_users_own_runs_from_a_file_in_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "my_module.py").write_text(
        "import numpy as np\n"
        "from harness.interfaces import SingleLaneAgent\n\n\n"
        "class MyAgent(SingleLaneAgent):\n"
        "    def __init__(self, push: float = 0.5):\n"
        "        super().__init__()\n"
        "        self.push = push\n\n"
        "    def begin(self, view, observation):\n"
        "        return None\n\n"
        "    def decide(self, memory, view, observation, rng):\n"
        "        return np.full(view.action_space.shape, self.push)\n"
    )
    words = ["agent=custom", "agent._target_=my_module.MyAgent", "agent.push=0.9", "executor=ray", "run_dir=mine"]
    answer = subprocess.run(
        [Path(sys.executable).with_name("harness"), "run", *TOY, *words],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == ["mine"]


def test_folders_named_like_the_projects_own_are_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "results.py").write_text("")
    harness = Path(sys.executable).with_name("harness")
    answer = subprocess.run([harness, "list", "benchmarks"], check=False, cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "thinkbench" in answer.stdout


HEAVY = {"matplotlib", "pybullet", "ray", "scipy.stats", "statsmodels", "torch"}
WORLDS_AND_MODELS = {"scipy.stats", "pybullet", "torch"}
"""What agents and benchmarks may need; naming them is to import their classes."""


@pytest.mark.parametrize(
    "allowed",
    [
        {"--help": set(), "list protocols": set(), "list runs": {"scipy.stats"}},
        dict.fromkeys(("list agents", "list benchmarks"), WORLDS_AND_MODELS),
    ],
)
def test_verbs_start_without_heavy_packages_that_they_do_not_need(allowed: dict[str, set[str]]) -> None:
    """One after the other in one process, as most of the time goes into its start."""
    script = (
        "import contextlib, sys\n"
        "from harness.cli import main\n"
        "for verb in sys.argv[1:]:\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        main(verb.split())\n"
        "    print('modules:', *sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *allowed], cwd=ROOT, capture_output=True, text=True, check=True
    )
    parts = re.split(r"^modules: (.*)\n", done.stdout, flags=re.MULTILINE)
    shown, loaded = parts[:-1:2], parts[1::2]
    assert len(shown) == len(allowed)
    for (verb, packages), text, modules in zip(allowed.items(), shown, loaded, strict=True):
        assert text, verb
        assert not (HEAVY - packages) & set(modules.split()), verb
