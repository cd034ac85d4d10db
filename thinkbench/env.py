"""ThinkBench episodes as a Gymnasium environment: the tabletop world with a goal, milestones and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from envs.bullet import Renderer
from envs.tabletop.actions import Control
from envs.tabletop.cameras import CAMERAS, CameraName
from envs.tabletop.env import TabletopEnv
from envs.tabletop.robot import Visuals
from envs.tabletop.scene import SceneSpec, WorldState
from envs.tabletop.world import CONTROL_HZ, TabletopWorld
from harness.interfaces import EpisodeSpec, Observation, StatedSubGoal
from thinkbench.abstraction import abstract, domain_of
from thinkbench.foresight import Foresight, Image
from thinkbench.generator import generate
from thinkbench.literals import Goal, Literal
from thinkbench.milestones import MilestoneTracker
from thinkbench.motion import Placement, next_placement
from thinkbench.predicates import broken_rule, goal_holds
from thinkbench.specs import to_spec
from thinkbench.subgoals.goals import KINDS, SubGoal, move_in_words
from thinkbench.symbolic import Move, UnsolvableError, shortest_plan
from thinkbench.templates import load_templates

_RANDOM_SUITE = 2**32  # suite seed of episodes that are drawn by `reset` itself; no protocol uses it
_LOST_BELOW = -0.05  # metres; what is lower has fallen off the table


@dataclass(frozen=True)
class ThinkBenchTruth:
    """What a privileged agent may read: live ground truth, and the episode's certificate.

    Attributes:
        episode: The episode.
        goal: What must hold at the end.
        rules: What must hold after every action.
        plan: A shortest plan from the start.
    """

    episode: EpisodeSpec
    goal: Goal
    rules: Goal
    plan: tuple[Move, ...]
    _world: TabletopEnv
    _foresight: Foresight

    def state(self) -> WorldState:
        """Ground truth of this moment."""
        return self._world.world.state()

    @property
    def world(self) -> TabletopWorld:
        """The world itself: privileged agents read it and command nothing."""
        return self._world.privileged()

    def stated_subgoals(self) -> tuple[StatedSubGoal, ...]:
        """The moves of a shortest plan from here, in words; see `harness.interfaces.StatesSubGoals`.

        Where no plan leads to the goal, or it is reached, that is the instruction itself.
        """
        state = self.state()
        stated = self.moves_in_words(state)
        if not stated:
            return (StatedSubGoal(self.episode.stages[0].instruction, ()),)
        return tuple(
            StatedSubGoal(subgoal.text(KINDS[subgoal.kind].standard[0]), self.seen_at(state, subgoal.literals[0].args))
            for subgoal in stated
        )

    def moves_in_words(self, state: WorldState) -> tuple[SubGoal, ...]:
        """The moves of a shortest plan from ``state``; none where there is no plan, or nothing left to do."""
        domain = domain_of(state.scene, self.goal, self.rules)
        try:
            plan = shortest_plan(domain, abstract(state, domain), self.goal)
        except UnsolvableError:
            plan = ()
        return tuple(move_in_words(state.scene, move, domain) for move in plan)

    def goal_image(self) -> Image:
        """What the static camera sees once the expert is done, ``uint8 (S, S, 3)``, as large as observations are.

        The first call simulates, further ones cost nothing.

        Raises:
            ValueError: In episodes of play.
        """
        return self._foreseen().goal()

    def next_image(self) -> Image:
        """What the static camera sees after the expert's next move from here; every call simulates.

        Raises:
            ValueError: In episodes of play.
        """
        return self._foreseen().after_next_move(self.world.get_state())

    def _foreseen(self) -> Foresight:
        if not self.goal:
            raise ValueError(f"episode {self.episode.episode_id} has no goal to make a picture of")
        return self._foresight

    def seen_at(self, state: WorldState, names: Iterable[str]) -> tuple[tuple[float, float], ...]:
        """Where the static camera sees objects and zones, ``(u, v)`` from 0 to 1; other words are nowhere."""
        places = {name: body.position for name, body in state.objects.items()}
        places |= {zone.name: (*zone.centre, 0.0) for zone in state.scene.zones}
        points = self.world.project("rgb_static", [places[name] for name in names if name in places])
        return tuple((float(u), float(v)) for u, v in points)

    def labels(self, names: Sequence[str], size: int) -> npt.NDArray[np.uint8]:
        """Which object or zone each pixel of the static camera shows now, ``uint8 (size, size)``.

        That is its place in ``names`` from 1, or 0 for anything else.
        """
        bodies = self.world.objects | self.world.zones
        shown = self.world.render("rgb_static", size).segmentation
        labels = np.zeros(shown.shape, np.uint8)
        for place, name in enumerate(names, start=1):
            labels[shown == bodies[name]] = place
        return labels


class ThinkBenchEnv(gymnasium.Env[dict[str, Any], npt.ArrayLike]):
    """One stage per episode: reach the goal that the instruction states. An episode of play has no goal and no success.

    Success is judged after settling: where the goal holds at the end of an action, the world goes on for
    ``settle_seconds`` with the arm at rest, and the goal must still hold then. A tower that falls is no success. Where
    the episode has rules, they must hold whenever nothing is held and its objects rest; breaking one ends the episode.

    ``info`` holds ``success``; ``progress``, the share of the certified plan's milestones reached so far (reached once
    is reached for good; 1 with success); and ``metrics``: how many milestones, the first that is missing, how often the
    goal was reached but did not last, objects that fell off the table, the rule that was broken, and in skill control
    how many actions picked something up. The reward is 1 with success.

    Args:
        control: ``skill`` or ``delta``; see `TabletopEnv`.
        cameras: Which cameras there are.
        image_size: Side of the square pictures in pixels.
        visuals: ``lowpoly`` or ``stock`` looks of the arm.
        renderer: ``tiny``, ``egl`` or ``auto``.
        observation_keys: Only these observations are computed; ``None`` for all.
        settle_seconds: Simulated seconds for which the goal must last.
        film: Whether ``info["frames"]`` holds what the static camera saw on the way.
        render_mode: ``rgb_array`` or ``None``.

    Raises:
        ValueError: An argument names something that does not exist.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": CONTROL_HZ}  # noqa: RUF012

    def __init__(
        self,
        *,
        control: Control = "skill",
        cameras: Sequence[CameraName] = CAMERAS,
        image_size: int = 224,
        visuals: Visuals = "lowpoly",
        renderer: Renderer = "tiny",
        observation_keys: Sequence[str] | None = None,
        settle_seconds: float = 2.0,
        film: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self._tabletop = TabletopEnv(
            control=control,
            cameras=cameras,
            image_size=image_size,
            visuals=visuals,
            renderer=renderer,
            observation_keys=observation_keys,
            film=film,
            render_mode=render_mode,
        )
        self.action_space = self._tabletop.action_space
        self.observation_space = self._tabletop.observation_space
        self.render_mode = render_mode
        self._settle_steps = round(settle_seconds * CONTROL_HZ)
        self._view: dict[str, Any] = {"image_size": image_size, "visuals": visuals, "renderer": renderer}
        self._truth: ThinkBenchTruth | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Set up ``options["episode"]``, an `EpisodeSpec` or its ``to_dict``; without it, one drawn from the seed.

        ``info["instruction"]`` is the instruction.
        """
        super().reset(seed=seed)
        episode = (options or {}).get("episode")
        if episode is None:
            episode = self._draw()
        elif isinstance(episode, Mapping):
            episode = EpisodeSpec.from_dict(episode)
        goal, rules = _literals(episode.meta["goal"]), _literals(episode.meta["rules"])
        plan = tuple(Move(item, destination) for item, destination in episode.meta["plan"])
        world = {"scene": SceneSpec.from_dict(episode.meta["scene"]), "conditions": episode.meta.get("conditions")}
        observation, info = self._tabletop.reset(options=world)
        start = self._tabletop.world.get_state()
        foresight = Foresight(start, self._decider(goal, rules), self._settle_steps, self._view)
        self._truth = ThinkBenchTruth(episode, goal, rules, plan, self._tabletop, foresight)
        self._milestones = MilestoneTracker(_literals(episode.meta["milestones"]))
        self._lost_goals = 0
        self._picks = 0
        return observation, info | {"instruction": episode.stages[0].instruction}

    def step(self, action: npt.ArrayLike) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Execute one action and judge the outcome; ``terminated`` with success or with a broken rule.

        Raises:
            ValueError: The action has a wrong shape or is not finite.
            SimulationError: The world exploded.
            RuntimeError: `reset` was not called.
        """
        truth = self.privileged()
        observation, _, _, _, info = self._tabletop.step(action)
        self._picks += info.get("picked") is not None
        state = truth.state()
        broken = broken_rule(state, truth.rules)
        if broken is None:
            self._milestones.update(state)
        success = broken is None and bool(truth.goal) and goal_holds(state, truth.goal)
        if success:
            self._tabletop.world.hold(self._settle_steps)
            state = truth.state()
            broken = broken_rule(state, truth.rules)
            success = broken is None and goal_holds(state, truth.goal)
            self._lost_goals += not success
            observation = self._tabletop.observe()
        info |= {
            "success": success,
            "progress": 1.0 if success else self._milestones.progress,
            "metrics": self._metrics(state) | {"broken_rule": None if broken is None else str(broken)},
        }
        return observation, float(success), success or broken is not None, False, info

    def begin_stage(self, index: int) -> Observation:
        """There is only stage 0.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"a ThinkBench episode has one stage; there is no stage {index}")

    @property
    def render_seconds(self) -> float:
        """Wall-clock time spent on pictures so far."""
        return self._tabletop.render_seconds

    def render(self) -> npt.NDArray[np.uint8]:
        """The static camera's picture, ``uint8 (S, S, 3)``."""
        return self._tabletop.render()

    def privileged(self) -> ThinkBenchTruth:
        """Ground truth, goal and certified plan.

        Raises:
            RuntimeError: `reset` was not called.
        """
        if self._truth is None:
            raise RuntimeError("there is no episode yet; call reset() first")
        return self._truth

    def state_digest(self) -> str:
        """A hash of the exact simulator state; equal digests mean bit-identical worlds."""
        return self._tabletop.state_digest()

    def renderer_name(self) -> str:
        """What renders: ``tiny`` or ``egl``."""
        return self._tabletop.renderer_name()

    def close(self) -> None:
        """Release the simulator."""
        self._tabletop.close()

    def _decider(self, goal: Goal, rules: Goal) -> Callable[[WorldState], Placement | None]:
        """How the expert decides."""
        return lambda state: next_placement(state, domain_of(state.scene, goal, rules), goal)

    def _draw(self) -> EpisodeSpec:
        templates = list(load_templates().values())
        template = templates[int(self.np_random.integers(len(templates)))]
        return to_spec(generate(template, int(self.np_random.integers(2**31)), _RANDOM_SUITE))

    def _metrics(self, state: WorldState) -> dict[str, Any]:
        missing = self._milestones.first_missing
        metrics: dict[str, Any] = {
            "milestones": len(self._milestones.reached),
            "milestones_reached": sum(self._milestones.reached),
            "first_missing_milestone": None if missing is None else missing + 1,
            "first_missing_literal": None if missing is None else str(self._milestones.literals[missing]),
            "goals_lost_while_settling": self._lost_goals,
            "objects_off_table": sum(body.position[2] < _LOST_BELOW for body in state.objects.values()),
        }
        if self._tabletop.control == "skill":
            metrics["picks"] = self._picks
        return metrics


def _literals(data: Sequence[Sequence[str]]) -> Goal:
    return tuple(Literal.from_list(words) for words in data)
