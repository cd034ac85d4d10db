"""Record an episode while it runs, in the worker: pictures are encoded at once, so that memory stays small."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.dataset import IMAGE_TYPE, ImageFormat, column_name, encode_image, is_image, resized
from harness.interfaces import Observation, Stage

SHAPES_KEY = "shapes"
"""Schema metadata of a recording: JSON of the shapes of observations and actions."""


@dataclass(frozen=True)
class RecordingRequest:
    """What to record.

    Attributes:
        keys: Observations; ``None`` for all that the environment makes.
        images: ``png`` (lossless) or ``jpeg``, for RGB pictures.
        image_size: Side in pixels of recorded RGB pictures (`harness.dataset.resized`); ``None`` as they are observed.
    """

    keys: tuple[str, ...] | None
    images: ImageFormat
    image_size: int | None = None


class EpisodeRecorder:
    """Grows by one row per action; see `harness.dataset` for the columns.

    Call ``observe`` before the action is executed, ``act`` after it.
    """

    def __init__(self, request: RecordingRequest, control_hz: float | None) -> None:
        self._images = request.images
        self._image_size = request.image_size
        self._keys = request.keys
        self._seconds = 1.0 / control_hz if control_hz else 1.0
        self._cells: dict[str, list[Any]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._actions: list[npt.NDArray[Any]] = []
        self._rows: list[tuple[int, str, str, bool, float]] = []

    def observe(self, observation: Observation) -> None:
        """Keep an observation.

        Raises:
            KeyError: It lacks a key that is to be recorded.
            ValueError: A value cannot be stored.
        """
        if self._keys is None:
            self._keys = tuple(observation)
        for key in self._keys:
            if key not in observation:
                raise KeyError(f"{key!r} is to be recorded, but the environment observes {', '.join(observation)}")
            value = self._at_size(observation[key])
            name = column_name(key, value)
            if is_image(value):
                cell: Any = {"bytes": encode_image(value, self._images), "path": None}
            else:
                cell = value if isinstance(value, str) else np.array(value)
            self._cells.setdefault(name, []).append(cell)
            self._shapes.setdefault(name, np.shape(value))

    def _at_size(self, value: Any) -> Any:
        if self._image_size is None or not is_image(value) or value.ndim != 3:
            return value
        return resized(value, self._image_size)

    def act(self, action: npt.NDArray[Any], index: int, stage: Stage, success: bool, progress: float) -> None:
        """Keep the action on the last observation and what came of it."""
        self._actions.append(action)
        self._rows.append((index, stage.task, stage.instruction, success, progress))

    def finish(self, observation: Observation) -> pa.Table | None:
        """All rows, the last one with ``observation`` and no action; ``None`` if nothing was done.

        The columns that only a whole dataset can number (``episode_index``, ``index``, ``task_index``) are missing;
        ``task`` and ``instruction`` of the stage stand in for the last.
        """
        if not self._actions:
            return None
        self.observe(observation)
        actions = [*self._actions, np.zeros_like(self._actions[-1])]
        stages, tasks, instructions, successes, progress = zip(*self._rows, self._rows[-1], strict=True)
        frames = np.arange(len(actions))
        columns = {name: _column(cells, self._shapes[name]) for name, cells in self._cells.items()}
        columns |= {
            "action": _column(actions, actions[0].shape),
            "next.success": pa.array(successes, pa.bool_()),
            "next.progress": pa.array(progress, pa.float32()),
            "is_last": pa.array(frames == len(actions) - 1),
            "stage_index": pa.array(stages, pa.int64()),
            "timestamp": pa.array((frames * self._seconds).astype(np.float32)),
            "frame_index": pa.array(frames, pa.int64()),
            "task": pa.array(tasks, pa.string()),
            "instruction": pa.array(instructions, pa.string()),
        }
        shapes = {name: list(shape) for name, shape in self._shapes.items()} | {"action": list(actions[0].shape)}
        table = pa.table(columns)
        return table.replace_schema_metadata({SHAPES_KEY: json.dumps(shapes)})


def _column(cells: list[Any], shape: tuple[int, ...]) -> Any:
    if isinstance(cells[0], dict):
        return pa.array(cells, IMAGE_TYPE)
    if isinstance(cells[0], str):
        return pa.array(cells, pa.string())
    stacked = np.stack(cells)
    if not shape:
        return pa.array(stacked)
    return pa.FixedSizeListArray.from_arrays(pa.array(stacked.reshape(-1)), int(np.prod(shape)))
