"""Somebody has changed an entry and made all hashes fit again: what is found, by what, and what cannot be found."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cli import main
from results.entry import EntryError, export_entry, open_entry
from results.entry.archive import read_archive, write_archive
from results.entry.format import MANIFEST
from results.entry.verify import verify_entry
from tests.harness.toy_runs import run_toy
from tests.results.entry.forgery import (
    CONFIGS,
    Contents,
    contents,
    drop_episode,
    forged,
    make_success,
    members_of,
    rekey,
)


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(EntryError) as caught:
        verify_entry(path, config_dir=CONFIGS, **options)
    return str(caught.value)


def test_a_changed_member_does_not_have_its_hash(entry: Path, tmp_path: Path) -> None:
    members = read_archive(entry)
    for name in members:
        if name != MANIFEST:
            write_archive(tmp_path / "forged.zip", {**members, name: members[name] + b" "})
            assert refusal(tmp_path / "forged.zip").startswith(f"{name} is not what entry.json says")


def first(table: str, **changes: Any) -> Callable[[Contents], None]:
    def edit(data: Contents) -> None:
        row = data[table][0]
        assert set(changes) <= set(row)
        row |= changes

    return edit


def fact(**changes: Any) -> Callable[[Contents], None]:
    return lambda data: data["run"].update(changes)


def spec(**changes: Any) -> Callable[[Contents], None]:
    return lambda data: data["episodes"][0]["spec"].update(changes)


def stage_of_spec(**changes: Any) -> Callable[[Contents], None]:
    return lambda data: data["episodes"][0]["spec"]["stages"][0].update(changes)


def repeated(table: str) -> Callable[[Contents], None]:
    return lambda data: data[table].append(dict(data[table][0]))


def only_the_outcome(data: Contents) -> None:
    next(row for row in data["attempts"] if row["outcome"] == "failure")["outcome"] = "success"


def other_seed(data: Contents) -> None:
    data["run"]["identity"]["seed"] = data["run"]["config"]["seed"] = 1
    key = data["episodes"][0]["key"]
    rekey(data)
    new = data["episodes"][0]["key"]
    for table in ("episodes", "attempts", "stages", "events"):
        for row in data[table]:
            row["key"] = key if row["key"] == new else row["key"]


def other_protocol(data: Contents) -> None:
    for group in (data["run"]["identity"], data["run"]["config"]):
        group["protocol"]["goal"] = 0.5
    rekey(data)


def a_billion_repetitions(data: Contents) -> None:
    data["run"]["identity"]["repeats"] = data["run"]["config"]["repeats"] = 10**9
    rekey(data)


def result_left_out(data: Contents) -> None:
    kept = data["episodes"]
    drop_episode(data, 3)
    data["episodes"] = kept


CASES: dict[str, tuple[Callable[[Contents], object], str]] = {
    "a failure called success": (only_the_outcome, "a success without the success of all stages"),
    "a failure made a success everywhere but in the tables": (
        make_success,
        "tables.json does not follow from the rows",
    ),
    "better numbers in the tables": (
        lambda data: data["tables"][0]["rows"][0][1][0].update(successes=8),
        "successes is 8, the rows give",
    ),
    "an episode left out": (
        lambda data: drop_episode(data, 7),
        "the entry is partial: it plans 7 episodes, its protocol has 8",
    ),
    "an episode left out in the middle": (lambda data: drop_episode(data, 2), "the entry is partial"),
    "a result left out": (result_left_out, "the entry is partial: 1 planned episodes have no result"),
    "an episode of another seed": (other_seed, "its key does not follow from the run's identity"),
    "another protocol under the same name": (
        other_protocol,
        "it hides that it is non-standard: protocol.goal: 1.0 -> 0.5",
    ),
    "an easier instruction": (stage_of_spec(instruction="do nothing"), "stages: .*do nothing"),
    "more steps": (stage_of_spec(max_steps=9), "is not the protocol's toy-"),
    "another scene": (spec(seed=5), "is not the protocol's toy-.*: seed: 100. -> 5"),
    "another group": (spec(meta={"family": "<b>"}), "meta.family"),
    "hidden deviations": (fact(deviations=[]), "it hides that it is non-standard: protocol.max_steps: 6 -> 4"),
    "a false mark": (fact(privileged=True), "it states the wrong mark: walker is not privileged"),
    "a run key of another run": (fact(run_key="0" * 32), "run_key is 0+, the identity gives"),
    "a protocol hash of another one": (fact(protocol_hash="0" * 32), "protocol_hash is 0+, the identity gives"),
    "a smaller suite": (fact(suite_size=4), "its suite_size is 4, its protocol has 8"),
    "no identity": (fact(identity={}), "is no name of an agent"),
    "no configuration": (fact(config=None), "config must hold benchmark, agent"),
    "no executor": (lambda data: data["run"]["config"].update(executor="x"), "config.executor must be a mapping"),
    "no benchmark": (lambda data: data["run"]["config"].update(benchmark={}), "config.benchmark has no name"),
    "a limit that is not kept": (
        lambda data: data["run"]["config"].update(limit=2),
        "limit=2, and 8 episodes are planned",
    ),
    "another seed in the configuration": (lambda data: data["run"]["config"].update(seed=9), "config.seed is not what"),
    "another agent in the configuration": (
        lambda data: data["run"]["config"]["agent"].update(gain=0.9),
        "config.agent is not what",
    ),
    "a billion repetitions": (a_billion_repetitions, "the plan does not have every episode 1000000000 times"),
    "rows that occur twice": (repeated("attempts"), r"attempts.jsonl line 9: actions.bin does not hold|UNIQUE"),
    "episodes that occur twice": (repeated("episodes"), "UNIQUE constraint failed"),
    "a stage that occurs twice": (repeated("stages"), "UNIQUE constraint failed"),
    "a key that is not planned": (first("stages", key="0" * 32), "FOREIGN KEY constraint failed"),
    "more steps than the stages": (first("attempts", steps=1), "steps, its stages have"),
    "more steps than allowed": (first("stages", steps=1000), "1000 steps, of 4"),
    "negative steps": (first("stages", steps=-1), "-1 steps, of 4"),
    "more progress": (first("attempts", progress=0.123), "progress is 0.123, its stages give"),
    "progress beyond 1": (first("stages", progress=7.0), "progress within 0 and 1"),
    "another task": (first("stages", task="easy"), "the task is 'easy', planned is 'task0'"),
    "an unknown outcome": (first("attempts", outcome="great"), "the outcome 'great' is unknown"),
    "an error that is none": (first("attempts", error_message="<script>"), "with an error"),
    "an attempt that does not count": (first("attempts", final=0), "a verdict that does not count"),
    "a later attempt only": (first("attempts", attempt=1), "FOREIGN KEY|its stages|not numbered"),
    "impossible times": (first("attempts", wall_total=1e12), "its times are impossible"),
    "impossible memory": (first("attempts", peak_memory=-5), "its memory is impossible: -5 bytes"),
    "no final state": (first("attempts", final_digest=""), "the final state has no hash"),
    "an event of no stage": (first("events", stage=5), "an event outside of its stages"),
    "actions that are not numbers": (
        lambda data: data.update(actions=np.full(len(data["actions"]) // 8, np.nan).tobytes()),
        "actions or durations are impossible",
    ),
    "actions that are missing": (lambda data: data.update(actions=data["actions"][:-8]), "actions.bin does not hold"),
    "actions that are too many": (lambda data: data.update(actions=data["actions"] + b"0" * 8), "hold more than"),
    "another length of arrays": (first("attempts", actions=2), "does not hold|hold more than|actions and"),
}


@pytest.mark.parametrize("case", CASES)
def test_forgeries_are_refused(case: str, entry: Path, tmp_path: Path) -> None:
    edit, reason = CASES[case]
    found = refusal(forged(entry, tmp_path / "forged.zip", edit))
    assert re.search(reason, found), found


def test_a_consistent_forgery_is_found_by_replaying_only(entry: Path, tmp_path: Path) -> None:
    path = forged(entry, tmp_path / "forged.zip", make_success, derive=True)
    assert verify_entry(path, config_dir=CONFIGS).outcomes["planned"] == 8, "hashes are no signatures"
    assert "replays otherwise: outcome: recorded success, replayed failure" in refusal(path, replays=8)


def test_invented_actions_are_found_by_replaying(entry: Path, tmp_path: Path) -> None:
    path = forged(entry, tmp_path / "forged.zip", lambda data: data.update(actions=bytes(len(data["actions"]))))
    assert verify_entry(path, config_dir=CONFIGS).replayed == ()
    assert "replays otherwise" in refusal(path, replays=1)


def test_no_class_is_named_by_an_entry(entry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def edit(data: Contents) -> None:
        data["run"]["config"]["benchmark"]["_target_"] = "tests.results.entry.boom.Boom"

    path = forged(entry, tmp_path / "forged.zip", edit)
    assert "benchmark toy has _target_='tests.results.entry.boom.Boom'" in refusal(path)
    path = forged(entry, path, lambda data: data["run"]["config"]["protocol"].update(_target_="os.system"))
    assert "protocol toy has _target_='os.system'" in refusal(path)
    path = forged(entry, path, lambda data: data["run"]["config"]["benchmark"].update(folder="/etc"))
    assert "configured otherwise than here" in refusal(path)


def test_the_class_of_an_unknown_agent_is_not_imported(entry: Path, tmp_path: Path) -> None:
    def edit(data: Contents) -> None:
        for group in (data["run"]["identity"], data["run"]["config"]):
            group["agent"] |= {"name": "mine", "_target_": "no_such_module.Agent"}
        rekey(data)
        data["run"]["privileged"] = True

    found = verify_entry(forged(entry, tmp_path / "forged.zip", edit), config_dir=CONFIGS)
    assert "the agent mine is not one of this harness" in found.notes[0]


@pytest.mark.parametrize("peeks", [True, False])
def test_the_mark_follows_from_the_agents_settings(peeks: bool, tmp_path: Path) -> None:
    assert run_toy(tmp_path / "run", f"agent.peeks={peeks}".lower(), "limit=2", agent="peeker") == 0
    honest = export_entry(tmp_path / "run", tmp_path / "entry.zip")[0]
    assert verify_entry(honest, config_dir=CONFIGS).privileged is peeks
    states = f"it states the wrong mark: peeker is {'' if peeks else 'not '}privileged"
    assert refusal(forged(honest, tmp_path / "forged.zip", fact(privileged=not peeks))) == states


def test_an_entry_from_before_a_setting_has_its_default(tmp_path: Path) -> None:
    assert run_toy(tmp_path / "run", "limit=2", agent="peeker") == 0

    def edit(data: Contents) -> None:
        del data["run"]["identity"]["agent"]["peeks"]
        rekey(data)

    path = forged(export_entry(tmp_path / "run", tmp_path / "entry.zip")[0], tmp_path / "old.zip", edit)
    assert verify_entry(path, config_dir=CONFIGS).privileged


def test_the_command_line_refuses_with_status_1(
    entry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = forged(entry, tmp_path / "forged.zip", only_the_outcome)
    assert main(["verify", str(path), "--config-dir", str(CONFIGS)]) == 1
    assert capsys.readouterr().out.startswith("REFUSED toy-")
    assert main(["verify", str(tmp_path / "none.zip")]) == 2


ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**70,
    1e300,
    "",
    "x" * 300,
    "<img src=x onerror=alert(1)>",
    [],
    [[]],
    {},
    {"a": 1},
)


def test_any_odd_value_is_refused_or_harmless(entry: Path, tmp_path: Path) -> None:
    """Whatever stands where, nothing but a refusal comes of it, and never a number that does not follow."""
    rng = random.Random(0)
    stated = verify_entry(entry, config_dir=CONFIGS)
    accepted = 0
    for _ in range(60):
        data = contents(entry)
        path = _mutate(data, rng)
        write_archive(tmp_path / "odd.zip", members_of(data))
        try:
            found = verify_entry(tmp_path / "odd.zip", config_dir=CONFIGS)
        except EntryError:
            continue
        accepted += 1
        assert (found.outcomes, found.run_key, found.cells) == (stated.outcomes, stated.run_key, stated.cells), path
    assert accepted < 30


def _mutate(data: Contents, rng: random.Random) -> list[Any]:
    """Replace something, anywhere, by something odd."""
    name = rng.choice([name for name, value in data.items() if not isinstance(value, bytes)])
    path: list[Any] = [name]
    place, key = data, name
    while True:
        value = place[key]
        if not isinstance(value, dict | list) or not value or (len(path) > 1 and rng.random() < 0.15):
            place[key] = rng.choice(ODD)
            return path
        place, key = value, rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        path.append(key)


def test_flipped_bytes_are_refused(entry: Path, tmp_path: Path) -> None:
    rng = random.Random(1)
    original = entry.read_bytes()
    with open_entry(entry, CONFIGS) as reader:
        counts = reader.outcome_counts()
    for _ in range(100):
        changed = bytearray(original)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        (tmp_path / "flipped.zip").write_bytes(changed)
        try:
            with open_entry(tmp_path / "flipped.zip", CONFIGS) as reader:
                assert reader.outcome_counts() == counts, "only what does not matter, such as dates, may change"
        except EntryError:
            continue
