"""Certificates: made for new episodes, and made again to check those of a suite.

Needs the extra ``certify``.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import fields
from importlib.metadata import version

from envs.bullet import SimulationError
from envs.tabletop.scene import SceneSpec
from envs.tabletop.world import WORLD_VERSION
from thinkbench import insight, pddl
from thinkbench.abstraction import abstract, domain_of
from thinkbench.env import ThinkBenchEnv
from thinkbench.execution import execute
from thinkbench.generator import GENERATOR_VERSION, generate
from thinkbench.ideal import ideal_state
from thinkbench.literals import Goal, Literal
from thinkbench.milestones import milestones_of
from thinkbench.specs import EpisodeRecord
from thinkbench.suite import Certificate
from thinkbench.symbolic import Domain, Move, SymbolicState, satisfied, shortest_plan
from thinkbench.templates import Template

_DRAWS = 20


class NotCertifiableError(ValueError):
    """An episode is not what it says."""


def certify(record: EpisodeRecord, env: ThinkBenchEnv) -> Certificate:
    """Prove from scratch that an episode is what it says.

    The optimal planner solves its PDDL problem, the project's own planner agrees, both plans and the recorded one are
    legal and reach the goal, the insight that the template claims is needed, and the expert's decisions lead to success
    through real contact in as many actions as the horizon says.

    Args:
        record: The episode.
        env: In skill control.

    Raises:
        NotCertifiableError: One of that is not so.
        TimeoutError: The planner took far longer than it should.
    """
    domain, start, goal = symbolic_problem(record)
    recorded = tuple(Move(item, destination) for item, destination in record.meta["plan"])
    own = shortest_plan(domain, start, goal)
    problem = pddl.planning_problem(domain, start, goal)
    solution = pddl.solve(problem)
    if solution.status != pddl.SOLVED:
        raise NotCertifiableError(f"the optimal planner says {solution.status}")
    for name, plan in (("recorded", recorded), ("own planner's", own), ("optimal planner's", solution.plan)):
        if len(plan) != record.horizon:
            raise NotCertifiableError(f"the {name} plan has {len(plan)} moves instead of {record.horizon}")
        if not _reaches(domain, start, goal, plan):
            raise NotCertifiableError(f"the {name} plan is not legal, or does not reach the goal")
    if milestones_of(domain, start, goal, recorded) != _literals(record.meta["milestones"]):
        raise NotCertifiableError("the milestones are not those of the recorded plan")
    proof = insight.prove(domain, start, goal, record.meta["insight"])
    if not insight.holds_claim(proof):
        raise NotCertifiableError(f"the template claims that a plan needs {proof.claim}, but it does not")
    try:
        execution = execute(env, record.spec(record.horizon))
    except SimulationError as error:
        raise NotCertifiableError(f"the world exploded under the expert's actions: {error}") from error
    if not execution.success:
        raise NotCertifiableError(f"the expert does not succeed within {record.horizon} actions through real contact")
    return Certificate(
        pddl=hashlib.sha256(pddl.pddl_text(problem).encode()).hexdigest(),
        planner=pddl.planner_name(),
        status=solution.status,
        plan=tuple((move.item, move.destination) for move in solution.plan),
        insight=proof,
        actions=execution.actions,
        digest=execution.digest,
    )


def symbolic_problem(record: EpisodeRecord) -> tuple[Domain, SymbolicState, Goal]:
    """The abstract domain of an episode, the state it starts in, and its goal."""
    scene, goal = SceneSpec.from_dict(record.meta["scene"]), _literals(record.meta["goal"])
    domain = domain_of(scene, goal, _literals(record.meta["rules"]))
    return domain, abstract(ideal_state(scene), domain), goal


def differences(record: EpisodeRecord, recorded: Certificate, env: ThinkBenchEnv) -> tuple[str, ...]:
    """What a certificate that is made again has otherwise than the recorded one; empty if all is the same."""
    try:
        fresh = certify(record, env)
    except NotCertifiableError as error:
        return (str(error),)
    return tuple(
        f"{field.name}: recorded {_short(getattr(recorded, field.name))}, now {_short(getattr(fresh, field.name))}"
        for field in fields(Certificate)
        if getattr(recorded, field.name) != getattr(fresh, field.name)
    )


def certified_episode(
    template: Template, index: int, suite_seed: int, env: ThinkBenchEnv
) -> tuple[EpisodeRecord, Certificate]:
    """The first valid draw of an episode that can be certified.

    Raises:
        NotCertifiableError: None of many can.
        RuntimeError: The template asks for the impossible.
    """
    attempt, problem = 0, ""
    for _ in range(_DRAWS):
        episode = generate(template, index, suite_seed, attempt)
        record = EpisodeRecord.of(episode)
        try:
            return record, certify(record, env)
        except NotCertifiableError as error:
            attempt, problem = episode.attempt + 1, str(error)
    raise NotCertifiableError(
        f"{template.name}, episode {index}: none of {_DRAWS} valid draws can be certified (the last: {problem})"
    )


def surroundings() -> dict[str, str]:
    """Versions that certificates depend on. Another machine may round otherwise and end in another digest."""
    return {
        "generator": str(GENERATOR_VERSION),
        "world": str(WORLD_VERSION),
        "pybullet": version("pybullet"),
        "unified-planning": version("unified-planning"),
        "platform": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}",
    }


def _reaches(domain: Domain, state: SymbolicState, goal: Goal, plan: Sequence[Move]) -> bool:
    """Whether the moves of ``plan`` are legal one after the other, and ``goal`` holds after the last."""
    try:
        for move in plan:
            state = domain.apply(state, move)
    except ValueError:
        return False
    return satisfied(domain, state, goal)


def _literals(data: Sequence[Sequence[str]]) -> Goal:
    return tuple(Literal.from_list(words) for words in data)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:80]}... (and {len(text) - 80} characters more)"
