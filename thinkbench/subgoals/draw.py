"""Drawing episodes: a scene, a sub-goal that does not hold in it, and a solution that was carried out in real contact.

Every random draw of an episode comes from one generator, whose seed is a hash over the split's name and what else
numbers the episode. So the splits share no seed, whatever their numbers are: episodes for evaluation, for tuning and
for training are drawn from different hashes, which the tests check on scenes as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from envs.bullet import SimulationError
from envs.tabletop.env import TabletopEnv
from envs.tabletop.scene import SceneSpec, WorldState
from harness.interfaces import EpisodeSpec, Stage, derive_seed
from thinkbench import literals
from thinkbench.abstraction import domain_of
from thinkbench.generator import generate
from thinkbench.ideal import carry_out, ideal_state
from thinkbench.predicates import goal_holds, on
from thinkbench.rehearsal import as_scene, rehearse
from thinkbench.subgoals.goals import KINDS, SubGoal, holding, subgoals
from thinkbench.subgoals.scenes import draw_scene
from thinkbench.subgoals.solver import next_action
from thinkbench.symbolic import UnsolvableError
from thinkbench.templates import load_templates

NAME = "subgoals"

DRAW_VERSION = 1
"""Raised by every change that alters an episode."""

Split = Literal["evaluation", "tuning", "training"]
"""What episodes are for; see the top of the file."""

Wording = Literal["standard", "held_out"]

PlayScenes = Literal["fresh", "thinkbench"]
"""Scenes of play: drawn for sub-goals, or those of ThinkBench's episodes, some moves before their end."""

MAX_RECORDED = 12
"""Most objects of a scene whose ground truth is recorded."""

LONGEST_SOLUTION = 2
"""Moves that a sub-goal takes at most."""

PLAY_STEPS = 6
"""Actions of an episode of play."""

