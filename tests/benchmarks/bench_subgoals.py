"""Which part of planning a sub-goal fails: words, predictions, distances or the search, each measured apart.

    python -m tests.benchmarks subgoals           (HARNESS_CHECKPOINT=FOLDER for another than the shipped model)

On fresh tuning episodes that one action solves, candidate actions are carried out in the simulator: the certified
solution with a little noise, the right object to other places, other objects to the right place, and random ones. So it
is known which of them succeed and what is seen afterwards, and four rankings of the same candidates can be compared:

==================  ===========================  ==========================  ==========================
``ranked by``       goal                         outcome                     what can be wrong
==================  ===========================  ==========================  ==========================
``image, seen``     picture of the goal          encoded picture after it    the distance
``image, foreseen`` picture of the goal          predicted state             and the predictor
``words, seen``     projected from words         encoded picture after it    the projection
``words, foreseen`` projected from words         predicted state             both: what planning sees
==================  ===========================  ==========================  ==========================

``auc`` is the chance that a success ranks before a failure of the same episode, ``first`` how often the candidate that
ranks first succeeds. ``aim`` moves only the pick, or only the place, of the certified action over a fine grid and
measures how far from it the best predicted outcome lies. ``search`` compares what the planner found with the certified
action: ``missed`` is how often its cost is higher, so that more search would help; ``pick`` and ``place`` are its
distances from the certified ones.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.planning import CAMERA
from agents.thinkjepa.agent import ThinkJEPAAgent
from agents.thinkjepa.checkpoints import from_pretrained
from agents.thinkjepa.distances import Objective
from agents.thinkjepa.planner.config import PlannerConfig
from agents.thinkjepa.planner.latent import LatentPlanner
from envs.bullet import SimulationError
from envs.tabletop.actions import MAX_TURN, Primitive, from_unit, parse_skill, skill_action
from envs.tabletop.skills import pick_and_place
from envs.tabletop.world import CONTROL_HZ
from harness.interfaces import EpisodeSpec, Observation, SeedPath, TaskView
from thinkbench.predicates import goal_holds
from thinkbench.subgoals.env import SubgoalEnv, SubgoalTruth
from thinkbench.subgoals.goals import KINDS
from thinkbench.subgoals.suite import draw_specs

PER_KIND = 4
SEED = 900
EACH = 6
"""Candidates of each sort."""

AIM_STEP, AIM_REACH = 0.01, 0.10  # metres
BUDGETS = {
    f"{population} x {iterations}": PlannerConfig(
        population=population,
        iterations=iterations,
        elite_fraction=0.06,
        horizon=1,
        initial_std=0.6,
        fixed=((0, -1.0),),
    )
    for population, iterations in ((256, 4), (512, 4))
}
Action = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tried:
    """One candidate: whether it succeeds, and what is seen then."""

    action: Action
    succeeds: bool
    picture: npt.NDArray[np.uint8]


def candidates(truth: SubgoalTruth, rng: np.random.Generator) -> list[Action]:
    """The certified solution first."""
    solution = np.array(truth.episode.meta["solution"][0], np.float32)
    skill = parse_skill(solution)
    start, end = np.array(skill.start), np.array(skill.end)
    others = [np.array(body.position[:2]) for body in truth.state().objects.values()]
    others = [point for point in others if np.linalg.norm(point - start) > 0.03] or [start]

    def action(pick: npt.ArrayLike, place: npt.ArrayLike, turn: float) -> Action:
        return skill_action(Primitive.PICK_AND_PLACE, pick, place, turn)

    def anywhere() -> npt.NDArray[np.float64]:
        return from_unit(rng.uniform(-1, 1, 2))

    near = [action(start + rng.normal(0, 0.01, 2), end + rng.normal(0, 0.015, 2), skill.turn) for _ in range(EACH)]
    elsewhere = [action(start, anywhere(), 0.0) for _ in range(EACH)]
    wrong = [action(others[int(rng.integers(len(others)))], end, skill.turn) for _ in range(EACH)]
    random = [action(anywhere(), anywhere(), float(rng.uniform(-MAX_TURN, MAX_TURN))) for _ in range(EACH)]
    return [solution, *near, *elsewhere, *wrong, *random]


def carry_out(truth: SubgoalTruth, actions: Sequence[Action], env: SubgoalEnv) -> list[Tried]:
    """Each from the start of the episode."""
    world = truth.world
    start = world.get_state()
    tried = []
    for action in actions:
        world.set_state(start)
        skill = parse_skill(action)
        try:
            pick_and_place(world, skill.start, skill.end, skill.turn)
            world.hold(2 * CONTROL_HZ)
        except SimulationError:
            continue
        tried.append(Tried(action, goal_holds(world.state(), truth.goal), env.render()))
    world.set_state(start)
    return tried


class Judge:
    """An agent that ranks candidates."""

    def __init__(self, checkpoint: str) -> None:
        self.agent = ThinkJEPAAgent(checkpoint=checkpoint, planner=PlannerConfig(horizon=1), device="cpu")
        self.objective = Objective(distance="change_cosine")  # what agents search by

    def foresee(self, state: Tensor, actions: Sequence[Action], relevance: Tensor | None) -> Tensor:
        """Predicted states ``(B, N, D)`` of one state ``(1, N, D)``."""
        tried = torch.from_numpy(np.stack(actions)).unsqueeze(1)
        maps = None if relevance is None else relevance.expand(len(tried), -1)
        return self.agent.world.rollout(state.expand(len(tried), -1, -1), tried, maps)[:, 0]

    def project(self, view: TaskView, observation: Observation, state: Tensor) -> tuple[Tensor, Tensor]:
        """The goal ``(1, N, D)`` of the instruction, and where to look ``(1, N)``."""
        goals = self.agent.goals([self.agent.begin(view, observation)], [observation], state)
        assert goals.relevance is not None
        return goals.states, goals.relevance


def ranking(distance: Tensor, succeeds: npt.NDArray[np.bool_]) -> dict[str, float]:
    """``auc`` and ``first`` of one episode; no AUC where all succeed or all fail."""
    values = distance.numpy()
    numbers = {"first": float(succeeds[values.argmin()])}
    if succeeds.any() and not succeeds.all():
        before = values[succeeds][:, None] < values[~succeeds][None]
        numbers["auc"] = float(before.mean())
    return numbers


def aim(judge: Judge, state: Tensor, goal: Tensor, relevance: Tensor | None, action: Action) -> dict[str, float]:
    """How far from the certified pick, and place, the best predicted outcome is; metres."""
    offsets = np.arange(-AIM_REACH, AIM_REACH + AIM_STEP / 2, AIM_STEP)
    skill = parse_skill(action)
    errors = {}
    for what in ("pick", "place"):
        moved, tried = [], []
        for shift in np.array(np.meshgrid(offsets, offsets)).reshape(2, -1).T:
            start = np.array(skill.start) + (shift if what == "pick" else 0)
            end = np.array(skill.end) + (shift if what == "place" else 0)
            moved.append(float(np.linalg.norm(shift)))
            tried.append(skill_action(Primitive.PICK_AND_PLACE, start, end, skill.turn))
        distance = judge.objective(judge.foresee(state, tried, relevance), goal, start=state)
        errors[what] = moved[int(distance.argmin())]
    return errors


def examine(judge: Judge, env: SubgoalEnv, spec: EpisodeSpec) -> dict[str, Any]:
    """All measurements of one episode."""
    observation, _ = env.reset(options={"episode": spec})
    truth = env.privileged()
    rng = np.random.default_rng(spec.seed)
    tried = carry_out(truth, candidates(truth, rng), env)
    succeeds = np.array([one.succeeds for one in tried])
    actions = [one.action for one in tried]
    view = TaskView(spec.stages[0].instruction, env.action_space, None, 4, 0, SeedPath(0, "x", 0), truth)  # type: ignore[arg-type]
    state = judge.agent.encode([observation[CAMERA]])
    seen = judge.agent.encode([one.picture for one in tried])
    image = judge.agent.encode([truth.goal_image()])
    words, relevance = judge.project(view, observation, state)
    plain, guided = judge.foresee(state, actions, None), judge.foresee(state, actions, relevance)
    found: dict[str, Any] = {
        "image, seen": ranking(judge.objective(seen, image, start=state), succeeds),
        "image, foreseen": ranking(judge.objective(plain, image, start=state), succeeds),
        "words, seen": ranking(judge.objective(seen, words, start=state), succeeds),
        "words, foreseen": ranking(judge.objective(guided, words, start=state), succeeds),
        "aim at image": aim(judge, state, image, None, actions[0]),
        "aim at words": aim(judge, state, words, relevance, actions[0]),
    }
    for goal, maps, foreseen, what in ((image, None, plain, "image"), (words, relevance, guided, "words")):
        certified = judge.objective(foreseen[:1], goal, start=state).item()
        for name, config in BUDGETS.items():
            planner = LatentPlanner(judge.agent.world, config, judge.objective, low=-np.ones(6), high=np.ones(6))
            plan = planner.plan(state, goal, [spec.seed], relevance=maps)
            action, cost = plan.actions[0, 0].numpy(), plan.costs[0, -1].item()
            outcome = carry_out(truth, [action], env)
            meant, chosen = parse_skill(actions[0]), parse_skill(action)
            found[f"search for {what}, {name}"] = {
                "missed": float(cost > certified),
                "succeeds": float(any(one.succeeds for one in outcome)),
                "cost_below_certified": certified - cost,
                "pick": float(np.linalg.norm(np.subtract(chosen.start, meant.start))),
                "place": float(np.linalg.norm(np.subtract(chosen.end, meant.end))),
            }
    return found


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Means over episodes, medians of metres and costs."""
    table: dict[str, dict[str, float]] = {}
    for part in rows[0]:
        names = sorted({name for row in rows for name in row[part]})
        table[part] = {}
        for name in names:
            values = [row[part][name] for row in rows if name in row[part]]
            average = statistics.median if name in ("pick", "place", "cost_below_certified") else statistics.fmean
            table[part][name] = round(average(values), 4)
    return table


