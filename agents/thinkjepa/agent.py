"""The agent of the seed's Algorithm 2: a reasoner's sub-goals become goal states, and planning goes there."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from gymnasium.spaces import Box
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass
from torch import Tensor

from agents import reasoning
from agents.devices import Device
from agents.planning import Goals, Lane, Looks, PlanningAgent, Precision
from agents.reasoner import Attempt, SubGoal
from agents.reasoner.loading import VLMConfig
from agents.reasoner.vlm import VLMReasoner
from agents.thinkjepa.checkpoints import describe
from agents.thinkjepa.config import GPIConfig
from agents.thinkjepa.distances import Distance, Objective
from agents.thinkjepa.gpi import GoalProjection
from agents.thinkjepa.model import ThinkJEPA
from agents.thinkjepa.planner.config import PlannerConfig
from agents.thinkjepa.planner.subgoals import SubgoalMonitor, Verdict
from agents.thinkjepa.untrained import UNTRAINED
from harness.interfaces import AgentEvent, Observation, TaskView


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Guidance:
    """What the reasoner's attention maps are used for.

    Attributes:
        attention: Whether they are used at all: for goals, distances and predictions.
        alpha: Their weight on the predictor's attention (seed, section 4.8); 0 for none, ``None`` as it was trained.
    """

    attention: bool = True
    alpha: Annotated[float, Field(ge=0)] | None = None


@dataclass(kw_only=True)
class _Lane(Lane):
    """As `Lane`, and what the reasoner said.

    Attributes:
        subgoals: Those that are left.
        history: Those before, the oldest first.
        monitor: Watches the first that is left.
    """

    subgoals: Sequence[SubGoal]
    monitor: SubgoalMonitor
    history: tuple[Attempt, ...] = ()


class ThinkJEPAAgent(PlanningAgent[_Lane]):
    """Asks the reasoner for sub-goals, projects the first into the world model's states, and plans towards it.

    The goal state is projected anew from every observation. Where a sub-goal holds, its goal is the state as it is: so
    the distance of what is seen after an action from its goal says whether it is reached; then the next one is taken
    up. Where it is not reached within ``patience`` decisions, or none is left, the reasoner is asked again and told
    what was tried. With ``ask=every`` it is asked before every decision and told nothing: what has been done is to be
    seen.

    Besides `PlanningAgent`'s events it reports ``subgoal`` (see `reasoning.subgoal_event`), those of
    `reasoning.Asking`, and with ``ask=done`` what distances tell: ``reached`` or ``watched`` (``text``, ``distance``,
    which is held against the threshold) and ``replan`` (``reason``: ``patience`` or ``none left``). It reads ground
    truth with ``reasoner=scripted`` only.

    Args:
        checkpoint: See `PlanningAgent`.
        planner: See `PlanningAgent`.
        reasoner: ``scripted``: the true sub-goals, in words, and where the things are that they name; ``replay``:
            recorded answers; ``vlm``: a vision-language model.
        record: What ``replay`` repeats, see `agents.reasoner.replay`.
        vlm: The model that ``vlm`` asks.
        ask: When the reasoner is asked: before ``every`` decision, about what it sees then; or when what it said is
            ``done``, by distances, as in Algorithm 2. An action that is a whole pick-and-place may reach a sub-goal,
            and without a calibrated threshold nothing but the reasoner tells that it did.
        look: When the reasoner looks for a sub-goal: before ``every`` decision, or ``once``, as it is taken up.
        gpi: The checkpoint's ``learned`` Goal Projection Interface, or one with ``random`` weights, the same on every
            machine, that knows nothing (the seed's ablation).
        guidance: What attention maps are used for.
        threshold: Distance from a goal below which it counts as reached; ``None`` for the checkpoint's calibrated one.
        hits: Observations in a row that must be near the goal; see `SubgoalMonitor`.
        patience: Decisions after which the reasoner is asked again.
        objective: See `PlanningAgent`.
        looks: See `PlanningAgent`.
        device: See `PlanningAgent`.
        precision: See `PlanningAgent`.
        compile: See `PlanningAgent`.

    Raises:
        ValueError: See `PlanningAgent` and `reasoning.make_reasoner`; or the checkpoint was trained on the embeddings
            of another reasoner.
    """

    def __init__(
        self,
        *,
        checkpoint: str,
        planner: PlannerConfig,
        reasoner: reasoning.Kind = "scripted",
        record: Path | None = None,
        vlm: VLMConfig | None = None,
        ask: Literal["every", "done"] = "done",
        look: Literal["every", "once"] = "every",
        gpi: Literal["learned", "random"] = "learned",
        guidance: Guidance | None = None,
        threshold: Annotated[float, Field(gt=0)] | None = None,
        hits: int = 1,
        patience: int = 20,
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
        if reasoner != "vlm":
            self.require_words()
        self._guidance, self._ask, self._look = guidance or Guidance(), ask, look
        if self._guidance.alpha is not None:
            predictor = replace(self.world.config.predictor, attention_alpha=self._guidance.alpha)
            self.world.config = replace(self.world.config, predictor=predictor)
        if gpi == "random":
            self.model.gpi = random_projection(self.model).to(self._device)
        self._reasoner = reasoning.Asking(reasoning.make_reasoner(reasoner, record, vlm, self.world.config))
        self._require_width()
        self._hits, self._patience = hits, patience
        self._measure = replace(self._objective, relevance=False)  # thresholds are of plain distances
        if checkpoint != UNTRAINED:
            _require_threshold(self.thresholds, self._objective.of_states, threshold, ask)
        # Without learned weights no distance tells that a sub-goal is reached.
        self._threshold = self.thresholds.get(self._objective.of_states, 0.0) if threshold is None else threshold

    @classmethod
    def reads_truth(cls, settings: Mapping[str, Any]) -> bool:
        """See `Agent.reads_truth`."""
        return reasoning.reads_truth(settings)

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any], action_space: Box | None, control_hz: float | None) -> None:
        """See `Agent.check_settings`."""
        super().check_settings(settings, action_space, control_hz)
        if settings["reasoner"] == "replay" and settings["ask"] == "every":
            raise ValueError(
                "agent.reasoner=replay says the same whatever it sees, so the agent would never get to its second "
                "sub-goal; give agent.ask=done"
            )
        if settings["threshold"] is not None and settings["threshold"] <= 0:
            raise ValueError(
                f"agent.threshold={settings['threshold']:g}: no distance is below that, so no sub-goal would ever "
                "count as reached; give more than 0"
            )
        try:
            SubgoalMonitor(threshold=0.0, hits=settings["hits"], patience=settings["patience"])
        except ValueError as error:
            raise ValueError(f"agent: {error}") from error
        _require_effect(settings)
        checkpoint = settings["checkpoint"]
        known = settings["reasoner"] == "replay" and checkpoint != UNTRAINED
        reasoning.check_settings(settings, describe(checkpoint).config.world_model if known else None)

    @classmethod
    def check_thresholds(cls, settings: Mapping[str, Any], thresholds: Mapping[Distance, float]) -> None:
        """See `PlanningAgent.check_thresholds`."""
        objective = Objective(**(settings["objective"] or {}))
        _require_threshold(thresholds, objective.of_states, settings["threshold"], settings["ask"])

    @classmethod
    def content(cls, settings: Mapping[str, Any]) -> Mapping[str, Path | str]:
        """See `Agent.content`."""
        return reasoning.content(settings)

    def begin(self, view: TaskView, observation: Observation) -> _Lane:
        """Ask the reasoner."""
        return self._asked(_Lane(view, subgoals=(), monitor=self._monitor()), observation)

    def goals(self, lanes: Sequence[_Lane], observations: Sequence[Observation], states: Tensor) -> Goals[_Lane]:
        """Projections of the lanes' sub-goals."""
        triples = zip(lanes, observations, states, strict=True)
        watched = [self._watched(lane, observation, state) for lane, observation, state in triples]
        return Goals(self.aim(watched, states), watched, self._maps(watched).to(states.device))

    def aim(self, lanes: Sequence[_Lane], states: Tensor, shift: tuple[int, int] = (0, 0)) -> Tensor:  # noqa: ARG002
        """See `PlanningAgent.aim`. Attention maps stay where they are: they are coarser than shifts."""
        return self.project(self._embeddings([lane.subgoals[0] for lane in lanes]), self._maps(lanes), states)

    def _maps(self, lanes: Sequence[_Lane]) -> Tensor:
        """Where the reasoner looks for the lanes' sub-goals, ``(E, N)``."""
        uniform = torch.ones(self.world.config.tokens)
        seen = [self._attention(lane.subgoals[0]) for lane in lanes]
        return torch.stack([uniform if attention is None else attention for attention in seen])

    def _watched(self, lane: _Lane, observation: Observation, state: Tensor) -> _Lane:
        """The lane with the sub-goal that is to be planned for now."""
        if lane.step == 0:  # nothing has been done about the first sub-goal yet
            return lane
        if self._ask == "every":
            return self._asked(lane, observation)
        current = lane.subgoals[0]
        goal = self.aim([lane], state.unsqueeze(0))[0]
        distance = self._measure(state, goal).item()
        lane = replace(lane, monitor=copy(lane.monitor), events=list(lane.events))
        verdict = lane.monitor.observe(distance)
        reached = verdict is Verdict.REACHED
        measured = {"text": current.text, "distance": round(distance, 6)}
        lane.events.append(AgentEvent("reached" if reached else "watched", measured))
        if verdict is Verdict.GO_ON:
            if self._look == "once":
                return lane
            return replace(lane, subgoals=[self._looked(current, lane, observation), *lane.subgoals[1:]])
        lane = replace(lane, history=(*lane.history, Attempt(current.text, reached)))
        if reached and len(lane.subgoals) > 1:
            return self._taken_up([self._looked(lane.subgoals[1], lane, observation), *lane.subgoals[2:]], lane)
        lane.events.append(AgentEvent("replan", {"reason": "none left" if reached else "patience"}))
        return self._asked(lane, observation)

    def _asked(self, lane: _Lane, observation: Observation) -> _Lane:
        """The lane with new sub-goals."""
        events = list(lane.events)
        subgoals = self._reasoner.propose(lane.view, observation, lane.history, events)
        return self._taken_up(subgoals, replace(lane, events=events))

    def _looked(self, subgoal: SubGoal, lane: _Lane, observation: Observation) -> SubGoal:
        if not self._guidance.attention:
            return subgoal
        return self._reasoner.look(subgoal, lane.view, observation, lane.events)

    def _taken_up(self, subgoals: Sequence[SubGoal], lane: _Lane) -> _Lane:
        """The lane at the start of the first of ``subgoals``; what is left of a plan for the same one is kept."""
        same = bool(lane.subgoals) and lane.subgoals[0].text == subgoals[0].text
        return replace(
            lane,
            subgoals=subgoals,
            monitor=self._monitor(),
            warm_start=lane.warm_start if same else None,
            events=[*lane.events, reasoning.subgoal_event(subgoals)],
        )

    def _attention(self, subgoal: SubGoal) -> Tensor | None:
        return subgoal.attention if self._guidance.attention else None

    def _embeddings(self, subgoals: Sequence[SubGoal]) -> Tensor:
        """``(E, D_VLM)``: by their words, or those of the reasoner's language model."""
        if self.model.config.gpi.text == "hashed_words":
            return self.embed([subgoal.text for subgoal in subgoals])
        given = [subgoal.embedding for subgoal in subgoals if subgoal.embedding is not None]  # a model gives them all
        return torch.stack(given)

    def _require_width(self) -> None:
        reasoner, gpi = self._reasoner.reasoner, self.model.config.gpi
        if gpi.text == "hashed_words" or not isinstance(reasoner, VLMReasoner):
            return
        if reasoner.language_dim != gpi.language_dim:
            raise ValueError(
                f"vlm.model: its embeddings have {reasoner.language_dim} numbers, the checkpoint's Goal Projection "
                f"Interface takes {gpi.language_dim} (gpi.language_dim); give the model that it was trained with"
            )

    def _monitor(self) -> SubgoalMonitor:
        return SubgoalMonitor(threshold=self._threshold, hits=self._hits, patience=self._patience)


def _require_effect(settings: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` where a setting is given that nothing would come of."""
    usual = inspect.signature(ThinkJEPAAgent).parameters
    watching = ("threshold", "hits", "patience", "look")
    given = [f"{name}={settings[name]}" for name in watching if settings[name] != usual[name].default]
    if given and settings["ask"] == "every":
        raise ValueError(f"agent.{given[0]} has no effect with ask=every; give agent.ask=done or leave it away")
    guidance = Guidance(**(settings["guidance"] or {}))
    if guidance.alpha and not guidance.attention:
        raise ValueError(
            f"agent.guidance.alpha={guidance.alpha:g} has no effect with guidance.attention=false; leave one away"
        )
    if (settings["objective"] or {}).get("relevance") and not guidance.attention:
        raise ValueError("agent.objective.relevance=true has no effect with guidance.attention=false; leave one away")


def _require_threshold(known: Mapping[Distance, float], distance: Distance, given: float | None, ask: str) -> None:
    """Raise ``ValueError`` where nothing would tell that a sub-goal is reached."""
    if given is None and ask == "done" and distance not in known:
        raise ValueError(
            f"agent.objective.distance={distance}: the checkpoint has no threshold for it, so no sub-goal would ever "
            f"count as reached; give agent.threshold (the source document's is 0.15 of pooled_cosine), or "
            f"agent.ask=every"
        )


def random_projection(model: ThinkJEPA) -> GoalProjection:
    """A fixed random projection of the same shapes as the model's Goal Projection Interface, in its place."""
    world, learned = model.config.world_model, model.config.gpi
    config = GPIConfig(
        language_dim=learned.language_dim,
        layers=0,
        heads=learned.heads,
        modulation="product",
        scene=False,
        projection="random",
        text=learned.text,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GoalProjection(
            config, width=world.encoder.width, tokens=world.tokens, normalisation=world.normalisation
        ).eval()
