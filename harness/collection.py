"""Write what a collecting run records, and put it together as one dataset; `harness.dataset` defines the format.

While the run goes on, each episode is one file below ``dataset/shards/``, complete on disk before the run store says
that the episode is done. When all are done, the shards become the dataset, in the order of the plan, so that the result
does not depend on workers, lanes or interruptions. Building is repeated from the shards if it is interrupted.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harness.datacard import card
from harness.dataset import (
    CARD,
    DATA_PATH,
    EPISODES_PATH,
    FORMAT_VERSION,
    IMAGE_PREFIX,
    IMAGE_TYPE,
    SUMS,
    write_checksums,
)
from harness.recording import SHAPES_KEY
from harness.records import EpisodeResult, Outcome
from harness.store import PlannedEpisode, RunReader, StoreError

DATASET_FOLDER = "dataset"
SHARDS_FOLDER = "shards"
FILE_BYTES = 128 * 2**20
"""A data file is closed when it is larger than this."""
FILES_PER_CHUNK = 1000
_PARQUET: Mapping[str, Any] = {"compression": "zstd", "compression_level": 1, "use_dictionary": False}


class ColumnsError(StoreError):
    """Episodes of one collection do not have the same columns; the message says which, where, and what to do."""


class Shards:
    """The recordings of a run while it goes on.

    Args:
        run_dir: The run's folder; episodes that were recorded before are found there.
        plan: Its episodes.
    """

    def __init__(self, run_dir: Path, plan: Sequence[PlannedEpisode]) -> None:
        self._folder = run_dir / DATASET_FOLDER / SHARDS_FOLDER
        self._names = {planned.key: planned.spec.episode_id for planned in plan}
        self._columns: _Columns | None = None
        for path in sorted(self._folder.glob("*.parquet")):
            if path.stem in self._names:
                self._columns = _Columns(_described(pq.read_schema(path)), self._names[path.stem])
                break

    def write(self, result: EpisodeResult) -> None:
        """Keep the recording of an attempt, if it has one; a later attempt at the same episode replaces it.

        Which columns an episode has, only its environment knows. So this is the first that can be seen of episodes
        that differ: collecting ends there, and not after the last one.

        Raises:
            ColumnsError: Its columns are not those of the episodes before. They stay where they are.
        """
        if result.recording is None:
            return
        found = _Columns(_described(result.recording.schema), self._names[result.key])
        if self._columns is None:
            self._columns = found
        self._columns.require(found, self._folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{result.key}.parquet"
        partial = path.with_suffix(".part")
        with partial.open("wb") as stream:
            pq.write_table(result.recording, stream, **_PARQUET)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        _sync(self._folder)


@dataclass(frozen=True)
class _Columns:
    """What the columns of an episode hold, as ``features`` of ``meta/info.json`` says it."""

    features: Mapping[str, dict[str, Any]]
    episode: str

    def require(self, found: _Columns, shards: Path) -> None:
        """Raise `ColumnsError` unless another episode has the same; ``shards`` holds what has been recorded."""
        names = dict.fromkeys([*self.features, *found.features])
        different = [name for name in names if self.features.get(name) != found.features.get(name)]
        if not different:
            return
        name = different[0]
        here, there = (_in_words(columns.features.get(name)) for columns in (self, found))
        keys = [_key(name) for name in self.features if name.startswith("observation.") and name not in different]
        apart = "collect such episodes apart"
        if all(name.startswith("observation.") for name in different) and keys:
            apart = f"leave it out (record=[{','.join(keys)}] in a new collection), or {apart}"
        raise ColumnsError(
            f"episodes of a dataset have the same columns, but {name} is {here} in {self.episode} and {there} in "
            f"{found.episode}: let the environment give it one shape and type, {apart}; what was recorded stays in "
            f"{shards}"
        )


def _key(column: str) -> str:
    """The observation that a column holds."""
    return column.removeprefix(IMAGE_PREFIX).removeprefix("observation.")


def _in_words(feature: dict[str, Any] | None) -> str:
    return "missing" if feature is None else f"{feature['dtype']} {tuple(feature['shape'])}"


def build_dataset(run_dir: Path, control_hz: float | None) -> Path:
    """Turn the shards of a finished run into its dataset; does nothing if that has been done.

    Args:
        run_dir: A run all of whose episodes are done.
        control_hz: Frames per simulated second, ``None`` where actions are skills.

    Returns:
        The dataset's folder.

    Raises:
        ColumnsError: Episodes differ in their columns; all shards stay.
    """
    root = run_dir / DATASET_FOLDER
    shards = root / SHARDS_FOLDER
    if (root / SUMS).exists():
        shutil.rmtree(shards, ignore_errors=True)
        return root
    for leftover in ("data", "meta"):
        shutil.rmtree(root / leftover, ignore_errors=True)
    with RunReader(run_dir) as reader:
        building = _Building(root, _labels(reader))
        for planned, row in zip(reader.plan(), _records(reader.frame()), strict=True):
            shard = shards / f"{planned.key}.parquet"
            if row["outcome"] in (Outcome.SUCCESS, Outcome.FAILURE) and shard.exists():
                building.add(pq.read_table(shard), planned, row)
        building.finish(reader, control_hz)
    write_checksums(root, _dataset_files(root))
    _sync(root)
    shutil.rmtree(shards, ignore_errors=True)
    return root


@dataclass(frozen=True)
class Label:
    """A stretch ``[start, end)`` of an episode's frames in which ``task`` was done."""

    start: int
    end: int
    task: str
    instruction: str
    source: str


