"""A reasoner without a world model, as in SayCan: it says what is to be done, and where it looks says where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from gymnasium.spaces import Box
from pydantic import ConfigDict, Field, NonNegativeFloat, PositiveInt
from pydantic.dataclasses import dataclass as checked_dataclass
from torch import Tensor
from torch.nn import functional

from agents import reasoning
from agents.planning import CAMERA
from agents.reasoner import Attempt, SubGoal
from agents.reasoner.loading import VLMConfig, located
from agents.servo import Leg, Servo
from agents.thinkjepa.config import WHOLE, Crop, EncoderConfig, PredictorConfig, WorldModelConfig
from agents.thinkjepa.training.camera import CameraConfig
from harness.interfaces import Action, AgentEvent, Observation, SingleLaneAgent, TaskView

_PICK_AND_PLACE = -1.0  # first component of a skill action

_Array = npt.NDArray[np.float64]


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Affordance:
    """How skills are drawn and scored.

    Attributes:
        candidates: Skills that are drawn, each a pick point and a place point.
        apart: Least distance of the two in action units; nearer ones move nothing.
        sharpness: Candidates are drawn in proportion to the attention to this power; 0 draws from everywhere alike.
    """

    candidates: PositiveInt = 256
    apart: Annotated[float, Field(gt=0, lt=2)] = 0.2
    sharpness: NonNegativeFloat = 2.0


@dataclass
class _Memory:
    """What is remembered of a stage.

    Attributes:
        subgoals: Those that are left.
        history: Those whose skills have been executed, the oldest first.
        events: To be reported.
        legs: With a servo, what is left of the way of the sub-goal that is being carried out.
        steps: Actions on the first of them so far.
    """

    subgoals: Sequence[SubGoal]
    history: tuple[Attempt, ...]
    events: list[AgentEvent]
    legs: tuple[Leg, ...] = ()
    steps: int = 0


class VLMOnly(SingleLaneAgent):
    """SayCan-style: the reasoner states sub-goals, and scripted skills carry them out. Nothing is predicted.

    The skill of a sub-goal is one pick-and-place; its executor is the environment's own scripted motion, which agents
    of skill control share, or, in a world of ``servos``, straight moves (`agents.servo.Servo`). Its two points are
    grounded by attention maps: where the reasoner looks as it names the sub-goal's first and its last thing, or, where
    it names fewer than two or looks at none, twice where it looks for the whole sub-goal. Candidates are drawn there,
    and the one with the highest affordance is executed: ::

        affordance = attention(pick) * attention(place)    both of mean 1 over the picture
                     0 where a point is beyond the gripper's reach, or both are the same place

    As in SayCan, a sub-goal counts as reached once its skill has been executed, since nothing here could tell. It
    reports ``subgoal`` (see `reasoning.subgoal_event`), ``skill`` (``pick`` and ``place`` in action units,
    ``affordance``) or ``servo`` (the same in metres), the events of `reasoning.Asking`, and with ``ask=once``
    ``replan``, where it asks again. It reads ground truth with ``reasoner=scripted`` only.

    Args:
        camera: Where the static camera sees the points of an action; ``points`` are pick and place.
        reasoner: See `agents.thinkjepa.agent.ThinkJEPAAgent`.
        record: See there.
        vlm: See there.
        ask: The reasoner is asked before ``every`` skill, as in SayCan, or ``once``, until its sub-goals are used up.
        affordance: How skills are drawn and scored.
        grid: Side of attention maps, which show the camera's ``crop``, or with a servo the whole picture. Maps of a
            record that does not say which part of the picture they cover must have it.
        world: Name of the benchmark.
        servos: How points are reached in worlds without scripted skills, by that name.

    Raises:
        ValueError: ``camera.points`` are not two, ``grid`` is below 1, or see `reasoning.make_reasoner`.
    """

    def __init__(
        self,
        *,
        camera: CameraConfig,
        reasoner: reasoning.Kind = "vlm",
        record: Path | None = None,
        vlm: VLMConfig | None = None,
        ask: Literal["every", "once"] = "every",
        affordance: Affordance | None = None,
        grid: int = 24,
        world: str | None = None,
        servos: Mapping[str, Servo] | None = None,
    ) -> None:
        super().__init__()
        _require_usable(camera, grid)
        self._camera, self._affordance, self._ask = camera, affordance or Affordance(), ask
        self._grid = grid
        self._servo = (servos or {}).get(world or "")
        if self._servo is None:
            crop, points = camera.crop, camera.action_points()
            self._from_picture = [np.linalg.inv(np.reshape(point.homography, (3, 3))) for point in points]
            self.observation_keys = (CAMERA,)
        else:
            crop = WHOLE
            self._from_picture = 2 * [self._servo.from_picture()]
            self.observation_keys = (CAMERA, self._servo.position)
        self._reasoner = reasoning.Asking(reasoning.make_reasoner(reasoner, record, vlm, _eyes(crop, grid)))

    @classmethod
    def reads_truth(cls, settings: Mapping[str, Any]) -> bool:
        """See `Agent.reads_truth`."""
        return reasoning.reads_truth(settings)

    @classmethod
    def untrained(cls, settings: Mapping[str, Any]) -> bool:
        """See `Agent.untrained`: the shipped reasoner was taught nothing of the worlds that have a servo."""
        return _servo(settings) is not None and settings.get("reasoner") == "vlm" and _asks_shipped(settings)

    @classmethod
    def content(cls, settings: Mapping[str, Any]) -> Mapping[str, Path | str]:
        """See `Agent.content`."""
        return reasoning.content(settings)

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any], action_space: Box | None, control_hz: float | None) -> None:
        """See `Agent.check_settings`: whether actions are those of the world's servo, or skills where it has none."""
        camera, grid = CameraConfig(**settings["camera"]), settings["grid"]
        try:
            _require_usable(camera, grid)
        except ValueError as error:
            raise ValueError(f"agent.{error}") from error
        servo = _servo(settings)
        if servo is None:
            _require_skills(action_space, control_hz, camera)
        elif action_space is not None:
            _require_actions(Servo(**servo), action_space)
        reasoning.check_settings(settings, _eyes(camera.crop if servo is None else WHOLE, grid))

    def begin(self, view: TaskView, observation: Observation) -> _Memory:  # noqa: ARG002
        """Nothing has been done.

        Raises:
            ValueError: Actions are neither skills nor those of the world's servo.
        """
        if self._servo is None:
            _require_skills(view.action_space, view.control_hz, self._camera)
        else:
            _require_actions(self._servo, view.action_space)
        return _Memory((), (), [])

    def decide(self, memory: _Memory, view: TaskView, observation: Observation, rng: np.random.Generator) -> Action:
        """The skill of the first sub-goal that is left, or the next action of its straight moves."""
        if self._servo is None:
            pick, place = self._chosen(memory, view, observation, rng)
            action = np.zeros(view.action_space.shape)
            action[0] = _PICK_AND_PLACE
            for components, point in zip(self._camera.points, (pick, place), strict=True):
                action[list(components)] = point
            return action.clip(-1, 1).astype(np.float32)
        if memory.legs and self._servo.arrived(memory.legs[0], observation, memory.steps):
            memory.legs, memory.steps = memory.legs[1:], 0
        if not memory.legs:
            pick, place = self._chosen(memory, view, observation, rng)
            memory.legs = self._servo.route(pick.clip(-1, 1), place.clip(-1, 1))
        memory.steps += 1
        return self._servo.action(memory.legs[0], observation)

    def _chosen(
        self, memory: _Memory, view: TaskView, observation: Observation, rng: np.random.Generator
    ) -> tuple[_Array, _Array]:
        """Where to pick and to place for the first sub-goal that is left, ``(2,)`` in action units."""
        events: list[AgentEvent] = []
        subgoals = memory.subgoals
        if self._ask == "once" and memory.history and not subgoals:
            events.append(AgentEvent("replan", {"reason": "none left"}))
        if self._ask == "every" or not subgoals:
            subgoals = self._reasoner.propose(view, observation, memory.history, events)
        current = subgoals[0]
        events.append(reasoning.subgoal_event(subgoals))
        maps = self._maps(current, view, observation, events)
        points, score = self._best(maps, rng)
        shown = [self._servo.metres(point) if self._servo else point for point in points]
        told = {name: [round(float(x), 4) for x in point] for name, point in zip(("pick", "place"), shown, strict=True)}
        events.append(AgentEvent("servo" if self._servo else "skill", {**told, "affordance": round(score, 4)}))
        memory.subgoals = subgoals[1:]
        if not any(event.kind == "no_subgoal" for event in events):  # what nobody has stated was not reached either
            memory.history = (*memory.history, Attempt(current.text, reached=True))
        memory.events += events
        return points

    def _maps(
        self, subgoal: SubGoal, view: TaskView, observation: Observation, events: list[AgentEvent]
    ) -> tuple[Tensor, Tensor]:
        """Where to pick and where to place, ``(N,)`` each."""
        things = [thing for thing in subgoal.objects if any(letter.isalnum() for letter in thing)]
        ends = (things[0], things[-1]) if len(things) > 1 else ()
        looked = [self._reasoner.look(SubGoal(thing, None), view, observation, events).attention for thing in ends]
        pick, place = looked if looked else (None, None)
        if pick is not None and place is not None:
            return pick, place
        if subgoal.attention is None or self._ask == "once":
            subgoal = self._reasoner.look(subgoal, view, observation, events)
        whole = torch.ones(self._grid**2) if subgoal.attention is None else subgoal.attention
        return whole, whole

    def _best(self, maps: tuple[Tensor, Tensor], rng: np.random.Generator) -> tuple[tuple[_Array, _Array], float]:
        """The candidate with the highest affordance: its points ``(2,)`` in action units, and that."""
        settings = self._affordance
        drawn = [_draw(attention, settings, rng) for attention in maps]
        points = [_projected(seen, matrix) for (seen, _), matrix in zip(drawn, self._from_picture, strict=True)]
        scores = drawn[0][1] * drawn[1][1]
        for point in points:
            scores *= (np.abs(point) <= 1).all(axis=1)
        scores *= np.linalg.norm(points[0] - points[1], axis=1) >= settings.apart
        best = int(scores.argmax())
        return (points[0][best], points[1][best]), float(scores[best])


