"""Generated episodes as the harness's episode specs."""

from __future__ import annotations

from harness.interfaces import EpisodeSpec, Stage, derive_seed
from thinkbench.generator import Episode

NAME = "thinkbench"


def to_spec(episode: Episode, step_factor: int = 2, step_slack: int = 2) -> EpisodeSpec:
    """``episode`` with a budget of ``step_factor * horizon + step_slack`` actions."""
    template = episode.template
    budget = step_factor * template.horizon + step_slack
    return EpisodeSpec(
        benchmark=NAME,
        episode_id=episode.episode_id,
        seed=derive_seed(NAME, episode.episode_id) % 2**31,
        stages=(Stage(episode.instruction, template.name, budget),),
        meta=episode.meta(),
    )
