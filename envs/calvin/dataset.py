"""The public layout of CALVIN training data: write it from collected datasets, and read it.

A folder holds one file per frame, ``episode_0000000.npz``, ..., with these arrays:

================  =========================================================================================
``actions``       ``(7,)`` commanded tcp position (m), Euler xyz (rad), gripper (1 open, -1 close)
``rel_actions``   ``(7,)`` the same relative, in units of 0.02 m and 0.05 rad, within [-1, 1]
``robot_obs``     ``(15,)``
``scene_obs``     ``(24,)``
``rgb_static``    ``uint8 (200, 200, 3)``
``rgb_gripper``   ``uint8 (84, 84, 3)``
``depth_static``  ``float32 (200, 200)``, metres
``depth_gripper`` ``float32 (84, 84)``, metres
================  =========================================================================================

``ep_start_end_ids.npy`` ``(N, 2)`` has the first and last frame of each recording (both belong to it), and
``lang_annotations/auto_lang_ann.npy`` a pickled dictionary of language labels. Source: the public dataset's README and
data collection. Tactile images are not made, and language embeddings are left to the user (``emb`` has no columns).

``python -m envs.calvin.dataset DATASET... --public DIR`` converts what ``harness collect benchmark=calvin`` recorded.
"""

from __future__ import annotations

import argparse
import io
import pickle
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from envs.calvin.robot import ORIENTATION_SCALE, POSITION_SCALE
from harness.dataset import IMAGE_PREFIX, Dataset, DatasetError

Array = npt.NDArray[Any]

IMAGE_KEYS = ("rgb_static", "rgb_gripper", "depth_static", "depth_gripper")
STATE_KEYS = ("robot_obs", "scene_obs")
LABELS_FILE = Path("lang_annotations") / "auto_lang_ann.npy"
SESSIONS_FILE = Path("ep_start_end_ids.npy")
SCENES_FILE = Path("scene_info.npy")


class UnsafePickleError(ValueError):
    """A pickle asks for something else than arrays and containers; nothing of it was executed."""


@dataclass(frozen=True)
class PublicLabel:
    """A labelled stretch.

    Attributes:
        task: Name of the task.
        instruction: What was done, in words.
        start: First frame.
        end: Last frame, which belongs to it.
    """

    task: str
    instruction: str
    start: int
    end: int


# --------------------------------------------------------------------------------------------------- reading