def _servo(settings: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """That of the world, if it has one. Somebody else's settings may hold anything."""
    servos, world = settings.get("servos"), settings.get("world")
    servo = servos.get(world) if isinstance(servos, Mapping) and isinstance(world, str) else None
    return servo if isinstance(servo, Mapping) else None


def _asks_shipped(settings: Mapping[str, Any]) -> bool:
    """Whether the model is the shipped one, by whatever path, or none that could be asked."""
    shipped = Path(located(VLMConfig().model))
    try:
        return Path(located(reasoning.chosen_vlm(settings).model)).resolve() == shipped.resolve()
    except (OSError, TypeError, ValueError):
        return True


def _require_usable(camera: CameraConfig, grid: int) -> None:
    if len(camera.points) != 2:
        raise ValueError(f"camera.points: an action names {len(camera.points)} points; give pick and place")
    if grid < 1:
        raise ValueError(f"grid={grid}: attention maps need at least one cell")


def _require_skills(action_space: Box | None, control_hz: float | None, camera: CameraConfig) -> None:
    needed = 1 + max(max(point) for point in camera.points)
    if control_hz is not None or (action_space is not None and action_space.shape[0] < needed):
        raise ValueError(
            "agent=vlm_only executes skills: use benchmark=thinkbench or subgoals in skill control, or say in "
            "agent.servos how this world's tool is moved"
        )


def _require_actions(servo: Servo, action_space: Box) -> None:
    if not servo.fits(action_space):
        raise ValueError(
            f"agent.servos: this world's are for {servo.components} relative components up to {servo.bound}; use the "
            "protocol's own control"
        )


def _draw(attention: Tensor, settings: Affordance, rng: np.random.Generator) -> tuple[_Array, _Array]:
    """Places in the picture ``(C, 2)``, u and v from 0 to 1, and the attention there ``(C,)``."""
    grid = round(len(attention) ** 0.5)
    weights = attention.double().numpy() ** settings.sharpness
    cells = rng.choice(len(weights), size=settings.candidates, p=weights / weights.sum())
    seen = (np.stack([cells % grid, cells // grid], axis=1) + rng.uniform(size=(settings.candidates, 2))) / grid
    places = torch.from_numpy(2 * seen - 1).float()[None, None]
    there = functional.grid_sample(
        attention.float().reshape(1, 1, grid, grid), places, padding_mode="border", align_corners=False
    )
    return seen, there[0, 0, 0].double().numpy()


def _projected(points: _Array, matrix: _Array) -> _Array:
    """Points ``(C, 2)`` through a homography."""
    homogeneous = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:])


def _eyes(crop: Crop, grid: int) -> WorldModelConfig:
    """Of a world model that is not there: a reasoner reads from it which part of the picture its maps show, and how."""
    encoder = EncoderConfig(image_size=grid, patch_size=1, width=1, layers=1, heads=1, crop=crop)
    return WorldModelConfig(
        encoder=encoder, predictor=PredictorConfig(width=1, layers=1, heads=1), action_dim=1, grid=grid
    )
