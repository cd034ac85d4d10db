"""The agents that plan in the world model, made quickly, and something for them to see."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box

from agents.flat_cem import FlatCEM
from agents.oracle_goal import OracleGoal
from agents.planning import PlanningAgent
from agents.thinkjepa.agent import ThinkJEPAAgent
from agents.thinkjepa.planner.config import PlannerConfig
from harness.interfaces import SeedPath, StatedSubGoal, TaskView

PLANNER = PlannerConfig(population=24, horizon=1, iterations=2, elite_fraction=0.25)


class Truth:
    """Two sub-goals, and a picture of the goal."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts) or ["Put the red cube in the bowl.", "Put the blue cube on the tray."]

    def stated_subgoals(self) -> list[StatedSubGoal]:
        return [StatedSubGoal(text, ((0.1 + 0.2 * number, 0.7),)) for number, text in enumerate(self.texts)]

    def goal_image(self) -> np.ndarray:
        return picture(99)

    def next_image(self) -> np.ndarray:
        return picture(98)


def picture(seed: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def see(seed: int) -> dict[str, Any]:
    return {"rgb_static": picture(seed)}


def view(truth: Any = None, key: str = "e") -> TaskView:
    space = Box(-1.0, 1.0, (3,), np.float32)
    return TaskView("Tidy up.", space, None, 4, 0, SeedPath(0, key, 0), truth if truth is not None else Truth())


def thinkjepa(checkpoint: str, **settings: Any) -> ThinkJEPAAgent:
    torch.set_num_threads(1)
    return ThinkJEPAAgent(checkpoint=checkpoint, **({"planner": PLANNER, "device": "cpu"} | settings))


def oracle(checkpoint: str, **settings: Any) -> OracleGoal:
    torch.set_num_threads(1)
    return OracleGoal(checkpoint=checkpoint, **({"planner": PLANNER, "device": "cpu"} | settings))


def flat(checkpoint: str, **settings: Any) -> FlatCEM:
    torch.set_num_threads(1)
    return FlatCEM(checkpoint=checkpoint, **({"planner": PLANNER, "device": "cpu"} | settings))


def kinds(agent: PlanningAgent[Any], lane: int = 0) -> list[str]:
    return [event.kind for event in agent.pop_events(lane)]
