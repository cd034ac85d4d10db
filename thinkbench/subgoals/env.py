"""Sub-goals as an environment: ThinkBench's world and verdict, goal images, and ground truth for training data."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Dict, Space, Text

from envs.bullet import Renderer
from envs.tabletop.cameras import CAMERAS, CameraName
from envs.tabletop.robot import Visuals
from envs.tabletop.scene import WorldState
from harness.interfaces import EpisodeSpec, StatedSubGoal, derive_seed
from thinkbench.env import ThinkBenchEnv, ThinkBenchTruth
from thinkbench.literals import Goal
from thinkbench.motion import Placement
from thinkbench.subgoals.draw import MAX_RECORDED, NAME, play_spec
from thinkbench.subgoals.goals import KINDS, SubGoal, asked_for, holding, subgoals
from thinkbench.subgoals.solver import next_action

TRUTH_KEYS = ("object_states", "scene", "subgoals", "holds")
"""Ground truth that may be recorded with training data; no agent is offered it in an evaluation."""

_POSE = 7
_LONGEST_TEXT = 2**20


@dataclass(frozen=True)
class SubgoalTruth(ThinkBenchTruth):
    """What a privileged agent may read: as on ThinkBench, and the scene's sub-goals.

    Attributes:
        subgoals: All that make sense in the scene.
    """

    subgoals: tuple[SubGoal, ...]

    def stated_subgoals(self) -> tuple[StatedSubGoal, ...]:
        """The instruction, which is a sub-goal itself."""
        named = dict.fromkeys(word for literal in self.goal for word in literal.args)
        return (StatedSubGoal(self.episode.stages[0].instruction, self.seen_at(self.state(), named)),)


class SubgoalEnv(ThinkBenchEnv):
    """One sub-goal per episode, judged as `ThinkBenchEnv` judges, in skill control.

    Besides the observations of the tabletop there are, for training data, those of `TRUTH_KEYS`:

    ``object_states``
        ``float32 (12 * 7,)``: position (metres) and quaternion ``xyzw`` of each object, in the order of ``scene``;
        zeros where there is none.
    ``scene``
        JSON of the episode's `SceneSpec`: names, kinds, colours, sizes, start poses, zones.
    ``subgoals``
        JSON list of ``[kind, text, [[predicate, argument, ...], ...]]``: all sub-goals of the scene, each in one of its
        standard paraphrases. The same during an episode.
    ``holds``
        A string of ``0`` and ``1``: which of them hold now. The next row's says what holds after the action.

    Args:
        cameras: Which cameras there are.
        image_size: Side of the square pictures in pixels.
        visuals: ``lowpoly`` or ``stock`` looks of the arm.
        renderer: ``tiny``, ``egl`` or ``auto``.
        observation_keys: Only these observations are computed; ``None`` for all but ground truth.
        settle_seconds: Simulated seconds for which the goal must last.
        film: Whether ``info["frames"]`` holds what the static camera saw on the way.
        render_mode: ``rgb_array`` or ``None``.

    Raises:
        ValueError: An argument names something that does not exist.
    """

    def __init__(
        self,
        *,
        cameras: Sequence[CameraName] = CAMERAS,
        image_size: int = 224,
        visuals: Visuals = "lowpoly",
        renderer: Renderer = "tiny",
        observation_keys: Sequence[str] | None = None,
        settle_seconds: float = 2.0,
        film: bool = False,
        render_mode: str | None = None,
    ) -> None:
        keys = () if observation_keys is None else tuple(observation_keys)
        super().__init__(
            cameras=cameras,
            image_size=image_size,
            visuals=visuals,
            renderer=renderer,
            observation_keys=None if observation_keys is None else [key for key in keys if key not in TRUTH_KEYS],
            settle_seconds=settle_seconds,
            film=film,
            render_mode=render_mode,
        )
        self._truth_keys = tuple(key for key in keys if key in TRUTH_KEYS)
        assert isinstance(self.observation_space, Dict)
        self.observation_space = Dict({**self.observation_space.spaces, **_truth_spaces(self._truth_keys)})

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Set up ``options["episode"]``; see `ThinkBenchEnv.reset`. Without it, play in a scene drawn from the seed."""
        observation, info = super().reset(seed=seed, options=options)
        base = super().privileged()
        scene = base.state().scene
        goals = subgoals(scene)
        self._truth = SubgoalTruth(**vars(base), subgoals=goals)
        self._right_picks = 0
        self._constant = {"scene": json.dumps(scene.to_dict(), separators=(",", ":"))}
        if "subgoals" in self._truth_keys:
            self._constant["subgoals"] = _in_words(goals, base.episode.episode_id)
        return observation | self._observe_truth(), info

    def step(self, action: npt.ArrayLike) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Execute one action and judge the outcome; see `ThinkBenchEnv.step`.

        The metric ``right_picks`` counts actions that picked up what the sub-goal asks to be moved.
        """
        truth = self.privileged()
        asked = asked_for(truth.state(), truth.goal)
        observation, reward, terminated, truncated, info = super().step(action)
        self._right_picks += info["picked"] in asked
        info["metrics"]["right_picks"] = self._right_picks
        return observation | self._observe_truth(), reward, terminated, truncated, info

    def privileged(self) -> SubgoalTruth:
        """Ground truth and goal.

        Raises:
            RuntimeError: `reset` was not called.
        """
        truth = super().privileged()
        assert isinstance(truth, SubgoalTruth)
        return truth

    def _draw(self) -> EpisodeSpec:
        return play_spec(int(self.np_random.integers(2**31)), 0)

    def _observe_truth(self) -> dict[str, Any]:
        observation: dict[str, Any] = {}
        truth = self.privileged()
        for key in self._truth_keys:
            if key == "object_states":
                poses = np.zeros((MAX_RECORDED, _POSE), np.float32)
                for row, body in zip(poses, truth.state().objects.values(), strict=False):
                    row[:] = (*body.position, *body.orientation)
                observation[key] = poses.reshape(-1)
            elif key == "holds":
                observation[key] = "".join("01"[holds] for holds in holding(truth.state(), truth.subgoals))
            else:
                observation[key] = self._constant[key]
        return observation

    def _decider(self, goal: Goal, rules: Goal) -> Callable[[WorldState], Placement | None]:  # noqa: ARG002
        return lambda state: next_action(state, goal)


def _in_words(goals: Sequence[SubGoal], episode_id: str) -> str:
    """All sub-goals as JSON, each in one of its standard paraphrases, drawn for the episode."""
    rng = np.random.default_rng(derive_seed(NAME, "words", episode_id))
    entries = []
    for goal in goals:
        paraphrases = KINDS[goal.kind].standard
        entries.append(goal.to_list(paraphrases[int(rng.integers(len(paraphrases)))]))
    return json.dumps(entries, separators=(",", ":"))


def _truth_spaces(keys: Sequence[str]) -> dict[str, Space[Any]]:
    text = Text(_LONGEST_TEXT, min_length=0, charset=string.printable)
    poses = Box(-np.inf, np.inf, (MAX_RECORDED * _POSE,), np.float32)
    return {key: poses if key == "object_states" else text for key in keys}
