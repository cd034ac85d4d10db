"""The format of plans: what ``harness plans`` writes, reasoners learn from, and answers are judged by.

A set of plans is a folder:

``data/part-00000.parquet``, ...
    One row per question: a picture, an instruction, and the sub-goals that lead from one to the other.

    =============  ==========================================================================================
    ``id``         unique in the set, for example ``tower-h5-00003+2``: an episode after its first two moves
    ``split``      ``train``; ``held_out`` (other episodes of the same templates); ``unseen`` (templates of which
                   nothing is in ``train``); ``evaluation`` (a suite)
    ``template``   what the episode is an instance of; ``family`` is the template's
    ``horizon``    moves of a shortest plan from here
    ``image``      ``struct<bytes, path>``: what the static camera sees, PNG
    ``task``       the instruction
    ``reached``    sub-goals that were reached on the way here, in their order
    ``subgoals``   ``list<struct<text, objects>>``: those of a shortest plan from here
    ``things``     ``list<struct<name, phrase, on, u, v>>``: what is on the table, what it is called, what that is
                   called on which it rests (empty for zones), and where its middle is, 0 to 1 across and down
    ``labels``     ``struct<bytes, path>``: which of them each pixel of ``image`` shows, by its place in ``things``
                   from 1, and 0 where none is seen; PNG of one byte per pixel
    ``problem``    JSON, by which answers are judged: ``scene``, ``goal``, ``rules``
    =============  ==========================================================================================

``info.json``
    Where the set comes from.
``SHA256SUMS``, ``README.md``
    The last files to appear: where they are, the set is whole.

Answers are a JSON file; see `Answers`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from harness.dataset import IMAGE_TYPE, SUMS, decode_image, read_checksums

FORMAT_VERSION = 2
INFO, DATA = "info.json", "data"

Split = Literal["train", "held_out", "unseen", "evaluation"]
SPLITS: tuple[Split, ...] = get_args(Split)

_SUBGOAL = pa.struct([("text", pa.string()), ("objects", pa.list_(pa.string()))])
_THING = pa.struct(
    [("name", pa.string()), ("phrase", pa.string()), ("on", pa.string()), ("u", pa.float32()), ("v", pa.float32())]
)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("template", pa.string()),
        ("family", pa.string()),
        ("horizon", pa.int32()),
        ("image", IMAGE_TYPE),
        ("task", pa.string()),
        ("reached", pa.list_(pa.string())),
        ("subgoals", pa.list_(_SUBGOAL)),
        ("things", pa.list_(_THING)),
        ("labels", IMAGE_TYPE),
        ("problem", pa.string()),
    ]
)
"""Columns of ``data/``."""


class PlansError(ValueError):
    """A set of plans or a file of answers cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Said:
    """A sub-goal: its text, and what it involves."""

    text: str
    objects: tuple[str, ...]


@dataclass(frozen=True)
class Thing:
    """An object or zone; see ``things`` above."""

    name: str
    phrase: str
    on: str
    u: float
    v: float


@dataclass(frozen=True)
class Question:
    """One row; see the top of the file.

    Attributes:
        png: The file of the picture.
        labels_png: The file of its labels.
    """

    id: str
    split: Split
    template: str
    family: str
    horizon: int
    png: bytes
    task: str
    reached: tuple[str, ...]
    subgoals: tuple[Said, ...]
    things: tuple[Thing, ...]
    labels_png: bytes
    problem: str

    def picture(self) -> npt.NDArray[np.uint8]:
        """``uint8 (S, S, 3)``."""
        return decode_image(self.png)

    def labels(self) -> npt.NDArray[np.uint8]:
        """Which thing each pixel shows, ``uint8 (S, S)``: its place in ``things`` from 1, or 0."""
        return decode_image(self.labels_png)

    def coverage(self, grid: tuple[int, int], crop: Sequence[float] = (0, 0, 1, 1)) -> npt.NDArray[np.float32]:
        """Which share of each cell of a grid shows each thing, ``(things, rows * columns)``, row by row.

        Args:
            grid: Rows and columns.
            crop: The part of the picture that the grid divides: left, top, right and bottom from 0 to 1.
        """
        labels = self.labels()
        rows, columns = (
            _overlaps(cells, pixels, start, stop)
            for cells, pixels, start, stop in zip(grid, labels.shape, crop[1::-1], crop[:1:-1], strict=True)
        )
        shows = labels == np.arange(1, len(self.things) + 1)[:, None, None]
        shares: npt.NDArray[np.float32] = rows @ shows.astype(np.float32) @ columns.T
        return shares.reshape(len(self.things), -1)

    def to_row(self) -> dict[str, Any]:
        """As a row of ``data/``."""
        row = asdict(self)
        files = {"image": row.pop("png"), "labels": row.pop("labels_png")}
        return row | {column: {"bytes": file, "path": None} for column, file in files.items()}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Question:
        """From a row of ``data/``."""
        read = {
            "png": row["image"]["bytes"],
            "labels_png": row["labels"]["bytes"],
            "reached": tuple(row["reached"]),
            "subgoals": tuple(Said(said["text"], tuple(said["objects"])) for said in row["subgoals"]),
            "things": tuple(Thing(**thing) for thing in row["things"]),
        }
        return cls(**{key: value for key, value in row.items() if key not in ("image", "labels")} | read)


