"""What one who knows everything would bring about, as the static camera would see it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.tabletop.env import TabletopEnv
from envs.tabletop.scene import WorldState
from envs.tabletop.world import WorldSnapshot
from thinkbench.motion import Placement
from thinkbench.symbolic import UnsolvableError

Image = npt.NDArray[np.uint8]

_MOST_MOVES = 30


class Foresight:
    """Pictures that are simulated in a world of their own, so that the episode's world is not disturbed.

    Args:
        start: The episode's start.
        decide: The next placement in a state, ``None`` where the goal is reached.
        settle_steps: Control steps for which the world goes on after the last move.
        view: Arguments of `TabletopEnv` that say how it is seen.
    """

    def __init__(
        self,
        start: WorldSnapshot,
        decide: Callable[[WorldState], Placement | None],
        settle_steps: int,
        view: dict[str, Any],
    ) -> None:
        self._start, self._decide, self._settle_steps, self._view = start, decide, settle_steps, view
        self._goal: Image | None = None

    def goal(self) -> Image:
        """After all moves from the start, ``uint8 (S, S, 3)``. Simulated at the first call."""
        if self._goal is None:
            self._goal = self._picture(self._start, _MOST_MOVES)
        return self._goal

    def after_next_move(self, now: WorldSnapshot) -> Image:
        """After the next move from ``now``; what is seen now where there is none."""
        return self._picture(now, 1)

    def _picture(self, start: WorldSnapshot, moves: int) -> Image:
        with closing(TabletopEnv(cameras=("rgb_static",), observation_keys=(), **self._view)) as copy:
            copy.world.set_state(start)
            for _ in range(moves):
                try:
                    placement = self._decide(copy.world.state())
                except UnsolvableError:
                    break
                if placement is None:
                    break
                copy.step(placement.action())
            copy.world.hold(self._settle_steps)
            return copy.render()
