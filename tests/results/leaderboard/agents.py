"""An agent whose every text is an attempt to be read as markup."""

from __future__ import annotations

from collections.abc import Sequence

from harness.interfaces import AgentEvent
from tests.toys import Walker

MARKUP = "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>"


class Loud(Walker):
    """Reports sub-goals, plans and model calls."""

    def pop_events(self, lane: int) -> Sequence[AgentEvent]:
        step = self._steps.get(lane, 0)
        if not step:
            return []
        events = [AgentEvent("compute", {"model_calls": 2}), AgentEvent("plan", {"elite_cost": 0.25 * step})]
        return [AgentEvent("subgoal", {"text": f"get closer {MARKUP}"}), *events] if step == 1 else events
