"""The adapter to the public simulator: against a stand-in everywhere, and against the real one where it is installed.

`stand_in` has the few members of the public simulator that the adapter uses, over our own physics: so the adapter must
give what `CalvinEnv` gives, bit for bit. The real one is compared with recordings in a process of its own.
"""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from baselines.calvin_expert import CalvinExpert
from envs.calvin import official_env
from envs.calvin.benchmark import Calvin, CalvinProtocol
from envs.calvin.env import CalvinEnv
from envs.calvin.official_env import OfficialCalvinEnv, find_package
from harness.interfaces import EnvRequest, SeedPath, TaskEnv, TaskView
from tests.envs.calvin import stand_in
from tests.envs.calvin.test_env import STANDARD

OFFICIAL = {**STANDARD, "backend": "official"}

CONF = {
    "scene/calvin_scene_D": "letter: D\n",
    "robot/panda": "defaults: []\ntcp_link_id: 13\n",
    "robot/panda_longer_finger": "defaults: [panda]\ntcp_link_id: 15\n",
    "cameras/cameras/static": "{name: static}\n",
    "cameras/cameras/gripper": "{name: gripper}\n",
    "env/play_table_env": (
        "_target_: tests.envs.calvin.stand_in.StandIn\n_recursive_: false\ncameras: ${cameras}\nuse_egl: true\n"
        "use_scene_info: false\nshow_gui: true\nletter: ${scene.letter}\nhead: false\n"
    ),
}


@pytest.fixture
def package(tmp_path, monkeypatch, generated):
    """A folder laid out like a checkout of the public repository, whose environment is the stand-in."""
    for name, text in CONF.items():
        path = tmp_path / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "calvin_env").mkdir()
    (tmp_path / "calvin_env" / "__init__.py").write_text("")
    (tmp_path / "data").symlink_to(generated.root, target_is_directory=True)
    monkeypatch.setitem(sys.modules, "calvin_env", None)  # so that what is imported below is forgotten again
    del sys.modules["calvin_env"]
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(stand_in, "find_assets", lambda: generated)
    # Other tests of this process may have worlds open, which the stand-in does not mind.
    monkeypatch.setattr(official_env, "_server_is_running", lambda: False)
    stand_in.calls.clear()
    return tmp_path


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "calvin_env", None)


def test_absence_is_said_before_anything_runs(absent):
    for attempt in (OfficialCalvinEnv, Calvin(CalvinProtocol(**OFFICIAL)).deviations):
        with pytest.raises(FileNotFoundError, match=r"calvin_env is not installed; clone .*pip install -e"):
            attempt()


def test_recorded_runs_can_be_reported_on_without_it(absent):
    assert Calvin(CalvinProtocol(**OFFICIAL)).fingerprint()["calvin_env"] == "not installed"


def test_an_installation_without_models_is_named(package):
    (package / "data").unlink()
    with pytest.raises(FileNotFoundError, match="lacks its folder data/"):
        find_package()


def test_a_missing_requirement_is_named(package):
    path = package / "conf" / "env" / "play_table_env.yaml"
    path.write_text(path.read_text().replace("tests.envs.calvin.stand_in", "calvin_env.no_such_requirement"))
    with pytest.raises(RuntimeError, match=r"no_such_requirement.*requirements\.txt"):
        OfficialCalvinEnv(observation_keys=())


def rollout(env, spec, seed=0):
    """Random actions with an eager gripper: observations, digests and verdicts."""
    observation, info = env.reset(options={"episode": spec})
    rng = np.random.default_rng(seed)
    seen = [({key: value.copy() for key, value in observation.items()}, info, env.state_digest())]
    for step in range(8):
        action = env.action_space.low + (env.action_space.high - env.action_space.low) * rng.random(7)
        if step == 4:
            env.begin_stage(1)
        observation, *outcome = env.step(action.astype(np.float32))
        seen.append((observation, *outcome, env.state_digest()))
    return seen


@pytest.mark.parametrize("mode", ["relative", pytest.param("absolute", marks=pytest.mark.slow)])
def test_it_gives_what_our_own_environment_gives(package, generated, mode, capsys):
    keys = ("rgb_static", "depth_gripper", "robot_obs", "scene_obs")
    official = OfficialCalvinEnv("D", action_mode=mode, observation_keys=keys)
    ours = CalvinEnv("D", action_mode=mode, observation_keys=keys, assets=generated)
    assert isinstance(official, TaskEnv)
    assert official.observation_space == ours.observation_space
    assert official.action_space == ours.action_space
    for spec in Calvin(CalvinProtocol(**STANDARD)).episodes(2):
        for theirs, own in zip(rollout(official, spec), rollout(ours, spec), strict=True):
            assert official.observation_space.contains(theirs[0])
            assert theirs[1:] == own[1:]
            assert all(np.array_equal(theirs[0][key], own[0][key]) for key in keys)
    assert official.render_seconds > 0
    assert official.privileged().start == ours.privileged().start
    official.close()
    ours.close()
    assert "disconnecting" not in capsys.readouterr().out


