"""Replays recordings of the public simulator and compares: ``harness replay-golden language_table FILES...``.

Known files (each beside its ``*_meta.json`` or ``.json``):

* ``resets*.npz``: boards and tasks after resets, from fresh environments and from sequences in one environment;
* ``replays*.npz``: trajectories under recorded actions;
* ``oracle_*.npz``: trajectories of the public oracle, several episodes in one environment;
* ``reward_probes*.json``: rewards of synthetic boards, without physics.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.language_table import geometry
from envs.language_table.assets import AssetSet, find_assets
from envs.language_table.blocks import BLOCK_INDEX, LOAD_ORDER, block_set, parse_mode
from envs.language_table.board import Board
from envs.language_table.families import FAMILIES, BoardState, Draws, Task
from envs.language_table.world import World

TOLERANCE = 1e-6
"""Metres and radians."""

Arrays = Mapping[str, npt.NDArray[Any]]
Record = Mapping[str, Any]


@dataclass
class Comparison:
    """What a file's replay showed.

    Attributes:
        items: Resets, trajectories or probes compared.
        position_error: Largest distance of a block, the effector, its target or the rod, metres.
        angle_error: Largest difference of a block's orientation or a joint angle, radians.
        rewards: How many rewards and done flags were compared.
        rewards_equal: How many of them agree.
        differences: Instructions, block sets or targets that differ, in words.
    """

    items: int = 0
    position_error: float = 0.0
    angle_error: float = 0.0
    rewards: int = 0
    rewards_equal: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Within tolerance, all rewards equal, no other difference, and something was compared."""
        within = self.position_error <= TOLERANCE and self.angle_error <= TOLERANCE
        return within and self.items > 0 and self.rewards == self.rewards_equal and not self.differences

    def add_board(self, board: Board, recorded: Mapping[str, npt.NDArray[np.float64]]) -> None:
        """Compare a board with the recorded arrays ``blocks``, ``ee``, ``ee_target``, ``tip`` and ``q``."""
        on_table = [BLOCK_INDEX[name] for name in board.on_table]
        poses, truth = board.world.block_poses()[on_table], recorded["blocks"][on_table]
        effector, orientation = board.world.effector_pose()
        distances = [
            np.linalg.norm(poses[:, :3] - truth[:, :3], axis=1).max(),
            np.linalg.norm(effector - recorded["ee"][:3]),
            np.linalg.norm(board.target_position - recorded["ee_target"]),
            np.linalg.norm(board.world.tip_position() - recorded["tip"]),
        ]
        turned = [_angle(a, b) for a, b in zip(poses[:, 3:], truth[:, 3:], strict=True)]
        turned.append(_angle(np.asarray(orientation), recorded["ee"][3:]))
        joints = np.abs(np.asarray(board.world.joint_angles()) - recorded["q"]).max()
        self.position_error = max(self.position_error, *map(float, distances))
        self.angle_error = max(self.angle_error, float(joints), *turned)

    def add_reward(self, got: tuple[float, bool], reward: float, done: bool) -> None:
        """Compare a reward and a done flag."""
        self.rewards += 1
        self.rewards_equal += got == (float(reward), bool(done))

    def add_task(self, label: str, task: Task, record: Record, with_text: bool = True) -> None:
        """Compare a drawn task with its record."""
        wanted = {
            "instruction": record["instruction"] if with_text else task.instruction,
            "block": record["start_block"],
            "target_block": record["oracle_target_block"],
        }
        self._differ(label, {key: getattr(task, key) for key in wanted}, wanted)
        self.add_target(label, task, record["oracle_target_translation"])

    def add_target(self, label: str, task: Task, recorded: Sequence[float] | None) -> None:
        """Compare a task's target point, if one is recorded."""
        if recorded is None:
            return
        if task.target is None:
            self.differences.append(f"{label}: no target, recorded {list(recorded)}")
            return
        self.position_error = max(self.position_error, float(np.linalg.norm(task.target - np.asarray(recorded))))

    def _differ(self, label: str, got: Record, wanted: Record) -> None:
        self.differences += [
            f"{label}: {key} is {got[key]!r}, recorded {wanted[key]!r}" for key in wanted if got[key] != wanted[key]
        ]

    def add_blocks(self, label: str, board: Board, record: Record) -> None:
        """Compare the set of blocks on the table."""
        self._differ(label, {"blocks": list(board.on_table)}, {"blocks": list(record["blocks_on_table"])})