def _overlaps(cells: int, pixels: int, start: float, stop: float) -> npt.NDArray[np.float32]:
    """Along one side: which share of each cell each pixel is, ``(cells, pixels)``; start and stop from 0 to 1."""
    edges = (start + (stop - start) * np.arange(cells + 1) / cells) * pixels
    pixel = np.arange(pixels)
    common = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (common.clip(0) / np.diff(edges)[:, None]).astype(np.float32)


def read_plans(root: Path, splits: Collection[Split] = SPLITS) -> Iterator[Question]:
    """Questions of some splits, in the order of the set.

    Raises:
        PlansError: There is no complete set of plans, or it is damaged.
    """
    digest(root)
    version = json.loads((root / INFO).read_text()).get("format_version")
    if version != FORMAT_VERSION:
        raise PlansError(
            f"{root} has format version {version}, this harness reads {FORMAT_VERSION}; make the set anew with the "
            "same `harness plans` command, in another folder"
        )
    for name, sum_ in read_checksums(root):
        if name.startswith(DATA):
            data = (root / name).read_bytes()
            if hashlib.sha256(data).hexdigest() != sum_:
                raise PlansError(f"{root / name} is damaged: its SHA-256 is not the recorded one; make the set anew")
            # Threads that read from memory may abort the process when it ends.
            table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
            yield from (Question.from_row(row) for row in table.to_pylist() if row["split"] in splits)


def count_questions(root: Path) -> int:
    """How many questions a set has, by the headers of its files.

    Raises:
        PlansError: There is no complete set of plans.
    """
    digest(root)
    return sum(pq.read_metadata(root / name).num_rows for name, _ in read_checksums(root) if name.startswith(DATA))


def question_ids(root: Path) -> list[str]:
    """The ``id`` of every question, in the order of the set; nothing else is read, and no file is checked.

    Raises:
        PlansError: There is no complete set of plans.
    """
    digest(root)
    files = [root / name for name, _ in read_checksums(root) if name.startswith(DATA)]
    return [id_ for file in files for id_ in pq.read_table(file, columns=["id"])["id"].to_pylist()]


def digest(root: Path) -> str:
    """SHA-256 of ``SHA256SUMS`` (hex), which stands for the whole set.

    Raises:
        PlansError: There is no complete set of plans.
    """
    if not (root / SUMS).is_file() or not (root / INFO).is_file():
        raise PlansError(f"{root} holds no complete set of plans; make it with `harness plans {root} ...`")
    return hashlib.sha256((root / SUMS).read_bytes()).hexdigest()


# ----------------------------------------------------------------------------------------------- answers


@dataclass(frozen=True)
class Answered:
    """What a reasoner answered to a question.

    Attributes:
        id: Of the question.
        seconds: It took.
        subgoals: In the order of the answer; none where it could not be read.
        attention: Where it looked for each of them, ``(grid * grid,)`` with mean 1, row by row; ``None`` if it does
            not say.
        error: Why there is no answer; ``None`` if there is one.
        text: The answer word for word, with the chain of thought; empty where none was generated.
    """

    id: str
    seconds: float
    subgoals: tuple[Said, ...] = ()
    attention: tuple[tuple[float, ...] | None, ...] = ()
    error: str | None = None
    text: str = ""


@dataclass(frozen=True)
class Answers:
    """A file of answers.

    Attributes:
        plans: `digest` of the set of plans that was asked.
        reasoner: What answered, as JSON data.
        crop: The part of the picture that attention is over: left, top, right, bottom, 0 to 1.
        grid: Cells along a side of it.
        answers: In the order of the questions.
    """

    plans: str
    reasoner: Mapping[str, Any]
    crop: tuple[float, float, float, float]
    grid: int
    answers: Sequence[Answered]

    def write(self, path: Path) -> None:
        """Write the file, as a whole or not at all."""
        data = {"format_version": FORMAT_VERSION, **asdict(self)}
        partial = path.with_name(f"{path.name}.part")
        partial.write_text(json.dumps(data, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> Answers:
        """Read a file.

        Raises:
            PlansError: It is no file of answers.
        """
        from pydantic import TypeAdapter, ValidationError  # takes a tenth of a second to import

        remedy = "write it with `harness answer`"
        try:
            text = path.read_bytes()
            data = json.loads(text)
            if isinstance(data, dict) and data.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
                raise PlansError(f"{path} is of another version; {remedy} anew")
            answers = TypeAdapter(cls).validate_json(text, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the whole"
            raise PlansError(f"{path} is no file of answers ({where}: {first['msg']}); {remedy}") from error
        except ValueError as error:
            raise PlansError(f"{path} is no file of answers ({error}); {remedy}") from error
        problem = _problem(answers)
        if problem is not None:
            raise PlansError(f"{path} is no file of answers ({problem}); {remedy}")
        return answers


def _problem(answers: Answers) -> str | None:
    """What contradicts itself in a file of answers."""
    cells, known = answers.grid**2, set[str]()
    for answered in answers.answers:
        maps = answered.attention
        if len(maps) != len(answered.subgoals) or any(one is not None and len(one) != cells for one in maps):
            return f"{answered.id}: attention must be null or {cells} numbers for each sub-goal"
        if answered.id in known:
            return f"{answered.id} is answered twice"
        known.add(answered.id)
    return None