class PublicDataset:
    """Reads a folder in the public layout, official or written here.

    Args:
        root: Folder with ``episode_*.npz``, for example ``task_D_D/training``.

    Raises:
        FileNotFoundError: It has no ``ep_start_end_ids.npy``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        path = root / SESSIONS_FILE
        if not path.is_file():
            raise FileNotFoundError(
                f"{root} is no CALVIN dataset: {SESSIONS_FILE} is missing; name training/ or validation/"
            )
        self.sessions: npt.NDArray[np.int64] = np.asarray(np.load(path), np.int64).reshape(-1, 2)
        """First and last frame of each recording, ``(N, 2)``."""

    def frame(self, index: int) -> dict[str, Array]:
        """The arrays of one frame.

        Raises:
            FileNotFoundError: There is no such frame.
            ValueError: Its file is damaged.
        """
        path = self.root / f"episode_{index:07d}.npz"
        try:
            with np.load(path) as arrays:  # without allow_pickle: object arrays are refused
                return {key: arrays[key] for key in arrays.files}
        except (zipfile.BadZipFile, EOFError) as error:
            raise ValueError(f"{path} is damaged ({error}); download or convert it again") from error

    def frames(self, start: int, end: int) -> Iterator[dict[str, Array]]:
        """Frames ``start`` to ``end``, both included."""
        return (self.frame(index) for index in range(start, end + 1))

    def labels(self) -> list[PublicLabel]:
        """The language labels; none if the folder has no annotations.

        Raises:
            UnsafePickleError: The file holds more than arrays and containers.
            ValueError: It is not laid out as annotations are.
        """
        path = self.root / LABELS_FILE
        if not path.is_file():
            return []
        content = load_object(path)
        try:
            language, ranges = content["language"], content["info"]["indx"]
            rows = zip(language["task"], language["ann"], ranges, strict=True)
            return [PublicLabel(str(task), str(text), int(a), int(b)) for task, text, (a, b) in rows]
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"{path} is not laid out as CALVIN annotations are: {error!r}") from error


def load_object(path: Path) -> Any:
    """The Python object in a ``.npy`` file, as ``np.load(path, allow_pickle=True).item()``, but without its danger.

    Raises:
        UnsafePickleError: The pickle asks for anything but NumPy arrays, scalars and builtin containers.
        ValueError: The file is not a ``.npy`` file with one object.
    """
    with path.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"{path} has .npy version {version}; versions 1.0 and 2.0 can be read")
        shape, _, dtype = readers[version](stream)
        if dtype != np.dtype(object) or shape != ():
            raise ValueError(f"{path} holds an array {dtype} {shape}, not one pickled object")
        try:
            array = _ArrayUnpickler(stream).load()
        except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, TypeError) as error:
            raise ValueError(f"{path} holds a damaged pickle: {error}") from error
    return array.item() if isinstance(array, np.ndarray) else array


class _ArrayUnpickler(pickle.Unpickler):
    """Knows how to put arrays and scalars together, and nothing else."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        reconstruct, scalar = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
        self._known: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): _latin1,
        }
        for module in ("builtins", "__builtin__"):  # containers that have no opcode of their own
            self._known |= {(module, "set"): set, (module, "frozenset"): frozenset}
        for module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # before and after NumPy 2
            self._known[module, "_reconstruct"] = reconstruct
            self._known[module, "scalar"] = scalar

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may name.

        Raises:
            UnsafePickleError: for everything else.
        """
        if (module, name) not in self._known:
            raise UnsafePickleError(
                f"the pickle asks for {module}.{name}, which language annotations do not need; it was not loaded. "
                "Do not open this file with allow_pickle"
            )
        return self._known[module, name]


def _latin1(text: str, encoding: str) -> bytes:
    """How old pickles spell bytes."""
    if encoding != "latin1":
        raise UnsafePickleError(f"the pickle asks for the codec {encoding}")
    return text.encode(encoding)


# --------------------------------------------------------------------------------------------------- writing


def write_public(datasets: Sequence[Path], destination: Path, report: Callable[[str], None] = print) -> int:
    """Convert collected datasets to one folder in the public layout.

    Args:
        datasets: Folders that ``harness collect`` made (``RUN/dataset``), one scene each; scenes follow one another.
        destination: A folder that does not exist yet, such as ``task_ABC_D/training``.
        report: Gets one line per dataset.

    Returns:
        The number of frames.

    Raises:
        FileExistsError: ``destination`` exists.
        DatasetError: A dataset is not from CALVIN, or lacks observations that the layout has.
    """
    opened = [_checked(Dataset(path)) for path in datasets]
    if destination.exists():
        raise FileExistsError(f"{destination} exists; name a new folder")
    partial = destination.with_name(destination.name + ".part")
    (partial / LABELS_FILE.parent).mkdir(parents=True)
    sessions: list[tuple[int, int]] = []
    labels: list[PublicLabel] = []
    scenes: dict[str, list[int]] = {}
    first = 0
    for dataset in opened:
        before = first
        for episode in range(len(dataset)):
            count = _write_episode(dataset, episode, partial, first)
            own = dataset.labels[dataset.labels["episode_index"] == episode]
            labels += [
                PublicLabel(row["task"], row["instruction"], first + row["start"], first + row["end"] - 1)
                for row in own.to_dict("records")
            ]
            sessions.append((first, first + count - 1))
            first += count
        scene = f"calvin_scene_{dataset.info['collection']['protocol']['scene']}"
        scenes[scene] = [scenes.get(scene, [before])[0], first - 1]
        report(f"{dataset.root}: {first - before} frames")
    np.save(partial / SESSIONS_FILE, np.array(sessions, np.int64).reshape(-1, 2))
    _save_object(partial / SCENES_FILE, scenes)
    _save_object(partial / LABELS_FILE, _annotations(labels))
    partial.rename(destination)
    return first


def _checked(dataset: Dataset) -> Dataset:
    if dataset.info["collection"]["benchmark"] != "calvin":
        raise DatasetError(f"{dataset.root} was collected on {dataset.info['collection']['benchmark']}, not on calvin")
    needed = [f"{IMAGE_PREFIX}{key}" for key in IMAGE_KEYS] + [f"observation.{key}" for key in STATE_KEYS]
    missing = [name for name in needed if name not in dataset.info["features"]]
    if missing:
        raise DatasetError(f"{dataset.root} lacks {missing[0]}; collect it without record= (all observations)")
    return dataset


def _write_episode(dataset: Dataset, episode: int, folder: Path, first: int) -> int:
    """Write one file per action; the observation after the last action has no place in this layout."""
    data = dataset.episode(episode)
    count = len(data["action"]) - 1
    robot = data["observation.robot_obs"]
    if dataset.info["collection"]["protocol"]["action_mode"] == "relative":
        relative = _with_gripper(data["action"][:count])
        absolute = to_absolute(relative, robot[0])
    else:
        absolute = _with_gripper(data["action"][:count])
        relative = to_relative(absolute, robot[:count])
    arrays = {key: data[f"{IMAGE_PREFIX}{key}"] for key in IMAGE_KEYS}
    arrays |= {key: data[f"observation.{key}"] for key in STATE_KEYS}
    for index in range(count):
        frame = {key: values[index] for key, values in arrays.items()}
        content = {"actions": absolute[index], "rel_actions": relative[index], **frame}
        np.savez_compressed(folder / f"episode_{first + index:07d}.npz", allow_pickle=False, **content)
    return count


def _with_gripper(actions: Array) -> npt.NDArray[np.float64]:
    """Actions ``(T, 7)`` with the gripper's entry as the environment reads it: 1 above 0, else -1."""
    result = actions.astype(np.float64)
    result[:, 6] = np.where(result[:, 6] > 0, 1.0, -1.0)
    return result


