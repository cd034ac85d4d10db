"""The tabletop world as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Dict

from envs.bullet import Renderer
from envs.tabletop import actions, kinematics, skills
from envs.tabletop.actions import Control, Primitive
from envs.tabletop.cameras import CAMERAS, FAR, CameraName
from envs.tabletop.conditions import Conditions
from envs.tabletop.linear import product
from envs.tabletop.random_scenes import random_scene
from envs.tabletop.robot import Visuals
from envs.tabletop.scene import SceneSpec
from envs.tabletop.shapes import GRIPPER_OPENING, REACH_HEIGHT, WORKSPACE_X, WORKSPACE_Y
from envs.tabletop.world import CONTROL_HZ, TabletopWorld, WorldSnapshot

ROBOT_OBS = "robot_obs"

_ROBOT_BOUNDS = np.array([2.0] * 3 + [3.15] * 3 + [0.1] + [4.0] * 7 + [1.0], dtype=np.float32)
_MAX_BODIES = 1000

FILM_EVERY = 4
"""Control steps between two pictures of a film."""

_MARGIN = 0.05  # metres around the workspace that delta control may enter
_TOOL_LOW = np.array([WORKSPACE_X[0] - _MARGIN, WORKSPACE_Y[0] - _MARGIN, 0.008])
_TOOL_HIGH = np.array([WORKSPACE_X[1] + _MARGIN, WORKSPACE_Y[1] + _MARGIN, REACH_HEIGHT + _MARGIN])


class TabletopEnv(gymnasium.Env[dict[str, Any], npt.ArrayLike]):
    """A Panda arm at a table with objects; no task, so the reward is 0 and no episode ends by itself.

    Control modes (see `envs.tabletop.actions`): ``skill``, one pick-and-place or push per action, and ``delta``,
    relative Cartesian control at 20 Hz.

    Observations, of which only those asked for are computed: ``rgb_static`` and ``rgb_gripper`` ``uint8 (S, S, 3)``;
    ``depth_static`` and ``depth_gripper`` ``float32 (S, S)`` in metres; ``segmentation_static`` and
    ``segmentation_gripper`` ``int32 (S, S)`` (-1 nothing, 0 arm, then objects, zones and the table in that order);
    ``robot_obs`` ``float32 (15,)``: tool position (3), Euler angles (3), gripper opening (1), joint angles (7), last
    gripper command (1 open, -1 close).

    Args:
        control: ``skill`` or ``delta``.
        cameras: Which cameras there are.
        image_size: Side of the square pictures in pixels.
        visuals: ``lowpoly`` or ``stock`` looks of the arm; the motion is the same.
        renderer: ``tiny`` (CPU), ``egl`` (GPU) or ``auto``.
        depth: Whether there are depth observations.
        segmentation: Whether there are segmentation observations.
        observation_keys: Only these observations are computed; ``None`` for all.
        scene: The scene of a reset that names none; ``None`` draws a random one from the seed.
        film: Whether ``info["frames"]`` holds what the static camera saw on the way, at 5 Hz of simulated time.
        render_mode: ``rgb_array`` or ``None``.

    Raises:
        ValueError: An argument names something that does not exist.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": CONTROL_HZ}  # noqa: RUF012

    def __init__(
        self,
        *,
        control: Control = "skill",
        cameras: Sequence[CameraName] = CAMERAS,
        image_size: int = 224,
        visuals: Visuals = "lowpoly",
        renderer: Renderer = "tiny",
        depth: bool = False,
        segmentation: bool = False,
        observation_keys: Sequence[str] | None = None,
        scene: SceneSpec | None = None,
        film: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self.control = control
        self.action_space: Box = actions.action_space(control)
        self.render_mode = render_mode
        self._image_size = image_size
        self._default_scene = scene
        spaces = _spaces(cameras, image_size, depth, segmentation)
        keys = tuple(spaces) if observation_keys is None else tuple(observation_keys)
        unknown = sorted(set(keys) - set(spaces))
        if unknown:
            raise ValueError(f"No such observations here: {', '.join(unknown)}; there are {', '.join(spaces)}")
        self._keys = keys
        self.observation_space = Dict({key: spaces[key] for key in keys})
        self.world = TabletopWorld(visuals, renderer)
        self._film = film

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """A new episode; ``options["scene"]`` is a `SceneSpec`, ``options["conditions"]`` are `Conditions`.

        Both may be their ``to_dict``; without conditions the standard ones hold.
        """
        super().reset(seed=seed)
        scene = (options or {}).get("scene", self._default_scene)
        if isinstance(scene, Mapping):
            scene = SceneSpec.from_dict(scene)
        conditions = (options or {}).get("conditions")
        if isinstance(conditions, Mapping):
            conditions = Conditions.from_dict(conditions)
        self.world.load(random_scene(self.np_random) if scene is None else scene, conditions)
        return self.observe(), {"time": self.world.time}

    def step(self, action: npt.ArrayLike) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """One skill, or one control step of 0.05 s. A pick-and-place that ends as it starts moves nothing at all.

        ``info`` holds the simulated ``time``; in skill control the object that was ``picked``, the ``control_steps``
        and whether everything ``settled``; and ``frames`` where the step was filmed.

        Raises:
            ValueError: The action has a wrong shape or is not finite.
            SimulationError: The world exploded.
        """
        info: dict[str, Any] = {}
        with self._filming() as frames:
            if self.control == "skill":
                result = self._run_skill(actions.parse_skill(action))
                info = {"picked": result.picked, "control_steps": result.steps, "settled": result.settled}
            else:
                self._run_delta(action)
        observation = self.observe()
        info["time"] = self.world.time
        if self._film:
            info["frames"] = frames
        return observation, 0.0, False, False, info

    def observe(self) -> dict[str, Any]:
        """The present observation; only the pictures that it holds are rendered, each camera once."""
        observation: dict[str, Any] = {}
        for camera in CAMERAS:
            view = camera.removeprefix("rgb_")
            names = {"rgb": camera, "depth": f"depth_{view}", "segmentation": f"segmentation_{view}"}
            if not any(name in self._keys for name in names.values()):
                continue
            frame = self.world.render(camera, self._image_size)
            seen = {"rgb": frame.rgb, "depth": np.minimum(frame.depth, FAR), "segmentation": frame.segmentation}
            observation |= {name: seen[field] for field, name in names.items() if name in self._keys}
        if ROBOT_OBS in self._keys:
            observation[ROBOT_OBS] = self._robot_obs()
        return observation

    def render(self) -> npt.NDArray[np.uint8]:
        """The static camera's picture, ``uint8 (S, S, 3)``."""
        return self.world.render("rgb_static", self._image_size).rgb

    @property
    def render_seconds(self) -> float:
        """Wall-clock time spent on pictures so far."""
        return self.world.render_seconds

    def get_state(self) -> WorldSnapshot:
        """The exact state of the world; see `TabletopWorld.get_state`."""
        return self.world.get_state()

    def set_state(self, snapshot: WorldSnapshot) -> dict[str, Any]:
        """Go to an exact state; returns its observation."""
        self.world.set_state(snapshot)
        return self.observe()

    def privileged(self) -> TabletopWorld:
        """The world itself: ground truth for privileged agents, who read it and command nothing."""
        return self.world

    def state_digest(self) -> str:
        """A hash of the exact state; equal digests mean bit-identical worlds."""
        return self.world.digest()

    def renderer_name(self) -> str:
        """What renders: ``tiny`` or ``egl``."""
        return self.world.client.renderer_name()

    def close(self) -> None:
        """Release the simulator."""
        self.world.close()

    @contextmanager
    def _filming(self) -> Iterator[list[npt.NDArray[np.uint8]]]:
        """The pictures that the static camera takes meanwhile, if this environment films."""
        frames: list[npt.NDArray[np.uint8]] = []
        steps = 0

        def shoot() -> None:
            nonlocal steps
            steps += 1
            if steps % FILM_EVERY == 0:
                frames.append(self.render())

        self.world.after_step = shoot if self._film else None
        try:
            yield frames
        finally:
            self.world.after_step = None

    def _run_skill(self, skill: actions.Skill) -> skills.SkillResult:
        if skill.primitive is Primitive.PICK_AND_PLACE and np.array_equal(skill.start, skill.end) and not skill.turn:
            return skills.SkillResult(picked=None, steps=0, settled=self.world.resting())
        if skill.primitive is Primitive.PUSH:
            return skills.push(self.world, skill.start, skill.end)
        return skills.pick_and_place(self.world, skill.start, skill.end, skill.turn)

    def _run_delta(self, action: npt.ArrayLike) -> None:
        """Relative to the pose that the motors go for, so that errors of tracking do not add up."""
        shift, angles, opens = actions.parse_delta(action)
        position, orientation = self.world.tool_target
        target = np.clip(position + shift, _TOOL_LOW, _TOOL_HIGH)
        turned = product(kinematics.from_euler(angles), orientation)
        self.world.step_control(target, turned, GRIPPER_OPENING if opens else 0.0)

    def _robot_obs(self) -> npt.NDArray[np.float32]:
        joints = self.world.robot.joints()[:, 0]
        position, orientation = self.world.robot.tool()
        command = 1.0 if self.world.width_target > GRIPPER_OPENING / 2 else -1.0
        values = (*position, *kinematics.euler(orientation), joints[7] + joints[8], *joints[:7], command)
        return np.array(values, dtype=np.float32)


def _spaces(
    cameras: Sequence[CameraName], size: int, depth: bool, segmentation: bool
) -> dict[str, gymnasium.spaces.Space[Any]]:
    if size < 1:
        raise ValueError(f"image_size must be at least 1 pixel; got {size}")
    spaces: dict[str, gymnasium.spaces.Space[Any]] = {}
    for camera in cameras:
        if camera not in CAMERAS:
            raise ValueError(f"There is no camera '{camera}'; the world has {', '.join(CAMERAS)}")
        view = camera.removeprefix("rgb_")
        spaces[camera] = Box(0, 255, (size, size, 3), np.uint8)
        if depth:
            spaces[f"depth_{view}"] = Box(0.0, FAR, (size, size), np.float32)
        if segmentation:
            spaces[f"segmentation_{view}"] = Box(-1, _MAX_BODIES, (size, size), np.int32)
    spaces[ROBOT_OBS] = Box(-_ROBOT_BOUNDS, _ROBOT_BOUNDS, dtype=np.float32)
    return spaces
