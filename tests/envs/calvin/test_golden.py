"""Physics, frames, oracle and initial scenes against recordings of the public simulator."""

import gzip
import hashlib
import json
import re
import shutil

import numpy as np
import pytest

from envs.calvin import golden as replay
from envs.calvin.cameras import render_gripper, render_static
from envs.calvin.layouts import Scene
from envs.calvin.world import World

pytestmark = pytest.mark.usefixtures("official")


@pytest.mark.parametrize("scene", ["A", "B", *(pytest.param(scene, marks=pytest.mark.slow) for scene in "CD")])
def test_rollouts_are_bit_identical(golden, scene, capsys):
    assert replay.main([str(golden / f"rollouts_{scene}.npz")]) == 0
    assert "differs" not in capsys.readouterr().out


def test_oracle_chains_and_initial_scenes(golden, capsys):
    files = ["oracle_cases.json.gz", "sequences.json", "initial_states.json"]
    assert replay.main([str(golden / name) for name in files]) == 0
    assert "FAIL" not in capsys.readouterr().out


def test_a_wrong_verdict_fails(golden, tmp_path):
    data = json.loads(gzip.decompress((golden / "oracle_cases.json.gz").read_bytes()))
    data["cases"] = data["cases"][:5]
    data["cases"][0]["expected"] = ["open_drawer"]
    path = tmp_path / "oracle_cases.json.gz"
    path.write_bytes(gzip.compress(json.dumps(data).encode()))
    assert replay.main([str(path)]) == 1


def test_a_changed_action_is_noticed_and_located(golden, tmp_path, capsys):
    with np.load(golden / "rollouts_A.npz") as arrays:
        kept = {key: arrays[key].copy() for key in arrays.files if key.startswith("random_0/")}
    kept["random_0/actions"][30, 2] = 10.0
    np.savez(tmp_path / "rollouts_A.npz", **kept)
    shutil.copy(golden / "rollouts_A_info.json.gz", tmp_path)
    assert replay.main([str(tmp_path / "rollouts_A.npz")]) == 1
    assert "differs from step 31" in capsys.readouterr().out


def test_unknown_and_missing_files_are_named(tmp_path, capsys):
    assert replay.main([str(tmp_path / "rollouts_X.npz")]) == 2
    assert replay.main([str(tmp_path / "other.npz")]) == 2
    assert "rollouts_X.npz does not exist" in capsys.readouterr().err


@pytest.mark.slow
def test_frames_have_the_same_pixels(golden, official):
    frames = json.loads((golden / "frames" / "frames.json").read_text())
    wanted = {}
    for name, record in frames.items():
        scene, rollout, step, camera = re.fullmatch(r"([ABCD])_(.+)_t(\d+)_(static|gripper)", name).groups()
        wanted.setdefault((scene, rollout), {}).setdefault(int(step), {})[camera] = record
    compared = 0
    for (scene, rollout), steps in wanted.items():
        with np.load(golden / f"rollouts_{scene}.npz") as arrays:
            recorded = {key.partition("/")[2]: arrays[key] for key in arrays.files if key.startswith(rollout + "/")}
        world = World(Scene(scene), official, visuals=True)
        world.reset(recorded["reset_robot_obs"], recorded["reset_scene_obs"])
        for step in range(max(steps) + 1):
            for camera, record in steps.get(step, {}).items():
                frame = (render_static if camera == "static" else render_gripper)(world)
                assert hashlib.sha256(frame.rgb.tobytes()).hexdigest() == record["sha256"]
                assert float(frame.depth.min()) == record["depth_min"]
                assert float(frame.depth.max()) == record["depth_max"]
                compared += 1
            if step < len(recorded["actions"]):
                world.step_relative(recorded["actions"][step])
        world.close()
    assert compared == len(frames)


def test_instructions_are_the_validation_sentences(official):
    from envs.calvin.language import INSTRUCTIONS

    text = (official.root.parent / "new_playtable_validation.yaml").read_text()
    published = dict(re.findall(r'^(\w+):\s*\[\s*"([^"]+)"', text, re.MULTILINE))
    assert published == INSTRUCTIONS


def test_noise_may_grow_in_contact_but_not_be_there_after_reset():
    noise = {"steps": 100, "position_error": 0.01, "angle_error": 0.05, "verdicts": 9, "verdicts_equal": 8}
    assert replay.RolloutReport("late", first_difference=40, **noise).passed
    assert not replay.RolloutReport("at once", first_difference=0, **noise).passed
    assert not replay.RolloutReport("far", first_difference=40, **{**noise, "position_error": 0.1}).passed
    late = replay.RolloutReport("late", first_difference=40, **noise)
    same = replay.RolloutReport("same", 100, verdicts=1, verdicts_equal=1)
    assert replay.GoldenReport([late] + [same] * 19).passed
    assert not replay.GoldenReport([late] + [same] * 18).passed
