"""What agents share that plan in the world model: one checkpoint, one planner, lanes in one batch."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from gymnasium.spaces import Box
from torch import Tensor

from agents.devices import Device, choose, require_compiler
from agents.thinkjepa.checkpoints import SUMS, CheckpointError, describe, from_pretrained, locate
from agents.thinkjepa.config import WorldModelConfig
from agents.thinkjepa.distances import Distance, Objective
from agents.thinkjepa.images import looked_at, shifted, to_frames
from agents.thinkjepa.planner.config import PlannerConfig
from agents.thinkjepa.planner.futile import unchanged
from agents.thinkjepa.planner.latent import LatentPlanner, Look
from agents.thinkjepa.planner.shooting import ActionBox, shift
from agents.thinkjepa.untrained import UNTRAINED, untrained_model, untrained_world
from agents.thinkjepa.words import embed
from agents.thinkjepa.world_model import WorldModel
from harness.interfaces import Action, Agent, AgentEvent, Observation, TaskView

Precision = Literal["auto", "float32", "bf16"]

Looks = Literal[1, 2, 4]

_MOVED: Mapping[Looks, Sequence[tuple[float, float]]] = {
    1: (),
    2: ((0.5, 0.5),),
    4: ((0.5, 0.0), (0.0, 0.5), (0.5, 0.5)),
}
"""By how many patches, to the right and down, the pictures of further looks are moved."""

_PICK_AND_PLACE = (0, -1.0)
"""Of ``planner.fixed``: which skill it is, where actions are skills."""

CAMERA = "rgb_static"
"""The observation that world models see."""


@dataclass
class Lane:
    """What an agent remembers of one environment.

    Attributes:
        view: The task.
        step: Decisions so far.
        queue: Actions of the last plan that are still to be executed.
        warm_start: What is left of the last plan, ``(H, A)``.
        before: State that was last planned from, ``(N, D)``.
        tried: Model actions ``(A,)`` that were planned from it: the last one, and before it those that changed nothing.
        events: To be reported.
    """

    view: TaskView
    step: int = 0
    queue: list[Action] = field(default_factory=list)
    warm_start: Tensor | None = None
    before: Tensor | None = None
    tried: tuple[Tensor, ...] = ()
    events: list[AgentEvent] = field(default_factory=list)


LaneT = TypeVar("LaneT", bound=Lane)


@dataclass(frozen=True)
class Goals(Generic[LaneT]):
    """Where the lanes are to go.

    Attributes:
        states: ``(E, N, D)``.
        lanes: What is remembered of them from now on; new objects where something has changed.
        relevance: ``(E, N)`` with mean 1, where to look; ``None`` for everywhere alike.
    """

    states: Tensor
    lanes: Sequence[LaneT]
    relevance: Tensor | None = None


class PlanningAgent(Agent, ABC, Generic[LaneT]):
    """Encodes what it sees, asks its subclass for the goal, and searches for the action that brings it there.

    All lanes are encoded and planned for in one batch. A model action is planned at a time, or several with
    ``planner.horizon``; after the first has been executed it plans anew.

    Each decision reports ``plan`` (``costs``, the lowest one after each iteration of the search; ``distance``, that of
    the current state from the goal) and ``compute`` (``predictor_steps``, states that were predicted; ``encode_ms``,
    ``goal_ms`` and ``plan_ms``, wall-clock time of the batch that the lane was part of).

    Args:
        checkpoint: A folder, the name of a shipped model, or a hub id; or ``untrained``: random weights, the same on
            every machine, for whatever actions a world has. All of their components are searched then: what
            ``planner.fixed`` leaves out belongs to the actions that a model was trained on.
        planner: The search and its budget. Component 0 fixed at -1 is pick-and-place, so that holds in skill control
            only; elsewhere the component means something else and is searched for.
        objective: What a plan is scored by.
        looks: How many pictures plans are scored in, moved by half a patch from each other, for a model that was
            trained on moved pictures: what lies across the edge of tokens in one lies in the middle of a token in
            another. The search takes as many times longer.
        device: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.
        precision: Of the world model's weights, whatever the checkpoint has; ``auto`` is bfloat16 on a GPU and float32
            elsewhere.
        compile: Whether roll-outs are compiled, see `LatentPlanner`: the first decision then takes a minute, all others
            less. Costs differ in the last digits.

    Raises:
        ValueError: A setting is impossible or the checkpoint cannot be loaded.
    """

    observation_keys = (CAMERA,)
    needs_words: ClassVar[bool] = False
    """Whether every goal is projected from words without a language model, see `require_words`."""

    def __init__(
        self,
        *,
        checkpoint: str,
        planner: PlannerConfig,
        objective: Objective | None = None,
        looks: Looks = 1,
        device: Device = "auto",
        precision: Precision = "auto",
        compile: bool = False,
    ) -> None:
        self._checkpoint = checkpoint
        self._moved = _MOVED[looks]
        self._objective = objective or Objective()
        self._device = choose(device)
        self._halved = precision == "bf16" or (precision == "auto" and self._device.type == "cuda")
        self._compile = compile
        if compile:
            require_compiler(self._device)
        self.thresholds: Mapping[Distance, float] = {}
        if checkpoint == UNTRAINED:
            planner = replace(planner, fixed=())
            model = untrained_model()
        else:
            loaded = from_pretrained(checkpoint)
            model, self.thresholds = loaded.model, loaded.thresholds
        self._planner_config = planner
        self.model = model.to(self._device)
        self.world = self._ready(self.model.world_model)
        self._planner: LatentPlanner | None = None
        self._bounds: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None
        self._lanes: dict[int, LaneT] = {}
        if self.needs_words:
            self.require_words()

    @classmethod
    def untrained(cls, settings: Mapping[str, Any]) -> bool:
        """See `Agent.untrained`."""
        return settings.get("checkpoint") == UNTRAINED

    @classmethod
    def checkpoint_path(cls, name: str) -> Path | None:
        """See `Agent.checkpoint_path`: the sums of weights and configuration, so that a card may be edited."""
        return None if name == UNTRAINED else locate(name) / SUMS

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any], action_space: Box | None, control_hz: float | None) -> None:
        """See `Agent.check_settings`: whether the checkpoint was trained on such actions."""
        checkpoint = settings["checkpoint"]
        if checkpoint == UNTRAINED:
            return
        try:
            known = describe(checkpoint)
        except CheckpointError as error:
            raise ValueError(f"agent.checkpoint={checkpoint}: {error}") from error
        if action_space is not None:
            planner = _there(PlannerConfig(**settings["planner"]), control_hz)
            _require_actions(checkpoint, known.config.world_model, planner, action_space)
            try:
                ActionBox(action_space.low, action_space.high, planner.action_block, planner.fixed)
            except ValueError as error:
                raise ValueError(f"agent.planner.{error}") from error
        cls.check_thresholds(settings, known.thresholds)

    @classmethod
    def check_thresholds(cls, settings: Mapping[str, Any], thresholds: Mapping[Distance, float]) -> None:
        """Raise ``ValueError`` where the checkpoint lacks a threshold that the agent needs; most need none."""

    @abstractmethod
    def begin(self, view: TaskView, observation: Observation) -> LaneT:
        """What is remembered of a stage at its start."""

    @abstractmethod
    def goals(self, lanes: Sequence[LaneT], observations: Sequence[Observation], states: Tensor) -> Goals[LaneT]:
        """Where to go from ``states`` ``(E, N, D)``. It leaves ``lanes`` as they are, in case something fails later."""

    @abstractmethod
    def aim(self, lanes: Sequence[LaneT], states: Tensor, shift: tuple[int, int] = (0, 0)) -> Tensor:
        """The goals ``(E, N, D)`` that `goals` gave, in pictures that are moved to the right and down.

        Args:
            lanes: From `goals`.
            states: Of what is seen now in moved pictures, ``(E, N, D)``.
            shift: Pixels of the encoder's picture.
        """

    def reset(self, lane: int, view: TaskView, observation: Observation) -> None:
        """See `Agent.reset`.

        Raises:
            ValueError: The actions are not those that the model was trained on.
        """
        self._prepare(view)
        self._lanes[lane] = self.begin(view, observation)

    def act(self, observations: Mapping[int, Observation]) -> Mapping[int, Action]:
        """See `Agent.act`."""
        waiting = [lane for lane in observations if not self._lanes[lane].queue]
        if waiting:
            planned = self._plan([self._lanes[lane] for lane in waiting], [observations[lane] for lane in waiting])
            self._lanes |= dict(zip(waiting, planned, strict=True))
        for lane in observations:
            self._lanes[lane].step += 1
        return {lane: self._lanes[lane].queue.pop(0) for lane in observations}

    def pop_events(self, lane: int) -> Sequence[AgentEvent]:
        """What was decided since the last call."""
        if lane not in self._lanes:
            return ()
        events, self._lanes[lane].events = self._lanes[lane].events, []
        return events

    @torch.no_grad()
    def encode(self, pictures: Sequence[npt.NDArray[np.uint8]], shift: tuple[int, int] = (0, 0)) -> Tensor:
        """States ``(E, N, D)`` of pictures ``uint8 (H, W, 3)`` of any size, moved by pixels of the encoder's."""
        encoder = self.world.config.encoder
        pixels = torch.from_numpy(np.stack([looked_at(p, encoder.image_size, encoder.crop) for p in pictures]))
        frames = to_frames(pixels.to(self._device)).unsqueeze(1)
        if any(shift):
            frames = shifted(frames, torch.tensor(shift, device=self._device).expand(len(frames), 2))
        return self.world.encode(frames)[:, 0]

    def require_words(self) -> None:
        """Raise ``ValueError`` unless sentences can be projected without a language model."""
        if self.model.config.gpi.text != "hashed_words":
            raise ValueError(
                "the checkpoint was trained on the embeddings of a language model, and there is none here; give one "
                "with gpi.text=hashed_words, or agent=thinkjepa agent.reasoner=vlm with that model"
            )

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Embeddings ``(E, D_VLM)`` of sentences by their words."""
        return embed(texts, self.model.config.gpi.language_dim)

    @torch.no_grad()
    def project(self, embeddings: Tensor, relevance: Tensor, states: Tensor) -> Tensor:
        """Goals ``(E, N, D)`` of embeddings ``(E, D_VLM)`` in states ``(E, N, D)``, with attention maps ``(E, N)``."""
        inputs = embeddings.to(states.device), relevance.to(states.device), states
        if states.device.type == "cpu":  # lane by lane: a layer rounds one row otherwise than several
            alone = zip(*(one.split(1) for one in inputs), strict=True)
            return torch.cat([self.model.gpi(*one).float() for one in alone])
        goals: Tensor = self.model.gpi(*inputs)
        return goals.float()

    def _prepare(self, view: TaskView) -> None:
        """Make the planner at the first reset: that is where the actions become known."""
        bounds = (view.action_space.low, view.action_space.high)
        if self._bounds is not None and all(np.array_equal(*pair) for pair in zip(self._bounds, bounds, strict=True)):
            return
        low, high = bounds
        components = low.size * self._planner_config.action_block
        if self._checkpoint == UNTRAINED and self.world.config.action_dim != components:
            self.world = self._ready(untrained_world(self.world, components).to(self._device))
            self.model.world_model = self.world
        _require_actions(self._checkpoint, self.world.config, self._planner_config, view.action_space)
        planner = _there(self._planner_config, view.control_hz)
        self._planner = LatentPlanner(self.world, planner, self._objective, low=low, high=high, compile=self._compile)
        self._bounds = bounds

    def _ready(self, world: WorldModel) -> WorldModel:
        """The world model in the precision of the settings."""
        return world.cast_weights(torch.bfloat16 if self._halved else torch.float32)

    def _plan(self, lanes: Sequence[LaneT], observations: Sequence[Observation]) -> list[LaneT]:
        """The lanes with their next actions."""
        assert self._planner is not None
        assert self._bounds is not None
        config = self._planner_config
        began = time.perf_counter()
        pictures = [observation[CAMERA] for observation in observations]
        states = self.encode(pictures)
        encoded = self._clock()
        lanes = [_remembering(lane, state) for lane, state in zip(lanes, states, strict=True)]
        goals = self.goals(lanes, observations, states)
        looks = [self._look_again(pictures, goals, moved) for moved in self._moved]
        aimed = self._clock()
        planned = self._planner.plan(
            states,
            goals.states,
            [int(lane.view.seeds.rng(lane.step).integers(2**63)) for lane in lanes],
            relevance=goals.relevance,
            warm_start=[lane.warm_start for lane in goals.lanes],
            futile=[lane.tried for lane in goals.lanes],
            looks=looks,
        )
        distances = self._objective(states, goals.states, goals.relevance).tolist()
        kept = config.warm_start and config.horizon > 1
        rest = shift(planned.mean, 1) if kept else [None] * len(lanes)
        compute = {
            "predictor_steps": sum(config.populations) * config.horizon * (1 + len(self._moved)),
            "encode_ms": round(1e3 * (encoded - began), 2),
            "goal_ms": round(1e3 * (aimed - encoded), 2),
            "plan_ms": round(1e3 * (time.perf_counter() - aimed), 2),
        }
        after = []
        for number, lane in enumerate(goals.lanes):
            actions = planned.actions[number, : config.action_block].cpu().numpy()
            costs = [round(cost, 6) for cost in planned.costs[number].tolist()]
            events = [
                *lane.events,
                AgentEvent("plan", {"costs": costs, "distance": round(distances[number], 6)}),
                AgentEvent("compute", compute),
            ]
            queue = [np.clip(action, *self._bounds).astype(np.float32) for action in actions]
            tried = (*lane.tried, planned.actions[number, : config.action_block].flatten())
            after.append(replace(lane, queue=queue, warm_start=rest[number], tried=tried, events=events))
        return after

    def _clock(self) -> float:
        """Seconds, when the device is done with all that it was asked for."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def _look_again(
        self, pictures: Sequence[npt.NDArray[np.uint8]], goals: Goals[LaneT], moved: tuple[float, float]
    ) -> Look:
        """The lanes in pictures that are moved by so many patches."""
        encoder = self.world.config.encoder
        right, down = (round(patches * encoder.patch_size) for patches in moved)
        states = self.encode(pictures, (right, down))
        shift = torch.tensor((right, down), device=states.device).expand(len(states), 2) / encoder.image_size
        return Look(states, self.aim(goals.lanes, states, (right, down)), goals.relevance, shift)


def _there(planner: PlannerConfig, control_hz: float | None) -> PlannerConfig:
    """The planner in worlds of that control: where actions are no skills, none is chosen."""
    if control_hz is None:
        return planner
    return replace(planner, fixed=tuple(one for one in planner.fixed if one != _PICK_AND_PLACE))


def _require_actions(checkpoint: str, world: WorldModelConfig, planner: PlannerConfig, action_space: Box) -> None:
    """Raise ``ValueError`` unless the planner's actions there are those of the world model."""
    components = action_space.low.size
    if world.action_dim != components * planner.action_block:
        raise ValueError(
            f"agent.checkpoint={checkpoint} was trained in another world: planner.action_block={planner.action_block} "
            f"actions of {components} components do not make up the {world.action_dim} of the model's actions. "
            f"Train one here with `harness train world_model`, or try how the agent runs with "
            f"agent.checkpoint={UNTRAINED}"
        )


def _remembering(lane: LaneT, state: Tensor) -> LaneT:
    """The lane in ``state``; what was tried is forgotten where something has changed."""
    same = lane.before is not None and unchanged(lane.before, state)
    return replace(lane, before=state, tried=lane.tried if same else ())
