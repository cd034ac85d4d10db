"""The command that a run's drawer shows makes that run, and no other one."""

from __future__ import annotations

import json
import shlex
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main, parser
from harness.config import compose_runs
from harness.store import RunReader
from results.leaderboard.provenance import provenance
from tests.harness.toy_runs import ROOT

ROWS = {
    "whole": ["agent=walker"],
    "weak": ["agent=walker", "agent.gain=0.25"],
    "weak_twice": ["agent=walker", "agent.gain=0.25", "agent.mode='so, so'"],
    "loud": ["agent=walker", "agent.mode=noise"],
    "batch": ["agent=batch_walker"],
}


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of the tests with an ablation's rows."""
    folder = Path(shutil.copytree(ROOT / "tests" / "configs", tmp_path_factory.mktemp("configs") / "own"))
    (folder / "ablation").mkdir()
    for name, run in ROWS.items():
        (folder / "ablation" / f"{name}.yaml").write_text(f"row: {name}\nrun: {json.dumps(run)}\ntrain: []\n")
    return folder


def shown(run_dir: Path, config_dir: Path | None) -> list[str]:
    with RunReader(run_dir) as reader:
        lines = dict(provenance(reader, "", config_dir))["Reproduce"].splitlines()
    assert lines[0].startswith("git checkout ")
    return lines[1:]


def configured(command: str) -> dict[str, Any]:
    """Of the one run that a command makes."""
    program, *words = shlex.split(command)
    assert program == "harness"
    arguments = parser().parse_args(words)
    (composed,) = compose_runs(arguments.overrides, multirun=arguments.multirun, config_dir=arguments.config_dir)
    return asdict(composed.config) | {"run_dir": None}


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["agent=walker,batch_walker", "seed=0,1"], 4),
        (["agent=walker", "agent.gain=0.25,1", "limit=null,1", "seed=range(1,2)"], 4),
        (["agent=walker", "video=none,first:1", "executor.lanes=2"], 2),
        (["agent=walker", "protocol=toy,toy_far@1"], 2),
        (["agent=walker", "agent.mode='it\\'s (odd), yes',noise,'true','',\"1\""], 5),
        (["agent=walker", "protocol.faults=[],['toy-009:step:raise','toy-010:step:exit']", "repeats=2"], 2),
        (["agent=walker", "agent.mode='a,b'"], 1),
        (["ablation=whole,weak,weak_twice,batch"], 4),
        (["ablation=whole,weak", "limit=1,2"], 4),
        (["ablation=weak,loud", "agent.gain=0.25", "agent.mode=noise"], None),
    ],
)
def test_the_command_of_one_run_of_a_sweep(
    words: list[str], count: int | None, configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ["--config-dir", str(configs), "benchmark=toy", "protocol.episodes=2"]
    command = ["/somewhere/bin/harness", "run", "--multirun", *common, f"run_dir={tmp_path}", *words]
    monkeypatch.setattr(sys, "argv", command)
    assert main(command[1:]) == 0
    runs = [path.parent for path in tmp_path.rglob("run.sqlite")]
    commands = set()
    for run_dir in runs:
        *notes, line = shown(run_dir, configs)
        if count is None:
            assert notes == ["# one of the runs of this sweep:"], "the rows made equal runs"
            assert line == shlex.join(["harness", "run", "--multirun", *common, *words])
            continue
        assert notes == []
        with RunReader(run_dir) as reader:
            assert configured(line) == reader.meta("config") | {"run_dir": None}
        commands.add(line)
    assert count is None or len(commands) == len(runs) == count


def test_a_sweep_over_what_is_not_here_is_shown_as_it_was(
    configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["run", "-m", "--config-dir", str(configs), "benchmark=toy", "ablation=whole,weak", "limit=1"]
    monkeypatch.setattr(sys, "argv", ["harness", *words, f"run_dir={tmp_path}"])
    assert main(sys.argv[1:]) == 0
    for path in tmp_path.rglob("run.sqlite"):
        assert shown(path.parent, None) == ["# one of the runs of this sweep:", shlex.join(["harness", *words])]


@pytest.mark.parametrize(
    ("recorded", "command"),
    [
        (["__main__.py", "run", "agent=walker", "run_dir=here"], "harness run agent=walker"),
        (["harness", "run", "agent.mode='a,b'"], shlex.join(["harness", "run", "agent.mode='a,b'"])),
        (["harness", "run", "-m", "seed=(", "x"], "harness run -m 'seed=(' x"),
        (
            ["harness", "run", "-m", "ablation=range(0,1000000000000)"],
            "harness run -m 'ablation=range(0,1000000000000)'",
        ),
        (["harness", "run", "-m", "ablation=interval(0,1)"], "harness run -m 'ablation=interval(0,1)'"),
        (["harness", "run", "-m", "ablation=glob(*)"], "harness run -m 'ablation=glob(*)'"),
        (["harness", "run", "-m", f"seed={'[' * 999}{']' * 999}"], f"harness run -m 'seed={'[' * 999}{']' * 999}'"),
        (["harness", "run", "-m", "seed=interval(0,1)"], "harness run seed=0"),
        ([], "the command was not recorded"),
        (None, "the command was not recorded"),
    ],
)
def test_commands_of_any_kind(recorded: list[str] | None, command: str, runs: dict[str, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(runs["plain"], tmp_path / "copy"))
    with closing(sqlite3.connect(copy / "run.sqlite")) as db:
        made = json.dumps({"command": recorded})
        db.execute("UPDATE sessions SET provenance = ?", (made,))
        db.commit()
    with RunReader(copy) as reader:
        assert dict(provenance(reader, ""))["Reproduce"].splitlines()[-1] == command