_EVERY_WHICH_TAKES_TWO = 4  # of the episodes of a kind, the last of every so many takes two moves
_ATTEMPTS = 3000
_SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class Drawn:
    """A certified episode.

    Attributes:
        scene: What is on the table.
        goal: What is to be reached.
        solution: Skill actions ``(6,)`` that reach it in real contact.
    """

    scene: SceneSpec
    goal: SubGoal
    solution: tuple[tuple[float, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data; ``from_dict`` is the inverse."""
        return {
            "scene": self.scene.to_dict(),
            "kind": self.goal.kind,
            "literals": [literal.to_list() for literal in self.goal.literals],
            "phrases": list(self.goal.phrases),
            "solution": [list(action) for action in self.solution],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Drawn:
        """From ``to_dict``'s output."""
        conditions = tuple(literals.Literal.from_list(words) for words in data["literals"])
        goal = SubGoal(data["kind"], conditions, tuple(data["phrases"]))
        return cls(SceneSpec.from_dict(data["scene"]), goal, tuple(tuple(action) for action in data["solution"]))


def rng_of(split: Split, seed: int, *path: int | str) -> np.random.Generator:
    """The generator of one draw."""
    return np.random.default_rng(derive_seed(NAME, split, seed, *path))


def draw_episode(env: TabletopEnv, split: Split, seed: int, kind: str, index: int) -> Drawn:
    """Episode number ``index`` of a kind: the first draw that can be solved, in as many moves as its number asks for.

    Args:
        env: In skill control; its world is where solutions are carried out.
        split: What it is for.
        seed: What the split is drawn from.
        kind: A key of `KINDS`.
        index: Its number.

    Raises:
        RuntimeError: None of many draws can be solved.
    """
    moves = LONGEST_SOLUTION if (index + 1) % _EVERY_WHICH_TAKES_TWO == 0 else 1
    for attempt in range(_ATTEMPTS):
        rng = rng_of(split, seed, kind, index, attempt)
        scene = draw_scene(rng)
        options = _open_goals(scene, kind)
        if options:
            goal = options[int(rng.integers(len(options)))]
            if _rehearsed_moves(scene, goal.literals) == moves:
                solution = solve(env, scene, goal.literals)
                if solution is not None and len(solution) == moves:
                    return Drawn(scene, goal, solution)
    raise RuntimeError(f"no sub-goal of kind {kind} with {moves} moves was found in {_ATTEMPTS} scenes")


def _makes_sense(state: WorldState, goal: SubGoal) -> bool:
    """Whether there is what the words speak of: a pile, where something is to be put on a pile."""
    if goal.kind != "pile":
        return True
    base, item = goal.literals[0].args
    return any(on(state, other, base) for other in state.objects if other != item)


def _rehearsed_moves(scene: SceneSpec, goal: literals.Goal) -> int | None:
    """Moves of the solution in a world without physics; ``None`` if there is none that is short and has room."""
    state = ideal_state(scene)
    for moves in range(LONGEST_SOLUTION + 1):
        try:
            placement = next_action(state, goal)
        except UnsolvableError:
            return None
        if placement is None:
            return moves
        if placement.room < 0:
            return None
        state = carry_out(state, placement)
    return None


def solve(env: TabletopEnv, scene: SceneSpec, goal: literals.Goal) -> tuple[tuple[float, ...], ...] | None:
    """Carry out a solution in real contact; its actions, or ``None`` if the goal is not reached to stay."""
    env.reset(options={"scene": scene})
    world = env.world
    actions: list[tuple[float, ...]] = []
    try:
        while not goal_holds(world.state(), goal):
            placement = next_action(world.state(), goal)
            if placement is None or len(actions) == LONGEST_SOLUTION:
                return None
            action = placement.action()
            env.step(action)
            actions.append(tuple(float(value) for value in action))
        world.hold(round(_SETTLE_SECONDS * env.metadata["render_fps"]))
    except (UnsolvableError, SimulationError):
        return None
    return tuple(actions) if goal_holds(world.state(), goal) else None


# ---------------------------------------------------------------------------------------------- as specs


def episode_spec(
    drawn: Drawn, split: Split, index: int, *, max_steps: int, wording: Wording, seed: int = 0
) -> EpisodeSpec:
    """What the harness runs."""
    goal = drawn.goal
    identifier = f"{goal.kind}-{index:03d}" if split == "evaluation" else f"{split}-s{seed}-{goal.kind}-{index:03d}"
    paraphrases = getattr(KINDS[goal.kind], wording)
    text = goal.text(paraphrases[index % len(paraphrases)])
    conditions = [literal.to_list() for literal in goal.literals]
    return EpisodeSpec(
        benchmark=NAME,
        episode_id=identifier,
        seed=derive_seed(NAME, identifier) % 2**31,
        stages=(Stage(text, goal.kind, max_steps),),
        meta={
            **_meta(drawn.scene, split, goal.kind, conditions),
            "moves": len(drawn.solution),
            "solution": [list(action) for action in drawn.solution],
        },
    )


def play_spec(seed: int, index: int, kinds: Sequence[str] = (), scenes: PlayScenes = "fresh") -> EpisodeSpec:
    """A short stretch in a new scene without a goal, for agents that do what they like.

    Scenes in which a plank can bridge something, or that have zones, are rare. Where ``kinds`` are given, each stretch
    has one of them in turn as ``meta["aim"]``: its scene is the first draw in which such a sub-goal does not hold yet.
    """
    identifier = f"play-s{seed}-{index:06d}" if scenes == "fresh" else f"play-{scenes}-s{seed}-{index:06d}"
    rng = rng_of("training", seed, "play", index) if scenes == "fresh" else rng_of("training", seed, scenes, index)
    draw = draw_scene if scenes == "fresh" else _thinkbench_scene
    if kinds:
        aim = kinds[index % len(kinds)]
        scene, aims = _scene_for(aim, rng, draw), {"aim": aim}
    else:
        scene, aims = draw(rng), {}
    return EpisodeSpec(
        benchmark=NAME,
        episode_id=identifier,
        seed=derive_seed(NAME, identifier) % 2**31,
        stages=(Stage("play with what is on the table", "play", PLAY_STEPS),),
        meta=_meta(scene, "training", "play", []) | aims,
    )


def _thinkbench_scene(rng: np.random.Generator) -> SceneSpec:
    """The scene of a new ThinkBench episode of any template, after some moves of a solution but not the last."""
    templates = list(load_templates().values())
    while True:
        template = templates[int(rng.integers(len(templates)))]
        # Suites are numbered from 0; see `thinkbench.plans.making` for what else takes numbers.
        episode = generate(template, 0, 2**34 + int(rng.integers(2**31)))
        moves = int(rng.integers(template.horizon))
        domain = domain_of(episode.scene, episode.goal, episode.rules)
        *_, (state, made) = rehearse(episode.scene, domain, episode.goal, moves)
        scene = as_scene(state) if made else episode.scene
        if len(scene.objects) <= MAX_RECORDED:
            return scene


def _scene_for(kind: str, rng: np.random.Generator, draw: Callable[[np.random.Generator], SceneSpec]) -> SceneSpec:
    for _ in range(_ATTEMPTS):
        scene = draw(rng)
        if _open_goals(scene, kind):
            return scene
    raise RuntimeError(f"no sub-goal of kind {kind} was found in {_ATTEMPTS} scenes")


def _open_goals(scene: SceneSpec, kind: str) -> list[SubGoal]:
    """The sub-goals of a kind that make sense in a scene and do not hold in it."""
    state = ideal_state(scene)
    options = [goal for goal in subgoals(scene) if goal.kind == kind and _makes_sense(state, goal)]
    return [goal for goal, holds in zip(options, holding(state, options), strict=True) if not holds]


def _meta(scene: SceneSpec, split: Split, kind: str, goal: list[list[str]]) -> dict[str, Any]:
    return {
        "kind": kind,
        "split": split,
        "scene": json.loads(json.dumps(scene.to_dict())),
        "goal": goal,
        "rules": [],
        "plan": [],
        "milestones": goal,
    }
