"""ThinkBench as a benchmark of the harness: protocol, episodes and tables."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import ClassVar, Literal, get_args

import pandas as pd
from gymnasium.spaces import Box

from envs.bullet import Renderer, resolved
from envs.tabletop.actions import Control, action_space
from envs.tabletop.cameras import CAMERAS
from envs.tabletop.robot import Visuals
from envs.tabletop.world import CONTROL_HZ, WORLD_VERSION
from harness.interfaces import Benchmark, EnvRequest, EpisodeSpec, MeanCell, RateCell, Table, derive_seed, has_verdict
from thinkbench.conduct import conduct_table
from thinkbench.env import ThinkBenchEnv, ThinkBenchTruth
from thinkbench.generator import Wording, generate
from thinkbench.names import NAME
from thinkbench.shift_draws import draws_path, key, load_draws, rehearsed
from thinkbench.shifts import LEVELS, RECERTIFIED, SHIFT_VERSION, Shift, shifted
from thinkbench.specs import EpisodeRecord
from thinkbench.suite import GENERATED, Suite, draw_suite, load_suite, suite_path
from thinkbench.templates import Template, load_templates

ObservationKey = Literal["rgb_static", "rgb_gripper", "robot_obs"]


@dataclass(frozen=True)
class ThinkBenchProtocol:
    """Everything that a ThinkBench number depends on.

    Attributes:
        name: Name of the protocol.
        version: Raised whenever numbers of the old and the new version cannot be compared.
        benchmark: ``thinkbench``.
        control: ``skill`` (one pick-and-place or push per action) or ``delta`` (20 Hz relative Cartesian control).
        observations: What agents may observe.
        image_size: Side of the square pictures in pixels.
        visuals: ``lowpoly`` or ``stock`` looks of the arm; the motion is the same.
        renderer: ``tiny``, ``egl`` or ``auto``.
        step_factor: An episode has ``step_factor * horizon + step_slack`` actions.
        step_slack: See ``step_factor``.
        settle_seconds: Simulated seconds for which the goal must last.
        suite: The episodes: the frozen ``thinkbench-v1``, a file made by ``harness generate``, or ``generated``, which
            draws fresh ones that are rehearsed but not certified.
        families: Template families.
        horizons: Lengths of the shortest plans.
        episodes_per_template: At most so many episodes of each template; ``None`` for all that the suite has.
        suite_seed: What ``generated`` episodes are drawn from; ``None`` for other suites.
        wording: ``standard``, ``held_out`` or ``verbose`` instructions; the scenes are the same.
        shift: ``none``, or what the same episodes are put under; see `thinkbench.shifts`.
        shift_level: How far: 1, 2 or 3; 0 without a shift.

    Raises:
        ValueError: A value is impossible.
    """

    name: str
    version: int
    benchmark: str
    control: Control
    observations: tuple[ObservationKey, ...]
    image_size: int
    visuals: Visuals
    renderer: Renderer
    step_factor: int
    step_slack: int
    settle_seconds: float
    suite: str
    families: tuple[str, ...]
    horizons: tuple[int, ...]
    episodes_per_template: int | None
    suite_seed: int | None
    wording: Wording
    shift: Shift
    shift_level: int

    def __post_init__(self) -> None:
        choices: dict[str, tuple[str, ...]] = {
            "benchmark": (NAME,),
            "control": get_args(Control),
            "visuals": get_args(Visuals),
            "renderer": get_args(Renderer),
            "wording": get_args(Wording),
            "shift": get_args(Shift),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"protocol.{name}={getattr(self, name)!r}: choose one of {', '.join(allowed)}")
        templates = load_templates().values()
        members: dict[str, Sequence[object]] = {
            "observations": get_args(ObservationKey),
            "families": sorted({template.family for template in templates}),
            "horizons": sorted({template.horizon for template in templates}),
        }
        for name, known in members.items():
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)
            wrong = [value for value in values if value not in known]
            if wrong or not values or len(set(values)) < len(values):
                raise ValueError(f"protocol.{name}={list(values)}: choose each once, from {', '.join(map(str, known))}")
        least = {"image_size": 1, "step_factor": 1, "step_slack": 0, "settle_seconds": 0, "episodes_per_template": 1}
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise ValueError(f"protocol.{name}={value}: must be at least {minimum}")
        self._check_suite()
        self._check_shift()

    def _check_suite(self) -> None:
        if self.suite == GENERATED and None in (self.suite_seed, self.episodes_per_template):
            raise ValueError(
                "protocol.suite=generated draws fresh episodes: say which and how many, with protocol.suite_seed=1 "
                "protocol.episodes_per_template=5"
            )
        if self.suite != GENERATED and self.suite_seed is not None:
            raise ValueError(
                f"protocol.suite_seed={self.suite_seed} has no effect on protocol.suite={self.suite}; add "
                "protocol.suite=generated for fresh episodes"
            )

    def _check_shift(self) -> None:
        levels = (0,) if self.shift == "none" else LEVELS
        if self.shift_level not in levels:
            raise ValueError(
                f"protocol.shift_level={self.shift_level}: choose {' or '.join(map(str, levels))} for "
                f"protocol.shift={self.shift}"
            )
        if self.shift == "unseen-words" and self.wording != "standard":
            raise ValueError(f"protocol.wording={self.wording} has no effect on protocol.shift=unseen-words")


class ThinkBench(Benchmark):
    """Tabletop tasks whose shortest solution takes a known number of moves."""

    name: ClassVar[str] = NAME

    def __init__(self, protocol: ThinkBenchProtocol) -> None:
        self.protocol = protocol

    @cached_property
    def templates(self) -> Sequence[Template]:
        """The protocol's templates, by family and horizon."""
        wanted = (self.protocol.families, self.protocol.horizons)
        return [t for t in load_templates().values() if t.family in wanted[0] and t.horizon in wanted[1]]

    @cached_property
    def suite(self) -> Suite:
        """The suite that the protocol takes its episodes from.

        Raises:
            FileNotFoundError: There is no such suite.
            ValueError: Its file is damaged.
        """
        protocol = self.protocol
        if protocol.suite_seed is None or protocol.episodes_per_template is None:
            return load_suite(protocol.suite)
        return draw_suite(self.templates, protocol.episodes_per_template, protocol.suite_seed)

    @cached_property
    def _specs(self) -> Sequence[EpisodeSpec]:
        names = {template.name for template in self.templates}
        taken: Counter[str] = Counter()
        specs = []
        for record in self.suite.records:
            template = record.meta["template"]
            if template in names and taken[template] != self.protocol.episodes_per_template:
                taken[template] += 1
                specs.append(self._spec(self._shifted(record), self.suite.label))
        return specs

    @cached_property
    def _draws(self) -> Mapping[str, int] | None:
        """Draws of the protocol's shift that are not 0, by episode; ``None`` where nobody certified it."""
        protocol = self.protocol
        if protocol.suite == GENERATED:
            return None
        path = draws_path(suite_path(protocol.suite))
        return load_draws(self.suite, path)[key(protocol.shift, protocol.shift_level)] if path.is_file() else None

    def _shifted(self, record: EpisodeRecord) -> EpisodeRecord:
        shift, level = self.protocol.shift, self.protocol.shift_level
        if shift not in RECERTIFIED:
            return shifted(record, shift, level)
        if self._draws is None:
            return rehearsed(record, shift, level)[1]
        return shifted(record, shift, level, self._draws.get(record.episode_id, 0))

    def deviations(self) -> Sequence[str]:
        """A shift that alters what can be solved needs to be certified."""
        if self.protocol.shift in RECERTIFIED and self._draws is None:
            return (f"nobody has shown that the expert solves these episodes under {self.protocol.shift}",)
        return ()

    def _spec(self, record: EpisodeRecord, suite: str) -> EpisodeSpec:
        protocol = self.protocol
        budget = protocol.step_factor * record.horizon + protocol.step_slack
        spec = record.spec(budget, protocol.wording)
        return replace(spec, meta={**spec.meta, "suite": suite})

    def episodes(self, limit: int | None = None) -> Sequence[EpisodeSpec]:
        """Episodes in an order whose every prefix is balanced: one of each template, then the next of each, ...

        Raises:
            ValueError: ``limit`` is below 1.
        """
        if limit is not None and limit < 1:
            raise ValueError(f"limit={limit}: must be at least 1")
        return self._specs[:limit]

    def collection(self, count: int, seed: int, play: bool) -> Sequence[EpisodeSpec]:
        """Episodes of no suite that is evaluated, templates taking turns; see `Benchmark.collection`.

        Raises:
            ValueError: Episodes under a shift, or a number of each template, are asked for.
        """
        if play:
            return super().collection(count, seed, play)
        if self.protocol.shift != "none":
            raise ValueError(
                f"protocol.shift={self.protocol.shift} is for evaluation; collect from protocol=thinkbench"
            )
        each = self.protocol.episodes_per_template
        if each is not None:
            raise ValueError(
                f"protocol.episodes_per_template={each}: templates take turns in training data; leave it out, and give "
                f"limit={each * len(self.templates)} for as many episodes"
            )
        suite = 2**31 + derive_seed("thinkbench training", seed) % 2**31  # suites are numbered from 0
        specs = []
        for index in range(count):
            template = self.templates[index % len(self.templates)]
            record = EpisodeRecord.of(generate(template, index // len(self.templates), suite))
            spec = self._spec(record, f"training (seed {seed})")
            own = derive_seed("thinkbench training", seed, spec.episode_id) % 2**31
            specs.append(replace(spec, episode_id=f"train-s{seed}-{spec.episode_id}", seed=own))
        return specs

    def make_env(self, request: EnvRequest) -> ThinkBenchEnv:
        """A fresh environment that computes only what is asked for.

        Raises:
            ValueError: An observation is asked for that the protocol does not allow.
        """
        protocol = self.protocol
        keys = request.chosen_from(protocol.observations, protocol.name)
        return ThinkBenchEnv(
            control=protocol.control,
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
        """That of the protocol's control."""
        return action_space(self.protocol.control)

    def truth(self) -> type:
        """See `Benchmark.truth`."""
        return ThinkBenchTruth

    def control_hz(self) -> float | None:
        """20 actions per second in delta control; skills take as long as they take."""
        return float(CONTROL_HZ) if self.protocol.control == "delta" else None

    def fingerprint(self) -> Mapping[str, str]:
        """Hash of the suite, the versions of world and physics engine, and the renderer."""
        return {
            "suite": self.suite.hash,
            "world": str(WORLD_VERSION),
            "pybullet": version("pybullet"),
            "renderer": resolved(self.protocol.renderer),
            **self._shift_fingerprint(),
        }

    def _shift_fingerprint(self) -> dict[str, str]:
        if self.protocol.shift == "none":
            return {}
        drawn = json.dumps(self._draws, sort_keys=True) if self.protocol.shift in RECERTIFIED else ""
        return {"shift": f"{SHIFT_VERSION} {hashlib.sha256(drawn.encode()).hexdigest()[:16]}"}

    def summarise(self, frame: pd.DataFrame) -> Sequence[Table]:
        """Success by horizon with its average and progress, and the same by family."""
        horizons = [h for h in sorted(self.protocol.horizons) if (frame["horizon"] == h).any()]
        columns = (*(f"h{horizon}" for horizon in horizons), "average", "progress")
        families = [family for family in sorted(self.protocol.families) if (frame["family"] == family).any()]
        # From the frame, not from this installation's files: it says what was run.
        suites = "".join(f", {suite}" for suite in frame["suite"].unique()) if "suite" in frame else ""
        by_horizon = Table(
            key="success_by_horizon",
            title=f"Success by horizon{suites}",
            columns=columns,
            rows=(("success", _cells(frame, horizons)),),
            one_line=True,
        )
        by_family = Table(
            key="success_by_family",
            title=f"Success by family{suites}",
            columns=columns,
            rows=tuple((family, _cells(frame[frame["family"] == family], horizons)) for family in families),
        )
        return (by_horizon, by_family)

    def conduct(self, frame: pd.DataFrame) -> Table:
        """See `conduct_table`; picks are those of skill control."""
        picks = {"picks per action": "picks"} if self.protocol.control == "skill" else {}
        return conduct_table(frame, picks, alike="template")


def _cells(frame: pd.DataFrame, horizons: Sequence[int]) -> tuple[RateCell | MeanCell, ...]:
    """Success per horizon, success of all, and mean progress; episodes of one template are resampled together."""
    ended = frame[has_verdict(frame)]
    clusters = tuple(ended["template"].astype(str))
    return (
        *(RateCell.of(frame[frame["horizon"] == horizon]) for horizon in horizons),
        RateCell.of(frame),
        MeanCell(tuple(ended["progress"].astype(float)), clusters, tuple(ended.index)),
    )
