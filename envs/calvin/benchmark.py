"""CALVIN as a benchmark of the harness: protocol, episodes and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property
from importlib.metadata import version
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd
from gymnasium.spaces import Box

from envs.bullet.client import Renderer, resolved
from envs.calvin.assets import AssetSet, find_assets
from envs.calvin.chains import CHAIN_LENGTH, CHAINS
from envs.calvin.env import OBSERVATION_KEYS, ActionMode, CalvinEnv, PlayTableEnv, action_space
from envs.calvin.frozen import DATA_SHA256, load_chains
from envs.calvin.initial import ROBOT_OBS, SceneHash
from envs.calvin.language import INSTRUCTIONS
from envs.calvin.layouts import Scene
from envs.calvin.official_env import OfficialCalvinEnv, find_package, is_installed
from envs.calvin.tasks import PLAY, TASKS
from envs.calvin.training import PLAY_STEPS, training_chain, training_scene, training_state
from envs.calvin.truth import PlayTableTruth
from envs.calvin.world import CONTROL_HZ, LedVariant
from harness.interfaces import (
    Benchmark,
    EnvRequest,
    EpisodeSpec,
    MeanCell,
    RateCell,
    Stage,
    Table,
    derive_seed,
    has_verdict,
)


class Backend(StrEnum):
    """Whose simulator runs the episodes.

    Both give the same trajectories bit for bit. Yet a run in the public one is non-standard: what is installed on a
    machine can be any version, so the named protocols promise the project's own. Its version is part of the protocol's
    hash, so numbers of the two are never mixed.
    """

    OURS = "ours"
    OFFICIAL = "official"


@dataclass(frozen=True)
class CalvinProtocol:
    """Everything that a CALVIN number depends on.

    Attributes:
        name: Name of the protocol.
        version: Raised whenever numbers of the old and the new version cannot be compared.
        benchmark: ``calvin``.
        scene: Play table of the evaluation.
        train_scenes: Play tables that training data may come from; a statement, not enforced.
        chains: How many of the 1000 chains.
        steps_per_task: Actions per subtask.
        scene_hash: ``official`` initial scenes, or those of the ``popular-port``.
        led: ``pinned`` or ``head``; see `LedVariant`.
        action_mode: ``relative`` or ``absolute``.
        observations: What agents may observe.
        visuals: ``stock`` meshes or ``lowpoly``.
        renderer: ``tiny``, ``egl`` or ``auto``.
        backend: ``ours``, or ``official`` for an installed ``calvin_env``; see `Backend`. The files of the named
            protocols leave it out, so it changes no hash of theirs.

    Raises:
        ValueError: A value is not one of those, or ``backend=official`` is asked for ``lowpoly`` visuals.
    """

    name: str
    version: int
    benchmark: str
    scene: str
    train_scenes: Sequence[str]
    chains: int
    steps_per_task: int
    scene_hash: str
    led: str
    action_mode: str
    observations: Sequence[str]
    visuals: str
    renderer: str
    backend: str = Backend.OURS.value

    _CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "benchmark": ("calvin",),
        "scene": tuple(Scene),
        "scene_hash": tuple(SceneHash),
        "led": tuple(LedVariant),
        "action_mode": tuple(ActionMode),
        "visuals": ("stock", "lowpoly"),
        "renderer": ("tiny", "egl", "auto"),
        "backend": tuple(Backend),
    }

    def __post_init__(self) -> None:
        for key, choices in self._CHOICES.items():
            if getattr(self, key) not in choices:
                raise ValueError(f"protocol.{key}={getattr(self, key)!r}: choose one of {', '.join(choices)}")
        for key, choices in (("train_scenes", tuple(Scene)), ("observations", OBSERVATION_KEYS)):
            wrong = [value for value in getattr(self, key) if value not in choices]
            if wrong:
                raise ValueError(f"protocol.{key} holds {wrong[0]!r}: choose from {', '.join(choices)}")
            object.__setattr__(self, key, tuple(getattr(self, key)))
        if not 1 <= self.chains <= CHAINS:
            raise ValueError(f"protocol.chains={self.chains}: there are {CHAINS} chains, choose 1 to {CHAINS}")
        if self.steps_per_task < 1:
            raise ValueError(f"protocol.steps_per_task={self.steps_per_task}: must be at least 1 (public: 360)")
        if self.backend == Backend.OFFICIAL and self.visuals != "stock":
            raise ValueError(f"protocol.visuals={self.visuals!r}: protocol.backend=official knows only stock")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def is_official(self) -> bool:
        """Whether the public simulator runs the episodes."""
        return self.backend == Backend.OFFICIAL


class Calvin(Benchmark):
    """Chains of five tasks on one play table, run without reset between tasks and ended by the first failure."""

    name: ClassVar[str] = "calvin"

    def __init__(self, protocol: CalvinProtocol) -> None:
        self.protocol = protocol

    @cached_property
    def _assets(self) -> AssetSet:
        return find_package().assets if self.protocol.is_official else find_assets()

    def episodes(self, limit: int | None = None) -> Sequence[EpisodeSpec]:
        """The chains in the order of the public protocol; see `Benchmark.episodes`.

        Raises:
            ValueError: ``limit`` is below 1.
        """
        if limit is not None and limit < 1:
            raise ValueError(f"limit={limit}: must be at least 1")
        count = min(limit or CHAINS, self.protocol.chains)
        chains = load_chains(SceneHash(self.protocol.scene_hash))[:count]
        return [
            EpisodeSpec(
                benchmark=self.name,
                episode_id=f"chain-{index:04d}",
                seed=index,
                stages=tuple(Stage(INSTRUCTIONS[task], task, self.protocol.steps_per_task) for task in chain.tasks),
                meta={
                    "scene": self.protocol.scene,
                    "chain": index,
                    "robot_obs": chain.robot_obs.tolist(),
                    "scene_obs": chain.scene_obs.tolist(),
                },
            )
            for index, chain in enumerate(chains)
        ]

    def collection(self, count: int, seed: int, play: bool) -> Sequence[EpisodeSpec]:
        """Chains, or stretches of play, in random scenes of the protocol's table; see `Benchmark.collection`."""
        return [self._training_episode(index, seed, play) for index in range(count)]

    def _training_episode(self, index: int, seed: int, play: bool) -> EpisodeSpec:
        scene = Scene(self.protocol.scene)
        own = derive_seed("calvin training", scene.value, seed, index)
        rng = np.random.default_rng(own)
        state = training_state(rng)
        stages: tuple[Stage, ...]
        if play:
            stages = (Stage("play with what is on the table", PLAY, PLAY_STEPS),)
        else:
            chain = training_chain(state, rng)
            stages = tuple(Stage(INSTRUCTIONS[task], task, self.protocol.steps_per_task) for task in chain)
        return EpisodeSpec(
            benchmark=self.name,
            episode_id=f"{PLAY if play else 'train'}-{scene}-s{seed}-{index:05d}",
            seed=own % 2**31,
            stages=stages,
            meta={
                "scene": scene.value,
                "robot_obs": ROBOT_OBS.tolist(),
                "scene_obs": training_scene(scene, state, rng).tolist(),
            },
        )

    def make_env(self, request: EnvRequest) -> PlayTableEnv:
        """A fresh environment that computes only what is asked for, in the protocol's simulator.

        Raises:
            ValueError: An observation is asked for that the protocol does not allow.
            FileNotFoundError: ``backend=official`` and ``calvin_env`` is not installed.
            RuntimeError: ``backend=official`` and the process has a simulator already, or a requirement is missing.
        """
        offered = OBSERVATION_KEYS if request.recording else self.protocol.observations
        keys = request.chosen_from(offered, self.protocol.name)
        render_mode = "rgb_array" if request.video else None
        renderer = cast("Renderer", self.protocol.renderer)
        if self.protocol.is_official:
            return OfficialCalvinEnv(
                self.protocol.scene,
                action_mode=self.protocol.action_mode,
                observation_keys=keys,
                led=self.protocol.led,
                renderer=renderer,
                render_mode=render_mode,
            )
        return CalvinEnv(
            self.protocol.scene,
            action_mode=self.protocol.action_mode,
            observation_keys=keys,
            led=self.protocol.led,
            lowpoly=self.protocol.visuals == "lowpoly",
            renderer=renderer,
            render_mode=render_mode,
            assets=self._assets,
        )

    def action_space(self) -> Box:
        """That of the protocol's mode."""
        return action_space(ActionMode(self.protocol.action_mode))

    def truth(self) -> type:
        """See `Benchmark.truth`."""
        return PlayTableTruth

    def control_hz(self) -> float:
        """30 actions per second."""
        return float(CONTROL_HZ)

    def fingerprint(self) -> Mapping[str, str]:
        """Hashes of the chains and of the scene's models, the physics engine, and the code of an official backend.

        Where that backend is not installed, it says so in their place: recorded runs can be reported on anywhere.
        """
        content = {
            "chains": DATA_SHA256,
            "pybullet": version("pybullet"),
            "renderer": resolved(cast("Renderer", self.protocol.renderer)),
        }
        if self.protocol.is_official and not is_installed():
            return content | {"calvin_env": "not installed"}
        if self.protocol.is_official:
            content["calvin_env"] = find_package().fingerprint()
        return content | {"assets": self._assets.fingerprint(Scene(self.protocol.scene))}

    def deviations(self) -> Sequence[str]:
        """Generated assets, where the official files are not on this machine, or an official backend.

        Raises:
            FileNotFoundError: ``backend=official`` and ``calvin_env`` is not installed, so no run can start.
        """
        if self.protocol.is_official:
            return (f"backend=official: simulated by the installed {find_package().describe()}",)
        if self._assets.generated:
            return ("generated assets: the official CALVIN files are not installed (`harness assets calvin`)",)
        return ()

    def summarise(self, frame: pd.DataFrame) -> Sequence[Table]:
        """Success of 1 to 5 tasks in a row with the average length, and success per task over its attempts."""
        ended = frame[has_verdict(frame)]
        errors = int((frame["outcome"] == "error").sum())
        lengths, chains = ended["stages_completed"], ended["episode_id"]
        distinct = chains.nunique()
        in_a_row = [RateCell.over(lengths >= count, errors, distinct) for count in range(1, CHAIN_LENGTH + 1)]
        average = MeanCell(tuple(lengths.astype(float)), tuple(chains), tuple(ended.index))
        chain = Table(
            key="chain",
            title=f"Tasks in a row ({self.protocol.name})",
            columns=(*(str(count) for count in range(1, CHAIN_LENGTH + 1)), "average length"),
            rows=(("chains", (*in_a_row, average)),),
            one_line=True,
        )
        return (chain, self._task_table(ended))

    @staticmethod
    def _task_table(ended: pd.DataFrame) -> Table:
        # A chain ends with its first failure: later tasks were not attempted and have no verdict.
        started = ended["stage_success"].str.len()
        planned = zip(ended["stage_tasks"], started, strict=True)
        names = np.array([task for tasks, count in planned for task in tasks[:count]], dtype=object)
        verdicts = pd.Series(
            [done for successes in ended["stage_success"] for done in successes],
            index=np.repeat(ended.index.to_numpy(), started),
            dtype=bool,
        )
        attempted = {str(task): part for task, part in verdicts.groupby(names)}
        chains = ended["episode_id"]
        cells = {
            task: RateCell.over(attempted[task], distinct=_distinct(attempted[task], chains))
            for task in TASKS
            if task in attempted
        }
        rows = tuple((task, (cell, cell.valid)) for task, cell in cells.items())
        return Table(key="tasks", title="Success per task", columns=("success", "n"), rows=rows)


def _distinct(verdicts: pd.Series[Any], chains: pd.Series[Any]) -> int:
    """Attempts at a task that are not repetitions of each other; a chain may have the task several times."""
    occurrences = verdicts.groupby(level=0).cumcount()
    return len(set(zip(chains.loc[verdicts.index], occurrences, strict=True)))
