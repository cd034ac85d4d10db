"""Episodes as planning problems in PDDL, and their optimal solution by Fast Downward.

The model is lifted and typed, and says the same as `thinkbench.symbolic.Domain`. What geometry decides is static:
``can_support`` (the table, a flat top that is wide enough, two posts that are near enough), ``fits_in`` (an area that
takes objects of this size) and ``reachable`` (an area whose contents the fingers get at); what the episode's rules
forbid is ``barred``. One action is one move. There is one action schema for each pair of what an object comes from and
goes to, so that each mentions only what it changes. Capacities are counts of free slots, which are all alike.

Goals and preconditions about what changes are positive literals: ``off`` is the complement of ``at``, because
planners compile negative ones into something larger.

Needs the extra ``certify`` (``unified-planning`` and ``up-fast-downward``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from unified_planning.engines import PlanGenerationResultStatus as Status
from unified_planning.environment import get_environment
from unified_planning.io import PDDLWriter
from unified_planning.model import Fluent, InstantaneousAction, Object, Parameter, Problem
from unified_planning.model.metrics import MinimizeSequentialPlanLength

from thinkbench.literals import Goal, Literal
from thinkbench.symbolic import TABLE, Domain, Move, SymbolicState, direct_move, wanted_supports

ENGINE = "fast-downward-opt"
SOLVED = str(Status.SOLVED_OPTIMALLY.name)

_KINDS = ("table", "item", "area", "span")


def planner_name() -> str:
    """The optimal planner, its search and its version."""
    return f"{ENGINE} astar(lmcut()), up-fast-downward {version('up-fast-downward')}"


@dataclass(frozen=True)
class Solution:
    """What the optimal planner says.

    Attributes:
        status: ``SOLVED_OPTIMALLY`` where the plan is proven to be a shortest one.
        plan: Empty without a solution.
    """

    status: str
    plan: tuple[Move, ...]


def pddl_text(problem: Problem) -> str:
    """Domain and problem file, one after the other."""
    writer = PDDLWriter(problem)
    return f"{writer.get_domain()}\n{writer.get_problem()}"


def solve(problem: Problem, timeout: float = 600.0) -> Solution:
    """A shortest plan of a problem that `planning_problem` made.

    Args:
        problem: The problem.
        timeout: Seconds of wall-clock; far more than any episode takes, so that no verdict depends on the machine.

    Raises:
        TimeoutError: They were not enough.
    """
    problem.environment.credits_stream = None
    with problem.environment.factory.OneshotPlanner(name=ENGINE, params={"log_level": "warning"}) as planner:
        result = planner.solve(problem, timeout=timeout)
    if result.status == Status.TIMEOUT:
        raise TimeoutError(f"{ENGINE} did not solve a problem within {timeout:g} s")
    steps = [] if result.plan is None else [action.actual_parameters for action in result.plan.actions]
    names = [(item.object().name, target.object().name) for item, _, target, *_ in steps]
    return Solution(result.status.name, tuple(Move(item, _domain_name(target)) for item, target in names))


def planning_problem(domain: Domain, start: SymbolicState, goal: Goal) -> Problem:
    """The problem of getting from ``start`` to ``goal`` by the moves of ``domain``.

    Raises:
        ValueError: A literal of the goal cannot be put into PDDL.
    """
    return _Model(domain).problem(start, goal)


class _Model:
    """The parts of the PDDL model of one domain: types, fluents, objects."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        environment = get_environment()  # the global one; the planner's adapter accepts no other
        self._environment = environment
        types = environment.type_manager
        place = types.UserType("place")
        count = types.UserType("count")
        self._types = {kind: types.UserType(kind if kind != "table" else "surface", place) for kind in _KINDS}
        item = self._types["item"]
        boolean = types.BoolType()

        def fluent(name: str, **parameters: Any) -> Fluent:
            return Fluent(name, boolean, environment=environment, **parameters)

        self.at = fluent("at", x=item, p=place)
        self.off = fluent("off", x=item, p=place)
        self.clear = fluent("clear", x=item)
        self.free_slots = fluent("free_slots", a=self._types["area"], n=count)
        self.successor = fluent("successor", m=count, n=count)
        self.can_support = fluent("can_support", p=place, x=item)
        self.fits_in = fluent("fits_in", x=item, a=self._types["area"])
        self.reachable = fluent("reachable", a=self._types["area"])
        self.barred = fluent("barred", x=item, p=place)
        self.post = fluent("post", s=self._types["span"], x=item, site=self._types["area"])
        self.objects = {
            name: Object(_pddl_name(name), self._types[self._kind(name)], environment) for name in domain.places
        }
        most = max([1, *domain.containers.values(), *domain.zones.values()])
        self._counts = [Object(f"n{n}", count, environment) for n in range(most + 1)]
        self._count = count

    def _kind(self, place: str) -> str:
        if place == TABLE:
            return "table"
        if place in self._domain.index:
            return "item"
        return "span" if place in self._domain.spans else "area"

    def problem(self, start: SymbolicState, goal: Goal) -> Problem:
        problem = Problem("thinkbench", self._environment)
        used = [self.at, self.off, self.clear, self.free_slots, self.successor]
        used += [self.can_support, self.fits_in, self.reachable, self.barred, self.post]
        for fluent in used:
            problem.add_fluent(fluent, default_initial_value=False)
        problem.add_objects([*self.objects.values(), *self._counts])
        problem.add_actions(list(self._actions()))
        problem.add_quality_metric(MinimizeSequentialPlanLength(self._environment))
        for fact in (*self._static_facts(), *self._facts(start)):
            problem.set_initial_value(fact, True)
        for literal in goal:
            for fact in self._goal_facts(literal, goal):
                problem.add_goal(fact)
        return problem

    # ------------------------------------------------------------------------------------------- actions

    def _actions(self) -> Iterator[InstantaneousAction]:
        present = {self._kind(place) for place in self._domain.places}
        for origin, target in itertools.product(_KINDS, repeat=2):
            if {origin, target} <= present and not origin == target == "table":
                yield self._action(origin, target)

    def _action(self, origin: str, target: str) -> InstantaneousAction:
        """Pick ``x`` up from one kind of place and put it down on another."""
        parameters = {"x": self._types["item"]}
        parameters |= {f"from_{origin}": self._types[origin], f"to_{target}": self._types[target]}
        parameters |= self._bookkeeping(origin, "from") | self._bookkeeping(target, "to")
        action = InstantaneousAction(f"move_from_{origin}_to_{target}", _env=self._environment, **parameters)
        x, p, q, *_ = action.parameters
        for condition in (self.clear(x), self.at(x, p)):
            action.add_precondition(condition)
        expressions = self._environment.expression_manager
        action.add_precondition(expressions.Not(self.barred(x, q)))
        if origin == target == "area":
            action.add_precondition(expressions.Not(expressions.Equals(p, q)))
        action.add_precondition(self.fits_in(x, q) if target == "area" else self.can_support(q, x))
        self._leave(action, p, origin)
        self._arrive(action, q, target)
        for fact, value in (
            (self.at(x, p), False),
            (self.off(x, p), True),
            (self.at(x, q), True),
            (self.off(x, q), False),
        ):
            action.add_effect(fact, value)
        return action

    def _bookkeeping(self, kind: str, end: str) -> dict[str, Any]:
        """Further parameters of an action: the counts of free slots before and after, or posts and sites."""
        if kind == "area":
            return {f"{end}_before": self._count, f"{end}_after": self._count}
        if kind == "span":
            item, area = self._types["item"], self._types["area"]
            return {f"{end}_post1": item, f"{end}_post2": item, f"{end}_site1": area, f"{end}_site2": area}
        return {}

    def _leave(self, action: InstantaneousAction, place: Parameter, kind: str) -> None:
        if kind == "item":
            action.add_effect(self.clear(place), True)
        elif kind == "area":
            before, after = action.parameter("from_before"), action.parameter("from_after")
            action.add_precondition(self.reachable(place))
            self._count_slots(action, place, before, after, self.successor(before, after))
        elif kind == "span":
            for post, _ in self._posts(action, place, "from"):
                action.add_effect(self.clear(post), True)

    def _arrive(self, action: InstantaneousAction, place: Parameter, kind: str) -> None:
        if kind == "item":
            action.add_precondition(self.clear(place))
            action.add_effect(self.clear(place), False)
        elif kind == "area":
            before, after = action.parameter("to_before"), action.parameter("to_after")
            self._count_slots(action, place, before, after, self.successor(after, before))
        elif kind == "span":
            for post, site in self._posts(action, place, "to"):
                for condition in (self.at(post, site), self.clear(post)):
                    action.add_precondition(condition)
                action.add_effect(self.clear(post), False)

    def _count_slots(self, action: InstantaneousAction, area: Any, before: Any, after: Any, step: Any) -> None:
        for condition in (self.free_slots(area, before), step):
            action.add_precondition(condition)
        action.add_effect(self.free_slots(area, before), False)
        action.add_effect(self.free_slots(area, after), True)

    def _posts(self, action: InstantaneousAction, span: Any, end: str) -> Iterator[tuple[Any, Any]]:
        first, second = (action.parameter(f"{end}_post{i}") for i in (1, 2))
        expressions = self._environment.expression_manager
        action.add_precondition(expressions.Not(expressions.Equals(first, second)))
        for post, site in ((first, action.parameter(f"{end}_site1")), (second, action.parameter(f"{end}_site2"))):
            action.add_precondition(self.post(span, post, site))
            yield post, site

    # --------------------------------------------------------------------------------------------- facts

    def _static_facts(self) -> Iterator[Any]:
        domain, named = self._domain, self.objects
        for lower, higher in itertools.pairwise(self._counts):
            yield self.successor(lower, higher)
        for x in domain.movable:
            yield self.can_support(named[TABLE], named[x])
            for area in (*domain.containers, *domain.zones):
                if (x, area) not in domain.too_large:
                    yield self.fits_in(named[x], named[area])
        for base in domain.movable:
            for x in sorted(domain.bearers.get(base, ())):
                yield self.can_support(named[base], named[x])
        for area in (*domain.open_containers, *domain.zones):
            yield self.reachable(named[area])
        for name, span in domain.spans.items():
            for x in sorted(span.bears):
                yield self.can_support(named[name], named[x])
            for post, site in zip(span.posts, span.sites, strict=True):
                yield self.post(named[name], named[post], named[site])
        for x, place in sorted(domain.barred):
            yield self.barred(named[x], named[place])

    def _facts(self, state: SymbolicState) -> Iterator[Any]:
        domain, named = self._domain, self.objects
        for x, support in zip(domain.movable, state, strict=True):
            for place in domain.places:
                if place != x:
                    yield (self.at if place == support else self.off)(named[x], named[place])
            if domain.is_clear(state, x):
                yield self.clear(named[x])
        for area in (*domain.containers, *domain.zones):
            yield self.free_slots(named[area], self._counts[domain.capacity(area) - state.count(area)])

    def _goal_facts(self, literal: Literal, goal: Goal) -> Iterator[Any]:
        domain, named = self._domain, self.objects
        move = direct_move(literal)
        match literal.predicate, literal.args:
            case _ if move is not None:
                yield (self.at if literal.positive else self.off)(named[move.item], named[move.destination])
            case "on_table", (x,) if literal.positive:
                for place in domain.places:
                    if place not in (TABLE, x) and place not in domain.zones:
                        yield self.off(named[x], named[place])
            case "clear", (x,) if literal.positive:
                yield self.clear(named[x])
            case "shares_zone", (x,) if not literal.positive and (zone := wanted_supports(domain, goal).get(x)):
                for other in domain.movable:
                    if other != x:
                        yield self.off(named[other], named[zone])
            case _:
                raise ValueError(f"the goal {literal} cannot be put into PDDL")


def _pddl_name(place: str) -> str:
    """PDDL names hold no ``+``."""
    return place.replace("+", "__")


def _domain_name(name: str) -> str:
    return name.replace("__", "+")
