"""The format of training data: what ``harness collect`` writes and how to read it back.

A dataset is a folder, laid out as LeRobot datasets of version 3 are, readable with pyarrow or pandas alone:

``data/chunk-000/file-000.parquet``
    One row per frame, one row group per episode, episodes in the order of the plan.

    ==============================  =========================================================================
    ``observation.images.<key>``    ``struct<bytes, path>``: an encoded picture. RGB is PNG (lossless) or JPEG; depth
                                    and segmentation are TIFF (lossless, float32 metres or int32).
    ``observation.<key>``           any other observation: a number, a string, or a list of fixed length (C order)
    ``action``                      the action chosen on this observation, as the environment executed it
    ``next.success``                whether the stage succeeded with this action, by the benchmark's own oracle
    ``next.progress``               share of the stage that was reached after this action
    ``is_last``                     the last row of an episode holds the observation after the last action; its
                                    ``action`` is zero and was not executed
    ``stage_index``                 of the episode
    ``timestamp``                   simulated seconds since the start of the episode (frames where actions are skills)
    ``frame_index``                 within the episode, from 0
    ``episode_index``, ``index``    of the episode, and of the frame within the whole dataset
    ``task_index``                  the instruction that the frame belongs to: that of the label that covers it,
                                    else that of its stage
    ==============================  =========================================================================

``meta/info.json``
    Counts, frames per second, shapes and dtypes of all columns, and under ``collection`` where the data come from.
``meta/episodes/chunk-000/file-000.parquet``
    One row per episode: where its rows are, its length, outcome, seed and the scalars of its specification.
``meta/tasks.parquet``
    Instruction (index) and ``task_index``.
``meta/labels.parquet``
    Language labels of stretches: ``episode_index``, ``start``, ``end`` (frames, end exclusive), ``task`` (the
    benchmark's name), ``instruction``, ``source``: ``stage`` (a stage that succeeded) or ``agent`` (reported by the
    agent, checked by the task oracle).
``meta/stats.json``
    Minimum, maximum, mean, standard deviation and count of each numeric column.
``SHA256SUMS``
    Of every file; ``sha256sum -c SHA256SUMS`` checks them.
``README.md``
    The dataset card.

Episodes that ended in an error are not in the dataset; episodes that failed are, marked in ``meta/episodes``.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

FORMAT_VERSION = 1
SUMS, CARD = "SHA256SUMS", "README.md"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES_PATH = Path("meta/episodes/chunk-000/file-000.parquet")
IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
IMAGE_PREFIX = "observation.images."

ImageFormat = Literal["png", "jpeg"]
_JPEG_QUALITY = 95


class DatasetError(Exception):
    """A dataset is not whole or not of this format; the message says what to do."""


def column_name(key: str, value: Any) -> str:
    """The column of an observation: pictures (two or three axes) have a prefix of their own."""
    return f"{IMAGE_PREFIX}{key}" if is_image(value) else f"observation.{key}"


def is_image(value: Any) -> bool:
    """Whether an observation is stored as a picture."""
    return isinstance(value, np.ndarray) and value.ndim >= 2


def resized(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """An RGB picture ``uint8 (H, W, 3)`` at ``size`` x ``size`` pixels, each the mean of the area that it covers.

    What is recorded or packed smaller than it was observed went through here; an agent that was trained on that
    brings its observations to the same size by the same rule.
    """
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BOX))


def encode_image(image: npt.NDArray[Any], image_format: ImageFormat = "png") -> bytes:
    """A picture's file: ``uint8 (H, W, 3)`` as PNG or JPEG, ``uint8 (H, W)`` as PNG, ``float32`` or ``int32 (H, W)`` as
    lossless TIFF.

    Raises:
        ValueError: for other shapes or dtypes.
    """
    stream = io.BytesIO()
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        if image_format == "png":
            Image.fromarray(image).save(stream, "PNG", compress_level=1)  # higher levels: 2 % smaller, twice the time
        else:
            Image.fromarray(image).save(stream, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    elif image.dtype == np.uint8 and image.ndim == 2:
        Image.fromarray(image).save(stream, "PNG", compress_level=1)
    elif image.dtype in (np.float32, np.int32) and image.ndim == 2:
        Image.fromarray(image).save(stream, "TIFF", compression="tiff_adobe_deflate")
    else:
        raise ValueError(f"no picture format for {image.dtype} {image.shape}: record uint8 (H, W, 3) or float32 (H, W)")
    return stream.getvalue()


def decode_image(data: bytes) -> npt.NDArray[Any]:
    """The inverse of `encode_image` (up to JPEG's losses)."""
    return np.array(Image.open(io.BytesIO(data)))


class Dataset:
    """Reads a dataset.

    Args:
        root: Its folder.

    Raises:
        DatasetError: There is no complete dataset.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        path = root / "meta" / "info.json"
        if not path.is_file():
            raise DatasetError(
                f"{root} holds no complete dataset (meta/info.json is missing); `harness resume` its run to complete it"
            )
        try:
            self.info: dict[str, Any] = json.loads(path.read_bytes())
            version = self.info["collection"]["format_version"]
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(
                f"{path} is damaged, or of no dataset that `harness collect` wrote ({type(error).__name__}: {error}); "
                "collect or copy it again"
            ) from error
        if version != FORMAT_VERSION:
            raise DatasetError(f"{root} has format version {version}, this harness reads {FORMAT_VERSION}")

    def __len__(self) -> int:
        """Episodes."""
        return int(self.info["total_episodes"])

    @cached_property
    def episodes(self) -> pd.DataFrame:
        """One row per episode."""
        return pd.read_parquet(self.root / EPISODES_PATH)

    @cached_property
    def labels(self) -> pd.DataFrame:
        """One row per language label."""
        return pd.read_parquet(self.root / "meta" / "labels.parquet")

    @cached_property
    def tasks(self) -> list[str]:
        """Instructions by ``task_index``."""
        table = pd.read_parquet(self.root / "meta" / "tasks.parquet").sort_values("task_index")
        return [str(instruction) for instruction in table.index]

    def table(self, episode: int, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of one episode, pictures still encoded.

        Raises:
            IndexError: There is no such episode.
        """
        if not 0 <= episode < len(self):
            raise IndexError(f"{self.root} has {len(self)} episodes, there is no episode {episode}")
        row = self.episodes.iloc[episode]
        chunk, file = int(row["data/chunk_index"]), int(row["data/file_index"])
        first = int(self.episodes.loc[self._same_file(chunk, file), "episode_index"].min())
        path = self.root / DATA_PATH.format(chunk_index=chunk, file_index=file)
        with pq.ParquetFile(path) as data:
            return data.read_row_group(episode - first, columns=None if columns is None else list(columns))

    def _same_file(self, chunk: int, file: int) -> pd.Series[bool]:
        return (self.episodes["data/chunk_index"] == chunk) & (self.episodes["data/file_index"] == file)

    def episode(self, episode: int, columns: Sequence[str] | None = None) -> dict[str, npt.NDArray[Any]]:
        """One episode as arrays ``(T, ...)`` by column, pictures decoded ``(T, H, W[, 3])``."""
        table = self.table(episode, columns)
        return {name: self._array(name, table[name]) for name in table.column_names}

    def _array(self, name: str, column: Any) -> npt.NDArray[Any]:
        if pa.types.is_struct(column.type):
            return np.stack([decode_image(cell["bytes"]) for cell in column.to_pylist()])
        shape = self.info["features"][name]["shape"]
        if pa.types.is_fixed_size_list(column.type):
            values = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
            return np.asarray(values).reshape(len(column), *shape)
        return np.asarray(column.to_numpy())

    def damaged(self) -> list[str]:
        """Files whose SHA-256 is not the recorded one, or that are missing."""
        if not (self.root / SUMS).is_file():
            return [SUMS]
        return [
            name
            for name, digest in read_checksums(self.root)
            if not (self.root / name).is_file() or file_sha256(self.root / name) != digest
        ]

    def require_whole(self) -> None:
        """Raise `DatasetError` if a file is `damaged`; the card may be edited."""
        damaged = [name for name in self.damaged() if name != CARD]
        if damaged:
            raise DatasetError(
                f"{self.root / damaged[0]} is missing or not what {SUMS} says ({len(damaged)} such files); "
                "collect or copy the dataset again"
            )


def write_checksums(root: Path, files: Iterable[Path]) -> None:
    """Write ``SHA256SUMS`` of files below ``root``: the last file to appear, where it is, all is whole."""
    partial = root / f"{SUMS}.part"
    partial.write_text("".join(f"{file_sha256(path)}  {path.relative_to(root).as_posix()}\n" for path in files))
    partial.replace(root / SUMS)


def read_checksums(root: Path) -> Iterator[tuple[str, str]]:
    """``(file, SHA-256)`` of every line of ``SHA256SUMS``."""
    for line in (root / SUMS).read_text().splitlines():
        digest, _, name = line.partition("  ")
        yield name, digest


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