def _angle(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Angle between two quaternions, radians; accurate near zero."""
    chord = min(float(np.linalg.norm(a - b)), float(np.linalg.norm(a + b)))
    return 2 * math.asin(min(1.0, chord / 2))


def _fresh_board(assets: AssetSet, record: Record) -> Board:
    mode = parse_mode(record["mode"])
    delay = record.get("delay_reward_steps", 0)
    family = FAMILIES[record["family"]](Draws.from_seed(record["seed"]), mode, delay)
    return Board(World(assets), family, mode, record.get("training", True))


def _label(record: Record) -> str:
    return " ".join(str(record[key]) for key in ("family", "mode", "seed", "reset_index", "ep") if key in record)


def compare_resets(arrays: Arrays, meta: Record, assets: AssetSet) -> Comparison:
    """Every recorded reset; those of a sequence are run in one environment, in order."""
    result = Comparison()
    runs: dict[tuple[Any, ...], list[tuple[int, Record]]] = defaultdict(list)
    for row, record in enumerate(meta["resets"]):
        key = (record["family"], record["mode"], record["training"], record["seed"], record["kind"])
        runs[key].append((row, record))
    for rows in runs.values():
        board = _fresh_board(assets, rows[0][1])
        done = 0
        for row, record in sorted(rows, key=lambda item: item[1]["reset_index"]):
            while done <= record["reset_index"]:
                task = board.reset()
                done += 1
            result.items += 1
            result.add_blocks(_label(record), board, record)
            result.add_task(_label(record), task, record)
            result.add_board(board, {name: arrays[name][row] for name in ("blocks", "ee", "ee_target", "tip", "q")})
        board.world.close()
    return result


def _follow(result: Comparison, board: Board, arrays: Arrays, prefix: str) -> None:
    """Run recorded actions and compare every state, reward and target."""

    def state(step: int) -> dict[str, npt.NDArray[np.float64]]:
        return {name: arrays[prefix + name][step] for name in ("blocks", "ee", "ee_target", "tip", "q")}

    result.items += 1
    result.add_board(board, state(0))
    for step, action in enumerate(arrays[prefix + "action"]):
        reward = board.step(action)
        result.add_reward(reward, arrays[prefix + "reward"][step], arrays[prefix + "done"][step])
        result.add_board(board, state(step + 1))
        target = board.family.task.target
        recorded = arrays[prefix + "target"][step]
        if target is not None and np.isfinite(recorded).all():
            result.add_target(f"{prefix} step {step}", board.family.task, recorded)


def compare_replays(arrays: Arrays, meta: Record, assets: AssetSet) -> Comparison:
    """Every recorded trajectory, each in a fresh environment."""
    result = Comparison()
    for record in meta["replays"]:
        board = _fresh_board(assets, record)
        task = board.reset()
        result.add_blocks(_label(record), board, record)
        result.add_task(_label(record), task, record)
        _follow(result, board, arrays, record["key"] + "__")
        board.world.close()
    return result


def compare_oracle(arrays: Arrays, meta: Sequence[Record], assets: AssetSet) -> Comparison:
    """The recorded episodes of the public oracle: one environment with seed 0, rejected boards redrawn.

    Texts of separate_blocks are not compared: the oracle drew from the generator that they come from.
    """
    result = Comparison()
    board = _fresh_board(assets, {**meta[0], "seed": 0})
    for record in meta:
        prefix = f"{record['ep']}_"
        if prefix + "action" not in arrays:
            break
        for _ in range(record["resets_needed"]):
            task = board.reset()
        result.add_blocks(_label(record), board, record)
        result.add_task(_label(record), task, record, with_text=record["family"] != "separate_blocks")
        _follow(result, board, arrays, prefix)
    board.world.close()
    return result


def compare_probes(meta: Record) -> Comparison:
    """Synthetic boards: the task drawn from each, and rewards of boards with one thing changed."""
    result = Comparison()
    for row in meta["rows"]:
        mode = parse_mode(row["mode"])
        family = FAMILIES[row["family"]](Draws.from_seed(row["seed"]), mode, row["delay_reward_steps"])
        on_table = block_set(mode)
        states = np.random.RandomState(1000 + row["seed"])
        for _ in range(row["tries"]):
            state = _random_state(states, on_table)
            task = family.draw(state, on_table)
        label = f"{_label(row)} delay {row['delay_reward_steps']}"
        if task is None:
            result.differences.append(f"{label}: no task after {row['tries']} boards")
            continue
        if task.instruction != row["info"]["instruction"]:
            result.differences.append(f"{label}: '{task.instruction}', recorded '{row['info']['instruction']}'")
        result.add_target(label, task, row["info"].get("target_translation"))
        family.update(state)
        result.add_reward(family.reward(state), *row["reward_at_reset"])
        for probe in row["probes"]:
            changed = {name: np.asarray(xy, np.float32) for name, xy in probe["changed"].items()}
            probed = BoardState({**state.positions, **changed}, np.asarray(probe["ee"], np.float32))
            family.update(probed)
            result.items += 1
            result.add_reward(family.reward(probed), probe["reward"], probe["done"])
    return result


def _random_state(rng: np.random.RandomState, on_table: Sequence[str]) -> BoardState:
    """A synthetic board, with the draws by which the probes were made."""
    low = (geometry.X_MIN + geometry.SPAWN_MARGIN, geometry.Y_MIN + geometry.SPAWN_MARGIN)
    high = (geometry.X_MAX - geometry.SPAWN_MARGIN, geometry.Y_MAX - geometry.SPAWN_MARGIN)
    positions = {}
    for name in LOAD_ORDER:
        if name in on_table:
            positions[name] = rng.uniform(low, high).astype(np.float32)
        rng.uniform(-np.pi, np.pi)
    return BoardState(positions, rng.uniform(low, high).astype(np.float32))


def _comparer(name: str) -> tuple[Callable[[Arrays, Any, AssetSet], Comparison], str]:
    """The comparison for an ``.npz`` file and the name of its JSON sibling.

    Raises:
        ValueError: No kind of recording has such a name.
    """
    stem = name.removesuffix(".npz")
    if name.endswith(".npz"):
        if stem.startswith("resets"):
            return compare_resets, f"{stem}_meta.json"
        if stem.startswith("replays"):
            return compare_replays, f"{stem}_meta.json"
        if stem.startswith("oracle_"):
            return compare_oracle, f"{stem}.json"
    raise ValueError(
        f"'{name}' is no known recording: expected resets*.npz, replays*.npz, oracle_*.npz or reward_probes*.json"
    )


def compare_file(path: Path, assets: AssetSet | None = None) -> Comparison:
    """Replay one file.

    Raises:
        ValueError: The name is not that of a known kind of recording.
        FileNotFoundError: The file or its JSON sibling is missing.
    """
    if path.name.startswith("reward_probes") and path.suffix == ".json":
        return compare_probes(json.loads(path.read_text()))
    compare, sibling = _comparer(path.name)
    meta = json.loads(path.with_name(sibling).read_text())
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return compare(arrays, meta, assets or find_assets())


def _is_sibling(name: str) -> bool:
    return name.endswith("_meta.json") or (name.startswith("oracle_") and name.endswith(".json"))


def main(files: list[str]) -> int:
    """Print one line for each recording and the first differences; returns the exit status.

    JSON files that belong to a recording may be named as well; they are read with it.
    """
    status = 0
    assets = find_assets()
    if assets.generated:
        print("generated assets: physics will differ; get the official files: harness assets language_table")  # noqa: T201
    for name in files:
        if _is_sibling(Path(name).name):
            continue
        try:
            result = compare_file(Path(name), assets)
        except (ValueError, OSError, KeyError) as error:
            print(f"FAIL {name}: {error}")  # noqa: T201
            status = 1
            continue
        print(  # noqa: T201
            f"{'PASS' if result.passed else 'FAIL'} {name}: {result.items} compared, max position error "
            f"{result.position_error:.2e} m, max angle error {result.angle_error:.2e} rad, rewards and done flags "
            f"{result.rewards_equal}/{result.rewards} equal, {len(result.differences)} other differences"
        )
        for difference in result.differences[:5]:
            print(f"  {difference}")  # noqa: T201
        status = status if result.passed else 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
