"""How far an episode has come: which milestones of its certified plan were reached."""

from __future__ import annotations

from envs.tabletop.scene import WorldState
from thinkbench.literals import Goal
from thinkbench.predicates import evaluate


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
        """Share of milestones reached, in [0, 1]."""
        return sum(self.reached) / len(self.reached)

    @property
    def first_missing(self) -> int | None:
        """Index of the first milestone that was not reached, or ``None`` if all were."""
        return self.reached.index(False) if False in self.reached else None
