"""The public layout: what is written is what was recorded, and reading it never runs code."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.calvin.dataset import (
    PublicDataset,
    UnsafePickleError,
    load_object,
    main,
    to_absolute,
    to_relative,
    write_public,
)
from envs.calvin.tasks import TASKS
from envs.calvin.training import training_scene, training_state
from harness.cli import main as harness
from harness.dataset import Dataset, DatasetError
from harness.interfaces import Action, AgentEvent, Observation, SingleLaneAgent, TaskView
from harness.store import RunReader

STEPS = 6


class Labeller(SingleLaneAgent):
    """Moves a little, reports where it was told to go and one label."""

    privileged: ClassVar[bool] = True
    observation_keys = ()

    def begin(self, view: TaskView, observation: Observation) -> None:
        self._view = view

    def decide(self, memory: None, view: TaskView, observation: Observation, rng: np.random.Generator) -> Action:
        return rng.uniform(-0.3, 0.3, 7).astype(np.float32)

    def pop_events(self, lane: int) -> Sequence[AgentEvent]:
        truth = self._view.privileged
        pose = [*truth.target_position.tolist(), *truth.target_euler.tolist()]
        events = [AgentEvent("pose", {"pose": pose})]
        if self._steps.get(lane) == 3:
            events.append(AgentEvent("label", {"task": "open_drawer", "instruction": "open it", "start": 1, "end": 3}))
        return events


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("calvin")
    words = ["benchmark=calvin", "agent=custom", f"agent._target_={__name__}.Labeller", f"run_dir={folder}"]
    short = [f"protocol.steps_per_task={STEPS}", "protocol.visuals=lowpoly", "limit=2"]
    assert harness(["collect", *words, *short, "scene=A,C"]) == 0
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def public(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> PublicDataset:
    destination = tmp_path_factory.mktemp("public") / "training"
    assert write_public([run / "dataset" for run in runs], destination, report=lambda line: None) == 4 * STEPS
    return PublicDataset(destination)


def test_frames_hold_what_was_recorded(runs: list[Path], public: PublicDataset) -> None:
    assert public.sessions.tolist() == [[i * STEPS, (i + 1) * STEPS - 1] for i in range(4)]
    for session, (run, episode) in enumerate((run, episode) for run in runs for episode in range(2)):
        recorded = Dataset(run / "dataset").episode(episode)
        frames = list(public.frames(*map(int, public.sessions[session])))
        for key in ("rgb_static", "rgb_gripper", "depth_static", "depth_gripper"):
            np.testing.assert_array_equal([f[key] for f in frames], recorded[f"observation.images.{key}"][:-1])
        for key in ("robot_obs", "scene_obs"):
            np.testing.assert_array_equal([f[key] for f in frames], recorded[f"observation.{key}"][:-1])
        relative = np.array([f["rel_actions"] for f in frames])
        np.testing.assert_array_equal(relative[:, :6], recorded["action"][:-1, :6])
        assert set(relative[:, 6]) <= {-1.0, 1.0}
        np.testing.assert_array_equal(relative[:, 6] > 0, recorded["action"][:-1, 6] > 0)


def test_keys_shapes_and_dtypes_are_the_public_ones(public: PublicDataset) -> None:
    frame = public.frame(0)
    assert {key: (str(value.dtype), value.shape) for key, value in frame.items()} == {
        "actions": ("float64", (7,)),
        "rel_actions": ("float64", (7,)),
        "robot_obs": ("float64", (15,)),
        "scene_obs": ("float64", (24,)),
        "rgb_static": ("uint8", (200, 200, 3)),
        "rgb_gripper": ("uint8", (84, 84, 3)),
        "depth_static": ("float32", (200, 200)),
        "depth_gripper": ("float32", (84, 84)),
    }
    assert (public.root / "episode_0000023.npz").exists()
    assert not (public.root / "episode_0000024.npz").exists()


def test_absolute_actions_are_the_commanded_poses(runs: list[Path], public: PublicDataset) -> None:
    with RunReader(runs[0]) as reader:
        events, key = reader.events(), reader.plan()[0].key
    own = events[(events["key"] == key) & (events["kind"] == "pose")]
    # reported before each action (and once at the start): the pose after action t is in report t + 2
    told = np.array([json.loads(text)["pose"] for text in own["data"]])[2:]
    absolute = np.array([frame["actions"][:6] for frame in public.frames(0, STEPS - 2)])
    turn = (absolute[:, 3:] - told[:, 3:] + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(absolute[:, :3] - told[:, :3]).max() < 1e-3
    assert np.abs(turn).max() < 5e-3


def test_labels_move_with_their_frames(public: PublicDataset) -> None:
    labels = public.labels()
    assert [(label.start, label.end) for label in labels] == [(i * STEPS + 1, i * STEPS + 2) for i in range(4)]
    assert {(label.task, label.instruction) for label in labels} == {("open_drawer", "open it")}
    scenes = load_object(public.root / "scene_info.npy")
    assert scenes == {"calvin_scene_A": [0, 2 * STEPS - 1], "calvin_scene_C": [2 * STEPS, 4 * STEPS - 1]}


def test_public_readers_can_read_the_annotations(public: PublicDataset) -> None:
    content = np.load(public.root / "lang_annotations/auto_lang_ann.npy", allow_pickle=True).item()
    assert content["language"]["task"] == ["open_drawer"] * 4
    assert content["language"]["ann"] == ["open it"] * 4
    assert content["language"]["emb"].shape == (4, 1, 0)
    assert content["info"]["indx"][1] == (STEPS + 1, STEPS + 2)


def test_the_command_line_refuses_what_it_cannot_do(
    runs: list[Path], public: PublicDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(runs[0] / "dataset"), "--public", str(public.root)])
    assert "exists; name a new folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--public", str(tmp_path / "new")])
    assert "holds no complete dataset" in capsys.readouterr().err
    main([str(runs[0] / "dataset"), "--public", str(tmp_path / "new")])
    assert capsys.readouterr().out.splitlines()[-1] == f"{tmp_path / 'new'}: {2 * STEPS} frames"


def test_a_dataset_without_the_needed_observations_is_refused(tmp_path: Path) -> None:
    words = ["benchmark=calvin", "agent=noop", f"run_dir={tmp_path}", "limit=1", "protocol.steps_per_task=2"]
    assert harness(["collect", *words, "record=[robot_obs]"]) == 0
    with pytest.raises(DatasetError, match=r"lacks observation\.images\.rgb_static; collect it without record="):
        write_public([tmp_path / "dataset"], tmp_path / "new")


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is no CALVIN dataset"):
        PublicDataset(tmp_path)


def test_a_damaged_frame_is_named(public: PublicDataset, tmp_path: Path) -> None:
    np.save(tmp_path / "ep_start_end_ids.npy", np.array([[0, 0]]))
    whole = (public.root / "episode_0000000.npz").read_bytes()
    (tmp_path / "episode_0000000.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"episode_0000000\.npz is damaged"):
        PublicDataset(tmp_path).frame(0)


# ------------------------------------------------------------------------------------------- hostile pickles


class Command:
    """Runs a command when it is unpickled without care."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


