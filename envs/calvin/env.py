"""The play table as a Gymnasium environment.

One action is one control step of 1/30 s. Relative actions ``(7,)`` in [-1, 1]: xyz in units of 0.02 m, Euler xyz in
units of 0.05 rad, both added to the commanded pose in the world frame; the last entry opens the gripper where it is
above 0 and closes it elsewhere. Absolute actions ``(7,)``: tcp position (m), Euler xyz (rad), gripper as above.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from envs.bullet.camera import Frame
from envs.bullet.client import Renderer
from envs.calvin.assets import AssetSet, find_assets
from envs.calvin.cameras import GRIPPER_SIZE, STATIC_SIZE, render_gripper, render_static
from envs.calvin.frozen import load_chains
from envs.calvin.initial import ROBOT_OBS
from envs.calvin.language import INSTRUCTIONS
from envs.calvin.layouts import Scene
from envs.calvin.lowpoly import LowpolyView
from envs.calvin.table import PlayTable
from envs.calvin.tasks import PLAY, TASKS, SceneInfo, achieved, needs
from envs.calvin.truth import PlayTableTruth
from envs.calvin.world import CONTROL_HZ, LedVariant, World
from harness.interfaces import EpisodeSpec, Stage

CAMERAS = ("static", "gripper")
OBSERVATION_KEYS = ("rgb_static", "rgb_gripper", "depth_static", "depth_gripper", "robot_obs", "scene_obs")
MAX_STEPS = 360


class View(Protocol):
    """What a camera sees."""

    @property
    def rgb(self) -> npt.NDArray[np.uint8]:
        """``uint8 (H, W, 3)``."""
        ...

    @property
    def depth(self) -> npt.NDArray[np.float32]:
        """Metres along the optical axis, ``float32 (H, W)``."""
        ...


class ActionMode(StrEnum):
    """What an action means."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


def _observation_spaces() -> dict[str, spaces.Space[Any]]:
    def image(size: int) -> spaces.Box:
        return spaces.Box(0, 255, (size, size, 3), np.uint8)

    def depth(size: int) -> spaces.Box:
        return spaces.Box(0.0, 20.0, (size, size), np.float32)

    return {
        "rgb_static": image(STATIC_SIZE),
        "rgb_gripper": image(GRIPPER_SIZE),
        "depth_static": depth(STATIC_SIZE),
        "depth_gripper": depth(GRIPPER_SIZE),
        "robot_obs": spaces.Box(-10.0, 10.0, (15,), np.float64),
        "scene_obs": spaces.Box(-10.0, 10.0, (24,), np.float64),
    }


def action_space(mode: ActionMode) -> spaces.Box:
    """The actions of a mode, ``(7,)``."""
    if mode is ActionMode.RELATIVE:
        return spaces.Box(-1.0, 1.0, (7,), np.float32)
    reach = np.array([1.0, 1.0, 2.0, np.pi, np.pi, np.pi, 1.0], dtype=np.float32)
    return spaces.Box(-reach, reach, dtype=np.float32)


