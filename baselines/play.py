"""Privileged play: from one feasible random task to the next, with the expert's skills and some noise.

For collecting data only. What was done is told by the world's own task oracle, not by what was intended: each stretch
at whose end the oracle sees a task done is reported as a label with its instruction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import ClassVar, Protocol, cast

import numpy as np

from harness.interfaces import Action, AgentEvent, Observation, SingleLaneAgent, TaskView


class Player(Protocol):
    """Plays in one world; made anew for each stage."""

    labels: list[AgentEvent]
    """What has been done since the list was last emptied."""

    def decide(self, view: TaskView, step: int, rng: np.random.Generator) -> Action:
        """The next action, without noise."""


@dataclass
class _Game:
    """A player and the number of its next decision."""

    player: Player
    step: int = 0


PLAYERS: Mapping[str, str] = {
    "envs.calvin": "baselines.calvin_play:CalvinPlayer",
    "envs.language_table": "baselines.language_table_play:LanguageTablePlayer",
}
"""Player by the package that the environment's privileged object comes from. Imported when first needed."""


class Play(SingleLaneAgent):
    """Plays with what is there.

    Args:
        noise: Standard deviation of what is added to each action, as a share of the action's range, for the first
            ``noisy`` entries (grippers open and close as planned).
        noisy: How many entries of an action get noise.

    Raises:
        ValueError: ``noise`` is not in [0, 1].
    """

    privileged: ClassVar[bool] = True
    plays: ClassVar[bool] = True
    observation_keys = ()

    def __init__(self, noise: float = 0.05, noisy: int = 6) -> None:
        super().__init__()
        if not 0.0 <= noise <= 1.0:
            raise ValueError(f"noise={noise}: must be a share between 0 and 1")
        self._noise = noise
        self._noisy = noisy

    def begin(self, view: TaskView, observation: Observation) -> _Game:  # noqa: ARG002
        """A player for the world.

        Raises:
            ValueError: There is none.
        """
        module = type(view.privileged).__module__
        for package, target in PLAYERS.items():
            if module.startswith(f"{package}."):
                name, _, attribute = target.partition(":")
                return _Game(cast(Player, getattr(import_module(name), attribute)()))
        raise ValueError(f"nobody plays in worlds whose ground truth is from {module}; known: {', '.join(PLAYERS)}")

    def decide(self, memory: _Game, view: TaskView, observation: Observation, rng: np.random.Generator) -> Action:  # noqa: ARG002
        """The player's action with noise."""
        space = view.action_space
        action = np.array(memory.player.decide(view, memory.step, rng), np.float64)
        memory.step += 1
        reach = (space.high - space.low)[: self._noisy] / 2
        action[: self._noisy] += rng.normal(size=reach.shape) * self._noise * reach
        return np.clip(action, space.low, space.high).astype(space.dtype)

    def pop_events(self, lane: int) -> Sequence[AgentEvent]:
        """Labels that were earned since the last call."""
        game: _Game | None = self._memories.get(lane)
        if game is None:
            return ()
        labels, game.player.labels = game.player.labels, []
        return labels


def label(task: str, instruction: str, start: int, end: int) -> AgentEvent:
    """``task`` was done by the actions ``[start, end)`` of the stage."""
    return AgentEvent("label", {"task": task, "instruction": instruction, "start": start, "end": end})