def main() -> dict[str, Any]:
    """Measure everything and print it."""
    checkpoint = os.environ.get("HARNESS_CHECKPOINT", "tiny-tabletop")
    judge = Judge(checkpoint)
    specs = draw_specs("tuning", SEED, tuple(KINDS), PER_KIND, max_steps=4, wording="standard")
    specs = [spec for spec in specs if spec.meta["moves"] == 1]
    env = SubgoalEnv(observation_keys=(CAMERA,), cameras=(CAMERA,), render_mode="rgb_array")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        rows = [examine(judge, env, spec) for spec in specs]
    torch.set_num_threads(threads)
    env.close()
    kinds = [spec.meta["kind"] for spec in specs]
    numbers: dict[str, Any] = {
        "checkpoint": from_pretrained(checkpoint).digest,
        "episodes": len(specs),
        "all": summary(rows),
        "by_kind": {k: summary([r for r, kind in zip(rows, kinds, strict=True) if kind == k]) for k in KINDS},
    }
    print(json.dumps(numbers["all"], indent=2))
    for kind, table in numbers["by_kind"].items():
        ranked = "  ".join(f"{part} {table[part].get('auc', float('nan')):.2f}" for part in list(table)[:4])
        found = "  ".join(
            f"{goal} {table[f'search for {goal}, 512 x 4']['succeeds']:.2f}" for goal in ("image", "words")
        )
        print(f"{kind:12s} {ranked}  search for {found}")
    return numbers
