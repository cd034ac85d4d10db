"""Collections: the format, what is in it, and that nothing is lost, doubled or taken for an evaluation."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from harness import collection
from harness.cli import main
from harness.dataset import Dataset, DatasetError, decode_image, encode_image
from harness.interfaces import Action, Benchmark, Observation, TaskView
from harness.store import STORE_NAME, RunReader, RunWriter, StoreError
from tests.harness.toy_runs import ROOT, TOY
from tests.toys import Player, ToyEnv

LIMIT = "limit=6"


def collect(run_dir: Path, *overrides: str, agent: str = "walker") -> int:
    return main(["collect", *TOY, f"agent={agent}", f"run_dir={run_dir}", *overrides])


def checksums(run_dir: Path) -> str:
    return (run_dir / "dataset" / "SHA256SUMS").read_text()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The checksums of a collection that nothing disturbed."""
    run_dir = tmp_path_factory.mktemp("plain") / "run"
    assert collect(run_dir, LIMIT) == 0
    return checksums(run_dir)


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    run_dir = tmp_path_factory.mktemp("collect") / "run"
    assert collect(run_dir, LIMIT, "protocol.stages=2") == 0
    return Dataset(run_dir / "dataset")


def test_plain_pandas_reads_it(collected: Dataset) -> None:
    episodes = pd.read_parquet(collected.root / "meta/episodes/chunk-000/file-000.parquet")
    frames = pd.read_parquet(collected.root / "data/chunk-000/file-000.parquet")
    assert len(episodes) == 6
    assert list(frames["index"]) == list(range(len(frames)))
    for row in episodes.to_dict("records"):
        own = frames[frames["episode_index"] == row["episode_index"]]
        assert list(own["index"]) == list(range(row["dataset_from_index"], row["dataset_to_index"]))
        assert list(own["frame_index"]) == list(range(row["length"])) == list(range(row["steps"] + 1))
        assert list(own["is_last"]) == [False] * row["steps"] + [True]
        np.testing.assert_allclose(own["timestamp"], own["frame_index"] / 10.0, rtol=1e-6)
    cell = frames["observation.images.rgb"][0]
    np.testing.assert_array_equal(
        np.array(Image.open(io.BytesIO(cell["bytes"]))), np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    )
    tasks = pd.read_parquet(collected.root / "meta/tasks.parquet")
    assert tasks.loc["go 1", "task_index"] == 1


def test_hugging_face_datasets_reads_it(collected: Dataset, tmp_path: Path) -> None:
    """Without anything of this project, and without network."""
    datasets = pytest.importorskip("datasets", reason="the package datasets is no dependency: pip install datasets")
    datasets.disable_progress_bars()
    files = str(collected.root / "data" / "*" / "*.parquet")
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    features = collected.info["features"]
    assert set(loaded.column_names) == set(features)
    assert len(loaded) == collected.info["total_frames"]
    row = loaded[1]
    for name, feature in features.items():
        if feature["dtype"] not in ("image", "string"):
            assert list(np.atleast_1d(row[name]).shape) == feature["shape"], name
    own = collected.episode(0)
    np.testing.assert_array_equal(row["action"], own["action"][1])
    np.testing.assert_array_equal(row["observation.x"], own["observation.x"][1])
    assert row["observation.words"] == own["observation.words"][1]
    picture = loaded.cast_column("observation.images.rgb", datasets.Image())[1]["observation.images.rgb"]
    assert list(np.array(picture).shape) == features["observation.images.rgb"]["shape"]
    np.testing.assert_array_equal(np.array(picture), own["observation.images.rgb"][1])