class Evaluation:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return eval, (f"open({str(self.marker)!r}, 'w')",)


def object_file(path: Path, content: Any, protocol: int = 4) -> Path:
    holder = np.empty((), dtype=object)
    holder[()] = content
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(holder))
    pickle.dump(holder, stream, protocol=protocol)
    path.write_bytes(stream.getvalue())
    return path


@pytest.mark.parametrize("kind", [Command, Evaluation])
@pytest.mark.parametrize("where", ["bare", "nested", "in an array"])
def test_hostile_pickles_are_refused_and_do_nothing(kind: type, where: str, tmp_path: Path) -> None:
    bomb = kind(tmp_path / "marker")
    array = np.empty(1, dtype=object)
    array[0] = bomb
    content = {"bare": bomb, "nested": {"language": {"ann": [bomb]}}, "in an array": {"info": array}}[where]
    path = object_file(tmp_path / "file.npy", content)
    with pytest.raises(UnsafePickleError, match="it was not loaded"):
        load_object(path)
    assert not (tmp_path / "marker").exists()
    np.load(path, allow_pickle=True)
    assert (tmp_path / "marker").exists(), "the pickle was harmless, so this test proves nothing"


@pytest.mark.parametrize("name", ["builtins.getattr", "numpy.load", "functools.partial", "numpy.testing.measure"])
def test_nothing_but_arrays_and_containers_can_be_named(name: str, tmp_path: Path) -> None:
    module, _, attribute = name.rpartition(".")
    path = object_file(tmp_path / "file.npy", None)
    header = path.read_bytes()[: -len(pickle.dumps(np.array(None, dtype=object), protocol=4))]
    path.write_bytes(header + f"c{module}\n{attribute}\n.".encode())
    with pytest.raises(UnsafePickleError, match=name):
        load_object(path)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_scalars_and_containers_of_all_old_protocols_are_read(protocol: int, tmp_path: Path) -> None:
    content = {
        "emb": np.arange(6, dtype=np.float32).reshape(2, 1, 3),
        "indx": [(np.int64(3), 7)],
        "ann": np.array(["a", "bc"]),
        "set": {1, 2},
    }
    read = load_object(object_file(tmp_path / "file.npy", content, protocol))
    np.testing.assert_array_equal(read["emb"], content["emb"])
    np.testing.assert_array_equal(read["ann"], content["ann"])
    assert read["indx"] == [(3, 7)]
    assert read["set"] == {1, 2}