def test_every_reset_is_that_of_a_fresh_process(package):
    env = OfficialCalvinEnv("D", observation_keys=("robot_obs",))
    spec = Calvin(CalvinProtocol(**STANDARD)).episodes(1)[0]
    observation, _ = env.reset(options={"episode": spec})
    env.step(np.array([0, 0, 0, 0, 0, 0, -1], dtype=np.float32))
    again, _ = env.reset(options={"episode": spec})
    env.close()
    env.close()
    assert np.array_equal(observation["robot_obs"], again["robot_obs"])
    assert stand_in.calls == ["seed 0", "load", "reset"] * 2 + ["close"]


def test_actions_stay_as_they_were_and_only_what_is_asked_for_is_rendered(package):
    env = OfficialCalvinEnv("D", observation_keys=("rgb_gripper",), render_mode="rgb_array")
    env.reset(options={"chain": 0})
    action = np.ones(7, dtype=np.float32)
    env.step(action)
    assert action.tolist() == [1.0] * 7
    assert env.render().shape == (200, 200, 3)
    env.close()
    rendered = [call for call in stand_in.calls if call.startswith("render")]
    assert rendered == ["render gripper", "render gripper", "render static"]


def test_the_expert_solves_a_chain_by_our_oracle(package):
    benchmark = Calvin(CalvinProtocol(**OFFICIAL))
    env = benchmark.make_env(EnvRequest(observation_keys=()))
    spec = benchmark.episodes(1)[0]
    observation, _ = env.reset(options={"episode": spec})
    stage = spec.stages[0]
    seeds = SeedPath(0, spec.episode_id, 0)
    view = TaskView(stage.instruction, env.action_space, 30.0, stage.max_steps, 0, seeds, env.privileged())
    expert = CalvinExpert()
    memory = expert.begin(view, observation)
    successes = []
    while not any(successes) and len(successes) < stage.max_steps:
        observation, _, _, _, info = env.step(expert.decide(memory, view, observation, seeds.rng(0)))
        successes.append(info["success"])
    env.close()
    assert successes[-1]
    assert len(successes) > 10


def test_there_is_one_per_process(package, monkeypatch):
    env = OfficialCalvinEnv("D", observation_keys=())
    with pytest.raises(RuntimeError, match=r"once per process.*executor\.lanes=1"):
        OfficialCalvinEnv("D", observation_keys=())
    env.close()
    OfficialCalvinEnv("D", observation_keys=()).close()
    monkeypatch.setattr(official_env, "_server_is_running", lambda: True)
    with pytest.raises(RuntimeError, match="has a simulator already"):
        OfficialCalvinEnv("D", observation_keys=())


def test_the_installed_button_must_be_the_protocols(package):
    with pytest.raises(ValueError, match=r"protocol\.led=head, but the installed .* behaves as led=pinned"):
        OfficialCalvinEnv("D", observation_keys=(), led="head")
    OfficialCalvinEnv("D", observation_keys=(), led="pinned").close()


def test_the_backend_is_part_of_the_protocol_and_marks_the_run(package):
    benchmark = Calvin(CalvinProtocol(**OFFICIAL))
    assert CalvinProtocol(**STANDARD).backend == "ours"
    assert benchmark.protocol.to_dict()["backend"] == "official"
    assert "backend=official: simulated by the installed calvin_env of an unknown commit" in benchmark.deviations()[0]
    before = benchmark.fingerprint()["calvin_env"]
    (package / "conf" / "env" / "other.yaml").write_text("changed: true\n")
    official_env._content_hash.cache_clear()
    assert benchmark.fingerprint()["calvin_env"] != before
    with pytest.raises(ValueError, match=r"protocol\.visuals='lowpoly'"):
        CalvinProtocol(**{**OFFICIAL, "visuals": "lowpoly"})
    with pytest.raises(ValueError, match=r"protocol\.backend='theirs'"):
        CalvinProtocol(**{**STANDARD, "backend": "theirs"})


REPLAY = """
import json, sys
import numpy as np
from envs.calvin.official_env import OfficialCalvinEnv, find_package

arrays = np.load(sys.argv[1])
led = "pinned" if "1431a46" in find_package().describe() else "head"
env = OfficialCalvinEnv("D", observation_keys=("robot_obs", "scene_obs"), led=led)
equal = {}
for name in ("scripted_rotate_red_right", "scripted_stack_blue_on_red"):
    recorded = {key: arrays[f"{name}/{key}"] for key in ("robot_obs", "scene_obs", "actions")}
    options = {key: arrays[f"{name}/reset_{key}"] for key in ("robot_obs", "scene_obs")}
    seen = [env.reset(options=options)[0]] + [env.step(action)[0] for action in recorded["actions"]]
    equal[name] = all(np.array_equal([moment[key] for moment in seen], recorded[key]) for key in options)
env.close()
print(json.dumps(equal))
"""


@pytest.mark.skipif(importlib.util.find_spec("calvin_env") is None, reason="the package calvin_env is not installed")
def test_the_real_one_replays_recordings_bit_for_bit(golden):
    command = [sys.executable, "-W", "ignore", "-c", REPLAY, str(golden / "rollouts_D.npz")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "scripted_rotate_red_right": True,
        "scripted_stack_blue_on_red": True,
    }
