"""Datasets in memory: pictures, actions and ground truth of all episodes, row after row."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.thinkjepa.config import EncoderConfig
from agents.thinkjepa.images import looked_at
from agents.thinkjepa.training.config import DataConfig, TrainingError
from agents.thinkjepa.training.draws import rng
from agents.thinkjepa.training.sources import Rows, Source, open_source
from harness.dataset import IMAGE_PREFIX

OBJECTS = "object_states"
_POSE = 7  # position and quaternion
_TRUTH = tuple(f"observation.{name}" for name in (OBJECTS, "scene", "subgoals", "holds"))

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


def open_data(data: DataConfig, wanted: Sequence[str] = ()) -> Opened:
    """Check that sources hold what is asked for.

    Args:
        data: Which.
        wanted: Observations that must be there besides pictures; ground truth is read wherever it is.

    Raises:
        TrainingError: A source is no dataset, lacks what is asked for, or sources do not fit together.
    """
    resolved = [path.resolve() for path in data.sources]
    twice = next((path for path in resolved if resolved.count(path) > 1), None)
    if twice is not None:
        raise TrainingError(
            f"data.sources: {twice} is given twice; what is held out of one would be learnt from the other"
        )
    sources = [open_source(path) for path in data.sources]
    first = sources[0]
    for source in sources:
        _check(source, data.image, wanted)
        if source.info["robot_type"] != first.info["robot_type"] or source.action_shape != first.action_shape:
            raise TrainingError(
                f"data.sources: {source.path} is of {source.info['robot_type']} with actions {source.action_shape}, "
                f"{first.path} of {first.info['robot_type']} with {first.action_shape}; train on one kind of data"
            )
    return Opened(data, tuple(wanted), sources, str(first.info["robot_type"]), int(np.prod(first.action_shape)))


def _check(source: Source, image: str, wanted: Sequence[str]) -> None:
    pictures = [name.removeprefix(IMAGE_PREFIX) for name in source.columns if name.startswith(IMAGE_PREFIX)]
    if image not in pictures:
        raise TrainingError(f"data.image={image}: {source.path} has {', '.join(pictures) or 'no pictures'}")
    missing = [name for name in wanted if f"observation.{name}" not in source.columns]
    if missing:
        raise TrainingError(
            f"objective.state: {source.path} has no observation {missing[0]!r}; collect it (record=[...]) or give "
            "objective.state=[] objective.weights.state=0"
        )


@dataclass(frozen=True)
class Opened:
    """Sources that fit together, not read yet.

    Attributes:
        config: Which they are.
        wanted: Observations that are read besides pictures and ground truth.
        sources: One per path.
        benchmark: What the data are of.
        action_dim: Components of one action of the environment.
    """

    config: DataConfig
    wanted: tuple[str, ...]
    sources: Sequence[Source]
    benchmark: str
    action_dim: int

    def read(self, encoder: EncoderConfig, seed: int) -> Recordings:
        """Read everything; pictures become what ``encoder`` sees of them, ``seed`` says what is held out.

        Raises:
            TrainingError: There are too few episodes.
        """
        wanted = [f"observation.{name}" for name in self.wanted if name != OBJECTS]
        reading = _Reading(encoder, wanted)
        for source in self.sources:
            names = ["action", *wanted, *(name for name in _TRUTH if name in source.columns)]
            for rows in source.episodes(self.config.image, names, self.config.limit):
                reading.add(rows)
        return reading.finish(self.benchmark, self.config.held_out, seed)


class _Reading:
    """Recordings that grow episode by episode."""

    def __init__(self, encoder: EncoderConfig, wanted: Sequence[str]) -> None:
        self.encoder = encoder
        self.pictures: list[npt.NDArray[np.uint8]] = []
        self.actions: list[Floats] = []
        self.numbers: dict[str, list[Floats]] = {name: [] for name in wanted}
        self.objects: list[dict[str, Floats]] = []
        self.facts: list[dict[str, Any]] = []

    def add(self, rows: Rows) -> None:
        """One episode."""
        columns = rows.columns
        size, crop = self.encoder.image_size, self.encoder.crop
        self.pictures.append(np.stack([looked_at(picture, size, crop) for picture in rows.pictures]))
        self.actions.append(_numbers(columns["action"]))
        for name, values in self.numbers.items():
            values.append(_numbers(columns[name]))
        scene = json.loads(columns["observation.scene"][0]) if "observation.scene" in columns else {}
        objects = [spec["name"] for spec in scene.get("objects", ())]
        if scene and f"observation.{OBJECTS}" in columns:
            poses = _numbers(columns[f"observation.{OBJECTS}"]).reshape(len(rows.pictures), -1, _POSE)
            self.objects.append({name: poses[:, slot, :3] for slot, name in enumerate(objects)})
        places = {zone["name"]: (*zone["centre"][:2], 0.0) for zone in scene.get("zones", ())}
        facts: dict[str, Any] = {"places": places}
        if {"observation.subgoals", "observation.holds"} <= set(columns):
            known = {*objects, *places}
            stated = json.loads(columns["observation.subgoals"][0])
            facts["subgoals"] = [(kind, text, _things(literals, known)) for kind, text, literals in stated]
            holds = [np.frombuffer(row.encode(), np.uint8) == ord("1") for row in columns["observation.holds"]]
            facts["holds"] = np.stack(holds)
        self.facts.append(facts)

    def finish(self, benchmark: str, share: float, seed: int) -> Recordings:
        """All of it, with a ``share`` of episodes held out."""
        count = len(self.pictures)
        if count < 2:
            raise TrainingError(f"data.sources hold {count} episodes; two are needed, one of them to measure on")
        held_out = np.zeros(count, bool)
        held_out[rng(seed, "held out").permutation(count)[: min(max(1, round(share * count)), count - 1)]] = True
        stops = np.cumsum([len(pictures) for pictures in self.pictures])
        episodes = [
            Episode(int(stop) - len(pictures), int(stop), bool(out), **facts)
            for pictures, stop, out, facts in zip(self.pictures, stops, held_out, self.facts, strict=True)
        ]
        observations = {name.removeprefix("observation."): np.concatenate(v) for name, v in self.numbers.items()}
        names: tuple[str, ...] = ()
        if len(self.objects) == count:
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


def _numbers(values: npt.NDArray[Any]) -> Floats:
    """``(T, ...)`` as ``(T, K)``."""
    return np.asarray(values, np.float32).reshape(len(values), -1)


def _things(literals: Sequence[Sequence[str]], known: Collection[str]) -> tuple[str, ...]:
    """The known things that literals ``[predicate, argument, ...]`` name, each once."""
    return tuple(dict.fromkeys(word for literal in literals for word in literal if word in known))
