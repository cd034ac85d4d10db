"""A world without physics and agents without sense: fast, exact, and able to fail on demand."""

from __future__ import annotations

import ctypes
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pandas as pd

from harness.interfaces import (
    Action,
    Agent,
    AgentEvent,
    Benchmark,
    EnvRequest,
    EpisodeSpec,
    MeanCell,
    Observation,
    RateCell,
    SingleLaneAgent,
    Stage,
    Table,
    TaskEnv,
    TaskView,
    derive_seed,
    has_verdict,
)


@dataclass(frozen=True)
class ToyProtocol:
    """``faults`` maps an episode id to what goes wrong there, as ``where:what`` (see `ToyEnv`).

    A shift moves the goal away.
    """

    name: str
    version: int
    benchmark: str
    episodes: int = 8
    stages: int = 1
    max_steps: int = 6
    goal: float = 1.0
    work: int = 0
    faults: tuple[str, ...] = ()
    shift: str = "none"
    shift_level: int = 0

    def __post_init__(self) -> None:
        if self.episodes < 1:
            raise ValueError(f"episodes={self.episodes} is too small; give at least 1")


class ToyEnv(gymnasium.Env[dict[str, Any], Any]):
    """A point on a line that actions push; a stage succeeds when it is ``goal`` further than where the stage began.

    Faults, for example ``toy-003:step:segfault``: the phase is ``start``, ``reset`` or ``step`` (the second one of the
    episode), the kind ``raise``, ``exit``, ``segfault``, ``hang``, ``nan`` or ``once`` (exits, but only the first
    time; the marker file is in the folder of the environment variable TOY_MARKERS).
    """

    def __init__(self, protocol: ToyProtocol, request: EnvRequest) -> None:
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float64)
        self.observation_space = gymnasium.spaces.Dict({"x": gymnasium.spaces.Box(-100, 100, (2,), np.float64)})
        self.render_seconds = 0.0
        self._protocol = protocol
        self._request = request
        self._faults = dict(fault.split(":", 1) for fault in protocol.faults)
        self._break("*", "start")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        assert options is not None
        self._spec: EpisodeSpec = options["episode"]
        self._break(self._spec.episode_id, "reset")
        self._rng = np.random.default_rng(seed)
        self._x = self._rng.normal(size=2) * 0.01
        self._start = self._x.copy()
        self._count = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        self._count += 1
        if self._count == 2:
            self._break(self._spec.episode_id, "step")
        for _ in range(self._protocol.work):
            hashlib.sha256(b"x" * 100_000).digest()
        self._x = self._x + np.asarray(action) + self._rng.normal(size=2) * 1e-3
        goal = self._protocol.goal * (1 + 0.5 * self._protocol.shift_level)
        progress = float(np.clip((self._x - self._start)[0] / goal, 0.0, 1.0))
        info = {"success": progress >= 1.0, "progress": progress, "metrics": {"distance": float(self._x[0])}}
        return self._observe(), progress, False, False, info

    def begin_stage(self, index: int) -> Observation:
        self._start = self._x.copy()
        return {**self._observe(), "stage": index}

    def _observe(self) -> dict[str, Any]:
        if not self._request.recording:
            return {"x": self._x.copy()}
        everything = {
            "x": self._x.copy(),
            "rgb": np.random.default_rng(self._count).integers(0, 256, (8, 12, 3), np.uint8),
            "depth": np.full((4, 6), self._x[0], np.float32),
            "words": "left" if self._x[1] < 0 else "right",
            "secret": float(self._x[1]),
        }
        keys = self._request.observation_keys
        return everything if keys is None else {key: everything[key] for key in keys}

    def render(self) -> np.ndarray:  # type: ignore[override]
        frame = np.zeros((32, 48, 3), np.uint8)
        frame[:, : int(np.clip(self._x[0] * 10, 0, 47)) + 1] = 255
        return frame

    def privileged(self) -> dict[str, float]:
        self._break(self._spec.episode_id, "truth")
        return {"goal": self._protocol.goal}

    def state_digest(self) -> str:
        return hashlib.sha256(self._x.tobytes()).hexdigest()

    def _break(self, episode_id: str, where: str) -> None:
        fault = self._faults.get(episode_id, "")
        if not fault.startswith(where):
            return
        kind = fault.partition(":")[2]
        if kind == "raise":
            raise RuntimeError("a fault on demand")
        if kind == "exit":
            os._exit(7)
        if kind == "segfault":
            ctypes.string_at(0)
        if kind == "hang":
            while True:
                time.sleep(0.01)
        if kind == "once":
            marker = Path(os.environ["TOY_MARKERS"]) / episode_id
            if not marker.exists():
                marker.touch()
                os._exit(7)


class ToyBenchmark(Benchmark):
    """Points on lines."""

    name: ClassVar[str] = "toy"

    def __init__(self, protocol: ToyProtocol) -> None:
        self._protocol = protocol

    def episodes(self, limit: int | None = None) -> Sequence[EpisodeSpec]:
        stages = tuple(Stage(f"go {i}", f"task{i}", self._protocol.max_steps) for i in range(self._protocol.stages))
        specs = [
            EpisodeSpec("toy", f"toy-{i:03}", 1000 + i, stages, {"family": "even" if i % 2 == 0 else "odd"})
            for i in range(self._protocol.episodes)
        ]
        return specs[:limit]

    def collection(self, count: int, seed: int, play: bool) -> Sequence[EpisodeSpec]:
        stages = (Stage("play", "play", self._protocol.max_steps),) if play else self.episodes()[0].stages
        return [
            EpisodeSpec("toy", f"train-{seed}-{i:03}", derive_seed("toy", seed, i) % 2**31, stages, {"family": "train"})
            for i in range(count)
        ]

    def make_env(self, request: EnvRequest) -> TaskEnv:
        return ToyEnv(self._protocol, request)

    def control_hz(self) -> float | None:
        return 10.0

    def fingerprint(self) -> Mapping[str, str]:
        return {"toy": os.environ.get("TOY_FINGERPRINT", "1")}

    def summarise(self, frame: pd.DataFrame) -> Sequence[Table]:
        valid = frame[has_verdict(frame)]
        steps = MeanCell(
            tuple(valid["steps"].astype(float)), tuple(valid["episode_id"]), tuple(valid.index), better="lower"
        )
        families = tuple((name, (RateCell.of(part),)) for name, part in frame.groupby("family"))
        return [
            Table("overall", "success", ("success", "steps"), (("run", (RateCell.of(frame), steps)),), one_line=True),
            Table("family", "success by family", ("success",), families),
        ]


