"""Physics, tasks and rewards against recordings of the public simulator."""

import json
import shutil

import numpy as np
import pytest

from envs.language_table import golden as replay

EXACT = 1e-12


def subset(source, target, name, rows):
    """Copies the given rows of a recording, with its meta file, to another folder."""
    meta = json.loads((source / f"{name}_meta.json").read_text())
    key = "resets" if name == "resets" else "replays"
    chosen = [meta[key][row] for row in rows]
    with np.load(source / f"{name}.npz") as arrays:
        if name == "resets":
            kept = {k: v[list(rows)] if k != "block_names" else v for k, v in arrays.items()}
        else:
            prefixes = tuple(record["key"] + "__" for record in chosen)
            kept = {k: v for k, v in arrays.items() if k.startswith(prefixes)}
    np.savez(target / f"{name}.npz", **kept)
    (target / f"{name}_meta.json").write_text(json.dumps({**meta, key: chosen}))
    return target / f"{name}.npz"


def test_reward_probes(golden):
    result = replay.compare_file(golden / "reward_probes.json")
    assert result.passed, result
    assert result.items > 1000


def test_fresh_resets(golden, official, tmp_path):
    records = json.loads((golden / "resets_meta.json").read_text())["resets"]
    seen, rows = set(), []
    for row, record in enumerate(records):
        kind = (record["family"], record["mode"])
        if record["kind"] == "fresh" and kind not in seen and record["mode"] != "BLOCK_8":
            seen.add(kind)
            rows.append(row)
    result = replay.compare_file(subset(golden, tmp_path, "resets", rows[::4]), official)
    assert result.passed, result
    assert result.position_error < EXACT
    assert result.items >= 4


def test_trajectories(golden, official, tmp_path):
    result = replay.compare_file(subset(golden, tmp_path, "replays", (1, 5, 14)), official)
    assert result.passed, result
    assert result.position_error < EXACT
    assert result.rewards == 3 * 60


@pytest.mark.slow
def test_all_recordings(golden, official):
    files = [golden / "resets.npz", golden / "replays.npz", *sorted(golden.glob("oracle_*.npz"))]
    for path in files:
        result = replay.compare_file(path, official)
        assert result.passed, (path.name, result)
        assert result.position_error < EXACT


def test_a_wrong_recording_fails(golden, official, tmp_path, capsys, monkeypatch):
    path = subset(golden, tmp_path, "replays", (1,))
    with np.load(path) as arrays:
        spoiled = dict(arrays.items())
    key = next(name for name in spoiled if name.endswith("__blocks"))
    spoiled[key] = spoiled[key] + 2e-6
    np.savez(path, **spoiled)
    monkeypatch.setattr(replay, "find_assets", lambda: official)
    assert replay.main([str(path)]) == 1
    assert capsys.readouterr().out.startswith("FAIL")


def test_main_names_what_it_does_not_know(tmp_path, capsys, official, monkeypatch):
    monkeypatch.setattr(replay, "find_assets", lambda: official)
    unknown = tmp_path / "unknown.npz"
    unknown.write_bytes(b"")
    assert replay.main([str(unknown), str(tmp_path / "replays.npz")]) == 1
    output = capsys.readouterr().out
    assert "is no known recording" in output
    assert "replays_meta.json" in output


def test_main_passes_on_probes(golden, tmp_path, capsys, official, monkeypatch):
    monkeypatch.setattr(replay, "find_assets", lambda: official)
    shutil.copy(golden / "reward_probes.json", tmp_path)
    siblings = [str(tmp_path / "replays_meta.json"), str(tmp_path / "oracle_play_BLOCK_8.json")]
    assert replay.main([str(tmp_path / "reward_probes.json"), *siblings]) == 0
    output = capsys.readouterr().out
    assert output.startswith("PASS")
    assert output.count("\n") == 1
