"""The privileged expert: one configuration for all benchmarks, one policy per world."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, Protocol, cast

import numpy as np

from harness.interfaces import Action, Observation, SingleLaneAgent, TaskView


class ExpertPolicy(Protocol):
    """How the expert solves tasks in one world; ``begin`` and ``decide`` are those of `SingleLaneAgent`."""

    def begin(self, view: TaskView, observation: Observation) -> Any:
        """A new stage starts; returns the memory that ``decide`` gets."""

    def decide(self, memory: Any, view: TaskView, observation: Observation, rng: np.random.Generator) -> Action:
        """The next action."""


POLICIES: Mapping[str, str] = {
    "thinkbench.subgoals": "baselines.subgoal_expert:SubgoalExpert",
    "thinkbench": "baselines.thinkbench_expert:ThinkBenchExpert",
    "envs.calvin": "baselines.calvin_expert:CalvinExpert",
    "envs.language_table": "baselines.language_table_expert:LanguageTableExpert",
}
"""Policy by the package that the environment's privileged object comes from, inner packages before outer ones.

Imported when first needed.
"""


class Expert(SingleLaneAgent):
    """Acts on ground truth, through the same actions as every other agent: an upper bound and a check of the tasks."""

    privileged: ClassVar[bool] = True
    observation_keys = ()

    def __init__(self) -> None:
        super().__init__()
        self._policies: dict[str, ExpertPolicy] = {}

    def begin(self, view: TaskView, observation: Observation) -> tuple[ExpertPolicy, Any]:
        """Choose the world's policy and start it.

        Raises:
            ValueError: No policy knows the world.
        """
        policy = self._policy_for(view.privileged)
        return policy, policy.begin(view, observation)

    def decide(
        self,
        memory: tuple[ExpertPolicy, Any],
        view: TaskView,
        observation: Observation,
        rng: np.random.Generator,
    ) -> Action:
        """What the world's policy does."""
        policy, policy_memory = memory
        return policy.decide(policy_memory, view, observation, rng)

    def _policy_for(self, truth: Any) -> ExpertPolicy:
        module = type(truth).__module__
        for package, target in POLICIES.items():
            if module == package or module.startswith(f"{package}."):
                if package not in self._policies:
                    name, _, attribute = target.partition(":")
                    self._policies[package] = cast(ExpertPolicy, getattr(import_module(name), attribute)())
                return self._policies[package]
        raise ValueError(
            f"the expert does not know worlds whose ground truth is a {module}.{type(truth).__qualname__}; "
            f"it knows those of {', '.join(POLICIES)}"
        )