def test_files_that_numpy_1_wrote_are_read(tmp_path: Path) -> None:
    path = object_file(tmp_path / "file.npy", {"emb": np.arange(3.0)}, protocol=3)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    np.testing.assert_array_equal(load_object(path)["emb"], np.arange(3.0))


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "numbers.npy", np.arange(3))
    with pytest.raises(ValueError, match="not one pickled object"):
        load_object(tmp_path / "numbers.npy")
    path = object_file(tmp_path / "cut.npy", {"a": "b" * 100})
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match="damaged pickle"):
        load_object(path)
    np.save(tmp_path / "ep_start_end_ids.npy", np.zeros((0, 2), np.int64))
    (tmp_path / "lang_annotations").mkdir()
    object_file(tmp_path / "lang_annotations/auto_lang_ann.npy", {"language": {}})
    with pytest.raises(ValueError, match="not laid out as CALVIN annotations"):
        PublicDataset(tmp_path).labels()


# -------------------------------------------------------------------------------------------------- actions

poses = st.lists(st.floats(-1, 1), min_size=6, max_size=6)


@given(st.lists(poses, min_size=1, max_size=5), st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_relative_actions_come_back_from_absolute_ones(moves: list[list[float]], start: list[float]) -> None:
    relative = np.array([[*move, 1.0] for move in moves])
    robot = np.zeros((len(moves), 15))
    robot[0, :6] = start
    absolute = to_absolute(relative, robot[0])
    robot[1:, :6] = absolute[:-1, :6]  # an arm that goes exactly where it is told
    np.testing.assert_allclose(to_relative(absolute, robot), relative, atol=1e-9)


@pytest.mark.parametrize("scene", ["A", "B", "C", "D"])
def test_training_scenes_are_possible_and_differ(scene: Any) -> None:
    from envs.calvin.layouts import LAYOUTS, Scene

    layout = LAYOUTS[Scene(scene)]
    seen = set()
    for seed in range(50):
        rng = np.random.default_rng(seed)
        state = training_state(rng)
        obs = training_scene(Scene(scene), state, rng)
        seen.add(obs.tobytes())
        spots = obs[6:].reshape(3, 6)
        for spot, (colour, _) in zip(spots, layout.blocks, strict=True):
            low, high = layout.spawn[str(state[f"{colour}_block"])]
            assert low[0] <= spot[0] <= high[0]
            assert low[1] <= spot[1] <= high[1]
        gaps = [np.linalg.norm(spots[i, :2] - spots[j, :2]) for i in range(3) for j in range(i)]
        assert min(gaps) > 0.08
    assert len(seen) == 50


def test_collected_episodes_are_feasible_chains_that_are_no_evaluation_episodes() -> None:
    from envs.calvin.benchmark import Calvin
    from envs.calvin.frozen import load_chains
    from harness.config import compose_runs
    from harness.instantiate import build_benchmark

    config = compose_runs(["benchmark=calvin", "agent=noop"])[0].config
    benchmark = build_benchmark(config.benchmark, config.protocol)
    assert isinstance(benchmark, Calvin)
    evaluated = {chain.scene_obs.tobytes() for chain in load_chains()}
    specs = benchmark.collection(20, 0, play=False)
    assert all(np.array(spec.meta["scene_obs"]).tobytes() not in evaluated for spec in specs)
    assert all(stage.task in TASKS for spec in specs for stage in spec.stages)
    assert specs[:5] == list(benchmark.collection(5, 0, play=False))
    assert {spec.episode_id for spec in specs}.isdisjoint(s.episode_id for s in benchmark.collection(20, 1, play=False))
    (play,) = benchmark.collection(1, 0, play=True)
    assert [stage.task for stage in play.stages] == ["play"]
