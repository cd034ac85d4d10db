"""Episodes from templates: seeded, the same in every process, each with a certificate.

An episode is accepted only if its scene is geometrically valid, its shortest plan has exactly the template's horizon,
and a rehearsal of that plan in a world without physics finds room for every move and reaches the goal.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from envs.tabletop.scene import SceneSpec
from envs.tabletop.shapes import is_container
from harness.interfaces import derive_seed
from thinkbench import literals, symbolic
from thinkbench.abstraction import abstract, domain_of
from thinkbench.binding import Cast, RejectedError, draw_cast
from thinkbench.ideal import carry_out, ideal_state
from thinkbench.language import instruct
from thinkbench.layout import lay_out
from thinkbench.milestones import milestones_of
from thinkbench.motion import next_placement
from thinkbench.predicates import broken_rule, goal_holds
from thinkbench.templates import EVERYTHING_ELSE, Template

GENERATOR_VERSION = 2
"""Raised by every change that alters an episode."""

Wording = Literal["standard", "held_out"]

_ATTEMPTS = 400


@dataclass(frozen=True)
class Episode:
    """One generated episode.

    Attributes:
        template: What it is an instance of.
        index: Its number among the template's episodes.
        instruction: What the agent reads.
        paraphrase: Index of the paraphrase.
        scene: What is on the table.
        goal: What must hold at the end.
        rules: What must hold after every action.
        plan: A shortest plan, as long as the template's horizon.
        milestones: What each move of the plan is for; progress is the share that was reached.
    """

    template: Template
    index: int
    instruction: str
    paraphrase: int
    scene: SceneSpec
    goal: literals.Goal
    rules: literals.Goal
    plan: tuple[symbolic.Move, ...]
    milestones: literals.Goal

    @property
    def episode_id(self) -> str:
        """Unique in a suite, for example ``tower-h5-003``."""
        return f"{self.template.name}-{self.index:03d}"

    def meta(self) -> dict[str, Any]:
        """Everything but the instruction, as JSON data."""
        return {
            "family": self.template.family,
            "horizon": self.template.horizon,
            "template": self.template.name,
            "paraphrase": self.paraphrase,
            "scene": self.scene.to_dict(),
            "goal": [literal.to_list() for literal in self.goal],
            "rules": [literal.to_list() for literal in self.rules],
            "plan": [[move.item, move.destination] for move in self.plan],
            "milestones": [literal.to_list() for literal in self.milestones],
            "insight": self.template.insight,
        }


def generate(template: Template, index: int, suite_seed: int, wording: Wording = "standard") -> Episode:
    """The episode number ``index`` of ``template`` in the suite ``suite_seed``.

    The wording does not affect the scene.

    Raises:
        RuntimeError: No valid episode was found; the template asks for the impossible.
    """
    problem = "no attempt was made"
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng(derive_seed("thinkbench", suite_seed, template.name, index, attempt))
        try:
            return _draw(template, index, suite_seed, wording, rng)
        except (RejectedError, symbolic.UnsolvableError) as error:
            problem = str(error)
    raise RuntimeError(
        f"template {template.name}, episode {index}: none of {_ATTEMPTS} draws is valid (the last: {problem}); "
        "relax the template's sizes, piles or horizon"
    )


def _draw(template: Template, index: int, suite_seed: int, wording: Wording, rng: np.random.Generator) -> Episode:
    cast = draw_cast(template, rng)
    scene = lay_out(template, cast, rng)
    goal, rules = _bound_goal(template, cast), _bound_rules(template, cast)
    plan, milestones = certify(scene, goal, rules, template, cast)
    texts = template.paraphrases if wording == "standard" else template.held_out
    choice = derive_seed("thinkbench", suite_seed, template.name, index, wording) % len(texts)
    listings = {slot: [cast.phrases[name] for name in names] for slot, names in template.slots.items()}
    return Episode(template, index, instruct(texts[choice], listings), choice, scene, goal, rules, plan, milestones)


def _bound_goal(template: Template, cast: Cast) -> literals.Goal:
    """The template's goal about the objects of ``cast``."""
    goal: list[literals.Literal] = []
    for literal in template.goal:
        first, *rest = literal.args
        wanted = {other.args[0] for other in template.goal if other.positive and other.args[1:] == tuple(rest)}
        movable = [role for role, spec in cast.objects.items() if not is_container(spec.kind)]
        subjects = [role for role in movable if role not in wanted] if first == EVERYTHING_ELSE else [first]
        goal += [replace(literal, args=tuple(cast.names[arg] for arg in (role, *rest))) for role in subjects]
    return tuple(goal)


def _bound_rules(template: Template, cast: Cast) -> literals.Goal:
    """The template's rules about the objects of ``cast``; ``*`` is each of the task's own that can be picked up."""
    rules: list[literals.Literal] = []
    for literal in template.rules:
        movable = [role for role in template.objects if not is_container(cast.objects[role].kind)]
        subjects = movable if literal.args[0] == EVERYTHING_ELSE else [literal.args[0]]
        rules += [replace(literal, args=(cast.names[role], *literal.args[1:])) for role in subjects]
    return tuple(rules)


def certify(
    scene: SceneSpec, goal: literals.Goal, rules: literals.Goal, template: Template, cast: Cast
) -> tuple[tuple[symbolic.Move, ...], literals.Goal]:
    """Prove that an episode is what its template says, by planning and rehearsal; its plan and milestones.

    Raises:
        RejectedError: The scene does not start as declared, the shortest plan has another length than the horizon, a
            move has no room or breaks a rule, or the rehearsed plan does not reach the goal.
    """
    domain, state = domain_of(scene, goal, rules), ideal_state(scene)
    start = abstract(state, domain)
    if start != domain.state(_declared_supports(template, cast)):
        raise RejectedError("objects do not rest where the template puts them")
    length = len(symbolic.shortest_plan(domain, start, goal))
    if length != template.horizon:
        raise RejectedError(f"the shortest plan has {length} moves instead of {template.horizon}")
    plan: list[symbolic.Move] = []
    while (placement := next_placement(state, domain, goal)) is not None:
        if placement.room < 0:
            raise RejectedError(f"no room for move {len(plan) + 1}")
        if broken_rule(state, rules) is not None:
            raise RejectedError(f"a rule is broken before move {len(plan) + 1}")
        plan.append(placement.move)
        state = carry_out(state, placement)
        if len(plan) > length:
            raise RejectedError("the rehearsed plan goes astray")
    if broken_rule(state, rules) is not None or not goal_holds(state, goal):
        raise RejectedError("the rehearsed plan does not reach the goal")
    return tuple(plan), milestones_of(domain, start, goal, plan)


def _declared_supports(template: Template, cast: Cast) -> dict[str, str]:
    pairs = (pair for pile in template.start for pair in itertools.pairwise(pile))
    return {cast.names[above]: cast.names[below] for below, above in pairs}
