"""Language-Table as a Gymnasium environment.

An action ``(2,)`` shifts the commanded effector position by ``(dx, dy)`` metres and lasts 0.1 s. Only the resulting
position is clipped to the board, not the action, as in the public simulator.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from envs.bullet.digest import digest
from envs.language_table import geometry
from envs.language_table.assets import AssetSet, find_assets
from envs.language_table.blocks import BLOCK_INDEX, LOAD_ORDER
from envs.language_table.board import Board
from envs.language_table.families import FAMILIES, Draws, check_combination
from envs.language_table.instructions import encode_instruction
from envs.language_table.scene import Scene, View
from envs.language_table.truth import EpisodeTruth
from envs.language_table.world import World
from harness.interfaces import EpisodeSpec

DEFAULT_KEYS: Final = (
    "rgb",
    "effector_translation",
    "effector_target_translation",
    "instruction",
    "instruction_text",
)
STATIC_CAMERA: Final = "rgb_static"
"""Another name of ``rgb``, under which agents find the static camera's picture in every world."""
PRIVILEGED_KEYS: Final = ("segmentation", "blocks")
OBSERVATION_KEYS: Final = (*DEFAULT_KEYS, *PRIVILEGED_KEYS)
VISUALS: Final = ("stock", "lowpoly")

_CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,.:()\"'-"
_MAX_SEED: Final = 2**32 - 1


def _observation_spaces() -> dict[str, spaces.Space[Any]]:
    image = (geometry.IMAGE_HEIGHT, geometry.IMAGE_WIDTH)
    # A decimetre of room around the board for tracking errors, as in the public simulator.
    low = np.array([geometry.X_MIN, geometry.Y_MIN], np.float32) - np.float32(0.1)
    high = np.array([geometry.X_MAX, geometry.Y_MAX], np.float32) + np.float32(0.1)
    return {
        "rgb": spaces.Box(0, 255, (*image, 3), np.uint8),
        STATIC_CAMERA: spaces.Box(0, 255, (*image, 3), np.uint8),
        "effector_translation": spaces.Box(low, high, dtype=np.float32),
        "effector_target_translation": spaces.Box(low, high, dtype=np.float32),
        "instruction": spaces.Box(0, 255, (geometry.INSTRUCTION_LENGTH,), np.int32),
        "instruction_text": spaces.Text(geometry.INSTRUCTION_LENGTH, charset=_CHARACTERS),
        "segmentation": spaces.Box(-1, 3 + len(LOAD_ORDER), image, np.int32),
        "blocks": spaces.Box(-np.inf, np.inf, (len(LOAD_ORDER), 4), np.float32),
    }


def action_space() -> spaces.Box:
    """Shifts in metres, ``(2,)``."""
    limit = geometry.ACTION_LIMIT
    return spaces.Box(-limit, limit, (2,), np.float32)


