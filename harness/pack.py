"""A dataset as one small file, for training on a machine without a simulator: numpy alone reads it.

A pack is a ZIP file of ``.npy`` arrays with one row per frame, in the dataset's order:

``images/<key>``
    ``uint8 (F, S, S, 3)``: each picture less the one before it in its episode, modulo 256; the first of an episode less
    ``background/<key>``, the median of some first pictures. Most of a table stays as it is from one action to the next,
    so this takes a fraction of the space. Nothing is lost but what a smaller size loses (`harness.dataset.resized`).
``columns/<name>``
    A column of numbers ``(F, ...)``.
``codes/<name>``, ``texts/<name>``
    A column of strings: ``int32 (F,)`` into a JSON list, which is kept as the ``uint8`` of its UTF-8.
``meta``
    JSON, kept likewise: ``format_version``, ``info`` (the dataset's ``meta/info.json``), ``tasks``, ``labels`` and
    ``episodes`` (as lists of objects), and ``sha256`` of the dataset's ``SHA256SUMS``.
"""

from __future__ import annotations

import json
import lzma
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from harness.dataset import Dataset

Array = npt.NDArray[Any]

FORMAT_VERSION = 1
_IMAGES = "observation.images."
_SAMPLE = 256
"""First pictures whose median is the background."""


class PackError(Exception):
    """A file is no pack; the message says why."""


@dataclass(frozen=True)
class Pack:
    """What was packed.

    Attributes:
        images: By key, ``uint8 (F, S, S, 3)``.
        columns: Numbers and strings by the dataset's column names, ``(F, ...)``. Equal strings are one object.
        meta: See the top of the file.
    """

    images: Mapping[str, Array]
    columns: Mapping[str, Array]
    meta: Mapping[str, Any]

    def __len__(self) -> int:
        """Frames."""
        return len(self.columns["episode_index"])


def write_pack(dataset: Dataset, path: Path, *, size: int | None = None, columns: Sequence[str] | None = None) -> None:
    """Pack a dataset.

    Args:
        dataset: RGB pictures, numbers and strings.
        path: The file.
        size: Side of packed pictures in pixels; as they are unless given.
        columns: Observations to keep (``observation.…`` names); all unless given. The other columns always are.

    Raises:
        ValueError: A column is not there, or a picture is not RGB.
        DatasetError: A file of the dataset is damaged.
    """
    from harness.dataset import SUMS, file_sha256, resized

    names = [name for name in dataset.info["features"] if columns is None or _kept(name, columns)]
    missing = sorted(set(columns or ()) - set(names))
    if missing:
        raise ValueError(f"{dataset.root} has no column {missing[0]}; it has {', '.join(dataset.info['features'])}")
    if not len(dataset):
        raise ValueError(f"{dataset.root} has no episodes; there is nothing to pack")
    dataset.require_whole()
    parts: dict[str, list[Array]] = {name: [] for name in names}
    for episode in range(len(dataset)):
        for name, values in dataset.episode(episode, names).items():
            if not name.startswith(_IMAGES):
                parts[name].append(values)
                continue
            if values.dtype != np.uint8 or values.ndim != 4:
                raise ValueError(f"{name} is {values.dtype} {values.shape[1:]}; only RGB pictures can be packed")
            parts[name].append(values if size is None else np.stack([resized(image, size) for image in values]))
    whole = {name: np.concatenate(values) for name, values in parts.items()}
    first = whole["frame_index"] == 0
    meta = {
        "format_version": FORMAT_VERSION,
        "info": dataset.info,
        "tasks": dataset.tasks,
        "labels": json.loads(dataset.labels.to_json(orient="records")),
        "episodes": json.loads(dataset.episodes.to_json(orient="records")),
        "sha256": file_sha256(dataset.root / SUMS),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as file:
        _write(file, "meta", _json_bytes(meta))
        for name, values in whole.items():
            if name.startswith(_IMAGES):
                key = name.removeprefix(_IMAGES)
                background = np.median(values[first][:_SAMPLE], axis=0).astype(np.uint8)
                _write(file, f"background/{key}", background)
                _write(file, f"images/{key}", _differences(values, background, first))
            elif values.dtype == object:
                texts = list(dict.fromkeys(values.tolist()))
                number = {text: index for index, text in enumerate(texts)}
                _write(file, f"texts/{name}", _json_bytes(texts))
                _write(file, f"codes/{name}", np.array([number[text] for text in values.tolist()], np.int32))
            else:
                _write(file, f"columns/{name}", values)


def load_pack(path: Path) -> Pack:
    """Read a pack.

    Raises:
        PackError: The file is no pack of this format.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file.items())
            meta = _from_json_bytes(arrays["meta"])
            version = meta["format_version"]
    except (EOFError, OSError, KeyError, TypeError, ValueError, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise PackError(f"{path} is no pack, or damaged: {error}; make one with `harness pack`") from error
    if version != FORMAT_VERSION:
        raise PackError(f"{path} has format version {version}, this harness reads {FORMAT_VERSION}")
    columns = {name.partition("/")[2]: values for name, values in arrays.items() if name.startswith("columns/")}
    first = columns["frame_index"] == 0
    images = {}
    for name, values in arrays.items():
        kind, _, key = name.partition("/")
        if kind == "images":
            images[key] = _summed(values, arrays[f"background/{key}"], first)
        elif kind == "codes":
            columns[key] = np.array(_from_json_bytes(arrays[f"texts/{key}"]), object)[values]
    return Pack(images, columns, meta)


def _kept(name: str, columns: Sequence[str]) -> bool:
    return name in columns or not name.startswith("observation.")


def _differences(images: Array, background: Array, first: Array) -> Array:
    """Each picture less the one before it, modulo 256; where ``first``, less the background."""
    before = np.roll(images, 1, axis=0)
    before[first] = background
    return images - before


def _summed(differences: Array, background: Array, first: Array) -> Array:
    """The inverse of `_differences`, in place."""
    for row, is_first in zip(range(len(differences)), first, strict=True):
        differences[row] += background if is_first else differences[row - 1]
    return differences


def _write(file: zipfile.ZipFile, name: str, values: Array) -> None:
    entry = zipfile.ZipInfo(f"{name}.npy")  # without the time of day: the same data give the same bytes
    entry.compress_type = zipfile.ZIP_LZMA
    with file.open(entry, "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, np.ascontiguousarray(values), allow_pickle=False)


def _json_bytes(data: Any) -> Array:
    return np.frombuffer(json.dumps(data, separators=(",", ":")).encode(), np.uint8)


def _from_json_bytes(values: Array) -> Any:
    return json.loads(values.tobytes())