def to_absolute(relative: npt.NDArray[np.float64], robot_obs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Commanded poses ``(T, 7)`` of relative actions ``(T, 7)`` that start at ``robot_obs`` ``(15,)``.

    Relative actions add up to the commanded pose. It starts at the pose right after the reset, of which ``robot_obs``
    is a measurement one physics step later.
    """
    scale = np.array([POSITION_SCALE] * 3 + [ORIENTATION_SCALE] * 3)
    poses = robot_obs[:6] + np.cumsum(relative[:, :6] * scale, axis=0)
    return np.concatenate([poses, relative[:, 6:]], axis=1)


def to_relative(absolute: npt.NDArray[np.float64], robot_obs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Relative actions ``(T, 7)`` towards poses ``(T, 7)`` from the measured ones ``(T, 15)``, clipped to [-1, 1].

    Source: the public simulator's conversion of recorded actions.
    """
    shift = (absolute[:, :3] - robot_obs[:, :3]) / POSITION_SCALE
    turn = absolute[:, 3:6] - robot_obs[:, 3:6]
    turn = ((turn + np.pi) % (2 * np.pi) - np.pi) / ORIENTATION_SCALE
    return np.concatenate([np.clip(shift, -1, 1), np.clip(turn, -1, 1), absolute[:, 6:]], axis=1)


def _annotations(labels: Sequence[PublicLabel]) -> dict[str, Any]:
    return {
        "language": {
            "ann": [label.instruction for label in labels],
            "task": [label.task for label in labels],
            "emb": np.zeros((len(labels), 1, 0), np.float32),
        },
        "info": {"episodes": [], "indx": [(label.start, label.end) for label in labels]},
    }


def _save_object(path: Path, content: Any) -> None:
    """As the public files are: one pickled object in a ``.npy`` file."""
    holder = np.empty((), dtype=object)
    holder[()] = content
    stream = io.BytesIO()
    np.save(stream, holder, allow_pickle=True)
    path.write_bytes(stream.getvalue())


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of the conversion.

    Raises:
        SystemExit: Something is wrong with the datasets or the destination.
    """
    parser = argparse.ArgumentParser(
        prog="python -m envs.calvin.dataset", description="Collected data in the public layout."
    )
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET", help="RUN/dataset folders, one scene each")
    parser.add_argument(
        "--public", type=Path, required=True, metavar="DIR", help="new folder, such as task_ABC_D/training"
    )
    chosen = parser.parse_args(arguments)
    try:
        frames = write_public(chosen.datasets, chosen.public)
    except (DatasetError, FileExistsError) as error:
        parser.error(str(error))
    print(f"{chosen.public}: {frames} frames")  # noqa: T201


if __name__ == "__main__":
    main()