class LanguageTableEnv(gymnasium.Env[dict[str, Any], Any]):
    """One table.

    ``reset(seed=s)`` gives the board, task and instruction that a newly made public simulator with seed ``s`` gives at
    its first reset, whatever ran here before: each reset loads the simulator anew, because Bullet cannot restore every
    bit of its state. Without a seed one is drawn. ``reset`` options: ``{"episode": EpisodeSpec}`` sets up an episode
    of the benchmark; ``{"family": ..., "mode": ...}`` changes what the next boards are drawn from.

    Observations: ``rgb`` ``uint8 (180, 320, 3)``, also called ``rgb_static``; ``effector_translation`` and
    ``effector_target_translation`` ``float32 (2,)``, measured and commanded ``(x, y)`` in metres; ``instruction``
    ``int32 (512,)``, UTF-8 bytes padded with zeros; ``instruction_text``, the same as a string; and, for privileged
    agents, ``segmentation`` ``int32 (180, 320)`` (see `View`) and ``blocks`` ``float32 (16, 4)``: x, y, yaw and whether
    the block is on the table, in load order. Only what is asked for is computed.

    The reward is 100 in the step that solves the task, else 0; the episode terminates there. ``info["success"]`` says
    the same.

    Args:
        family: Task family.
        mode: Block mode.
        training: Which half of the ``N_CHOOSE_K`` block sets.
        delay_reward_steps: Further steps that the board must have been solved for.
        max_steps: Truncate after this many actions; never by default.
        observation_keys: Which observations to compute.
        visuals: ``stock``, or ``lowpoly`` for an arm with simplified meshes (non-standard pixels).
        render_mode: ``rgb_array`` to allow ``render``.
        assets: Models to use; by default the official files where they are found, generated ones elsewhere.

    Raises:
        ValueError: An argument is unknown, or the public simulator cannot run the family in the mode.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": int(geometry.CONTROL_HZ)}  # noqa: RUF012

    def __init__(
        self,
        family: str = "block2block",
        mode: str = "BLOCK_8",
        *,
        training: bool = True,
        delay_reward_steps: int = 0,
        max_steps: int | None = None,
        observation_keys: Sequence[str] = DEFAULT_KEYS,
        visuals: str = "stock",
        render_mode: str | None = None,
        assets: AssetSet | None = None,
    ) -> None:
        check_combination(family, mode)
        unknown = set(observation_keys) - {*OBSERVATION_KEYS, STATIC_CAMERA}
        if unknown:
            raise ValueError(f"unknown observation_keys {sorted(unknown)}: choose from {', '.join(OBSERVATION_KEYS)}")
        if visuals not in VISUALS:
            raise ValueError(f"visuals={visuals!r}: choose one of {', '.join(VISUALS)}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be None or 'rgb_array', not {render_mode!r}")
        self.render_mode = render_mode
        self.action_space = action_space()
        available = _observation_spaces()
        self.observation_space = spaces.Dict({key: available[key] for key in observation_keys})
        self._keys = tuple(observation_keys)
        self._family, self._mode, self._training = family, mode, training
        self._delay = delay_reward_steps
        self._max_steps = max_steps
        self._lowpoly = visuals == "lowpoly"
        self._assets = assets or find_assets()
        self._board: Board | None = None
        self._scene: Scene | None = None
        self._view: View | None = None
        self._encoded: npt.NDArray[np.int32] | None = None
        self._steps = 0
        self._seed = 0
        self._shifts: list[npt.NDArray[np.floating[Any]]] = []
        self.render_seconds = 0.0

    # ------------------------------------------------------------------------------------------- episodes

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Lay out a board and draw a task; see the class.

        Raises:
            ValueError: An unknown option, an impossible family and mode, a seed outside ``[0, 2**32)``, or an episode
                whose instruction is not what its seed draws.
            BoardError: The blocks of this seed find no place, as in the public simulator.
        """
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(2**31))
        if not 0 <= seed <= _MAX_SEED:
            raise ValueError(f"seed={seed}: the public simulator's generator takes 0 to {_MAX_SEED}")
        expected = self._configure(dict(options or {}))
        mode = check_combination(self._family, self._mode)
        self._close_board()
        world = World(self._assets)
        try:
            family = FAMILIES[self._family](Draws.from_seed(seed), mode, self._delay)
            self._board = Board(world, family, mode, self._training)
            task = self._board.reset()
            if expected not in (None, task.instruction):
                raise ValueError(
                    f"seed {seed} draws the instruction '{task.instruction}', but the episode says '{expected}': it "
                    "was made with other models or another version"
                )
        except Exception:
            world.close()
            self._board = None
            raise
        self._encoded = encode_instruction(task.instruction)
        self._seed, self._shifts = seed, []
        self._steps = 0
        self._view = None
        return self._observe(), self._info(False)

    def _configure(self, options: dict[str, Any]) -> str | None:
        """Take over the options; returns the instruction that the board has to draw, if one is given."""
        expected = None
        episode = options.pop("episode", None)
        if isinstance(episode, EpisodeSpec):
            if episode.benchmark != "language_table":
                raise ValueError(f"episode '{episode.episode_id}' belongs to '{episode.benchmark}'")
            self._family, self._mode = episode.stages[0].task, episode.meta["mode"]
            self._training = bool(episode.meta.get("training", True))
            self._max_steps = episode.stages[0].max_steps
            expected = episode.stages[0].instruction
        self._family = options.pop("family", self._family)
        self._mode = options.pop("mode", self._mode)
        self._training = options.pop("training", self._training)
        if options:
            raise ValueError(f"unknown reset options {sorted(options)}: known are episode, family, mode, training")
        return expected

    def begin_stage(self, index: int) -> dict[str, Any]:
        """Episodes have one stage.

        Raises:
            ValueError: Always for ``index`` above 0.
        """
        if index != 0:
            raise ValueError(f"a Language-Table episode has one stage; there is no stage {index}")
        return self._observe()

    def step(self, action: npt.ArrayLike) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Execute one action ``(2,)``, metres.

        Raises:
            ValueError: Another shape, or a value that is not finite.
        """
        board = self._require_board()
        shift = np.asarray(action)
        if shift.shape != (2,) or not np.isfinite(shift).all():
            raise ValueError(f"action must be two finite numbers (dx, dy) in metres, not {action!r}")
        reward, done = board.step(shift)
        self._shifts.append(shift.copy())
        self._steps += 1
        self._view = None
        truncated = not done and self._max_steps is not None and self._steps >= self._max_steps
        return self._observe(), reward, done, truncated, self._info(done)

    # ---------------------------------------------------------------------------------------- observations

    def _observe(self) -> dict[str, Any]:
        board = self._require_board()
        values: Mapping[str, Any] = {
            "rgb": lambda: self._frame().rgb,
            STATIC_CAMERA: lambda: self._frame().rgb,
            "segmentation": lambda: self._frame().segmentation,
            "effector_translation": lambda: np.asarray(board.world.effector_pose()[0][:2], np.float32),
            "effector_target_translation": lambda: board.target_position[:2].astype(np.float32),
            "instruction": lambda: np.array(self._encoded),
            "instruction_text": lambda: board.family.task.instruction,
            "blocks": self._blocks,
        }
        return {key: values[key]() for key in self._keys}

    def _blocks(self) -> npt.NDArray[np.float32]:
        board = self._require_board()
        rows = np.zeros((len(LOAD_ORDER), 4), np.float32)
        for name in board.on_table:
            index = BLOCK_INDEX[name]
            position, _ = board.world.block_pose(index)
            rows[index] = (*position[:2], board.world.block_yaw(index), 1.0)
        return rows

    def _frame(self) -> View:
        """The present frame, drawn at most once per step."""
        if self._view is None:
            board = self._require_board()
            before = time.perf_counter()
            if self._scene is None:
                self._scene = Scene(self._assets, self._lowpoly)
            self._view = self._scene.draw(board.world, board.on_table)
            self.render_seconds += time.perf_counter() - before
        return self._view

    def _info(self, success: bool) -> dict[str, Any]:
        board = self._require_board()
        return {"success": success, "instruction": board.family.task.instruction, "family": self._family}

    def render(self) -> npt.NDArray[np.uint8] | None:
        """The camera's view, ``uint8 (180, 320, 3)``, or ``None`` without a render mode."""
        return self._frame().rgb.copy() if self.render_mode == "rgb_array" else None

    def privileged(self) -> EpisodeTruth:
        """Ground truth of the present episode."""
        return EpisodeTruth(self._require_board(), self.rehearsal)

    def rehearsal(self) -> LanguageTableEnv:
        """Another environment in the present state; see `harness.interfaces.Rehearses`."""
        self._require_board()
        copy = LanguageTableEnv(
            self._family,
            self._mode,
            training=self._training,
            delay_reward_steps=self._delay,
            observation_keys=(),
            visuals="lowpoly" if self._lowpoly else "stock",
            render_mode="rgb_array",
            assets=self._assets,
        )
        copy.reset(seed=self._seed)
        for shift in self._shifts:
            copy.step(shift)
        return copy

    def state_digest(self) -> str:
        """SHA-256 of the exact simulator state."""
        return digest(self._require_board().world.client)

    def _require_board(self) -> Board:
        if self._board is None:
            raise RuntimeError("reset the environment first")
        return self._board

    def _close_board(self) -> None:
        if self._board is not None:
            self._board.world.close()
            self._board = None

    def close(self) -> None:
        """Stop the simulators."""
        self._close_board()
        if self._scene is not None:
            self._scene.close()
            self._scene = None
