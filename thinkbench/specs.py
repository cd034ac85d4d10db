"""Episodes as data: what a suite holds, and the harness's episode specs that are made from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.interfaces import EpisodeSpec, Stage, derive_seed
from thinkbench.generator import Episode, Wording
from thinkbench.names import NAME


@dataclass(frozen=True)
class EpisodeRecord:
    """An episode in every wording, as JSON data.

    Attributes:
        episode_id: Unique in its suite.
        seed: Seed of the environment's reset.
        instructions: What the agent reads, in each wording.
        paraphrases: Index of the template's paraphrase, for the wordings that have several.
        meta: `Episode.meta`: template, scene, goal, rules, plan, milestones.
    """

    episode_id: str
    seed: int
    instructions: Mapping[Wording, str]
    paraphrases: Mapping[Wording, int]
    meta: Mapping[str, Any]

    @classmethod
    def of(cls, episode: Episode) -> EpisodeRecord:
        """A generated episode as data."""
        return cls(
            episode_id=episode.episode_id,
            seed=derive_seed(NAME, episode.episode_id) % 2**31,
            instructions=dict(episode.instructions),
            paraphrases=dict(episode.paraphrases),
            meta=json.loads(json.dumps(episode.meta())),
        )

    @property
    def horizon(self) -> int:
        """Moves of a shortest plan."""
        return int(self.meta["horizon"])

    def spec(self, max_steps: int, wording: Wording = "standard") -> EpisodeSpec:
        """What the harness runs, with a budget of ``max_steps`` actions."""
        return EpisodeSpec(
            benchmark=NAME,
            episode_id=self.episode_id,
            seed=self.seed,
            stages=(Stage(self.instructions[wording], self.meta["template"], max_steps),),
            meta={**self.meta, "paraphrase": self.paraphrases.get(wording)},
        )


def to_spec(episode: Episode, step_factor: int = 2, step_slack: int = 2) -> EpisodeSpec:
    """A generated episode in its standard wording, with ``step_factor * horizon + step_slack`` actions."""
    record = EpisodeRecord.of(episode)
    return record.spec(step_factor * record.horizon + step_slack)