class PlayTableEnv(gymnasium.Env[dict[str, Any], Any]):
    """One play table, whoever simulates it: spaces, episodes, stages and the judging of success.

    A subclass starts the simulator as ``world`` and renders its cameras.

    ``reset`` options: ``{"episode": EpisodeSpec}`` sets up a chain of the benchmark; ``{"chain": i}`` the i-th frozen
    chain; ``{"scene_obs": ..., "robot_obs": ..., "task": ...}`` any state with one task. Without options the seed
    draws one of the 1000 frozen chains. Every reset gives the world that a fresh process would.

    ``step`` reports ``info["success"]`` of the current stage's task, by the benchmark's own oracle. The episode
    terminates when the last stage succeeds; go on to the next stage of a chain with ``begin_stage``.

    Args:
        action_mode: ``relative`` or ``absolute``.
        observation_keys: Which observations to compute; only these cost time. ``scene_obs`` is privileged.
        render_mode: ``rgb_array`` to allow ``render``.

    Raises:
        ValueError: An argument is unknown.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": CONTROL_HZ}  # noqa: RUF012
    world: PlayTable

    def __init__(self, action_mode: str, observation_keys: Sequence[str], render_mode: str | None) -> None:
        unknown = set(observation_keys) - set(OBSERVATION_KEYS)
        if unknown:
            raise ValueError(f"unknown observation_keys {sorted(unknown)}: choose from {', '.join(OBSERVATION_KEYS)}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be None or 'rgb_array', not {render_mode!r}")
        self.render_mode = render_mode
        self.action_mode = ActionMode(action_mode)
        self.action_space = action_space(self.action_mode)
        available = _observation_spaces()
        self.observation_space = spaces.Dict({key: available[key] for key in observation_keys})
        self._keys = tuple(observation_keys)
        self._cameras = tuple(camera for camera in CAMERAS if {f"rgb_{camera}", f"depth_{camera}"} & set(self._keys))
        self._stages: tuple[Stage, ...] = ()
        self._stage = 0
        self._stage_steps = 0
        self._start: SceneInfo | None = None
        self._initial: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None
        self._commands: list[npt.NDArray[np.float32]] = []
        self.render_seconds = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Set up an episode; see the class for ``options``."""
        super().reset(seed=seed)
        robot_obs, scene_obs, self._stages = self._read_options(dict(options or {}))
        self.world.reset(robot_obs, scene_obs)
        self._initial, self._commands = (robot_obs, scene_obs), []
        self._enter(0)
        return self._observe(), self._info(False)

    def _read_options(
        self, options: dict[str, Any]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], tuple[Stage, ...]]:
        episode = options.pop("episode", None)
        if isinstance(episode, EpisodeSpec):
            _known_tasks([stage.task for stage in episode.stages])
            return np.array(episode.meta["robot_obs"]), np.array(episode.meta["scene_obs"]), episode.stages
        if "scene_obs" in options:
            tasks = _known_tasks([options["task"]] if "task" in options else [])
            robot_obs = np.array(options.get("robot_obs", ROBOT_OBS), dtype=np.float64)
            return robot_obs, np.array(options["scene_obs"], dtype=np.float64), _stages(tasks)
        chains = load_chains()
        chain = chains[int(options["chain"] if "chain" in options else self.np_random.integers(len(chains)))]
        return chain.robot_obs, chain.scene_obs, _stages(chain.tasks)

    def begin_stage(self, index: int) -> dict[str, Any]:
        """Go on to stage ``index`` without reset: success is judged against this moment from now on.

        Raises:
            ValueError: The episode has no such stage.
        """
        if not 0 <= index < len(self._stages):
            raise ValueError(f"the episode has {len(self._stages)} stages, there is no stage {index}")
        self._enter(index)
        return self._observe()

    def _enter(self, index: int) -> None:
        self._stage = index
        self._stage_steps = 0
        self._start = self.world.info()

    def step(self, action: npt.NDArray[np.float32]) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Execute one action ``(7,)``; the reward is 1 where the stage's task is done, else 0."""
        command = np.array(action, dtype=np.float32)
        command[6] = 1.0 if command[6] > 0 else -1.0
        self._execute(command)
        self._stage_steps += 1
        success = self._achieved()
        terminated = success and self._stage + 1 == len(self._stages)
        truncated = not success and bool(self._stages) and self._stage_steps >= self._stages[self._stage].max_steps
        return self._observe(), float(success), terminated, truncated, self._info(success)

    def _execute(self, command: npt.NDArray[np.float32]) -> None:
        if self.action_mode is ActionMode.RELATIVE:
            self.world.step_relative(command)
        else:
            self.world.step_absolute(command)
        self._commands.append(command)

    def _achieved(self) -> bool:
        if not self._stages or self._start is None:
            return False
        task = self._stages[self._stage].task
        if task == PLAY:
            return False
        blocks, robot = needs(task)
        return bool(achieved(self.world.bodies, self._start, self.world.info(blocks, robot), (task,)))

    def _observe(self) -> dict[str, Any]:
        before = time.perf_counter()
        frames: dict[str, npt.NDArray[Any]] = {}
        for camera in self._cameras:
            frame = self._frame(camera)
            frames[f"rgb_{camera}"] = frame.rgb
            frames[f"depth_{camera}"] = frame.depth
        self.render_seconds += time.perf_counter() - before
        states = {"robot_obs": self.world.robot_obs, "scene_obs": self.world.scene_obs}
        return {key: states[key]() if key in states else frames[key] for key in self._keys}

    def _info(self, success: bool) -> dict[str, Any]:
        return {"success": success}

    @abstractmethod
    def _frame(self, camera: str) -> View:
        """What ``static`` or ``gripper`` sees now."""

    def render(self) -> npt.NDArray[np.uint8] | None:
        """The static camera's view, ``uint8 (200, 200, 3)``, or ``None`` without a render mode."""
        return self._frame("static").rgb if self.render_mode == "rgb_array" else None

    def privileged(self) -> PlayTableTruth:
        """Ground truth of the current stage."""
        if self._start is None:
            raise RuntimeError("reset the environment before asking for its ground truth")
        stage = self._stages[self._stage] if self._stages else Stage("", "", 0)
        return PlayTableTruth(self.world, stage.task, stage.instruction, self._start, self.rehearsal)

    def rehearsal(self) -> PlayTableEnv:
        """Another environment in the present state; see `harness.interfaces.Rehearses`."""
        if self._initial is None:
            raise RuntimeError("reset the environment before asking for another in its state")
        copy = self._another()
        copy.world.reset(*self._initial)
        copy._initial = self._initial
        for command in self._commands:
            copy._execute(command)
        copy._stages, copy._stage, copy._stage_steps = self._stages, self._stage, self._stage_steps
        copy._start = self._start
        return copy

    @abstractmethod
    def _another(self) -> PlayTableEnv:
        """A new environment with the same simulator and static camera, that observes nothing."""

    def state_digest(self) -> str:
        """SHA-256 of the exact simulator state."""
        return self.world.digest()

    def close(self) -> None:
        """Stop the simulator."""
        self.world.close()