def _labels(reader: RunReader) -> dict[str, list[Label]]:
    """By episode key, of the episodes with a verdict: the stages that succeeded, and what agents reported."""
    final = reader.attempts().query("final == 1 and outcome != 'error'")[["key", "attempt"]]
    specs = {planned.key: planned.spec for planned in reader.plan()}
    labels: dict[str, list[Label]] = {}
    first: dict[tuple[str, int], int] = {}
    frames = dict.fromkeys(specs, 0)
    for row in _records(reader.stages().merge(final, on=["key", "attempt"]).sort_values(["key", "stage"])):
        key, start, end = row["key"], frames[row["key"]], frames[row["key"]] + row["steps"]
        first[key, row["stage"]] = start
        frames[key] = end
        if row["success"]:
            instruction = specs[key].stages[row["stage"]].instruction
            labels.setdefault(key, []).append(Label(start, end, row["task"], instruction, "stage"))
    for row in _records(reader.events().merge(final, on=["key", "attempt"]).query("kind == 'label'")):
        key, data = row["key"], json.loads(row["data"])
        start = first[key, row["stage"]]
        label = Label(start + data["start"], start + data["end"], data["task"], data["instruction"], "agent")
        labels.setdefault(key, []).append(label)
    return {key: sorted(own, key=lambda label: (label.start, label.end)) for key, own in labels.items()}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


