"""Labels of the object map: which named things the camera sees in which token, from ground truth."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import torch

from agents.thinkjepa.losses.readouts import HEIGHT, ObjectMap
from agents.thinkjepa.training.camera import CameraConfig
from agents.thinkjepa.training.recordings import Recordings


class SeenObjects:
    """What is seen where in each row of the recordings.

    Objects are described by the words of their names: ``red_cube_1`` by *red* and *cube*. So an object that few scenes
    have is learnt from others of its colour and of its kind.

    Attributes:
        words: All of them, sorted.
    """

    def __init__(self, recordings: Recordings, camera: CameraConfig, grid: int) -> None:
        positions = recordings.positions()
        assert positions is not None
        self._positions, self._camera, self._grid = positions, camera, grid
        parts = [re.findall(r"[a-z]+", name.lower()) for name in recordings.names]
        self.words = sorted({word for words in parts for word in words})
        self._described = np.array([[word in words for word in self.words] for words in parts])

    def at(self, rows: npt.NDArray[np.int64], shift: npt.NDArray[np.float64] | None = None) -> ObjectMap:
        """Of rows ``(B,)``, of which pictures are moved by ``shift`` ``(B, 2)``: to the right and down, in widths."""
        positions = self._positions[rows]
        seen = self._camera.project(positions)
        tokens = (seen if shift is None else seen + shift[:, None]) * self._grid
        cells = np.floor(tokens)
        inside = ((cells >= 0) & (cells < self._grid)).all(-1)  # false where a position is NaN
        words = np.zeros((len(rows), self._grid**2, len(self.words)), np.float32)
        place = np.full((len(rows), self._grid**2, 3), np.nan, np.float32)
        sample, thing = np.nonzero(inside)
        order = np.argsort(positions[sample, thing, 2], kind="stable")  # the highest thing of a token is written last
        sample, thing = sample[order], thing[order]
        column, row = cells[sample, thing].astype(np.int64).T
        token = row * self._grid + column
        np.maximum.at(words, (sample, token), self._described[thing].astype(np.float32))
        offset = tokens[sample, thing] - cells[sample, thing] - 0.5
        place[sample, token] = np.column_stack([offset, positions[sample, thing, 2:] / HEIGHT])
        return ObjectMap(torch.from_numpy(words), torch.from_numpy(place))