class CalvinEnv(PlayTableEnv):
    """One play table in the project's own simulator; see `PlayTableEnv`. Several live in one process.

    Args:
        scene: Play table ``A``, ``B``, ``C`` or ``D``.
        action_mode: ``relative`` or ``absolute``.
        observation_keys: Which observations to compute; only these cost time. ``scene_obs`` is privileged.
        led: ``pinned`` (two presses turn off a led that is on at reset) or ``head``.
        lowpoly: Render with simplified meshes: fast, but other pixels than the public simulator's.
        renderer: ``tiny`` (CPU, the reference) or ``egl`` (GPU).
        render_mode: ``rgb_array`` to allow ``render``.
        assets: Models to use; by default the official files where they are found, generated ones elsewhere.

    Raises:
        ValueError: An argument is unknown.
    """

    world: World

    def __init__(
        self,
        scene: str = "D",
        *,
        action_mode: str = "relative",
        observation_keys: Sequence[str] = OBSERVATION_KEYS,
        led: str = "pinned",
        lowpoly: bool = False,
        renderer: Renderer = "tiny",
        render_mode: str | None = None,
        assets: AssetSet | None = None,
    ) -> None:
        super().__init__(action_mode, observation_keys, render_mode)
        self.world = World(
            Scene(scene),
            assets or find_assets(),
            led=LedVariant(led),
            visuals=not lowpoly and (bool(self._cameras) or render_mode is not None),
            renderer=renderer,
        )
        self._lowpoly = LowpolyView(self.world) if lowpoly else None
        self._settings: dict[str, Any] = {"action_mode": action_mode, "led": led, "lowpoly": lowpoly}
        self._settings |= {"renderer": renderer, "assets": self.world.assets}

    def _another(self) -> CalvinEnv:
        scene = self.world.layout.scene
        return CalvinEnv(scene, observation_keys=(), render_mode="rgb_array", **self._settings)

    def _frame(self, camera: str) -> Frame:
        if self._lowpoly is not None:
            return self._lowpoly.static() if camera == "static" else self._lowpoly.gripper()
        return render_static(self.world) if camera == "static" else render_gripper(self.world)

    def close(self) -> None:
        """Stop the simulator."""
        if self._lowpoly is not None:
            self._lowpoly.close()
        super().close()


def _known_tasks(tasks: Sequence[str]) -> Sequence[str]:
    unknown = [task for task in tasks if task not in (*TASKS, PLAY)]
    if unknown:
        raise ValueError(f"unknown CALVIN task {unknown[0]!r}: choose one of {', '.join(TASKS)}")
    return tasks


def _stages(tasks: Sequence[str], instructions: Mapping[str, str] = INSTRUCTIONS) -> tuple[Stage, ...]:
    return tuple(Stage(instructions[task], task, MAX_STEPS) for task in tasks)
