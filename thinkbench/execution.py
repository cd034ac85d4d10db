"""Episodes carried out through real contact, by the decisions that the expert makes."""

from __future__ import annotations

from dataclasses import dataclass

from harness.interfaces import EpisodeSpec
from thinkbench.abstraction import domain_of
from thinkbench.env import ThinkBenchEnv
from thinkbench.motion import next_placement
from thinkbench.symbolic import UnsolvableError


@dataclass(frozen=True)
class Execution:
    """How an episode went.

    Attributes:
        actions: The skill actions ``(6,)``; float32 values, exactly.
        success: The environment's verdict.
        digest: The world's state digest at the end.
    """

    actions: tuple[tuple[float, ...], ...]
    success: bool
    digest: str


def execute(env: ThinkBenchEnv, spec: EpisodeSpec) -> Execution:
    """Carry out ``spec`` within its budget: each action is the first move of a shortest plan from the true state.

    Args:
        env: In skill control.
        spec: The episode.

    Raises:
        SimulationError: The world exploded.
    """
    env.reset(seed=spec.seed, options={"episode": spec})
    truth = env.privileged()
    domain = domain_of(truth.state().scene, truth.goal, truth.rules)
    actions: list[tuple[float, ...]] = []
    success = ended = False
    while not ended and len(actions) < spec.stages[0].max_steps:
        try:
            placement = next_placement(truth.state(), domain, truth.goal)
        except UnsolvableError:
            break
        if placement is None:
            break
        action = placement.action()
        _, _, ended, _, info = env.step(action)
        success = info["success"]
        actions.append(tuple(float(value) for value in action))
    return Execution(tuple(actions), success, env.state_digest())
