"""Planning towards a picture of the goal: the world model and the planner by themselves."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box
from torch import Tensor

from agents.devices import Device
from agents.planning import Goals, Lane, Looks, PlanningAgent, Precision
from agents.thinkjepa.distances import Objective
from agents.thinkjepa.planner.config import PlannerConfig
from harness.interfaces import Agent, AgentEvent, Observation, Rehearses, ShowsGoal, TaskView

_MOST_STEPS = 400
"""Actions of a rehearsal; no world gives more to solve a task."""


@dataclass(kw_only=True)
class _Lane(Lane):
    """As `Lane`, and the picture of the goal, ``uint8 (H, W, 3)``; ``None`` before the first next step."""

    picture: npt.NDArray[np.uint8] | None


class OracleGoal(PlanningAgent[_Lane]):
    """Plans towards the encoding of a true picture of the goal, in place of one that is projected from words.

    The search, its budget and the weights are those of `agents.thinkjepa.agent.ThinkJEPAAgent`; so the difference
    between the two is what the Goal Projection Interface costs.

    Besides `PlanningAgent`'s events it reports ``subgoal`` (``text``, ``left``): which picture it plans towards, each
    time there is a new one.

    Where the world shows no picture of its goal, the ``expert`` solves the task in a copy of it, and the picture is
    what is seen then. Where the expert fails, the picture shows how far it came, and ``expert_failed`` (``steps``) is
    reported: whether the episode succeeds is still the benchmark's verdict.

    Args:
        checkpoint: See `PlanningAgent`.
        planner: See `PlanningAgent`.
        goal: ``final``, the state in which the whole task is done; or ``next``, at every decision the state after the
            next step of a solution.
        expert: Class of the agent that solves tasks in copies of worlds, ``package.module.Name``.
        objective: See `PlanningAgent`.
        looks: See `PlanningAgent`.
        device: See `PlanningAgent`.
        precision: See `PlanningAgent`.
        compile: See `PlanningAgent`.

    Raises:
        ValueError: See `PlanningAgent`; or ``expert`` names no agent.
    """

    privileged: ClassVar[bool] = True

    def __init__(
        self,
        *,
        checkpoint: str,
        planner: PlannerConfig,
        goal: Literal["final", "next"] = "final",
        expert: str = "",
        objective: Objective | None = None,
        looks: Looks = 1,
        device: Device = "auto",
        precision: Precision = "auto",
        compile: bool = False,
    ) -> None:
        super().__init__(
            checkpoint=checkpoint,
            planner=planner,
            objective=objective,
            looks=looks,
            device=device,
            precision=precision,
            compile=compile,
        )
        self._goal = goal
        self._expert = _agent(expert) if expert else None

    @classmethod
    def check_truth(cls, settings: Mapping[str, Any], truth: type) -> None:
        """See `Agent.check_truth`: whether there is a picture of the goal that is asked for."""
        _require_picture(truth, settings["goal"], bool(settings["expert"]))

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any], action_space: Box | None, control_hz: float | None) -> None:
        """See `Agent.check_settings`."""
        super().check_settings(settings, action_space, control_hz)
        if settings["expert"]:
            try:
                _agent(settings["expert"])
            except ValueError as error:
                raise ValueError(f"agent.{error}") from error

    def begin(self, view: TaskView, observation: Observation) -> _Lane:  # noqa: ARG002
        """Look at the final goal.

        Raises:
            ValueError: The environment has no such picture.
        """
        truth = view.privileged
        _require_picture(type(truth), self._goal, self._expert is not None)
        if self._goal == "next":
            return _Lane(view, picture=None)
        picture, events = (truth.goal_image(), []) if isinstance(truth, ShowsGoal) else self._rehearsed(view, truth)
        return _Lane(view, picture=picture, events=[_towards("final"), *events])

    def _rehearsed(self, view: TaskView, truth: Rehearses) -> tuple[npt.NDArray[np.uint8], list[AgentEvent]]:
        """What is seen once the expert is done in a copy of the world, and what is to be reported of it."""
        assert self._expert is not None
        with closing(truth.rehearsal()) as world:
            self._expert.reset(0, replace(view, privileged=world.privileged()), {})
            for _ in range(_MOST_STEPS):
                if world.step(self._expert.act({0: {}})[0])[-1]["success"]:
                    return world.render(), []
            return world.render(), [AgentEvent("expert_failed", {"steps": _MOST_STEPS})]

    def goals(
        self,
        lanes: Sequence[_Lane],
        observations: Sequence[Observation],  # noqa: ARG002
        states: Tensor,
    ) -> Goals[_Lane]:
        """The final one at every decision, or the next."""
        if self._goal == "next":
            lanes = [
                replace(lane, picture=lane.view.privileged.next_image(), events=[*lane.events, _towards("next")])
                for lane in lanes
            ]
        return Goals(self.aim(lanes, states), lanes)

    def aim(self, lanes: Sequence[_Lane], states: Tensor, shift: tuple[int, int] = (0, 0)) -> Tensor:  # noqa: ARG002
        """See `PlanningAgent.aim`."""
        return self.encode([lane.picture for lane in lanes if lane.picture is not None], shift)


def _towards(which: str) -> AgentEvent:
    return AgentEvent("subgoal", {"text": f"picture of the {which} state", "left": 1})


def _require_picture(truth: type, goal: str, has_expert: bool) -> None:
    """Raise ``ValueError`` unless ground truth of that class shows the goal, or an expert can bring it about."""
    if issubclass(truth, ShowsGoal):
        return
    if not issubclass(truth, Rehearses) or not has_expert:
        raise ValueError(
            "agent=oracle_goal needs a picture of the goal: use it with benchmark=thinkbench or subgoals, or, in "
            "a world that can be rehearsed, with agent.expert=CLASS"
        )
    if goal == "next":
        raise ValueError("agent.goal=next: this world shows no next step; use agent.goal=final")


def _agent(target: str) -> Agent:
    """An agent by the name of its class: which worlds there are to be expert in, is not for agents to know."""
    module, _, name = target.rpartition(".")
    try:
        agent = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"expert={target} cannot be made ({error}); give package.module.Name") from error
    if not isinstance(agent, Agent):
        raise ValueError(f"expert={target} is not a harness.interfaces.Agent")
    return agent