class Walker(SingleLaneAgent):
    """Pushes forward with random strength."""

    def __init__(self, gain: float = 0.5, mode: str = "noise", checkpoint: str | None = None) -> None:
        super().__init__()
        self._gain = gain
        self._mode = mode
        self._checkpoint = checkpoint
        self._report: dict[int, AgentEvent] = {}

    def begin(self, view: TaskView, observation: Observation) -> list[float]:
        if self._mode == "reset_raises":
            raise RuntimeError("no idea how to begin")
        return []

    def decide(self, memory: list[float], view: TaskView, observation: Observation, rng: np.random.Generator) -> Action:
        memory.append(float(rng.uniform()))
        if self._mode == "none":
            return None  # type: ignore[return-value]
        if self._mode == "not_finite":
            return np.array([np.nan, 0.0])
        if self._mode == "shape":
            return np.zeros(3)
        if self._mode == "bounds":
            return np.array([0.0, 1.5])
        if self._mode == "words":
            return "forward"  # type: ignore[return-value]
        if self._mode == "raises":
            raise RuntimeError("no idea")
        return np.array([self._gain * memory[-1], float(rng.normal()) * 0.01]).clip(-1, 1)

    def pop_events(self, lane: int) -> Sequence[AgentEvent]:
        steps = self._steps.get(lane, 0)
        return [AgentEvent("compute", {"model_calls": 1, "step": steps})] if steps else []


class Player(Walker):
    """Does what it likes and says so."""

    plays: ClassVar[bool] = True

    def pop_events(self, lane: int) -> Sequence[AgentEvent]:
        if self._steps.get(lane) != 4:
            return []
        return [AgentEvent("label", {"task": "forward", "instruction": "go forward", "start": 1, "end": 3})]


class Watcher(Walker):
    """Reads one observation and minds if it gets another."""

    observation_keys = ("x",)

    def decide(self, memory: list[float], view: TaskView, observation: Observation, rng: np.random.Generator) -> Action:
        assert set(observation) == {"x"}
        return super().decide(memory, view, observation, rng)


class BatchWalker(Agent):
    """Decides for all lanes in one call; one instruction makes it raise."""

    def __init__(self, poison: str = "") -> None:
        self._poison = poison
        self._views: dict[int, TaskView] = {}
        self._steps: dict[int, int] = {}
        self.batch_sizes: list[int] = []

    def reset(self, lane: int, view: TaskView, observation: Observation) -> None:
        self._views[lane] = view
        self._steps[lane] = 0

    def act(self, observations: Mapping[int, Observation]) -> Mapping[int, Action]:
        self.batch_sizes.append(len(observations))
        for lane in observations:
            if self._poison and self._poison in self._views[lane].seeds.episode_key:
                raise RuntimeError("poisoned")
        actions = {}
        for lane in observations:
            rng = self._views[lane].seeds.rng(self._steps[lane])
            actions[lane] = np.array([rng.uniform(), 0.0])
            self._steps[lane] += 1
        return actions


class PoisonedWalker(Walker):
    """Raises, or dies, at its third decision in one episode."""

    def __init__(self, poison: str = "", how: str = "raise") -> None:
        super().__init__()
        self._poison = poison
        self._how = how

    def decide(self, memory: list[float], view: TaskView, observation: Observation, rng: np.random.Generator) -> Action:
        if self._poison in view.seeds.episode_key and len(memory) == 2:
            if self._how == "exit":
                os._exit(7)
            raise RuntimeError("poisoned")
        return super().decide(memory, view, observation, rng)


class Rude(Walker):
    """Raises when it is asked to go."""

    def close(self) -> None:
        raise RuntimeError("I stay")


class Polite(Walker):
    """Leaves a note in a folder when it is asked to go."""

    def __init__(self, notes: str) -> None:
        super().__init__()
        self._notes = Path(notes)

    def close(self) -> None:
        (self._notes / str(os.getpid())).touch()


class Curious(Walker):
    """Reads ground truth."""

    privileged = True


class Peeker(Walker):
    """Reads ground truth if it is told to, and minds if it gets what it does not ask for."""

    def __init__(self, peeks: bool = True) -> None:
        super().__init__()
        self._peeks = peeks

    @classmethod
    def reads_truth(cls, settings: Mapping[str, Any]) -> bool:
        return settings["peeks"] is not False

    def begin(self, view: TaskView, observation: Observation) -> list[float]:
        assert (view.privileged is not None) == self._peeks
        return super().begin(view, observation)


class Stillborn(Walker):
    """Takes its process along when it is built."""

    def __init__(self) -> None:
        os._exit(7)


class Misconfigured(Walker):
    """Cannot be built, whatever happens: as one whose settings are wrong in a way that only building tells."""

    def __init__(self) -> None:
        raise ValueError("eyes=3 are too many")


class Unbuildable(Walker):
    """Cannot be built."""

    def __init__(self) -> None:
        raise RuntimeError("the weights are gone")
