"""How far an episode has come: milestones of its certified plan, and which of them were reached."""

from __future__ import annotations

from collections.abc import Sequence

from envs.tabletop.scene import WorldState
from thinkbench.literals import Goal, Literal
from thinkbench.predicates import evaluate
from thinkbench.symbolic import Domain, Move, SymbolicState, direct_move


def milestones_of(domain: Domain, start: SymbolicState, goal: Goal, plan: Sequence[Move]) -> tuple[Literal, ...]:
    """One literal per move of ``plan``: what the move is for.

    A move to where the goal wants the object has that goal literal as its milestone; any other move is there to get the
    object off what it rests on. The first milestone of each object does not hold in ``start``.
    """
    by_move = {direct_move(literal): literal for literal in goal if literal.positive}
    state = start
    found = []
    for move in plan:
        leave = _leaving(domain, move.item, state[domain.index[move.item]])
        found.append(by_move.get(move, leave))
        state = domain.apply(state, move)
    return tuple(found)


def _leaving(domain: Domain, item: str, origin: str) -> Literal:
    """That ``item`` no longer rests on ``origin``."""
    if origin in domain.spans:
        return Literal("bridges", (item, *domain.spans[origin].posts), positive=False)
    predicate = "at_zone" if origin in domain.zones else "inside" if origin in domain.containers else "on"
    return Literal(predicate, (item, origin), positive=False)


class MilestoneTracker:
    """Watches the world and remembers the milestones that were reached.

    A milestone is reached once its literal holds and all earlier milestones of the same object have been reached (an
    object that has to step aside and come back is where it belongs at the start, too). What was reached stays reached:
    progress never falls, and is comparable between agents that work in different orders.

    Args:
        literals: The milestones in the order of the certified plan.
    """

    def __init__(self, literals: Goal) -> None:
        self.literals = literals
        self.reached = [False] * len(literals)

    def update(self, state: WorldState) -> None:
        """Take note of what holds now."""
        blocked: set[str] = set()
        for i, literal in enumerate(self.literals):
            subject = literal.args[0]
            if not self.reached[i] and subject not in blocked:
                self.reached[i] = evaluate(state, literal)
            if not self.reached[i]:
                blocked.add(subject)

    @property
    def progress(self) -> float:
        """Share of milestones reached, in [0, 1]; 0 where there are none."""
        return sum(self.reached) / len(self.reached) if self.reached else 0.0

    @property
    def first_missing(self) -> int | None:
        """Index of the first milestone that was not reached, or ``None`` if all were."""
        return self.reached.index(False) if False in self.reached else None
