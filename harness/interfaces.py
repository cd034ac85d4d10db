"""The few contracts between the harness and everything it runs.

Environments, benchmarks, agents and baselines import this module and nothing else of ``harness``. Everything here
is a frozen dataclass, a ``Protocol`` or a small base class; nothing here has side effects.

Conventions: SI units, angles in radians, quaternions ``xyzw``, images ``uint8`` ``(H, W, 3)``.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import gymnasium
import numpy as np
import numpy.typing as npt
import pandas as pd

Observation = Mapping[str, Any]
"""What an environment returns: camera images, proprioception, ... by name."""

Action = npt.NDArray[np.floating[Any]]
"""One action; shape and bounds are those of the environment's ``action_space``."""


# --------------------------------------------------------------------------------------------- episodes


@dataclass(frozen=True)
class Stage:
    """One instruction of an episode and the steps that the agent has for it.

    Attributes:
        instruction: Natural language, as the agent reads it.
        task: The benchmark's own name of the task (its success oracle's key).
        max_steps: Actions after which the stage counts as failed.
    """

    instruction: str
    task: str
    max_steps: int


@dataclass(frozen=True)
class EpisodeSpec:
    """All that is needed to set up one episode, JSON-serialisable.

    A CALVIN chain has five stages, run without reset and ended by the first failure; a Language-Table or ThinkBench
    episode has one.

    Attributes:
        benchmark: Name of the benchmark that can run it.
        episode_id: Unique within the benchmark's protocol, for example ``tower-h5-003``.
        seed: Seed of the environment's reset.
        stages: At least one.
        meta: JSON data that the environment needs (scene, goal, ...) and the columns by which tables are grouped
            (``family``, ``horizon``, ...).
    """

    benchmark: str
    episode_id: str
    seed: int
    stages: tuple[Stage, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data; ``from_dict`` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EpisodeSpec:
        """From ``to_dict``'s output."""
        return cls(
            benchmark=data["benchmark"],
            episode_id=data["episode_id"],
            seed=data["seed"],
            stages=tuple(Stage(**stage) for stage in data["stages"]),
            meta=dict(data["meta"]),
        )


# ------------------------------------------------------------------------------------------ randomness


def derive_seed(*path: int | str) -> int:
    """A 128-bit seed that depends on every element of ``path`` and on nothing else.

    Unlike ``hash`` it is the same in every process and on every platform.
    """
    text = json.dumps(path, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


@dataclass(frozen=True)
class SeedPath:
    """Where a random draw belongs: ``(run seed, episode, stage)``; with a step it gives a generator.

    Draws made from ``rng(step)`` do not depend on batch size, worker count or the order of episodes.
    """

    run_seed: int
    episode_key: str
    stage: int

    def rng(self, step: int, purpose: str = "agent") -> np.random.Generator:
        """The generator of one step. ``purpose`` separates streams that are drawn in the same step."""
        return np.random.default_rng(derive_seed(self.run_seed, self.episode_key, self.stage, step, purpose))


# -------------------------------------------------------------------------------------------- the agent


@dataclass(frozen=True)
class TaskView:
    """All that an agent may know about a stage besides its observations.

    Attributes:
        instruction: What to do, in words.
        action_space: Shape, bounds and dtype of the actions that are accepted.
        control_hz: Actions per simulated second; ``None`` where an action is a whole skill of varying duration.
        max_steps: Actions before the stage ends.
        stage: Index of the stage within the episode.
        seeds: Gives the agent its random generators.
        privileged: The environment's ground truth (``TaskEnv.privileged()``), for agents that read it
            (`Agent.reads_truth`); ``None`` for all others.
    """

    instruction: str
    action_space: gymnasium.spaces.Box
    control_hz: float | None
    max_steps: int
    stage: int
    seeds: SeedPath
    privileged: Any = None


@dataclass(frozen=True)
class AgentEvent:
    """Something an agent reports about a decision: a sub-goal, a replan, model calls, planner costs.

    Attributes:
        kind: ``subgoal``, ``replan``, ``plan``, ``compute`` or an agent's own name.
        data: JSON data. The numbers in ``compute`` events, such as ``model_calls``, are shown per decision in reports.
    """

    kind: str
    data: Mapping[str, Any]


class Agent(ABC):
    """Acts on several lanes (one environment each) at once, so that one model call can serve them all.

    Class attributes:
        privileged: Whether the agent reads ground truth, whatever its settings (`reads_truth`).
        observation_keys: Which observations it reads (camera names, ``robot_obs``, ...); an object may have its own.
            Only these are rendered; ``None`` asks for all. In every world ``rgb_static`` is the static camera.
        plays: Whether it does what it likes instead of what it is told; for collecting data only. It reports what it
            did in events ``label`` with ``task``, ``instruction``, ``start`` and ``end`` (steps of the stage; the end
            is exclusive).
    """

    privileged: ClassVar[bool] = False
    observation_keys: tuple[str, ...] | None = None
    plays: ClassVar[bool] = False

    @classmethod
    def reads_truth(cls, settings: Mapping[str, Any]) -> bool:  # noqa: ARG003
        """Whether the agent reads ground truth when it is built with ``settings``.

        What it says is the mark in every table, decides whether `TaskView.privileged` is handed out, and is asked again
        when an entry is verified; so it must not depend on anything else.

        Args:
            settings: All parameters with their defaults, as plain configuration data. Those of somebody else's entry
                may hold anything: what is not understood reads ground truth.
        """
        return cls.privileged

    @classmethod
    def untrained(cls, settings: Mapping[str, Any]) -> bool:  # noqa: ARG003
        """Whether the agent's weights have learned nothing when it is built with ``settings``.

        Such a run shows that the agent works in a world. It is marked, and stands in no table beside others.

        Args:
            settings: As in `reads_truth`.
        """
        return False

    @classmethod
    def content(cls, settings: Mapping[str, Any]) -> Mapping[str, Path | str]:  # noqa: ARG003
        """Further files and folders that results depend on, by the setting that names them (``vlm.lora`` if nested).

        Hashes of their content are part of a run's identity, as with `checkpoint_path`; nested names stay there too.
        What lies elsewhere is given by a text that changes whenever its content does, such as a commit.

        Args:
            settings: As in `reads_truth`, but checked one by one.

        Raises:
            ValueError: One is missing, or settings do not fit together; the message names the key and the remedy.
        """
        return {}

    @classmethod  # noqa: B027
    def check_settings(
        cls, settings: Mapping[str, Any], action_space: gymnasium.spaces.Box | None, control_hz: float | None
    ) -> None:
        """Refuse settings that cannot work, at all or for a benchmark's actions; asked before a run starts.

        Args:
            settings: As in `content`.
            action_space: `Benchmark.action_space`.
            control_hz: `Benchmark.control_hz`.

        Raises:
            ValueError: They do not; the message names the key and the remedy.
        """

    @classmethod  # noqa: B027
    def check_truth(cls, settings: Mapping[str, Any], truth: type) -> None:
        """Refuse settings that a benchmark's ground truth cannot serve; asked before a run starts, where it is known.

        Args:
            settings: As in `content`.
            truth: `Benchmark.truth`.

        Raises:
            ValueError: It cannot; the message names the key and the remedy.
        """

    @classmethod
    def checkpoint_path(cls, name: str) -> Path | None:
        """What identifies the checkpoint that a parameter ``checkpoint`` or ``*_checkpoint`` names: a file or folder.

        A hash of its content is part of a run's identity; the name itself where there is none (``None``), because
        nothing is loaded.

        Raises:
            ValueError: There is none.
        """
        path = Path(name)
        if not path.exists():
            raise ValueError("no such file or folder")
        return path

    @abstractmethod
    def reset(self, lane: int, view: TaskView, observation: Observation) -> None:
        """A new stage starts on ``lane``: forget plans and buffers of what ran there before.

        Called at the start of an episode (``view.stage == 0``) and at each further stage of a chain.
        """

    @abstractmethod
    def act(self, observations: Mapping[int, Observation]) -> Mapping[int, Action]:
        """One action for each lane of ``observations``.

        If a call for several lanes raises, the harness calls again lane by lane to find the one to blame; so a
        call that raises must leave the agent's state as it was.
        """

    def pop_events(self, lane: int) -> Sequence[AgentEvent]:  # noqa: ARG002
        """What the agent has to report of the last decision on ``lane``; cleared by the call."""
        return ()

    def close(self) -> None:  # noqa: B027
        """Release what the agent holds."""


class SingleLaneAgent(Agent):
    """Base of agents that think about one environment at a time; holds one copy of their state per lane.

    Subclasses write ``begin`` and ``decide``; whatever ``begin`` returns is that lane's memory. What it has in a list
    ``events`` is reported after the decision.
    """

    def __init__(self) -> None:
        self._memories: dict[int, Any] = {}
        self._views: dict[int, TaskView] = {}
        self._steps: dict[int, int] = {}
        self._decided: dict[int, Action] = {}

    @abstractmethod
    def begin(self, view: TaskView, observation: Observation) -> Any:
        """A new stage starts; returns the memory that ``decide`` gets."""

    @abstractmethod
    def decide(self, memory: Any, view: TaskView, observation: Observation, rng: np.random.Generator) -> Action:
        """The next action. ``rng`` is the only source of randomness to use."""

    def reset(self, lane: int, view: TaskView, observation: Observation) -> None:
        """See `Agent.reset`."""
        self._memories[lane] = self.begin(view, observation)
        self._views[lane] = view
        self._steps[lane] = 0
        self._decided.pop(lane, None)

    def act(self, observations: Mapping[int, Observation]) -> Mapping[int, Action]:
        """See `Agent.act`. Lanes that had decided when another one raised give the same action when asked again."""
        for lane, observation in observations.items():
            if lane not in self._decided:
                self._decided[lane] = self._act_one(lane, observation)
        return {lane: self._decided.pop(lane) for lane in observations}

    def pop_events(self, lane: int) -> Sequence[AgentEvent]:
        """See `Agent.pop_events`."""
        events: list[AgentEvent] = getattr(self._memories.get(lane), "events", [])
        popped = tuple(events)
        events.clear()
        return popped

    def _act_one(self, lane: int, observation: Observation) -> Action:
        view = self._views[lane]
        rng = view.seeds.rng(self._steps[lane])
        action = self.decide(self._memories[lane], view, observation, rng)
        self._steps[lane] += 1
        return action


# ------------------------------------------------------------------------------ environment and benchmark


@runtime_checkable
class TaskEnv(Protocol):
    """A ``gymnasium.Env`` that can run an `EpisodeSpec`. It is usable without the harness.

    ``reset(seed=spec.seed, options={"episode": spec})`` sets up the episode and its first stage.
    ``step`` returns the usual five values; ``info`` holds ``success`` (bool, of the current stage) and may hold
    ``progress`` (float in [0, 1]), ``metrics`` (JSON data, kept with the result) and ``frames`` (images for the video
    that were recorded on the way, where one action lasts long). A stage ends with success, with
    ``terminated``/``truncated``, or when its ``max_steps`` are used up.

    Attributes:
        render_seconds: Wall-clock time spent on images since the environment was made.
    """

    action_space: gymnasium.spaces.Space[Any]
    observation_space: gymnasium.spaces.Space[Any]

    @property
    def render_seconds(self) -> float:
        """See above."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Set up an episode."""

    def step(self, action: Any) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """Execute one action."""

    def begin_stage(self, index: int) -> Observation:
        """Go on to stage ``index >= 1`` without reset; returns the current observation."""

    def render(self) -> Any:
        """The current frame for a video, ``uint8 (H, W, 3)``."""

    def privileged(self) -> Any:
        """The world's ground truth as a live, read-only object; handed to privileged agents only."""

    def state_digest(self) -> str:
        """A hash of the exact simulator state; equal digests mean bit-identical worlds."""

    def close(self) -> None:
        """Release the simulator."""


@dataclass(frozen=True)
class EnvRequest:
    """What a worker needs of an environment.

    Attributes:
        observation_keys: Only these observations are computed; ``None`` means all that the protocol allows.
        video: Whether ``render`` will be called.
        recording: Whether observations are recorded as training data. Ground truth may then be observed as well, and
            ``observation_keys=None`` asks for all that there is.
    """

    observation_keys: tuple[str, ...] | None = None
    video: bool = False
    recording: bool = False

    def chosen_from(self, offered: Sequence[str], protocol: str) -> tuple[str, ...]:
        """The observations to compute, of those that the protocol of that name offers.

        Raises:
            ValueError: One is asked for that is not offered.
        """
        if self.observation_keys is None:
            return tuple(offered)
        refused = [key for key in self.observation_keys if key not in offered]
        if refused:
            raise ValueError(
                f"the agent asks for {refused[0]!r}, but protocol {protocol!r} offers {', '.join(offered)}: change the "
                "agent or override protocol.observations"
            )
        return self.observation_keys


class Benchmark(ABC):
    """A set of episodes, the world they run in, and how their results are put into tables."""

    name: ClassVar[str]

    @abstractmethod
    def episodes(self, limit: int | None = None) -> Sequence[EpisodeSpec]:
        """The protocol's episodes in their fixed order; ``limit`` takes a prefix."""

    def collection(self, count: int, seed: int, play: bool) -> Sequence[EpisodeSpec]:  # noqa: ARG002
        """Episodes to gather training data from; none of them is one of the protocol's own.

        Args:
            count: How many.
            seed: What they are drawn from.
            play: Whether each is one long stage without a task, for agents that do what they like.

        Raises:
            ValueError: The benchmark has none of that kind.
        """
        raise ValueError(f"{self.name} has no {'play' if play else 'training'} episodes to collect from")

    @abstractmethod
    def make_env(self, request: EnvRequest) -> TaskEnv:
        """A fresh environment. Called in the worker that will own it."""

    def action_space(self) -> gymnasium.spaces.Box | None:
        """The actions that every environment of `make_env` takes; ``None`` where they are not known before."""
        return None

    def truth(self) -> type | None:
        """The class of what `TaskEnv.privileged` gives in every environment; ``None`` where it is not known before."""
        return None

    @abstractmethod
    def control_hz(self) -> float | None:
        """Actions per simulated second, or ``None`` for skill actions of varying duration."""

    @abstractmethod
    def fingerprint(self) -> Mapping[str, str]:
        """Hashes of the content that results depend on (frozen suites, assets, generator version, renderer).

        They are part of the protocol's hash: runs with different fingerprints are never mixed.
        """

    def deviations(self) -> Sequence[str]:
        """Why a run is non-standard, beyond what was overridden in the protocol (generated assets, ...)."""
        return ()

    @abstractmethod
    def summarise(self, frame: pd.DataFrame) -> Sequence[Table]:
        """The benchmark's tables.

        Args:
            frame: One row per planned episode: ``episode_id``, ``outcome`` (``success``, ``failure``, ``error``,
                ``missing``), ``success`` (bool), ``progress`` (float), ``steps`` (int), ``stages_completed`` (int),
                ``stage_tasks`` and ``stage_success`` (lists), the result's ``metrics``, and every scalar of the
                spec's ``meta`` as a column of its own.
        """

    def conduct(self, frame: pd.DataFrame) -> Table | None:  # noqa: ARG002
        """What the agent did, however it ended: one row that explains a result.

        Reports print it beside the tables; nobody is ranked or tested by it, and entries do not state it.

        Args:
            frame: See `summarise`.
        """
        return None


# -------------------------------------------------------------------------------------- told from the truth


@dataclass(frozen=True)
class StatedSubGoal:
    """A sub-goal as one states it who knows the truth.

    Attributes:
        text: In words.
        points: Where the static camera sees the things that it is about: ``(u, v)`` from 0 to 1 across the picture, u
            to the right and v down.
    """

    text: str
    points: tuple[tuple[float, float], ...]


@runtime_checkable
class StatesSubGoals(Protocol):
    """Ground truth that knows what is to be done next; a world's ``TaskEnv.privileged()`` may be such.

    It stands in for a perfect reasoner, so that the other parts of an agent can be measured by themselves. Agents that
    use it are privileged.
    """

    def stated_subgoals(self) -> Sequence[StatedSubGoal]:
        """The sub-goals that are left, in the order in which they are to be reached; at least one."""


@runtime_checkable
class ShowsGoal(Protocol):
    """Ground truth that knows what reaching the goal looks like; as `StatesSubGoals`, for a perfect goal."""

    def goal_image(self) -> npt.NDArray[np.uint8]:
        """What the static camera sees where the goal is reached, ``uint8 (H, W, 3)``, as large as observations are."""

    def next_image(self) -> npt.NDArray[np.uint8]:
        """What it sees after the next step of a solution from here."""


@runtime_checkable
class Rehearses(Protocol):
    """Ground truth of a world that can be had twice, so that one can try out what would happen."""

    def rehearsal(self) -> TaskEnv:
        """A world of its own in the present state and stage, bit for bit; whatever is done there, nothing happens here.

        It observes nothing; ``render`` shows what the static camera sees. Who asks for it closes it.

        Raises:
            ValueError: The simulator cannot be had twice.
        """


# ------------------------------------------------------------------------------------- assets and checks


@dataclass(frozen=True)
class OfficialFile:
    """One file of a public repository: its path (with slashes), SHA-256 (hex) and size in bytes."""

    path: str
    sha256: str
    size: int

    def intact(self, root: Path) -> bool:
        """Whether ``root`` holds it with the right content."""
        file = root / self.path
        if not file.is_file() or file.stat().st_size != self.size:
            return False
        return hashlib.sha256(file.read_bytes()).hexdigest() == self.sha256


@dataclass(frozen=True)
class OfficialFiles:
    """The public files that a world needs, for ``harness assets``; worlds name theirs through an entry point.

    Attributes:
        world: The world's name.
        base_url: Where they are, at a pinned commit, with a final slash; a file's URL is ``base_url + path``.
        licence: SPDX identifier of their licence.
        files: All of them.
        folder: Where they are put unless the user says otherwise; the world looks for them there.
    """

    world: str
    base_url: str
    licence: str
    files: tuple[OfficialFile, ...]
    folder: Path

    def damaged(self, root: Path) -> list[OfficialFile]:
        """Those that are missing under ``root`` or have another content."""
        return [file for file in self.files if not file.intact(root)]


@dataclass(frozen=True)
class Check:
    """One finding of ``harness doctor``; worlds add theirs through an entry point.

    Attributes:
        name: What was looked at.
        status: ``ok``, ``note`` (works, but the user should know) or ``fail``.
        found: What is there.
        remedy: What to do; empty where all is well.
    """

    name: str
    status: Literal["ok", "note", "fail"]
    found: str
    remedy: str = ""


# ----------------------------------------------------------------------------------------------- tables


def has_verdict(frame: pd.DataFrame) -> pd.Series[bool]:
    """Which rows of the frame that `Benchmark.summarise` gets ended with a verdict: those that all cells are over."""
    return frame["outcome"].isin(["success", "failure"])


@dataclass(frozen=True)
class RateCell:
    """``successes`` of ``valid`` episodes that ended without an error, and ``errors`` beside them.

    ``distinct`` is the number of different episodes among the valid ones, where a run repeats them; ``None`` if all
    are different. Repetitions tell less than new episodes, so the interval is that of ``distinct`` trials.

    ``verdicts`` are the single verdicts (bool), indexed by the rows of the frame they come from. Two runs are compared
    by them, episode by episode; without them the cell takes part in no test.
    """

    successes: int
    valid: int
    errors: int = 0
    distinct: int | None = None
    verdicts: pd.Series[Any] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, frame: pd.DataFrame) -> RateCell:
        """Success over (a part of) the frame that `Benchmark.summarise` gets."""
        ended = frame[has_verdict(frame)]
        return cls.over(ended["success"], int((frame["outcome"] == "error").sum()), ended["episode_id"].nunique())

    @classmethod
    def over(cls, verdicts: pd.Series[Any], errors: int = 0, distinct: int | None = None) -> RateCell:
        """Of single verdicts, indexed by rows of the frame; ``distinct`` of them are of different episodes."""
        repeated = distinct if distinct != len(verdicts) else None
        return cls(int(verdicts.sum()), len(verdicts), errors, repeated, verdicts)


@dataclass(frozen=True)
class MeanCell:
    """Values of a mean; ``clusters`` (same length) names the group that is resampled together for its interval.

    ``rows`` are the frame's rows that the values come from, which lets two runs be compared; ``better`` says which
    values are preferable.
    """

    values: tuple[float, ...]
    clusters: tuple[str, ...] | None = None
    rows: Sequence[int] | None = field(default=None, compare=False, repr=False)
    better: Literal["higher", "lower"] = "higher"


Cell = RateCell | MeanCell | int | float | str


@dataclass(frozen=True)
class Table:
    """One table of one run: named rows over named columns. Intervals are computed where it is rendered.

    Attributes:
        key: Machine name, for example ``success_by_horizon``.
        title: Shown above the table.
        columns: Column names, without the row's name.
        rows: ``(row name, one cell per column)``.
        one_line: Whether the single row of this table may be put beside other runs' (agents as rows).
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    one_line: bool = False
