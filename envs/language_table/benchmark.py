"""Language-Table as a benchmark of the harness: protocol, episodes and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib.metadata import version
from typing import Any, ClassVar

import pandas as pd
from gymnasium.spaces import Box

from envs.language_table import geometry
from envs.language_table.assets import AssetSet, find_assets
from envs.language_table.blocks import BlockMode
from envs.language_table.boards import BOARDS_PER_FAMILY, BOARDS_SHA256, FROZEN_FAMILIES, FROZEN_MODES, frozen_boards
from envs.language_table.env import (
    DEFAULT_KEYS,
    OBSERVATION_KEYS,
    STATIC_CAMERA,
    VISUALS,
    LanguageTableEnv,
    action_space,
)
from envs.language_table.training import PLAY, PLAY_STEPS, training_boards
from envs.language_table.truth import EpisodeTruth
from harness.interfaces import Benchmark, EnvRequest, EpisodeSpec, RateCell, Stage, Table


@dataclass(frozen=True)
class LanguageTableProtocol:
    """Everything that a Language-Table number depends on.

    Attributes:
        name: Name of the protocol.
        version: Raised whenever numbers of the old and the new version cannot be compared.
        benchmark: ``language_table``.
        families: Task families, in the order of the table's columns.
        labels: Column names of families where they differ from the family's name.
        mode: Block mode.
        episodes_per_family: How many of the frozen boards of each family.
        max_steps: The public evaluation's limit.
        extra_steps: Actions beyond ``max_steps``: the public evaluation counts first and compares with ``>``, so it
            allows one more.
        delay_reward_steps: Further steps that a board must have been solved for.
        seeds: ``frozen``: each board is drawn by a fresh environment with its own seed.
        rejection: ``geometric``: boards that are solved at the start or have no way to a solution are not used.
        observations: What agents may observe.
        visuals: ``stock`` meshes or ``lowpoly``.
        renderer: ``tiny``.

    Raises:
        ValueError: A value is not one of those.
    """

    name: str
    version: int
    benchmark: str
    families: Sequence[str]
    mode: str
    episodes_per_family: int
    max_steps: int
    extra_steps: int
    delay_reward_steps: int
    seeds: str
    rejection: str
    observations: Sequence[str]
    visuals: str
    renderer: str
    labels: Mapping[str, str] = field(default_factory=dict)

    _CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "benchmark": ("language_table",),
        "mode": tuple(FROZEN_MODES),
        "seeds": ("frozen",),
        "rejection": ("geometric",),
        "visuals": VISUALS,
        "renderer": ("tiny",),
    }

    def __post_init__(self) -> None:
        for key, choices in self._CHOICES.items():
            if getattr(self, key) not in choices:
                raise ValueError(f"protocol.{key}={getattr(self, key)!r}: choose one of {', '.join(choices)}")
        for key, choices in (
            ("families", FROZEN_FAMILIES),
            ("observations", DEFAULT_KEYS),
            ("labels", FROZEN_FAMILIES),
        ):
            wrong = [value for value in getattr(self, key) if value not in choices]
            if wrong:
                raise ValueError(f"protocol.{key} holds {wrong[0]!r}: choose from {', '.join(choices)}")
        object.__setattr__(self, "families", tuple(self.families))
        object.__setattr__(self, "observations", tuple(self.observations))
        object.__setattr__(self, "labels", dict(self.labels))
        if not self.families or len(set(self.families)) != len(self.families):
            raise ValueError(f"protocol.families={list(self.families)}: name at least one family, each once")
        if not 1 <= self.episodes_per_family <= BOARDS_PER_FAMILY:
            raise ValueError(
                f"protocol.episodes_per_family={self.episodes_per_family}: {BOARDS_PER_FAMILY} boards are frozen per "
                f"family, choose 1 to {BOARDS_PER_FAMILY}"
            )
        if self.max_steps < 1:
            raise ValueError(f"protocol.max_steps={self.max_steps}: must be at least 1 (public: 200)")
        for key in ("extra_steps", "delay_reward_steps"):
            if getattr(self, key) < 0:
                raise ValueError(f"protocol.{key}={getattr(self, key)}: must be at least 0")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


class LanguageTable(Benchmark):
    """Single pushing tasks by language on a board of blocks."""

    name: ClassVar[str] = "language_table"

    def __init__(self, protocol: LanguageTableProtocol) -> None:
        self.protocol = protocol

    @cached_property
    def _assets(self) -> AssetSet:
        return find_assets()

    def episodes(self, limit: int | None = None) -> Sequence[EpisodeSpec]:
        """The frozen boards, families taking turns, so that any prefix holds all families; see `Benchmark.episodes`.

        Raises:
            ValueError: ``limit`` is below 1.
        """
        if limit is not None and limit < 1:
            raise ValueError(f"limit={limit}: must be at least 1")
        protocol = self.protocol
        boards = {family: frozen_boards(family, protocol.mode) for family in protocol.families}
        steps = protocol.max_steps + protocol.extra_steps
        specs = [
            EpisodeSpec(
                benchmark=self.name,
                episode_id=f"{family}-{index:03d}",
                seed=boards[family][index].seed,
                stages=(Stage(boards[family][index].instruction, family, steps),),
                meta={"family": family, "mode": protocol.mode},
            )
            for index in range(protocol.episodes_per_family)
            for family in protocol.families
        ]
        return specs[:limit]

    def collection(self, count: int, seed: int, play: bool) -> Sequence[EpisodeSpec]:
        """Boards of other seeds than the frozen ones, families taking turns; see `Benchmark.collection`."""
        families = (PLAY,) if play else self.protocol.families
        steps = PLAY_STEPS if play else self.protocol.max_steps + self.protocol.extra_steps
        mode = BlockMode(self.protocol.mode)
        boards = {family: training_boards(family, mode, seed, self._assets) for family in families}
        specs = []
        for index in range(count):
            family = families[index % len(families)]
            board = next(boards[family])
            specs.append(
                EpisodeSpec(
                    benchmark=self.name,
                    episode_id=f"train-{family}-s{seed}-{index // len(families):05d}",
                    seed=board.seed,
                    stages=(Stage(board.instruction, family, steps),),
                    meta={"family": family, "mode": mode.value},
                )
            )
        return specs

    def make_env(self, request: EnvRequest) -> LanguageTableEnv:
        """A fresh environment that computes only what is asked for.

        Raises:
            ValueError: An observation is asked for that the protocol does not allow.
        """
        protocol = self.protocol
        offered = tuple(OBSERVATION_KEYS if request.recording else protocol.observations)
        if request.observation_keys is not None and "rgb" in offered:
            offered = (*offered, STATIC_CAMERA)
        keys = request.chosen_from(offered, protocol.name)
        return LanguageTableEnv(
            protocol.families[0],
            protocol.mode,
            delay_reward_steps=protocol.delay_reward_steps,
            observation_keys=keys,
            visuals=protocol.visuals,
            render_mode="rgb_array" if request.video else None,
            assets=self._assets,
        )

    def action_space(self) -> Box:
        """Shifts of the rod."""
        return action_space()

    def truth(self) -> type:
        """See `Benchmark.truth`."""
        return EpisodeTruth

    def control_hz(self) -> float:
        """Ten actions per second."""
        return geometry.CONTROL_HZ

    def fingerprint(self) -> Mapping[str, str]:
        """Hashes of the frozen boards and of the models, and the physics engine."""
        return {
            "boards": BOARDS_SHA256,
            "assets": self._assets.fingerprint(),
            "pybullet": version("pybullet"),
            "renderer": self.protocol.renderer,
        }

    def deviations(self) -> Sequence[str]:
        """Generated assets, where the official files are not on this machine."""
        if self._assets.generated:
            return ("generated assets: the official files are not installed (`harness assets language_table`)",)
        return ()

    def summarise(self, frame: pd.DataFrame) -> Sequence[Table]:
        """Success per family, and over all families (which have equally many episodes)."""
        families = self.protocol.families
        cells = [RateCell.of(frame[frame["family"] == family]) for family in families]
        columns = tuple(self.protocol.labels.get(family, family) for family in families)
        table = Table(
            key="success",
            title="Success per family",
            columns=(*columns, "average"),
            rows=(("success", (*cells, RateCell.of(frame[frame["family"].isin(families)]))),),
            one_line=True,
        )
        return (table,)
