"""Episodes from templates: seeded, the same in every process, each with a certificate.

An episode is accepted only if its scene is geometrically valid, its shortest plan has exactly the template's horizon,
and a rehearsal of that plan in a world without physics finds room for every move and reaches the goal.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from envs.tabletop.scene import Colour, SceneSpec
from envs.tabletop.shapes import is_container
from harness.interfaces import derive_seed
from thinkbench import literals, symbolic
from thinkbench.abstraction import abstract, domain_of
from thinkbench.arrangements import with_drawn_task
from thinkbench.binding import Cast, RejectedError, draw_cast
from thinkbench.ideal import carry_out, ideal_state
from thinkbench.language import arrangement, instruct, steps
from thinkbench.layout import lay_out
from thinkbench.milestones import milestones_of
from thinkbench.motion import next_placement
from thinkbench.predicates import broken_rule, goal_holds
from thinkbench.selection import AmbiguousSelectionError
from thinkbench.templates import ARRANGEMENT, CHOSEN, EVERYTHING_ELSE, Template

GENERATOR_VERSION = 2
"""Raised by every change that alters an episode."""

Wording = Literal["standard", "held_out", "verbose"]
"""How the instruction is put: one of the paraphrases, one of the held-out ones, or a paraphrase followed by the
certified plan, step by step."""

_DRAWN_WORDINGS: tuple[Wording, Wording] = ("standard", "held_out")
_ATTEMPTS = 400


@dataclass(frozen=True)
class Episode:
    """One generated episode.

    Attributes:
        template: What it is an instance of.
        index: Its number among the template's episodes.
        attempt: Which of the draws of this index it is; the ones before were not valid.
        instructions: What the agent reads, in each wording.
        paraphrases: Index of the template's paraphrase, for the wordings that have several.
        colours: Colour of each of the template's colour variables.
        scene: What is on the table.
        goal: What must hold at the end.
        rules: What must hold after every action.
        plan: A shortest plan, as long as the template's horizon.
        milestones: What each move of the plan is for; progress is the share that was reached.
    """

    template: Template
    index: int
    attempt: int
    instructions: Mapping[Wording, str]
    paraphrases: Mapping[Wording, int]
    colours: Mapping[str, Colour]
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
        """Everything but the instructions, as JSON data."""
        return {
            "family": self.template.family,
            "horizon": self.template.horizon,
            "template": self.template.name,
            "colours": dict(self.colours),
            "scene": self.scene.to_dict(),
            "goal": [literal.to_list() for literal in self.goal],
            "rules": [literal.to_list() for literal in self.rules],
            "plan": [[move.item, move.destination] for move in self.plan],
            "milestones": [literal.to_list() for literal in self.milestones],
            "insight": self.template.insight,
        }


def generate(template: Template, index: int, suite_seed: int, first_attempt: int = 0) -> Episode:
    """The episode number ``index`` of ``template`` in the suite ``suite_seed``: the first draw that is valid.

    Args:
        template: What to draw from.
        index: See above.
        suite_seed: See above.
        first_attempt: The draw to begin with, for callers that found something wrong with an earlier one.

    Raises:
        RuntimeError: No valid episode was found; the template asks for the impossible.
    """
    problems: Counter[str] = Counter()
    for attempt in range(first_attempt, first_attempt + _ATTEMPTS):
        rng = np.random.default_rng(derive_seed("thinkbench", suite_seed, template.name, index, attempt))
        try:
            return _draw(template, index, attempt, suite_seed, rng)
        except (RejectedError, symbolic.UnsolvableError) as error:
            problems[str(error)] += 1
    raise RuntimeError(
        f"template {template.name}, episode {index}: none of {_ATTEMPTS} draws is valid (most often: "
        f"{problems.most_common(1)[0][0]}); "
        "relax the template's sizes, piles or horizon"
    )


def _draw(template: Template, index: int, attempt: int, suite_seed: int, rng: np.random.Generator) -> Episode:
    cast = draw_cast(template, rng)
    rules = _bound_rules(template, cast)
    task = with_drawn_task(template, cast, rules, rng) if template.drawn else template
    scene = lay_out(task, cast, rng)
    goal = _bound_goal(task, cast, _chosen(task, cast, scene))
    plan, milestones = certify(scene, goal, rules, task, cast)
    choices: dict[Wording, int] = {
        wording: derive_seed("thinkbench", suite_seed, template.name, index, wording) % len(texts)
        for wording, texts in zip(_DRAWN_WORDINGS, (template.paraphrases, template.held_out), strict=True)
    }
    choices["verbose"] = choices["standard"]
    instructions = _instructions(task, cast, scene, goal=goal, rules=rules, plan=plan, choices=choices)
    return Episode(template, index, attempt, instructions, choices, cast.colours, scene, goal, rules, plan, milestones)


def _chosen(template: Template, cast: Cast, scene: SceneSpec) -> Sequence[str]:
    """Roles that the template's selection picks out of ``scene``."""
    if template.selection is None:
        return ()
    roles = {name: role for role, name in cast.names.items()}
    try:
        return [roles[name] for name in template.selection.choose(ideal_state(scene), cast.colours)]
    except AmbiguousSelectionError as error:
        raise RejectedError(str(error)) from error


