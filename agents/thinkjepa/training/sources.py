"""Where recordings come from: datasets of `harness collect` and packs of `harness pack`, episode by episode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from agents.thinkjepa.training.config import TrainingError
from harness.dataset import DATA_PATH, IMAGE_PREFIX, Dataset, DatasetError, decode_image
from harness.pack import PackError, load_pack

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Rows:
    """One episode.

    Attributes:
        pictures: ``uint8 (T, H, W, 3)``.
        columns: Other columns ``(T, ...)`` by name; those of strings are of dtype object.
    """

    pictures: Array
    columns: Mapping[str, Array]


class Source(ABC):
    """A dataset, not read yet.

    Attributes:
        path: Its folder or file.
        info: What ``meta/info.json`` holds.
    """

    path: Path
    info: Mapping[str, Any]

    @abstractmethod
    def episodes(self, image: str, names: Sequence[str], limit: int | None) -> Iterator[Rows]:
        """The first ``limit`` episodes (all if ``None``): pictures of the observation ``image``, columns ``names``."""

    @property
    def columns(self) -> list[str]:
        """Their names."""
        return list(self.info["features"])

    @property
    def action_shape(self) -> list[int]:
        """Of one action of the environment."""
        return list(self.info["features"]["action"]["shape"])


def open_source(path: Path) -> Source:
    """The dataset in a folder (or in the folder of the run that collected it), or the pack in a file.

    Raises:
        TrainingError: There is none, or it is damaged.
    """
    try:
        if path.is_file():
            return _Packed(path)
        for root in (path, path / "dataset"):
            if (root / "meta" / "info.json").is_file():
                return _Folder(root)
    except (DatasetError, PackError) as error:
        raise TrainingError(f"data.sources: {error}") from error
    raise TrainingError(f"data.sources: {path} holds no complete dataset; make one with `harness collect`")


class _Folder(Source):
    def __init__(self, root: Path) -> None:
        self.path = root
        self._dataset = Dataset(root)
        self._dataset.require_whole()
        self.info = self._dataset.info

    def episodes(self, image: str, names: Sequence[str], limit: int | None) -> Iterator[Rows]:
        """Every file is opened once."""
        episodes = self._dataset.episodes.head(limit) if limit else self._dataset.episodes
        for (chunk, file), own in episodes.groupby(["data/chunk_index", "data/file_index"], sort=True):
            with pq.ParquetFile(self.path / DATA_PATH.format(chunk_index=chunk, file_index=file)) as data:
                for group in range(len(own)):
                    table = data.read_row_group(group, columns=[f"{IMAGE_PREFIX}{image}", *names])
                    cells = table[f"{IMAGE_PREFIX}{image}"].to_pylist()
                    pictures = np.stack([decode_image(cell["bytes"]) for cell in cells])
                    yield Rows(pictures, {name: _array(table[name]) for name in names})


def _array(column: Any) -> Array:
    if pa.types.is_fixed_size_list(column.type):
        flat: Array = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(len(column), -1)
    return np.asarray(column.to_numpy())


class _Packed(Source):
    def __init__(self, path: Path) -> None:
        self.path = path
        self._pack = load_pack(path)
        self.info = self._pack.meta["info"]

    @property
    def columns(self) -> list[str]:
        """A pack may have fewer than the dataset that it was made of."""
        return [*(f"{IMAGE_PREFIX}{key}" for key in self._pack.images), *self._pack.columns]

    def episodes(self, image: str, names: Sequence[str], limit: int | None) -> Iterator[Rows]:
        """Parts of the arrays."""
        starts = np.flatnonzero(self._pack.columns["frame_index"] == 0)
        stops = np.append(starts[1:], len(self._pack))
        for start, stop in list(zip(starts, stops, strict=True))[:limit]:
            columns = {name: self._pack.columns[name][start:stop].reshape(stop - start, -1) for name in names}
            columns = {name: rows[:, 0] if rows.dtype == object else rows for name, rows in columns.items()}
            yield Rows(self._pack.images[image][start:stop], columns)
