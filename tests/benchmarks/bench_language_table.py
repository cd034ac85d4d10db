"""Speed of Language-Table beside the public simulator's call sequence on the same machine, and what stand-ins change.

The reference is that sequence, run with this project's world: one environment construction (load, stabilise, lay out a
board, draw one full frame), one reset (lay out a board with its task, draw two full frames), one step (inverse
kinematics, 24 substeps, draw one full frame). Times are CPU seconds of this process.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pybullet

from envs.language_table.assets import AssetSet, find_assets, find_official
from envs.language_table.blocks import BLOCK_INDEX, BlockMode
from envs.language_table.board import Board
from envs.language_table.camera import camera
from envs.language_table.env import LanguageTableEnv
from envs.language_table.families import FAMILIES, Draws
from envs.language_table.generated import generate_assets
from envs.language_table.scene import Scene
from envs.language_table.world import World

BOARDS = 5
STEPS = 20
TRAJECTORIES = 8
FULL_FRAME = pybullet.ER_SEGMENTATION_MASK_OBJECT_AND_LINKINDEX


def main() -> dict[str, Any]:
    """Measure everything; prints as it goes."""
    numbers: dict[str, Any] = {"speed": speed(find_assets()), "stand_ins": None}
    times = numbers["speed"]
    for name, value in times.items():
        print(f"{name:34s} {value:9.3f}")
    fresh = times["reference_construct_s"] + times["reference_reset_s"]
    print(f"first episode / reference construct + reset    {times['first_episode_rgb_s'] / fresh:.2f}")
    print(f"reset / reference construct + reset            {times['reset_rgb_s'] / fresh:.2f}")
    print(f"reset / reference reset                        {times['reset_rgb_s'] / times['reference_reset_s']:.2f}")
    print(f"step with frame / reference step               {times['step_rgb_ms'] / times['reference_step_ms']:.2f}")
    print(f"step without frame / reference substeps and IK {times['step_ms'] / times['reference_physics_ms']:.2f}")
    print(f"stock frame / full frame                       {times['frame_stock_ms'] / times['full_frame_ms']:.2f}")
    print(f"lowpoly frame / full frame                     {times['frame_lowpoly_ms'] / times['full_frame_ms']:.2f}")
    print(f"lowpoly: mean pixel difference {times['lowpoly_pixel_difference']:.2f} of 255")
    official = find_official()
    if official is not None:
        numbers["stand_ins"] = stand_ins(official, generate_assets())
        for name, value in numbers["stand_ins"].items():
            print(f"{name:34s} {1e3 * value:9.3f} mm")
    return numbers


def _seconds(run: Callable[[], Any]) -> float:
    before = time.process_time()
    run()
    return time.process_time() - before


def _board(assets: AssetSet, seed: int) -> Board:
    mode = BlockMode.BLOCK_8
    return Board(World(assets, visible=True), FAMILIES["block2block"](Draws.from_seed(seed), mode), mode)


def _full_frame(board: Board) -> np.ndarray:
    frame = camera().render(board.world.client, flags=FULL_FRAME)
    return frame.rgb


def speed(assets: AssetSet) -> dict[str, float]:
    """Medians over `BOARDS` boards of BLOCK_8."""
    rows: list[dict[str, float]] = []
    for seed in range(BOARDS):
        row: dict[str, float] = {}
        made: list[Board] = []
        row["reference_construct_s"] = _seconds(lambda: made.append(_board(assets, seed)))  # noqa: B023
        board = made[0]
        row["full_frame_ms"] = 1e3 * _seconds(lambda: _full_frame(board))  # noqa: B023
        row["reference_construct_s"] += row["full_frame_ms"] / 1e3
        row["reference_reset_s"] = _seconds(board.reset) + 2 * row["full_frame_ms"] / 1e3
        actions = 0.02 * np.random.default_rng(seed).standard_normal((STEPS, 2))
        row["reference_physics_ms"] = 1e3 / STEPS * _seconds(lambda: [board.step(a) for a in actions])  # noqa: B023
        row["reference_step_ms"] = row["reference_physics_ms"] + row["full_frame_ms"]
        full = _full_frame(board)
        for name, lowpoly in (("stock", False), ("lowpoly", True)):
            scene = Scene(assets, lowpoly)
            scene.draw(board.world, board.on_table)
            frames = [scene.draw(board.world, board.on_table).rgb]
            draw = _seconds(lambda: [scene.draw(board.world, board.on_table) for _ in range(5)])  # noqa: B023
            row[f"frame_{name}_ms"] = 1e3 * draw / 5
            row[f"{name}_pixel_difference"] = float(np.abs(frames[0].astype(int) - full).mean())
            scene.close()
        board.world.close()
        rows.append(row | _environment(assets, seed, actions))
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def _environment(assets: AssetSet, seed: int, actions: np.ndarray) -> dict[str, float]:
    row: dict[str, float] = {}
    for name, keys in (("", ()), ("_rgb", ("rgb",))):
        made: list[LanguageTableEnv] = []

        def first_episode(keys: tuple[str, ...] = keys, made: list[LanguageTableEnv] = made) -> None:
            made.append(LanguageTableEnv(observation_keys=keys, assets=assets))
            made[0].reset(seed=seed)

        row[f"first_episode{name}_s"] = _seconds(first_episode)
        row[f"reset{name}_s"] = _seconds(lambda: made[0].reset(seed=seed))  # noqa: B023
        row[f"step{name}_ms"] = 1e3 / STEPS * _seconds(lambda: [made[0].step(a) for a in actions])  # noqa: B023
        made[0].close()
    return row


def stand_ins(official: AssetSet, generated: AssetSet) -> dict[str, float]:
    """How far blocks and effector of the two model sets are apart: after a reset, and after 60 actions, metres."""
    at_reset, after, moved, effector = [], [], [], []
    for seed in range(TRAJECTORIES):
        boards = [_board(assets, seed) for assets in (official, generated)]
        for board in boards:
            board.reset()
        visible = [BLOCK_INDEX[name] for name in boards[0].on_table]
        start = [board.world.block_poses()[visible, :2] for board in boards]
        at_reset.append(np.linalg.norm(start[0] - start[1], axis=1).max())
        rng = np.random.default_rng(seed)
        velocity = np.zeros(2)
        for _ in range(60):
            velocity = 0.8 * velocity + 0.012 * rng.standard_normal(2)
            for board in boards:
                board.step(velocity)
        end = [board.world.block_poses()[visible, :2] for board in boards]
        apart = np.linalg.norm(end[0] - end[1], axis=1)
        after.append(apart.max())
        moved += list(apart[np.linalg.norm(end[0] - start[0], axis=1) > 0.005])
        tips = [np.asarray(board.world.tip_position()) for board in boards]
        effector.append(np.linalg.norm(tips[0] - tips[1]))
        for board in boards:
            board.world.close()
    return {
        "reset_max": float(max(at_reset)),
        "after_60_steps_median_of_maxima": float(np.median(after)),
        "after_60_steps_max": float(max(after)),
        "moved_blocks_median": float(np.median(moved)) if moved else 0.0,
        "rod_after_60_steps_max": float(max(effector)),
    }


if __name__ == "__main__":
    main()
