"""When a sub-goal is reached and when it is time to ask for a new plan (seed, Algorithm 2, lines 11 and 31)."""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What to do after an observation."""

    GO_ON = "go on"
    REACHED = "reached"
    REPLAN = "replan"


class SubgoalMonitor:
    """Watches the distance from one sub-goal.

    The seed asks whether the step limit is exceeded after its loop has ended, where it cannot be; here the limit is
    inside.
    """

    def __init__(self, *, threshold: float, hits: int = 2, patience: int = 100) -> None:
        """Start watching.

        Args:
            threshold: Distance below which the sub-goal counts as reached; `distances.calibrate` gives one. The seed's
                ``cosine > 0.85`` is ``pooled_cosine < 0.15``.
            hits: Observations in a row that must be below it; the seed has 1.
            patience: T_max, observations without success before a new plan is asked for.
        """
        if hits < 1 or patience < hits:
            raise ValueError(f"hits={hits} and patience={patience}: give 1 <= hits <= patience")
        self.threshold = threshold
        self.hits = hits
        self.patience = patience
        self._hits = 0
        self._seen = 0

    def observe(self, distance: float) -> Verdict:
        """Take note of the current state's distance from the goal. Call it once per observation."""
        self._seen += 1
        self._hits = self._hits + 1 if distance < self.threshold else 0
        if self._hits >= self.hits:
            return Verdict.REACHED
        return Verdict.REPLAN if self._seen >= self.patience else Verdict.GO_ON
