"""Where a fixed camera sees the points that actions name."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field, NonNegativeInt
from pydantic.dataclasses import dataclass

from agents.thinkjepa.config import WHOLE, ActionPoint, Crop

Vector = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class MirrorConfig:
    """What becomes of an episode in the mirror of the plane y = 0, in which the camera stands and looks.

    Attributes:
        actions: Components that change sign.
        words: Pairs of phrases that take each other's place in sub-goals.
        kinds: Likewise, of kinds of sub-goals.
        without: Words of sub-goals that have no mirror image; mirrored episodes do without these sub-goals.
    """

    actions: tuple[NonNegativeInt, ...]
    words: tuple[tuple[str, str], ...]
    kinds: tuple[tuple[str, str], ...]
    without: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class CameraConfig:
    """A pinhole camera that stands still, z upwards, with square pictures, and the meaning of actions on a plane.

    Attributes:
        benchmarks: Whose data this is true of.
        eye: Where it stands, metres.
        target: The point in the middle of its picture, metres.
        fov: Vertical field of view, degrees.
        plane: Height of the plane that actions name points of, metres.
        workspace: Least x, greatest x, least y, greatest y in metres: what -1 and 1 of an action mean.
        points: Components ``(x, y)`` of each point that an action names.
        mirror: What a mirror image of an episode is; ``None`` where the world has none.
        crop: The part of its pictures that a new model looks at, see `EncoderConfig`. Image coordinates run from 0 to 1
            across this part.
    """

    benchmarks: tuple[str, ...]
    eye: Vector
    target: Vector
    fov: Annotated[float, Field(gt=0, lt=180)]
    plane: float
    workspace: tuple[float, float, float, float]
    points: tuple[tuple[NonNegativeInt, NonNegativeInt], ...]
    mirror: MirrorConfig | None = None
    crop: Crop = WHOLE

    def __post_init__(self) -> None:
        if self.mirror is None:
            return
        if self.eye[1] or self.target[1]:
            raise ValueError("mirror: the camera must stand in the plane y = 0 and look along it")
        if not math.isclose(self.crop[0] + self.crop[2], 1):
            raise ValueError(f"mirror: crop={self.crop} must take as much from the left as from the right")

    def matrix(self) -> npt.NDArray[np.float64]:
        """``(3, 4)``: ``(x, y, z, 1)`` in metres to homogeneous image coordinates, u right and v down."""
        forward = np.array(self.target) - np.array(self.eye)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right = right / np.linalg.norm(right)
        axes = np.stack([right, np.cross(right, forward), forward])  # right, up, ahead
        camera = np.concatenate([axes, -axes @ np.array(self.eye)[:, None]], axis=1)
        zoom = 1 / math.tan(math.radians(self.fov) / 2)
        picture = np.array([[zoom / 2, 0, 0.5], [0, -zoom / 2, 0.5], [0, 0, 1.0]])
        u, v, u_end, v_end = self.crop
        cropped = np.array([[1, 0, -u], [0, 1, -v], [0, 0, 1]]) / [[u_end - u], [v_end - v], [1]]
        matrix: npt.NDArray[np.float64] = cropped @ picture @ camera
        return matrix

    def project(self, positions: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Positions ``(..., 3)`` in metres to image coordinates ``(..., 2)``; NaN stays NaN."""
        points = np.asarray(positions, dtype=np.float64)
        homogeneous = points @ self.matrix()[:, :3].T + self.matrix()[:, 3]
        return np.asarray(homogeneous[..., :2] / homogeneous[..., 2:])

    def action_points(self) -> tuple[ActionPoint, ...]:
        """As the predictor takes them: homographies from action units."""
        low_x, high_x, low_y, high_y = self.workspace
        to_metres = np.array(
            [
                [(high_x - low_x) / 2, 0, (high_x + low_x) / 2],
                [0, (high_y - low_y) / 2, (high_y + low_y) / 2],
                [0, 0, self.plane],
                [0, 0, 1],
            ]
        )
        homography = tuple(float(value) for value in (self.matrix() @ to_metres).ravel())
        return tuple(ActionPoint(x=x, y=y, homography=homography) for x, y in self.points)
