"""Datasets in memory: pictures, actions and ground truth of all episodes, row after row."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from agents.thinkjepa.training.config import DataConfig, TrainingError
from agents.thinkjepa.training.draws import rng
from harness.dataset import DATA_PATH, IMAGE_PREFIX, Dataset, DatasetError

OBJECTS = "object_states"
_POSE = 7  # position and quaternion

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Episode:
    """Rows ``start`` to ``stop`` (exclusive); the action of the last one was not executed.

    Attributes:
        start: First row.
        stop: Row after the last.
        held_out: Whether nothing is trained on it.
        places: Position ``(x, y, z)`` in metres of what does not move and has a name, such as zones.
        subgoals: ``(kind, text, names of the things that it is about)`` of each sub-goal of the scene.
        holds: Which of them hold in which row, ``bool (rows, subgoals)``.
    """

    start: int
    stop: int
    held_out: bool
    places: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    subgoals: Sequence[tuple[str, str, tuple[str, ...]]] = ()
    holds: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Recordings:
    """Everything that is trained on.

    Attributes:
        benchmark: What the data are of.
        frames: ``uint8 (rows, S, S, 3)``.
        actions: ``float32 (rows, A)``, in the environment's units.
        episodes: In order.
        observations: Other observations by name: ``float32 (rows, K)``, NaN where unknown. Of `OBJECTS`: x, y and z of
            each of ``names``.
        names: Of objects, sorted.
    """

    benchmark: str
    frames: Tensor
    actions: Floats
    episodes: Sequence[Episode]
    observations: dict[str, Floats]
    names: tuple[str, ...]

    def windows(self, length: int, *, block: int, held_out: bool) -> npt.NDArray[np.int64]:
        """Rows at which windows of ``length`` frames start, ``block`` actions apart, each within one episode."""
        reach = (length - 1) * block
        starts = [np.arange(e.start, e.stop - reach) for e in self.episodes if e.held_out == held_out]
        return np.concatenate([np.empty(0, np.int64), *starts])

    def blocks(self, rows: npt.NDArray[np.int64], block: int) -> Floats:
        """Model actions that start at ``rows`` (any shape): ``(*rows.shape, block * A)``."""
        each = self.actions[np.minimum(rows[..., None] + np.arange(block), len(self.actions) - 1)]
        blocks: Floats = each.reshape(*rows.shape, -1)
        return blocks

    def positions(self) -> npt.NDArray[np.float32] | None:
        """``(rows, objects, 3)`` in metres, NaN where a scene lacks the object; ``None`` without ground truth."""
        states = self.observations.get(OBJECTS)
        return None if states is None else states.reshape(len(states), -1, 3)


@dataclass(frozen=True)
class Sources:
    """Datasets that fit together, not read yet.

    Attributes:
        config: Which they are.
        wanted: Observations that are read besides pictures; `OBJECTS` is read wherever it is.
        datasets: One per folder.
        benchmark: What the data are of.
        action_dim: Components of one action of the environment.
    """

    config: DataConfig
    wanted: tuple[str, ...]
    datasets: Sequence[Dataset]
    benchmark: str
    action_dim: int

    def read(self, image_size: int, seed: int) -> Recordings:
        """Read everything; pictures are brought to ``image_size`` by averaging areas, ``seed`` says what is held out.

        Raises:
            TrainingError: There are too few episodes.
        """
        reading = _Reading(self.config, image_size, self.wanted)
        for dataset in self.datasets:
            for table in _tables(dataset, self.config.limit):
                reading.add(table)
        return reading.finish(self.benchmark, seed)


def open_sources(data: DataConfig, wanted: Sequence[str] = ()) -> Sources:
    """Check that folders hold what is asked for.

    Raises:
        TrainingError: A folder is no dataset, lacks what is asked for, or folders do not fit together.
    """
    datasets = [_opened(folder) for folder in data.folders]
    benchmark = str(datasets[0].info["robot_type"])
    for folder, dataset in zip(data.folders, datasets, strict=True):
        _check(folder, dataset, data.image, wanted)
        if dataset.info["robot_type"] != benchmark or _action_shape(dataset) != _action_shape(datasets[0]):
            raise TrainingError(
                f"data.folders: {folder} is of {dataset.info['robot_type']} with actions {_action_shape(dataset)}, "
                f"{data.folders[0]} of {benchmark} with {_action_shape(datasets[0])}; train on one kind of data"
            )
    return Sources(data, tuple(wanted), datasets, benchmark, int(np.prod(_action_shape(datasets[0]))))


def _opened(folder: Path) -> Dataset:
    for root in (folder, folder / "dataset"):
        if (root / "meta" / "info.json").is_file():
            try:
                return Dataset(root)
            except DatasetError as error:
                raise TrainingError(f"data.folders: {error}") from error
    raise TrainingError(f"data.folders: {folder} holds no complete dataset; make one with `harness collect`")


def _action_shape(dataset: Dataset) -> list[int]:
    return list(dataset.info["features"]["action"]["shape"])


def _check(folder: Path, dataset: Dataset, image: str, wanted: Sequence[str]) -> None:
    features = dataset.info["features"]
    pictures = [name.removeprefix(IMAGE_PREFIX) for name in features if name.startswith(IMAGE_PREFIX)]
    if image not in pictures:
        raise TrainingError(f"data.image={image}: {folder} has {', '.join(pictures) or 'no pictures'}")
    missing = [name for name in wanted if f"observation.{name}" not in features]
    if missing:
        raise TrainingError(
            f"objective.state: {folder} has no observation {missing[0]!r}; collect it (record=[...]) or give "
            "objective.state=[] objective.weights.state=0"
        )


def _tables(dataset: Dataset, limit: int | None) -> Iterator[Any]:
    """The rows of each episode; every file is opened once."""
    episodes = dataset.episodes.head(limit) if limit else dataset.episodes
    for (chunk, file), own in episodes.groupby(["data/chunk_index", "data/file_index"], sort=True):
        with pq.ParquetFile(dataset.root / DATA_PATH.format(chunk_index=chunk, file_index=file)) as data:
            for group in range(len(own)):
                yield data.read_row_group(group)


class _Reading:
    """Recordings that grow episode by episode."""

    def __init__(self, data: DataConfig, image_size: int, wanted: Sequence[str]) -> None:
        self.data = data
        self.image_size = image_size
        self.wanted = [name for name in wanted if name != OBJECTS]
        self.pictures: list[npt.NDArray[np.uint8]] = []
        self.actions: list[Floats] = []
        self.numbers: dict[str, list[Floats]] = {name: [] for name in self.wanted}
        self.objects: list[dict[str, Floats]] = []
        self.facts: list[dict[str, Any]] = []

    def add(self, table: Any) -> None:
        """One episode."""
        cells = table[f"{IMAGE_PREFIX}{self.data.image}"].to_pylist()
        self.pictures.append(np.stack([_picture(cell["bytes"], self.image_size) for cell in cells]))
        self.actions.append(_numbers(table["action"]))
        for name in self.wanted:
            self.numbers[name].append(_numbers(table[f"observation.{name}"]))
        names = table.column_names
        scene = json.loads(table["observation.scene"][0].as_py()) if "observation.scene" in names else {}
        objects = [spec["name"] for spec in scene.get("objects", ())]
        if f"observation.{OBJECTS}" in names:
            poses = _numbers(table[f"observation.{OBJECTS}"]).reshape(len(cells), -1, _POSE)
            self.objects.append({name: poses[:, slot, :3] for slot, name in enumerate(objects)})
        places = {zone["name"]: (*zone["centre"][:2], 0.0) for zone in scene.get("zones", ())}
        facts: dict[str, Any] = {"places": places}
        if {"observation.subgoals", "observation.holds"} <= set(names):
            stated = json.loads(table["observation.subgoals"][0].as_py())
            facts["subgoals"] = [
                (kind, text, _things(literals, {*objects, *places})) for kind, text, literals in stated
            ]
            holds = [
                np.frombuffer(row.encode(), np.uint8) == ord("1") for row in table["observation.holds"].to_pylist()
            ]
            facts["holds"] = np.stack(holds)
        self.facts.append(facts)

    def finish(self, benchmark: str, seed: int) -> Recordings:
        """All of it."""
        count = len(self.pictures)
        if count < 2:
            raise TrainingError(f"data.folders hold {count} episodes; two are needed, one of them to measure on")
        held_out = np.zeros(count, bool)
        held_out[rng(seed, "held out").permutation(count)[: max(1, round(self.data.held_out * count))]] = True
        stops = np.cumsum([len(pictures) for pictures in self.pictures])
        episodes = [
            Episode(int(stop) - len(pictures), int(stop), bool(out), **facts)
            for pictures, stop, out, facts in zip(self.pictures, stops, held_out, self.facts, strict=True)
        ]
        observations = {name: np.concatenate(rows) for name, rows in self.numbers.items()}
        names: tuple[str, ...] = ()
        if self.objects:
            names = tuple(sorted({name for own in self.objects for name in own}))
            observations[OBJECTS] = self._positions(names)
        frames = torch.from_numpy(np.concatenate(self.pictures))
        return Recordings(benchmark, frames, np.concatenate(self.actions), episodes, observations, names)

    def _positions(self, names: Sequence[str]) -> Floats:
        """Every object at the place of its name, whatever its place in the scene."""
        columns = {name: slot for slot, name in enumerate(names)}
        rows = []
        for pictures, own in zip(self.pictures, self.objects, strict=True):
            positions = np.full((len(pictures), len(names), 3), np.nan, np.float32)
            for name, values in own.items():
                positions[:, columns[name]] = values
            rows.append(positions.reshape(len(pictures), -1))
        return np.concatenate(rows)


def _picture(data: bytes, size: int) -> npt.NDArray[np.uint8]:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BOX)
    return np.asarray(image)


def _numbers(column: Any) -> Floats:
    return np.stack([np.atleast_1d(np.asarray(value, np.float32)) for value in column.to_pylist()])


def _things(literals: Sequence[Sequence[str]], known: Collection[str]) -> tuple[str, ...]:
    """The known things that literals ``[predicate, argument, ...]`` name, each once."""
    return tuple(dict.fromkeys(word for literal in literals for word in literal if word in known))
