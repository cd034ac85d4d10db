"""The agent of the seed's Algorithm 2: a reasoner's sub-goals become goal states, and planning goes there."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from agents.planning import Device, Goals, Lane, PlanningAgent, Precision
from agents.reasoner import Reasoner, ScriptedReasoner, SubGoal
from agents.thinkjepa.distances import Objective
from agents.thinkjepa.planner.config import PlannerConfig
from agents.thinkjepa.planner.subgoals import SubgoalMonitor, Verdict
from harness.interfaces import AgentEvent, Observation, TaskView


@dataclass(kw_only=True)
class _Lane(Lane):
    """As `Lane`, and: the sub-goals that are left, who watches the first of them, and the goal state it last had."""

    subgoals: Sequence[SubGoal]
    monitor: SubgoalMonitor
    goal: Tensor | None = None


class ThinkJEPAAgent(PlanningAgent[_Lane]):
    """Asks the reasoner for sub-goals, projects the first into the world model's states, and plans towards it.

    The goal state is projected anew from every observation. After an action the distance of what is seen now from the
    goal that the action was planned for says whether the sub-goal is reached; then the next one is taken up. Where it
    is not reached within ``patience`` decisions, or none is left, the reasoner is asked again.

    Besides `PlanningAgent`'s events it reports ``subgoal`` (``text``), ``reached`` (``text``, ``distance``) and
    ``replan``.

    Args:
        checkpoint: See `PlanningAgent`.
        planner: See `PlanningAgent`.
        reasoner: ``scripted``: the true sub-goals, in words, and where the things are that they name.
        attention: Whether the reasoner's attention maps are used.
        hits: Observations in a row that must be near the goal; see `SubgoalMonitor`.
        patience: Decisions after which the reasoner is asked again.
        objective: See `PlanningAgent`.
        attention_alpha: See `PlanningAgent`.
        device: See `PlanningAgent`.
        precision: See `PlanningAgent`.

    Raises:
        ValueError: See `PlanningAgent`; or the checkpoint was trained on another reasoner's embeddings.
    """

    privileged: ClassVar[bool] = True

    def __init__(
        self,
        *,
        checkpoint: str,
        planner: PlannerConfig,
        reasoner: Literal["scripted"] = "scripted",  # noqa: ARG002
        attention: bool = True,
        hits: int = 1,
        patience: int = 20,
        objective: Objective | None = None,
        attention_alpha: float | None = None,
        device: Device = "auto",
        precision: Precision = "auto",
    ) -> None:
        super().__init__(
            checkpoint=checkpoint,
            planner=planner,
            objective=objective,
            attention_alpha=attention_alpha,
            device=device,
            precision=precision,
        )
        self.require_words()
        self._reasoner: Reasoner = ScriptedReasoner(self.world.config, attention=attention)
        self._hits, self._patience = hits, patience
        # Without a calibrated threshold, no distance tells that a sub-goal is reached.
        self._threshold = self.thresholds.get(self._objective.distance, 0.0)

    def begin(self, view: TaskView, observation: Observation) -> _Lane:
        """Ask the reasoner."""
        lane = _Lane(view, subgoals=(), monitor=self._monitor())
        return self._with_subgoals(lane, self._reasoner.propose(view, observation))

    def goals(self, lanes: Sequence[_Lane], observations: Sequence[Observation], states: Tensor) -> Goals[_Lane]:
        """Projections of the lanes' sub-goals."""
        triples = zip(lanes, observations, states, strict=True)
        watched = [self._watched(lane, observation, state) for lane, observation, state in triples]
        current = [lane.subgoals[0] for lane in watched]
        uniform = torch.ones(self.world.config.tokens)
        maps = torch.stack([uniform if s.attention is None else s.attention for s in current]).to(states.device)
        goals = self.project([subgoal.text for subgoal in current], maps, states)
        return Goals(goals, [replace(lane, goal=goal) for lane, goal in zip(watched, goals, strict=True)], maps)

    def _watched(self, lane: _Lane, observation: Observation, state: Tensor) -> _Lane:
        """The lane with the sub-goal that is to be planned for now."""
        view = lane.view
        if lane.goal is None:  # nothing has been done about the first sub-goal yet
            return lane
        current = lane.subgoals[0]
        attention = None if current.attention is None else current.attention.to(state.device)
        distance = self._objective(state, lane.goal, attention).item()
        lane = replace(lane, monitor=copy(lane.monitor), events=list(lane.events))
        verdict = lane.monitor.observe(distance)
        if verdict is Verdict.REACHED:
            lane.events.append(AgentEvent("reached", {"text": current.text, "distance": round(distance, 6)}))
        if verdict is Verdict.REACHED and len(lane.subgoals) > 1:
            following = self._reasoner.look(lane.subgoals[1], view, observation)
            return self._with_subgoals(lane, [following, *lane.subgoals[2:]])
        if verdict is not Verdict.GO_ON:
            lane.events.append(AgentEvent("replan", {}))
            return self._with_subgoals(lane, self._reasoner.propose(view, observation))
        return replace(lane, subgoals=[self._reasoner.look(current, view, observation), *lane.subgoals[1:]])

    def _with_subgoals(self, lane: _Lane, subgoals: Sequence[SubGoal]) -> _Lane:
        """The lane at the start of the first of ``subgoals``."""
        event = AgentEvent("subgoal", {"text": subgoals[0].text, "left": len(subgoals)})
        return replace(lane, subgoals=subgoals, monitor=self._monitor(), warm_start=None, events=[*lane.events, event])

    def _monitor(self) -> SubgoalMonitor:
        return SubgoalMonitor(threshold=self._threshold, hits=self._hits, patience=self._patience)
