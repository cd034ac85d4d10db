"""The public simulator (package ``calvin_env``), where it is installed, behind the interface of `CalvinEnv`.

Only physics, controller and cameras are the package's. Observations have the same names and shapes, success is judged
by the project's task oracle over the package's own records, and every reset gives the world of a fresh process: the
package keeps the old world over a reset and so carries its history into the next episode, so it is told to load anew.

The package works with the first physics server of a process only (some of its calls name no server). So there is one
such environment per process, and none beside another simulator that was started before it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import io
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pybullet
from omegaconf import DictConfig, OmegaConf

from envs.arrays import FloatArray
from envs.bullet.client import Renderer, resolved
from envs.calvin.assets import AssetSet
from envs.calvin.env import OBSERVATION_KEYS, PlayTableEnv
from envs.calvin.layouts import LAYOUTS, Layout, Scene
from envs.calvin.table import BLOCKS, table_digest
from envs.calvin.tasks import BlockInfo, Bodies, SceneInfo
from envs.calvin.world import LedVariant

_INSTALL = (
    "clone https://github.com/mees/calvin_env (commit 1431a46 is the public benchmark's), then "
    "`pip install -e calvin_env`, or set protocol.backend=ours"
)
_COMMITS = {"f1a2c3f2bb3f": "1431a46", "e9563a226966": "797142c"}
"""Public commits by the start of `OfficialPackage.fingerprint`."""


@dataclass(frozen=True)
class OfficialPackage:
    """An installed ``calvin_env``.

    Attributes:
        root: The checkout, which holds ``calvin_env/``, ``conf/`` and ``data/``.
    """

    root: Path

    @property
    def assets(self) -> AssetSet:
        """The models that it comes with."""
        return AssetSet(self.root / "data")

    def fingerprint(self) -> str:
        """SHA-256 over names and contents of its code and configuration."""
        return _content_hash(self.root)

    def describe(self) -> str:
        """Commit where it is a known one, and fingerprint, for people."""
        digest = self.fingerprint()[:12]
        return f"calvin_env {_COMMITS.get(digest, 'of an unknown commit')} (sha256 {digest})"

    def config(self, scene: Scene, cameras: Collection[str], egl: bool) -> DictConfig:
        """Configuration of its environment: that of the public benchmark, with these cameras and this renderer."""
        conf = self.root / "conf"

        def load(name: str) -> Any:
            return OmegaConf.load(conf / f"{name}.yaml")

        config = OmegaConf.create(
            {
                "data_path": "data",
                "use_vr": False,
                "scene": load(f"scene/calvin_scene_{scene}"),
                "robot": OmegaConf.merge(load("robot/panda"), load("robot/panda_longer_finger")),
                "cameras": {name: load(f"cameras/cameras/{name}") for name in cameras},
                "env": load("env/play_table_env"),
            }
        )
        del config.robot.defaults
        config.env.update({"show_gui": False, "use_scene_info": True, "use_egl": egl})
        return config


@functools.cache
def _content_hash(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted([*(root / "calvin_env").rglob("*.py"), *(root / "conf").rglob("*.yaml")]):
        name = path.relative_to(root).as_posix()
        digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_installed() -> bool:
    """Whether this machine has the package, whole or not."""
    return importlib.util.find_spec("calvin_env") is not None


def find_package() -> OfficialPackage:
    """The installed ``calvin_env``, without importing it.

    Raises:
        FileNotFoundError: It is not installed, or without its configuration and models.
    """
    spec = importlib.util.find_spec("calvin_env")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"protocol.backend=official: the package calvin_env is not installed; {_INSTALL}")
    root = Path(spec.origin).parents[1]
    missing = [name for name in ("conf", "data") if not (root / name).is_dir()]
    if missing:
        raise FileNotFoundError(
            f"protocol.backend=official: calvin_env in {root} lacks its folder {missing[0]}/ (it works from a "
            f"checkout only); {_INSTALL}"
        )
    return OfficialPackage(root)


class OfficialFrame(NamedTuple):
    """What a camera of the package saw.

    Attributes:
        rgb: ``uint8 (H, W, 3)``.
        depth: Metres along the optical axis, ``float32 (H, W)``.
    """

    rgb: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]


class OfficialWorld:
    """The package's simulator as an `envs.calvin.table.PlayTable`.

    Args:
        package: Which one.
        scene: Which of the four tables.
        cameras: Those that will be rendered; only when asked, never in a step.
        led: What the protocol expects of the button; the package decides it.
        renderer: ``tiny``, ``egl`` or ``auto``.

    Raises:
        RuntimeError: The process has another simulator already, or a package that ``calvin_env`` needs is missing.
        ValueError: The installed version treats the button otherwise than ``led`` says.
    """

    _is_open: ClassVar[bool] = False

    def __init__(
        self, package: OfficialPackage, scene: Scene, *, cameras: Collection[str], led: LedVariant, renderer: Renderer
    ) -> None:
        if OfficialWorld._is_open:
            raise RuntimeError(
                "calvin_env runs once per process, and this process has one already: close it, or use "
                "executor.lanes=1 with several executor.workers"
            )
        if _server_is_running():
            raise RuntimeError(
                "calvin_env needs the first physics server of a process, and this process has a simulator already: "
                "close it, or start calvin_env first"
            )
        self.layout: Layout = LAYOUTS[scene]
        self._env = _start(package.config(scene, cameras, resolved(renderer) == "egl"))
        OfficialWorld._is_open = True
        # Taken from the package, so that a step does not render what nobody asked for.
        self._cameras = {camera.name: camera for camera in self._env.cameras}
        self._env.cameras = []
        record = self._env.get_info()
        table = record["scene_info"]["fixed_objects"]["table"]
        blocks = {name: block["uid"] for name, block in record["scene_info"]["movable_objects"].items()}
        self.bodies = Bodies(record["robot_info"]["uid"], table["uid"], blocks, table["links"])
        installed = self._led_variant()
        if installed is not led:
            self.close()
            raise ValueError(
                f"protocol.led={led}, but the installed {package.describe()} behaves as led={installed}: "
                f"set protocol.led={installed} or check out another commit"
            )

    def _led_variant(self) -> LedVariant:
        """Whether the button knows after a reset that the led is on; the next reset undoes this trial."""
        button = self._env.scene.buttons[0]
        button.light.reset(1)
        button.reset()
        return LedVariant.HEAD if button.state.value else LedVariant.PINNED

    def reset(self, robot_obs: FloatArray, scene_obs: FloatArray) -> None:
        """Load the world anew, with the random numbers of a fresh process, and put it into a state.

        Raises:
            ValueError: An array has another shape.
        """
        if robot_obs.shape != (15,) or scene_obs.shape != (24,):
            raise ValueError(f"expected robot_obs (15,) and scene_obs (24,), got {robot_obs.shape}, {scene_obs.shape}")
        env = self._env
        # Blocks are loaded at random places, which leaks into later results.
        env.seed(0)
        env.scene.np_random = env.np_random
        env.robot.gripper_action = 1
        env.load()
        env.reset(robot_obs=robot_obs, scene_obs=scene_obs)

    def step_relative(self, action: npt.NDArray[np.floating[Any]]) -> None:
        """One control step (1/30 s) with a relative action ``(7,)``."""
        self._env.step(action.copy())  # the pinned commit scales its argument in place

    def step_absolute(self, action: npt.NDArray[np.floating[Any]]) -> None:
        """One control step (1/30 s) with an absolute action ``(7,)``."""
        self._env.step((action[:3], action[3:6], int(action[6])))

    def robot_obs(self) -> FloatArray:
        """``(15,)``; see `envs.calvin.world.World.robot_obs`."""
        return np.array(self._env.get_state_obs()["robot_obs"], dtype=np.float64)

    def scene_obs(self) -> FloatArray:
        """``(24,)``; see `envs.calvin.world.World.scene_obs`."""
        return np.array(self._env.get_state_obs()["scene_obs"], dtype=np.float64)

    def info(self, blocks: Collection[str] = BLOCKS, robot: bool = True) -> SceneInfo:  # noqa: ARG002
        """The package's record of the moment, as the oracle reads it; it always holds the robot's contacts."""
        return scene_info(self._env.get_info(), blocks)

    def commanded_pose(self) -> tuple[FloatArray, FloatArray]:
        """Commanded tcp position (m) and Euler angles xyz (rad), ``(3,)`` each, which relative actions move."""
        return np.array(self._env.robot.target_pos), np.array(self._env.robot.target_orn)

    def block_pose(self, name: str) -> tuple[FloatArray, FloatArray]:
        """Position ``(3,)`` in metres and quaternion xyzw ``(4,)`` of ``block_<colour>``."""
        position, orientation = self._env.p.getBasePositionAndOrientation(self.bodies.blocks[name])
        return np.array(position), np.array(orientation)

    def frame(self, camera: str) -> OfficialFrame:
        """What ``static`` or ``gripper`` sees now, rendered by the package."""
        rgb, depth = self._cameras[camera].render()
        return OfficialFrame(np.ascontiguousarray(rgb, dtype=np.uint8), np.asarray(depth, dtype=np.float32))

    def digest(self) -> str:
        """SHA-256 of the exact state; equal to that of our own simulator in the same state."""
        robot, scene = self._env.robot, self._env.scene
        lights = {light.name: light.get_state() for light in scene.lights}
        button, switch = scene.buttons[0], scene.switches[0]
        memory = (
            *robot.target_pos,
            *robot.target_orn,
            robot.gripper_action,
            lights["lightbulb"],
            lights["led"],
            button.state.value,
            button.prev_is_pressed,
            switch.state.value,
        )
        return table_digest(self._env.p, memory)

    def close(self) -> None:
        """Stop the simulator; the process may then start another. Closing twice is fine."""
        env = self._env
        if env is None:
            return
        self._env = None
        with contextlib.redirect_stdout(io.StringIO()):  # the package prints that it disconnects
            env.close()
        # Deleted later, the package's objects would disconnect a server by its number, by then perhaps another's.
        env.close = _nothing
        if env.p is not pybullet:
            env.p._client = -1
        OfficialWorld._is_open = False


def scene_info(record: Mapping[str, Any], blocks: Collection[str] = BLOCKS) -> SceneInfo:
    """What the oracle reads of the package's ``get_info()``.

    Args:
        record: With ``robot_info`` and ``scene_info``; contacts are rows of ``getContactPoints``.
        blocks: Which blocks to include.
    """
    scene = record["scene_info"]
    return SceneInfo(
        blocks={
            name: BlockInfo(
                position=block["current_pos"],
                orientation=block["current_orn"],
                linear_velocity=block["current_lin_vel"],
                angular_velocity=block["current_ang_vel"],
                contacts=frozenset((point[2], point[4]) for point in block["contacts"]),
            )
            for name, block in scene["movable_objects"].items()
            if name in blocks
        },
        robot_contacts=frozenset(point[2] for point in record["robot_info"]["contacts"]),
        doors={name: door["current_state"] for name, door in scene["doors"].items()},
        lights={name: light["logical_state"] for name, light in scene["lights"].items()},
    )


class OfficialCalvinEnv(PlayTableEnv):
    """One play table in the public simulator; see `PlayTableEnv`. One per process, and no other simulator before it.

    Args:
        scene: Play table ``A``, ``B``, ``C`` or ``D``.
        action_mode: ``relative`` or ``absolute``.
        observation_keys: Which observations to compute; only these cost time. ``scene_obs`` is privileged.
        led: ``pinned`` or ``head``; must be what the installed version does.
        renderer: ``tiny`` (CPU, the reference) or ``egl`` (GPU).
        render_mode: ``rgb_array`` to allow ``render``.

    Raises:
        FileNotFoundError: ``calvin_env`` is not installed.
        RuntimeError: The process has another simulator already, or a package that ``calvin_env`` needs is missing.
        ValueError: An argument is unknown, or ``led`` is not what the installed version does.
    """

    world: OfficialWorld

    def __init__(
        self,
        scene: str = "D",
        *,
        action_mode: str = "relative",
        observation_keys: Sequence[str] = OBSERVATION_KEYS,
        led: str = "pinned",
        renderer: Renderer = "tiny",
        render_mode: str | None = None,
    ) -> None:
        super().__init__(action_mode, observation_keys, render_mode)
        self.world = OfficialWorld(
            find_package(),
            Scene(scene),
            cameras={*self._cameras, *(("static",) if render_mode else ())},
            led=LedVariant(led),
            renderer=renderer,
        )

    def _another(self) -> OfficialCalvinEnv:
        raise ValueError("the public simulator cannot be had twice in a process; use protocol.backend=ours")

    def _frame(self, camera: str) -> OfficialFrame:
        return self.world.frame(camera)


def _start(config: DictConfig) -> Any:
    """The package's environment; the import is here because only this backend needs it."""
    from hydra.utils import instantiate

    hook = sys.excepthook
    try:
        importlib.import_module(config.env["_target_"].rpartition(".")[0])
    except ImportError as error:
        raise RuntimeError(
            f"calvin_env is installed, but cannot be imported ({error}): install its requirements with "
            "`pip install -r requirements.txt` in its checkout"
        ) from error
    finally:
        sys.excepthook = hook  # the pinned commit changes how all errors of the process are printed
    return instantiate(config.env)


def _server_is_running() -> bool:
    """Whether this process has a first physics server."""
    return bool(pybullet.isConnected(0))


def _nothing() -> None:
    """Stands in for a method that must not act any more."""
