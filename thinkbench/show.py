"""An episode as a strip of pictures: its start, and what each action of the certified execution leads to."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from thinkbench.abstraction import abstract, domain_of
from thinkbench.env import ThinkBenchEnv
from thinkbench.specs import EpisodeRecord
from thinkbench.suite import Certificate

_PIXELS = 448
_ROWS = slice(round(0.25 * _PIXELS), round(0.85 * _PIXELS))  # of the picture: the table's used part and the gripper
_COLUMNS = slice(round(0.05 * _PIXELS), round(0.95 * _PIXELS))
_PER_ROW = 4
_INCHES = 3.0  # width of one picture
_CHARACTERS = 30  # of instruction text per picture in a row
_CAPTION_CHARACTERS = 40


@dataclass(frozen=True)
class Frame:
    """The world before or after an action.

    Attributes:
        picture: What the static camera sees, ``uint8 (H, W, 3)``.
        caption: What was done.
    """

    picture: npt.NDArray[np.uint8]
    caption: str


def make_env() -> ThinkBenchEnv:
    """An environment with a picture of the right size, in skill control."""
    return ThinkBenchEnv(image_size=_PIXELS, observation_keys=("rgb_static",))


def replay(record: EpisodeRecord, certificate: Certificate, env: ThinkBenchEnv) -> tuple[Frame, ...]:
    """The start, and the world after each action of the certified execution; the last one shows the goal.

    Raises:
        ValueError: The execution does not end in success here.
    """
    spec = record.spec(record.horizon)
    observation, _ = env.reset(seed=spec.seed, options={"episode": spec})
    truth = env.privileged()
    domain = domain_of(truth.state().scene, truth.goal, truth.rules)
    frames = [Frame(_cropped(observation["rgb_static"]), "start")]
    success = False
    for number, action in enumerate(certificate.actions, 1):
        observation, _, _, _, info = env.step(np.array(action, dtype=np.float32))
        success = info["success"]
        item = info["picked"]
        place = "" if item is None else abstract(truth.state(), domain)[domain.index[item]]
        caption = f"{number}. {_words(item)} → {_words(place)}" if item else f"{number}. nothing"
        caption += " (goal)" * success
        frames.append(Frame(_cropped(observation["rgb_static"]), caption))
    if not success:
        raise ValueError(f"{record.episode_id}: the certified execution does not end in success here")
    return tuple(frames)


def draw_strip(record: EpisodeRecord, frames: Sequence[Frame], path: Path) -> None:
    """Write the pictures in rows below the instruction."""
    columns = min(_PER_ROW, len(frames))
    rows = -(-len(frames) // columns)
    instruction = textwrap.fill(record.instructions["standard"], _CHARACTERS * columns)
    header = 0.5 + 0.22 * (1 + instruction.count("\n"))  # inches
    height = header + rows * 0.8 * _INCHES
    figure = Figure(figsize=(_INCHES * columns, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, frame in zip(axes, frames, strict=False):
        axis.imshow(frame.picture)
        axis.set_title(textwrap.fill(frame.caption, _CAPTION_CHARACTERS), fontsize=9)
    figure.suptitle(f"{record.episode_id}\n{instruction}", fontsize=11)
    figure.savefig(path, dpi=110)


def _cropped(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return picture[_ROWS, _COLUMNS]


def _words(name: str) -> str:
    return name.replace("_", " ").replace("+", " and ")