def _bound_goal(template: Template, cast: Cast, chosen: Sequence[str]) -> literals.Goal:
    """The template's goal about the objects of ``cast``."""
    named = [
        replace(literal, args=(subject, *literal.args[1:]))
        for literal in template.goal
        for subject in (chosen if literal.args[0] == CHOSEN else [literal.args[0]])
    ]
    movable = [role for role, spec in cast.objects.items() if not is_container(spec.kind)]
    goal: list[literals.Literal] = []
    for literal in named:
        first, *rest = literal.args
        wanted = {other.args[0] for other in named if other.positive and other.args[1:] == tuple(rest)}
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


def _instructions(
    template: Template,
    cast: Cast,
    scene: SceneSpec,
    *,
    goal: literals.Goal,
    rules: literals.Goal,
    plan: Sequence[symbolic.Move],
    choices: Mapping[Wording, int],
) -> dict[Wording, str]:
    """The instruction in every wording."""
    called = {cast.names[role]: phrase for role, phrase in cast.phrases.items() if role in cast.names}
    called |= {
        spec.name: f"the {spec.size} {spec.colour} {spec.kind}" for spec in scene.objects if spec.name not in called
    }
    phrases = dict(cast.phrases)
    if any(ARRANGEMENT in names for names in template.slots.values()):
        phrases[ARRANGEMENT] = arrangement(goal, called.__getitem__)
    listings = {slot: [phrases[name] for name in names] for slot, names in template.slots.items()}
    standard = instruct(template.paraphrases[choices["standard"]], listings)
    domain = domain_of(scene, goal, rules)
    start = abstract(ideal_state(scene), domain)
    return {
        "standard": standard,
        "held_out": instruct(template.held_out[choices["held_out"]], listings),
        "verbose": f"{standard} Steps: {steps(plan, start, domain, called.__getitem__)}",
    }


def certify(
    scene: SceneSpec, goal: literals.Goal, rules: literals.Goal, template: Template, cast: Cast
) -> tuple[tuple[symbolic.Move, ...], literals.Goal]:
    """Prove that an episode is what its template says, by planning and rehearsal; its plan and milestones.

    Raises:
        RejectedError: The scene does not start as declared, the shortest plan has another length than the horizon, a
            move has no room or breaks a rule, or the rehearsed plan does not reach the goal.
    """
    domain = domain_of(scene, goal, rules)
    start = abstract(ideal_state(scene), domain)
    if start != domain.state(_declared_supports(template, cast)):
        raise RejectedError("objects do not rest where the template puts them")
    plan = rehearse(scene, goal, rules, template.horizon)
    return plan, milestones_of(domain, start, goal, plan)


def rehearse(scene: SceneSpec, goal: literals.Goal, rules: literals.Goal, horizon: int) -> tuple[symbolic.Move, ...]:
    """Carry out a shortest plan in a world without physics; the plan.

    Raises:
        RejectedError: The shortest plan has another length than ``horizon``, a move has no room or breaks a rule, or
            the rehearsed plan does not reach the goal.
        UnsolvableError: There is no plan.
    """
    domain, state = domain_of(scene, goal, rules), ideal_state(scene)
    length = len(symbolic.shortest_plan(domain, abstract(state, domain), goal))
    if length != horizon:
        raise RejectedError(f"the shortest plan has {length} moves instead of {horizon}")
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
    return tuple(plan)


def _declared_supports(template: Template, cast: Cast) -> dict[str, str]:
    pairs = (pair for pile in template.start for pair in itertools.pairwise(pile))
    return {cast.names[above]: cast.names[below] for below, above in pairs}