@dataclass
class _Building:
    """A dataset that grows episode by episode."""

    root: Path
    labels: Mapping[str, list[Label]]
    tasks: dict[str, int] = field(default_factory=dict)
    episodes: list[dict[str, Any]] = field(default_factory=list)
    label_rows: list[dict[str, Any]] = field(default_factory=list)
    frames: int = 0
    features: dict[str, Any] = field(default_factory=dict)
    _columns: _Columns | None = None
    _stats: dict[str, _Moments] = field(default_factory=dict)
    _writer: Any = None
    _file: int = -1

    def add(self, shard: pa.Table, planned: PlannedEpisode, row: Mapping[str, Any]) -> None:
        """Append one episode."""
        number, length = len(self.episodes), shard.num_rows
        own = self.labels.get(planned.key, [])
        instructions = shard["instruction"].to_pylist()
        for label in own:
            instructions[label.start : label.end] = [label.instruction] * (label.end - label.start)
            self.label_rows.append({"episode_index": number, **vars(label)})
        indices = [self.tasks.setdefault(text, len(self.tasks)) for text in instructions]
        columns = _Columns(_described(shard.schema), planned.spec.episode_id)
        if self._columns is None:
            self._columns = columns
        self._columns.require(columns, self.root / SHARDS_FOLDER)
        table = shard.drop_columns(["task", "instruction"]).replace_schema_metadata(None)
        for name, values in (
            ("episode_index", np.full(length, number)),
            ("index", np.arange(self.frames, self.frames + length)),
            ("task_index", np.array(indices)),
        ):
            table = table.append_column(name, pa.array(values, pa.int64()))
        if not self.features:
            self._describe(table, columns)
        self._write(table)
        for name in self._stats:
            self._stats[name].add(_numbers(table[name]))
        spec = planned.spec
        self.episodes.append(
            {
                "episode_index": number,
                "tasks": list(dict.fromkeys(instructions)),
                "length": length,
                "data/chunk_index": self._file // FILES_PER_CHUNK,
                "data/file_index": self._file % FILES_PER_CHUNK,
                "dataset_from_index": self.frames,
                "dataset_to_index": self.frames + length,
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
                "episode_id": spec.episode_id,
                "repeat": planned.repeat,
                "seed": spec.seed,
                "success": bool(row["success"]),
                "progress": float(row["progress"]),
                "steps": int(row["steps"]),
                "stages_completed": int(row["stages_completed"]),
                **{f"meta.{k}": v for k, v in spec.meta.items() if isinstance(v, str | int | float | bool)},
            }
        )
        self.frames += length

    def _describe(self, table: pa.Table, columns: _Columns) -> None:
        of_numbers = {column.name: _feature(column.type, []) for column in table.schema}
        self.features = {name: columns.features.get(name, of_numbers[name]) for name in table.column_names}
        self._stats = {n: _Moments() for n, f in self.features.items() if f["dtype"] not in ("image", "string")}

    def _write(self, table: pa.Table) -> None:
        """One row group per episode, so that each can be read alone."""
        if self._writer is None:
            self._file += 1
            path = self.root / DATA_PATH.format(
                chunk_index=self._file // FILES_PER_CHUNK, file_index=self._file % FILES_PER_CHUNK
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("wb")
            self._writer = pq.ParquetWriter(self._stream, table.schema, **_PARQUET)
        self._writer.write_table(table, row_group_size=table.num_rows)
        if self._stream.tell() >= FILE_BYTES:
            self._close_file()

    def _close_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._stream.close()
            self._writer = None

    def finish(self, reader: RunReader, control_hz: float | None) -> None:
        """Write everything but the checksums."""
        self._close_file()
        (self.root / EPISODES_PATH).parent.mkdir(parents=True)
        meta = self.root / "meta"
        pd.DataFrame(self.episodes).to_parquet(self.root / EPISODES_PATH)
        index = pd.Index(list(self.tasks), name="task", dtype="object")
        pd.DataFrame({"task_index": list(self.tasks.values())}, index=index).to_parquet(meta / "tasks.parquet")
        columns = ["episode_index", "start", "end", "task", "instruction", "source"]
        pd.DataFrame(self.label_rows, columns=columns).to_parquet(meta / "labels.parquet")
        stats = {name: moments.summary() for name, moments in self._stats.items()} if self.frames else {}
        (meta / "stats.json").write_text(json.dumps(stats, indent=1))
        identity = reader.identity
        info = {
            "codebase_version": "v3.0",
            "robot_type": identity.benchmark,
            "total_episodes": len(self.episodes),
            "total_frames": self.frames,
            "total_tasks": len(self.tasks),
            "chunks_size": FILES_PER_CHUNK,
            "fps": control_hz or 1,
            "splits": {"train": f"0:{len(self.episodes)}"},
            "data_path": DATA_PATH,
            "video_path": None,
            "features": self.features,
            "collection": {
                "format_version": FORMAT_VERSION,
                "benchmark": identity.benchmark,
                "protocol": dict(identity.protocol),
                "fingerprint": dict(identity.fingerprint),
                "agent": dict(identity.agent),
                "privileged_agent": bool(reader.meta("privileged")),
                "seed": identity.seed,
                "run_key": identity.run_key,
                "deviations": reader.meta("deviations"),
                "skill_actions": control_hz is None,
                "git": (reader.sessions()[0]["provenance"].get("git") or {}).get("commit"),
            },
        }
        (meta / "info.json").write_text(json.dumps(info, indent=1))
        (self.root / CARD).write_text(card(info, self.episodes, self.label_rows))


@dataclass
class _Moments:
    """Running minimum, maximum, mean and deviation of the rows of a column ``(N, D)``."""

    count: int = 0
    low: Any = None
    high: Any = None
    mean: Any = 0.0
    squares: Any = 0.0

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Take in more rows (Chan's update of the sum of squares, which does not cancel)."""
        low, high, mean = values.min(axis=0), values.max(axis=0), values.mean(axis=0)
        self.low = low if self.low is None else np.minimum(self.low, low)
        self.high = high if self.high is None else np.maximum(self.high, high)
        total, shift = self.count + len(values), mean - self.mean
        own = ((values - mean) ** 2).sum(axis=0)
        self.squares = self.squares + own + shift**2 * self.count * len(values) / total
        self.mean = self.mean + shift * len(values) / total
        self.count = total

    def summary(self) -> dict[str, list[float]]:
        """As LeRobot keeps statistics."""
        spread = np.sqrt(self.squares / self.count)
        named = {"min": self.low, "max": self.high, "mean": self.mean, "std": spread}
        return {name: np.asarray(value).tolist() for name, value in named.items()} | {"count": [self.count]}


def _described(recording: Any) -> dict[str, dict[str, Any]]:
    """The features of a recording, from its schema."""
    shapes = json.loads(recording.metadata[SHAPES_KEY.encode()])
    return {column.name: _feature(column.type, shapes.get(column.name, [])) for column in recording}


def _feature(kind: Any, shape: list[int]) -> dict[str, Any]:
    if kind == IMAGE_TYPE:
        names = ["height", "width", "channels"][: len(shape)]
        return {"dtype": "image", "shape": shape, "names": names}
    if pa.types.is_fixed_size_list(kind):
        return {"dtype": _dtype(kind.value_type), "shape": shape, "names": None}
    return {"dtype": _dtype(kind), "shape": [1], "names": None}


def _dtype(kind: Any) -> str:
    """NumPy's name of an Arrow type."""
    return "string" if pa.types.is_string(kind) else str(np.dtype(kind.to_pandas_dtype()))


def _numbers(column: Any) -> npt.NDArray[np.float64]:
    if pa.types.is_fixed_size_list(column.type):
        flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return np.asarray(flat, np.float64).reshape(len(column), -1)
    return np.asarray(column.to_numpy(), np.float64).reshape(len(column), 1)


def _dataset_files(root: Path) -> Iterator[Path]:
    for folder in (root / "data", root / "meta"):
        yield from sorted(path for path in folder.rglob("*") if path.is_file())
    yield root / CARD


def _sync(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
