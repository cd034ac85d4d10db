"""Straight moves of a tool by small relative actions, steered by the robot's own proprioception."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass as checked_dataclass

from harness.interfaces import Action, Observation

_Array = npt.NDArray[np.float64]

_OPEN, _CLOSED = 1.0, -1.0
_GRASP_STEPS = 10
_ARRIVED = 0.005  # metres


@dataclass(frozen=True)
class Leg:
    """A straight move.

    Attributes:
        target: Where the tool is to be, metres.
        grip: The gripper's command on the way.
        steps: Actions at most.
        hold: Whether it takes all of them, so that the gripper may open or close.
    """

    target: tuple[float, ...]
    grip: float
    steps: int
    hold: bool = False


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Servo:
    """How a tool is moved to points of a picture, in a world whose actions are small and relative.

    The tool goes in straight lines towards the first point and then towards the second, whatever is in its way. Where
    there is a gripper, it comes from above, closes at the first and opens at the second.

    Attributes:
        position: Observation that begins with where the tool is, metres. It is the robot's own: it tells of no object.
        components: How many an action has; the first ones move the tool along x, y and, with ``heights``, z.
        bound: Greatest value of a component.
        unit: What 1 in an action is in metres.
        speed: Metres per action at most.
        patience: Actions for one straight line at most.
        homography: Where the static camera sees the plane on which things lie: ``(x, y)`` in metres to ``(u, v)`` from
            0 to 1 across the picture, row by row.
        workspace: Least x, greatest x, least y, greatest y in metres of points that the tool may go to.
        heights: Of the tool where it grasps and where it travels, metres; ``None`` where it moves in a plane.
        gripper: Component that opens the gripper above 0 and closes it below; ``None`` where there is none.
    """

    position: str
    components: PositiveInt
    bound: PositiveFloat
    unit: PositiveFloat
    speed: PositiveFloat
    homography: Annotated[tuple[float, ...], Field(min_length=9, max_length=9)]
    workspace: tuple[float, float, float, float]
    heights: tuple[float, float] | None = None
    gripper: NonNegativeInt | None = None
    patience: PositiveInt = 60

    def from_picture(self) -> _Array:
        """``(3, 3)``: places in the picture to points of the workspace, whose bounds are -1 and 1."""
        matrix = np.reshape(self.homography, (3, 3)) @ self._to_metres()
        return np.asarray(np.linalg.inv(matrix))

    def metres(self, point: _Array) -> tuple[float, float]:
        """A point ``(2,)`` of the workspace, in metres."""
        x, y, _ = self._to_metres() @ [*point, 1.0]
        return float(x), float(y)

    def _to_metres(self) -> _Array:
        x, end_x, y, end_y = self.workspace
        return np.array([[(end_x - x) / 2, 0, (end_x + x) / 2], [0, (end_y - y) / 2, (end_y + y) / 2], [0, 0, 1]])

    def fits(self, actions: Box) -> bool:
        """Whether these are the actions that it speaks of."""
        return actions.shape == (self.components,) and bool(np.isclose(actions.high, self.bound).all())

    def route(self, first: _Array, second: _Array) -> tuple[Leg, ...]:
        """The way to the first point and on to the second, ``(2,)`` each, of the workspace."""
        if self.heights is None:
            return tuple(Leg(self.metres(point), _OPEN, self.patience) for point in (first, second))
        low, high = self.heights
        legs: list[Leg] = []
        for end, before, after in ((first, _OPEN, _CLOSED), (second, _CLOSED, _OPEN)):
            point = self.metres(end)
            legs += [Leg((*point, height), before, self.patience) for height in (high, low)]
            legs += [Leg((*point, low), after, _GRASP_STEPS, hold=True), Leg((*point, high), after, self.patience)]
        return tuple(legs)

    def arrived(self, leg: Leg, observation: Observation, steps: int) -> bool:
        """Whether a leg is done, after so many actions."""
        return steps >= leg.steps or (not leg.hold and float(np.linalg.norm(self._way(leg, observation))) < _ARRIVED)

    def action(self, leg: Leg, observation: Observation) -> Action:
        """The next action of a leg, ``(components,)``."""
        way = self._way(leg, observation)
        action = np.zeros(self.components)
        action[: len(way)] = way * min(1.0, self.speed / max(float(np.linalg.norm(way)), 1e-9)) / self.unit
        if self.gripper is not None:
            action[self.gripper] = leg.grip
        return action.clip(-self.bound, self.bound).astype(np.float32)

    def _way(self, leg: Leg, observation: Observation) -> _Array:
        here = np.asarray(observation[self.position], dtype=np.float64)
        return np.asarray(leg.target) - here[: len(leg.target)]