def test_the_rows_say_what_happened(collected: Dataset) -> None:
    run_dir = collected.root.parent
    with RunReader(run_dir) as reader:
        plan, stages = reader.plan(), reader.stages()
        actions = [reader.actions(planned.key) for planned in plan]
    for number, planned in enumerate(plan):
        episode = collected.episode(number)
        np.testing.assert_array_equal(episode["action"][:-1], actions[number])
        assert not episode["action"][-1].any()
        # the toy world is x' = x + a + noise: an observation stands before its action
        moved = np.diff(episode["observation.x"], axis=0) - actions[number]
        assert np.abs(moved).max() < 6e-3
        np.testing.assert_array_equal(
            episode["observation.images.depth"][:, 0, 0], episode["observation.x"][:, 0].astype(np.float32)
        )
        np.testing.assert_array_equal(episode["observation.secret"], episode["observation.x"][:, 1])
        assert set(episode["observation.words"]) <= {"left", "right"}
        own = stages[stages["key"] == planned.key]
        expected = np.repeat(own["stage"], own["steps"])
        np.testing.assert_array_equal(episode["stage_index"][:-1], expected)
        ends = np.cumsum(own["steps"]) - 1
        assert list(np.flatnonzero(episode["next.success"][:-1])) == list(ends[own["success"] == 1])
        assert [collected.tasks[i] for i in episode["task_index"][:-1]] == [f"go {i}" for i in expected]


def test_stages_that_succeeded_are_labels(collected: Dataset) -> None:
    for number, own in collected.labels.groupby("episode_index"):
        steps = int(collected.episodes.iloc[int(str(number))]["steps"])
        assert list(own["task"]) == ["task0", "task1"][: len(own)]
        assert list(own["source"].unique()) == ["stage"]
        assert own["start"].iloc[0] == 0
        assert own["end"].iloc[-1] <= steps
        assert list(own["start"])[1:] == list(own["end"])[:-1]


def test_info_and_statistics_describe_the_data(collected: Dataset) -> None:
    info = collected.info
    assert (info["total_episodes"], info["total_frames"]) == (6, int(collected.episodes["length"].sum()))
    assert info["features"]["observation.images.rgb"] == {
        "dtype": "image",
        "shape": [8, 12, 3],
        "names": ["height", "width", "channels"],
    }
    assert info["features"]["action"] == {"dtype": "float64", "shape": [2], "names": None}
    assert info["features"]["observation.secret"] == {"dtype": "float64", "shape": [1], "names": None}
    stats = json.loads((collected.root / "meta/stats.json").read_text())
    x = np.concatenate([collected.episode(i, ["observation.x"])["observation.x"] for i in range(6)])
    for name, value in {"min": x.min(0), "max": x.max(0), "mean": x.mean(0), "std": x.std(0)}.items():
        np.testing.assert_allclose(stats["observation.x"][name], value, rtol=1e-12)
    assert "observation.images.rgb" not in stats
    text = (collected.root / "README.md").read_text()
    assert "6 episodes" in text
    assert "| `observation.images.rgb` | image | 8 x 12 x 3 |" in text


def test_checksums_find_a_changed_and_a_missing_file(tmp_path: Path) -> None:
    collect(tmp_path, "limit=1")
    dataset = Dataset(tmp_path / "dataset")
    assert dataset.damaged() == []
    checked = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=dataset.root, check=False)
    assert checked.returncode == 0
    listed = {line.split("  ")[1] for line in checksums(tmp_path).splitlines()}
    there = {p.relative_to(dataset.root).as_posix() for p in dataset.root.rglob("*") if p.is_file()}
    assert there - listed == {"SHA256SUMS"}
    (dataset.root / "meta/stats.json").write_text("{}")
    (dataset.root / "README.md").unlink()
    assert sorted(dataset.damaged()) == ["README.md", "meta/stats.json"]


@pytest.mark.parametrize("executor", [["executor.lanes=3"], ["executor=ray", "executor.workers=2", "executor.lanes=2"]])
def test_workers_and_lanes_change_no_byte(executor: list[str], plain: str, tmp_path: Path) -> None:
    collect(tmp_path, LIMIT, *executor)
    assert checksums(tmp_path) == plain


