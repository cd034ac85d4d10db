"""Sub-goals as a benchmark of the harness: protocol, episodes and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import ClassVar, Literal, get_args

import pandas as pd
from gymnasium.spaces import Box

from envs.bullet import Renderer, resolved
from envs.tabletop.actions import action_space
from envs.tabletop.cameras import CAMERAS
from envs.tabletop.robot import Visuals
from envs.tabletop.world import WORLD_VERSION
from harness.interfaces import Benchmark, EnvRequest, EpisodeSpec, RateCell, Table
from thinkbench.conduct import conduct_table
from thinkbench.subgoals.draw import NAME, PlayScenes, Wording, play_spec
from thinkbench.subgoals.env import TRUTH_KEYS, SubgoalEnv, SubgoalTruth
from thinkbench.subgoals.goals import KINDS
from thinkbench.subgoals.suite import FROZEN_PER_KIND, draw_specs, load_frozen

ObservationKey = Literal["rgb_static", "rgb_gripper", "robot_obs"]
EvaluatedSplit = Literal["evaluation", "tuning"]


@dataclass(frozen=True)
class SubgoalProtocol:
    """Everything that a number of this benchmark depends on.

    Attributes:
        name: Name of the protocol.
        version: Raised whenever numbers of the old and the new version cannot be compared.
        benchmark: ``subgoals``.
        observations: What agents may observe.
        image_size: Side of the square pictures in pixels.
        visuals: ``lowpoly`` or ``stock`` looks of the arm.
        renderer: ``tiny``, ``egl`` or ``auto``.
        max_steps: Skill actions of an episode.
        settle_seconds: Simulated seconds for which the sub-goal must last.
        kinds: Kinds of sub-goals.
        episodes_per_kind: How many of each.
        split: ``evaluation``, the frozen episodes, or ``tuning``, fresh ones for choosing parameters by.
        tuning_seed: What episodes for tuning are drawn from; no effect on the frozen ones.
        wording: ``standard`` or ``held_out`` instructions; the episodes are the same.
        scenes: Of play, for training data only; see `PlayScenes`. The file of the protocol leaves it out, so it changes
            no hash of its.

    Raises:
        ValueError: A value is impossible.
    """

    name: str
    version: int
    benchmark: str
    observations: tuple[ObservationKey, ...]
    image_size: int
    visuals: Visuals
    renderer: Renderer
    max_steps: int
    settle_seconds: float
    kinds: tuple[str, ...]
    episodes_per_kind: int
    split: EvaluatedSplit
    tuning_seed: int
    wording: Wording
    scenes: PlayScenes = "fresh"

    def __post_init__(self) -> None:
        choices: dict[str, tuple[str, ...]] = {
            "benchmark": (NAME,),
            "visuals": get_args(Visuals),
            "renderer": get_args(Renderer),
            "split": get_args(EvaluatedSplit),
            "wording": get_args(Wording),
            "scenes": get_args(PlayScenes),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"protocol.{name}={getattr(self, name)!r}: choose one of {', '.join(allowed)}")
        for name, known in {"observations": get_args(ObservationKey), "kinds": tuple(KINDS)}.items():
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)
            if not values or len(set(values)) < len(values) or not set(values) <= set(known):
                raise ValueError(f"protocol.{name}={list(values)}: choose each once, from {', '.join(known)}")
        least = {"image_size": 1, "max_steps": 1, "settle_seconds": 0, "episodes_per_kind": 1}
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"protocol.{name}={getattr(self, name)}: must be at least {minimum}")
        if self.split == "evaluation" and self.episodes_per_kind > FROZEN_PER_KIND:
            raise ValueError(
                f"protocol.episodes_per_kind={self.episodes_per_kind}: there are {FROZEN_PER_KIND} frozen episodes of "
                "each kind; protocol.split=tuning draws as many as you like"
            )


class Subgoals(Benchmark):
    """Single sub-goals on the tabletop, one or two moves each."""

    name: ClassVar[str] = NAME

    def __init__(self, protocol: SubgoalProtocol) -> None:
        self.protocol = protocol

    @cached_property
    def _specs(self) -> Sequence[EpisodeSpec]:
        protocol = self.protocol
        count, steps, wording = protocol.episodes_per_kind, protocol.max_steps, protocol.wording
        if protocol.split == "evaluation":
            frozen = load_frozen()
            return [frozen.spec(kind, index, steps, wording) for index in range(count) for kind in protocol.kinds]
        return draw_specs("tuning", protocol.tuning_seed, protocol.kinds, count, max_steps=steps, wording=wording)

    def episodes(self, limit: int | None = None) -> Sequence[EpisodeSpec]:
        """Episodes in an order whose every prefix is balanced: one of each kind, then the next of each, ...

        Raises:
            ValueError: ``limit`` is below 1, or scenes of play are asked for.
        """
        if limit is not None and limit < 1:
            raise ValueError(f"limit={limit}: must be at least 1")
        if self.protocol.scenes != "fresh":
            raise ValueError(f"protocol.scenes={self.protocol.scenes} is for `harness collect agent=explore`")
        return self._specs[:limit]

    def collection(self, count: int, seed: int, play: bool) -> Sequence[EpisodeSpec]:
        """Short stretches of play in fresh scenes, or sub-goals that are neither frozen nor for tuning.

        Scenes of play are drawn as they come; where the protocol has some of the kinds only, for these in turn.

        Raises:
            ValueError: Tuning episodes, a number of each kind, or scenes of play for an agent that does not play are
                asked for.
        """
        protocol = self.protocol
        if protocol.split == "tuning":
            raise ValueError(
                f"protocol.split=tuning: training data are not of tuning episodes; leave it out, and give seed="
                f"{protocol.tuning_seed} for other scenes"
            )
        if protocol.episodes_per_kind != FROZEN_PER_KIND:
            raise ValueError(
                f"protocol.episodes_per_kind={protocol.episodes_per_kind}: kinds take turns in training data; leave it "
                f"out, and give limit={protocol.episodes_per_kind * len(protocol.kinds)} for as many episodes"
            )
        if play:
            kinds = () if set(protocol.kinds) == set(KINDS) else protocol.kinds
            return [play_spec(seed, index, kinds, protocol.scenes) for index in range(count)]
        if protocol.scenes != "fresh":
            raise ValueError(
                f"protocol.scenes={protocol.scenes}: scenes of play are for agents that play; give agent=explore"
            )
        rounds = -(-count // len(protocol.kinds))
        specs = draw_specs(
            "training", seed, protocol.kinds, rounds, max_steps=protocol.max_steps, wording=protocol.wording
        )
        return specs[:count]

    def make_env(self, request: EnvRequest) -> SubgoalEnv:
        """A fresh environment that computes only what is asked for.

        Raises:
            ValueError: An observation is asked for that the protocol does not allow.
        """
        protocol = self.protocol
        offered = (*protocol.observations, *(TRUTH_KEYS if request.recording else ()))
        keys = request.chosen_from(offered, protocol.name)
        return SubgoalEnv(
            cameras=[camera for camera in CAMERAS if camera in protocol.observations],
            image_size=protocol.image_size,
            visuals=protocol.visuals,
            renderer=protocol.renderer,
            observation_keys=keys,
            settle_seconds=protocol.settle_seconds,
            film=request.video,
            render_mode="rgb_array" if request.video else None,
        )

    def action_space(self) -> Box:
        """That of skills."""
        return action_space("skill")

    def truth(self) -> type:
        """See `Benchmark.truth`."""
        return SubgoalTruth

    def control_hz(self) -> float | None:
        """Skills take as long as they take."""
        return None

    def fingerprint(self) -> Mapping[str, str]:
        """Hash of the frozen episodes, the versions of world and physics engine, and the renderer."""
        return {
            "episodes": load_frozen().hash,
            "world": str(WORLD_VERSION),
            "pybullet": version("pybullet"),
            "renderer": resolved(self.protocol.renderer),
        }

    def summarise(self, frame: pd.DataFrame) -> Sequence[Table]:
        """Success by kind with the average, and by the number of moves that a solution takes."""
        kinds = [kind for kind in self.protocol.kinds if (frame["kind"] == kind).any()]
        moves = sorted(int(count) for count in frame["moves"].unique())
        split = f" ({self.protocol.split})"
        by_kind = Table(
            key="success_by_kind",
            title=f"Success by kind of sub-goal{split}",
            columns=(*kinds, "average"),
            rows=(("success", (*(RateCell.of(frame[frame["kind"] == kind]) for kind in kinds), RateCell.of(frame))),),
            one_line=True,
        )
        by_moves = Table(
            key="success_by_moves",
            title=f"Success by moves of a solution{split}",
            columns=tuple(f"{count} move{'s' if count > 1 else ''}" for count in moves),
            rows=(("success", tuple(RateCell.of(frame[frame["moves"] == count]) for count in moves)),),
            one_line=True,
        )
        return (by_kind, by_moves)

    def conduct(self, frame: pd.DataFrame) -> Table:
        """See `conduct_table`; a right pick is one of what the sub-goal asks to be moved."""
        picks = {"picks per action": "picks", "right picks per action": "right_picks"}
        return conduct_table(frame, picks, alike="episode_id")