@pytest.mark.parametrize("kills", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_goes_on_with_nothing_lost_or_doubled(kills: int, tmp_path: Path) -> None:
    slow = ["limit=12", "protocol.work=60"]
    collect(tmp_path / "reference", *slow)
    run_dir, chance = tmp_path / "killed", random.Random(1)
    command = [sys.executable, "-m", "harness"]
    words = ["collect", *TOY, "agent=walker", f"run_dir={run_dir}", *slow]
    for _ in range(kills):
        process = subprocess.Popen([*command, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        before = len(list(run_dir.glob("dataset/shards/*.parquet")))
        while process.poll() is None and len(list(run_dir.glob("dataset/shards/*.parquet"))) < before + 2:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.communicate()
        words = ["resume", str(run_dir)]
        with RunReader(run_dir) as reader:
            recorded = {path.stem for path in run_dir.glob("dataset/shards/*.parquet")}
            assert reader.finished_keys() <= recorded
    assert main(["resume", str(run_dir)]) == 0
    assert checksums(run_dir) == checksums(tmp_path / "reference")
    assert not (run_dir / "dataset/shards").exists()


def test_a_shard_whose_attempt_was_never_recorded_is_replaced(
    plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise StoreError("pulled the plug")

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "record", crash)
        assert collect(tmp_path / "run", LIMIT) == 2
    shards = list((tmp_path / "run/dataset/shards").glob("*.parquet"))
    assert len(shards) == 1
    assert main(["resume", str(tmp_path / "run")]) == 0
    assert checksums(tmp_path / "run") == plain


def test_resuming_draws_no_episodes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.toys import ToyBenchmark

    collect(tmp_path, LIMIT, "repeats=2")
    drawn: list[int] = []
    own = ToyBenchmark.collection
    monkeypatch.setattr(ToyBenchmark, "collection", lambda self, n, *rest: drawn.append(n) or own(self, n, *rest))
    assert main(["resume", str(tmp_path)]) == 0
    assert drawn == []
    assert main(["resume", str(tmp_path), "limit=3"]) == 2
    assert "another list of episodes" in capsys.readouterr().err


def test_episodes_that_differ_in_their_columns_end_the_collection_at_once_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The third of six has a longer vector; only its environment could have told."""
    observe = ToyEnv._observe

    def sized(self: ToyEnv) -> dict[str, Any]:
        return {**observe(self), "goals": np.zeros(3 if self._spec.episode_id == "train-0-002" else 2)}

    monkeypatch.setattr(ToyEnv, "_observe", sized)
    assert collect(tmp_path / "run", LIMIT) == 2
    (told,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "observation.goals is float64 (2,) in train-0-000 and float64 (3,) in train-0-002" in told
    assert "(record=[x,rgb,depth,words,secret] in a new collection), or collect such episodes apart" in told
    shards = tmp_path / "run" / "dataset" / "shards"
    assert told.endswith(f"what was recorded stays in {shards}")
    with RunReader(tmp_path / "run") as reader:
        assert reader.state() == "errors"
        finished = reader.finished_keys()
    assert {path.stem for path in shards.iterdir()} == finished
    assert len(finished) == 2
    assert main(["resume", str(tmp_path / "run")]) == 2
    assert "(2,) in train-0-0" in capsys.readouterr().err
    assert {path.stem for path in shards.iterdir()} == finished
    assert collect(tmp_path / "without", LIMIT, "record=[x,rgb,depth,words,secret]") == 0
    assert len(Dataset(tmp_path / "without" / "dataset")) == 6


def test_shards_that_differ_are_no_dataset_and_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(*_: object) -> None:
        raise StoreError("pulled the plug")

    with monkeypatch.context() as patch:
        patch.setattr(collection, "write_checksums", crash)
        assert collect(tmp_path, "limit=3") == 2
    shards = sorted((tmp_path / "dataset/shards").iterdir())
    pq.write_table(pq.read_table(shards[1]).drop_columns(["action", "observation.secret"]), shards[1])
    capsys.readouterr()
    assert main(["resume", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "observation.secret is " in told
    assert "missing in train-0-00" in told
    assert "type, collect such episodes apart" in told, "an action cannot be left out"
    assert sorted((tmp_path / "dataset/shards").iterdir()) == shards


def test_building_that_was_interrupted_is_done_again(
    plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise StoreError("pulled the plug")

    with monkeypatch.context() as patch:
        patch.setattr(collection, "write_checksums", crash)
        assert collect(tmp_path / "run", LIMIT) == 2
    assert main(["resume", str(tmp_path / "run")]) == 0
    assert checksums(tmp_path / "run") == plain
    assert main(["resume", str(tmp_path / "run")]) == 0
    assert checksums(tmp_path / "run") == plain


def test_errors_are_left_out_and_the_numbering_has_no_gap(tmp_path: Path) -> None:
    assert collect(tmp_path, "limit=4", "protocol.faults=['train-0-001:step:raise']") == 4
    dataset = Dataset(tmp_path / "dataset")
    assert list(dataset.episodes["episode_id"]) == ["train-0-000", "train-0-002", "train-0-003"]
    assert list(dataset.episodes["episode_index"]) == [0, 1, 2]
    assert dataset.damaged() == []


def test_given_up_it_goes_on_with_nothing_lost(tmp_path: Path) -> None:
    faults = "protocol.faults=['train-0-001:step:raise','train-0-002:step:raise']"
    words = ("limit=6", faults, "errors.attempts=1")
    assert collect(tmp_path / "all", *words) == 4
    assert collect(tmp_path / "run", *words, "errors.stop_after=2") == 4
    with pytest.raises(DatasetError):
        Dataset(tmp_path / "run" / "dataset")
    assert main(["resume", str(tmp_path / "run")]) == 4
    assert len(Dataset(tmp_path / "run" / "dataset")) == 4
    assert checksums(tmp_path / "run") == checksums(tmp_path / "all")


def test_large_collections_are_cut_into_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "FILE_BYTES", 6000)
    monkeypatch.setattr(collection, "FILES_PER_CHUNK", 2)
    collect(tmp_path / "small", LIMIT)
    monkeypatch.undo()
    collect(tmp_path / "large", LIMIT)
    small, large = Dataset(tmp_path / "small/dataset"), Dataset(tmp_path / "large/dataset")
    assert len(list((small.root / "data").rglob("*.parquet"))) > 2
    assert (small.root / "data/chunk-001").is_dir()
    for number in range(6):
        assert small.table(number).equals(large.table(number))


def test_only_what_is_asked_for_is_recorded(tmp_path: Path) -> None:
    assert collect(tmp_path, "record=[rgb,secret]", "images=jpeg", "limit=1", agent="watcher") == 0
    dataset = Dataset(tmp_path / "dataset")
    assert {name for name in dataset.info["features"] if name.startswith("observation.")} == {
        "observation.images.rgb",
        "observation.secret",
    }
    assert dataset.table(0)["observation.images.rgb"][0].as_py()["bytes"].startswith(b"\xff\xd8")


def test_an_agent_sees_what_it_declares_and_acts_as_if_nobody_watched(tmp_path: Path) -> None:
    collect(tmp_path / "all", "limit=3", agent="watcher")
    collect(tmp_path / "little", "limit=3", "record=[x]", agent="watcher")
    everything, little = Dataset(tmp_path / "all/dataset"), Dataset(tmp_path / "little/dataset")
    for number in range(3):
        columns = ["action", "observation.x"]
        assert everything.table(number, columns).equals(little.table(number, columns))


def test_an_unknown_observation_is_an_error_that_names_what_there_is(tmp_path: Path) -> None:
    assert collect(tmp_path, "record=[x]", "limit=1", agent="walker") == 0
    assert collect(tmp_path / "b", "record=[rgbb]", "limit=1", "errors.attempts=1") == 4
    with RunReader(tmp_path / "b") as reader:
        message = reader.attempts()["error_message"][0]
    assert "'rgbb' is to be recorded, but the environment observes x, rgb" in message


def test_play_is_labelled_by_what_the_agent_reports(tmp_path: Path) -> None:
    assert collect(tmp_path, "limit=2", "protocol.goal=50", agent="player") == 0
    dataset = Dataset(tmp_path / "dataset")
    assert dataset.labels.to_dict("records") == [
        {
            "episode_index": i,
            "start": 1,
            "end": 3,
            "task": "forward",
            "instruction": "go forward",
            "source": "agent",
        }
        for i in range(2)
    ]
    texts = [dataset.tasks[index] for index in dataset.episode(0)["task_index"]]
    assert texts == ["play", "go forward", "go forward", *["play"] * 4]


class Stumbler(Player):
    """Raises in one episode, after it has said what it did there."""

    def decide(self, memory: list[float], view: TaskView, observation: Observation, rng: np.random.Generator) -> Action:
        if len(memory) == 4 and "train-0-001" in view.seeds.episode_key:
            raise RuntimeError("stumbled")
        return super().decide(memory, view, observation, rng)


def test_labels_of_an_episode_that_ended_in_an_error_are_left_out(tmp_path: Path) -> None:
    target = f"agent._target_={Stumbler.__module__}.Stumbler"
    assert collect(tmp_path, "limit=3", "protocol.goal=50", "errors.attempts=1", target, agent="player") == 4
    with RunReader(tmp_path) as reader:
        assert len(reader.events(final=True, kind="label")) == 3
    dataset = Dataset(tmp_path / "dataset")
    assert list(dataset.episodes["episode_id"]) == ["train-0-000", "train-0-002"]
    assert list(dataset.labels["episode_index"]) == [0, 1]


@pytest.mark.parametrize(
    ("error", "code", "ending"), [(ValueError, None, "errors"), (KeyboardInterrupt, 3, "interrupted")]
)
def test_a_session_ends_also_where_building_fails(
    error: type[BaseException], code: int | None, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error("while building")

    monkeypatch.setattr(collection, "write_checksums", fail)
    if code is None:
        with pytest.raises(error, match="while building"):
            collect(tmp_path, "limit=1")
    else:
        assert collect(tmp_path, "limit=1") == code
    with RunReader(tmp_path) as reader:
        assert reader.state() == ending


def test_a_collection_is_no_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collect(tmp_path / "a", "limit=1")
    main(["run", *TOY, "agent=walker", f"run_dir={tmp_path / 'b'}", "limit=1"])
    with RunReader(tmp_path / "a") as a, RunReader(tmp_path / "b") as b:
        assert a.is_collection
        assert not b.is_collection
        assert a.meta("protocol_hash") != b.meta("protocol_hash")
        assert a.meta("deviations")[0] == "a collection of training data, not an evaluation"
        assert {p.spec.episode_id for p in a.plan()}.isdisjoint({p.spec.episode_id for p in b.plan()})
    capsys.readouterr()
    assert main(["report", str(tmp_path / "b"), str(tmp_path / "a")]) == 2
    assert "is a collection of training data, not an evaluation" in capsys.readouterr().err
    assert not (tmp_path / "b/dataset").exists()


def test_play_cannot_be_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *TOY, "agent=player", f"run_dir={tmp_path / 'x'}"]) == 2
    assert "use `harness collect`" in capsys.readouterr().err
    assert not (tmp_path / "x" / STORE_NAME).exists()


def test_a_benchmark_without_training_episodes_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.toys import ToyBenchmark

    monkeypatch.setattr(ToyBenchmark, "collection", Benchmark.collection)
    assert collect(tmp_path) == 2
    assert "toy has no training episodes to collect from" in capsys.readouterr().err


def test_several_values_make_several_datasets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert collect(tmp_path, "limit=1", "seed=1,2") == 0
    folders = [Path(line) for line in capsys.readouterr().out.splitlines()]
    ids = [Dataset(folder / "dataset").episodes["episode_id"][0] for folder in folders]
    assert ids == ["train-1-000", "train-2-000"]


def test_folders_of_a_sweep_say_what_differs(tmp_path: Path) -> None:
    assert collect(tmp_path, "limit=1", "protocol.max_steps=3,4") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy-toy-walker-s0-3", "toy-toy-walker-s0-4"]


def test_the_short_key_scene_is_the_protocols(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert collect(tmp_path, "scene=A") == 2
    assert "unknown key protocol.scene" in capsys.readouterr().err


def test_speed_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collect(tmp_path, "limit=2")
    err = capsys.readouterr().err
    assert "steps/s" in err
    assert "2 episodes," in err


def test_no_dataset_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no complete dataset"):
        Dataset(tmp_path)


def test_there_is_no_such_episode(collected: Dataset) -> None:
    with pytest.raises(IndexError, match="has 6 episodes, there is no episode 6"):
        collected.table(6)


@given(
    st.one_of(
        hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))),
        hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(0, 20, width=32)),
        hnp.arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    )
)
def test_pictures_keep_every_bit(image: np.ndarray) -> None:
    decoded = decode_image(encode_image(image))
    assert decoded.dtype == image.dtype
    np.testing.assert_array_equal(decoded, image)


def test_a_picture_that_no_format_holds_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no picture format for float64 \(3, 3\)"):
        encode_image(np.zeros((3, 3)))


def test_columns_are_typed(collected: Dataset) -> None:
    schema = pq.read_schema(collected.root / "data/chunk-000/file-000.parquet")
    assert schema.field("action").type == pa.list_(pa.float64(), 2)
    assert schema.field("observation.images.rgb").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
