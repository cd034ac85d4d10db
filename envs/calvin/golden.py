"""Replays recordings of the public simulator and compares: ``harness replay-golden calvin FILES...``.

Known files:

* ``rollouts*.npz`` (beside ``rollouts*_info.json.gz``): trajectories under recorded actions, with oracle verdicts;
* ``oracle_cases*.json.gz``: verdicts of the public oracle on synthetic scenes;
* ``sequences*.json``: the evaluation chains;
* ``initial_states*.json``: initial scenes, in both hash variants, and the states after reset.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.calvin.assets import AssetSet, find_assets
from envs.calvin.frozen import load_chains
from envs.calvin.initial import ROBOT_OBS, SceneHash, scene_obs, scene_seed
from envs.calvin.layouts import Scene
from envs.calvin.tasks import BlockInfo, Bodies, SceneInfo, achieved
from envs.calvin.world import LedVariant, World

NOISE_POSITION = 0.07
"""Metres. The public simulator itself strays this far when an action changes by 1e-9 and a finger tip is wedged."""

NOISE_ANGLE = 0.2
"""Radians; likewise."""

IDENTICAL_SHARE = 0.95
"""Share of all rollouts that must be bit-identical."""

_ROBOT_ANGLES = [3, 4, 5, *range(7, 14)]
_SCENE_ANGLES = [*range(9, 12), *range(15, 18), *range(21, 24)]
_LIGHTS = [4, 5]

Array = npt.NDArray[np.float64]


@dataclass
class RolloutReport:
    """How one replayed rollout compares.

    Attributes:
        name: Scene and name.
        steps: Control steps.
        first_difference: First moment (0 is after reset) at which any number differs, or ``None``.
        position_error: Largest difference of a length, metres.
        angle_error: Largest difference of an angle, radians.
        verdicts: Oracle verdict sets compared.
        verdicts_equal: Those that agree.
    """

    name: str
    steps: int
    first_difference: int | None = None
    position_error: float = 0.0
    angle_error: float = 0.0
    verdicts: int = 0
    verdicts_equal: int = 0

    @property
    def passed(self) -> bool:
        """Bit-identical with the same verdicts, or within the public simulator's own noise.

        Noise grows from rounding during contact; a state that is already wrong after reset is none.
        """
        if self.first_difference is None:
            return self.verdicts == self.verdicts_equal
        if self.first_difference == 0:
            return False
        return self.position_error <= NOISE_POSITION and self.angle_error <= NOISE_ANGLE

    def __str__(self) -> str:
        """One line."""
        if self.first_difference is None:
            physics = "bit-identical"
        else:
            physics = (
                f"differs from step {self.first_difference}, at most {self.position_error:.1e} m and "
                f"{self.angle_error:.1e} rad"
            )
        verdict = "PASS" if self.passed else "FAIL"
        return (
            f"{verdict}  {self.name} ({self.steps} steps): {physics}; "
            f"task sets {self.verdicts_equal}/{self.verdicts} equal"
        )


@dataclass
class GoldenReport:
    """All that one command compared.

    Attributes:
        rollouts: One report per rollout.
        checks: ``(description, passed)`` of everything else.
    """

    rollouts: list[RolloutReport] = field(default_factory=list)
    checks: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def identical(self) -> int:
        """Rollouts that are bit-identical."""
        return sum(rollout.first_difference is None for rollout in self.rollouts)

    @property
    def passed(self) -> bool:
        """Everything passes, and enough rollouts are bit-identical."""
        enough = self.identical >= IDENTICAL_SHARE * len(self.rollouts)
        return enough and all(rollout.passed for rollout in self.rollouts) and all(ok for _, ok in self.checks)


def parse_info(record: Mapping[str, Any]) -> SceneInfo:
    """A recorded moment as the oracle reads it."""
    return SceneInfo(
        blocks={
            name: BlockInfo(
                tuple(block["pos"]),
                tuple(block["quat"]),
                tuple(block["lin_vel"]),
                tuple(block["ang_vel"]),
                frozenset((body, link) for body, link in block["contacts"]),
            )
            for name, block in record["movable"].items()
        },
        robot_contacts=frozenset(record["robot_contacts"]),
        doors=record["doors"],
        lights=record["lights"],
    )


def parse_bodies(record: Mapping[str, Any]) -> Bodies:
    """Uids and links of a recorded file."""
    uids = record["uids"]
    blocks = {name: uid for name, uid in uids.items() if name.startswith("block_")}
    return Bodies(uids["robot"], uids["table"], blocks, record["table_links"])


@dataclass
class _Replay:
    robot: Array
    scene: Array
    infos: list[SceneInfo]


def _replay(world: World, recorded: Mapping[str, npt.NDArray[Any]], absolute: bool) -> _Replay:
    world.reset(recorded["reset_robot_obs"], recorded["reset_scene_obs"])
    step = world.step_absolute if absolute else world.step_relative
    robot, scene, infos = [world.robot_obs()], [world.scene_obs()], [world.info()]
    for action in recorded["actions"]:
        step(action)
        robot.append(world.robot_obs())
        scene.append(world.scene_obs())
        infos.append(world.info())
    return _Replay(np.array(robot), np.array(scene), infos)


def _compare(name: str, replay: _Replay, robot: Array, scene: Array) -> RolloutReport:
    report = RolloutReport(name, len(robot) - 1)
    same = (replay.robot == robot).all(axis=1) & (replay.scene == scene).all(axis=1)
    if not same.all():
        report.first_difference = int(np.argmin(same))
        errors = [
            (np.abs(replay.robot - robot), _ROBOT_ANGLES, [14]),
            (np.abs(replay.scene - scene), _SCENE_ANGLES, _LIGHTS),
        ]
        for error, angles, other in errors:
            turned = np.minimum(error[:, angles], 2 * np.pi - error[:, angles])
            report.angle_error = max(report.angle_error, float(turned.max()))
            report.position_error = max(report.position_error, float(np.delete(error, angles + other, axis=1).max()))
    return report


def _compare_tasks(
    report: RolloutReport, bodies: Bodies, infos: Sequence[SceneInfo], mark: int, expected: Sequence[Sequence[str]]
) -> None:
    for end, tasks in zip(infos[mark + 1 :], expected, strict=True):
        report.verdicts += 1
        report.verdicts_equal += achieved(bodies, infos[mark], end) == set(tasks)


def replay_rollouts(path: Path, assets: AssetSet) -> Iterable[RolloutReport]:
    """Replay every rollout of a file, in the led variant it was recorded with, and those that differ in the other.

    Raises:
        FileNotFoundError: The file's ``_info.json.gz`` is not beside it.
    """
    info = _read_json(path.with_name(f"{path.stem}_info.json.gz"))
    arrays = np.load(path)
    names = sorted({key.partition("/")[0] for key in arrays.files})
    for led in LedVariant:
        recorded_here = led == info.get("variant", LedVariant.PINNED)
        differing = {} if recorded_here else info.get("head_797142c_differences", {})
        world = World(Scene(info["scene"]), assets, led=led)
        for name in names if recorded_here else [name for name in names if name in differing]:
            recorded = {key.partition("/")[2]: arrays[key] for key in arrays.files if key.startswith(f"{name}/")}
            replay = _replay(world, recorded, absolute=name.startswith("absolute"))
            scene = recorded["scene_obs"].copy()
            if name in differing:
                scene[:, 5] = differing[name]["led"]
            title = f"{info['scene']}/{name}" + ("" if recorded_here else f" (led={led})")
            report = _compare(title, replay, recorded["robot_obs"], scene)
            tasks = differing.get(name) or info["rollouts"].get(name)
            if tasks is None:
                tasks = {"marks": [0], "tasks_by_mark": [info[f"{name}_tasks_from_start"]]}
            for mark, expected in zip(tasks["marks"], tasks["tasks_by_mark"], strict=True):
                _compare_tasks(report, world.bodies, replay.infos, mark, expected)
            yield report
        world.close()


def _read_json(path: Path) -> Any:
    if path.suffix == ".gz":
        return json.loads(gzip.decompress(path.read_bytes()))
    return json.loads(path.read_text())


def _oracle_cases(path: Path, assets: AssetSet) -> list[tuple[str, bool]]:  # noqa: ARG001
    data = _read_json(path)
    bodies = parse_bodies(data)
    wrong = sum(
        achieved(bodies, parse_info(case["start"]), parse_info(case["end"])) != set(case["expected"])
        for case in data["cases"]
    )
    return [(f"task oracle: {wrong} mismatches in {len(data['cases'])} cases", wrong == 0 and bool(data["cases"]))]


def _sequences(path: Path, assets: AssetSet) -> list[tuple[str, bool]]:  # noqa: ARG001
    recorded = [(list(state.items()), tasks) for state, tasks in _read_json(path)]
    ours = [(list(chain.state.items()), list(chain.tasks)) for chain in load_chains()]
    equal = sum(a == b for a, b in zip(recorded, ours, strict=False))
    return [(f"evaluation chains: {equal}/{len(recorded)} equal, in order", recorded == ours)]


def _initial_states(path: Path, assets: AssetSet) -> list[tuple[str, bool]]:
    data = _read_json(path)
    states = data["states"]
    checks = [("robot_obs of the initial scenes", data["robot_obs_arg"] == ROBOT_OBS.tolist())]
    for variant, key in ((SceneHash.OFFICIAL, "upstream"), (SceneHash.POPULAR_PORT, "vla_eval")):
        equal = sum(
            scene_seed(record["state"], variant) == record[f"hash_{key}"]
            and scene_obs(record["state"], variant).tolist() == record[f"scene_obs_{key}"]
            for record in states
        )
        checks.append((f"initial scenes ({variant}): {equal}/{len(states)} equal", equal == len(states)))
    world = World(Scene.D, assets)
    equal = 0
    for record in states:
        world.reset(ROBOT_OBS, np.array(record["scene_obs_upstream"]))
        equal += (
            world.scene_obs().tolist() == record["scene_obs_after_reset"]
            and world.robot_obs().tolist() == data["robot_obs_after_reset"]
            and world.info() == parse_info(record["start_info"])
        )
    world.close()
    checks.append((f"states and contacts after reset: {equal}/{len(states)} equal", equal == len(states)))
    return checks


_READERS: Mapping[str, Callable[[Path, AssetSet], list[tuple[str, bool]]]] = {
    "oracle_cases": _oracle_cases,
    "sequences": _sequences,
    "initial_states": _initial_states,
}


def replay_golden(files: Sequence[str], report: Callable[[str], None] = print) -> GoldenReport:
    """Compare each file and report line by line.

    Raises:
        ValueError: A file's name is not one of the known ones.
        FileNotFoundError: A file does not exist.
    """
    assets = find_assets()
    if assets.generated:
        report("note: the official files are not installed; generated assets cannot be bit-identical")
    result = GoldenReport()
    for path in _known_files(files):
        report(f"{path.name}:")
        if path.name.startswith("rollouts"):
            for rollout in replay_rollouts(path, assets):
                result.rollouts.append(rollout)
                report(f"  {rollout}")
        else:
            reader = next(reader for prefix, reader in _READERS.items() if path.name.startswith(prefix))
            for text, passed in reader(path, assets):
                result.checks.append((text, passed))
                report(f"  {'PASS' if passed else 'FAIL'}  {text}")
    if result.rollouts:
        report(f"{result.identical}/{len(result.rollouts)} rollouts bit-identical")
    report("PASS" if result.passed else "FAIL")
    return result


def _known_files(files: Sequence[str]) -> list[Path]:
    """The files to read: a rollout file's companion stands for the rollout file."""
    paths: list[Path] = []
    for name in files:
        path = Path(name)
        if path.name.startswith("rollouts") and path.name.endswith("_info.json.gz"):
            path = path.with_name(path.name.removesuffix("_info.json.gz") + ".npz")
        if not path.name.startswith(("rollouts", *_READERS)):
            raise ValueError(f"{path.name}: expected rollouts*.npz, {', '.join(f'{key}*' for key in _READERS)}")
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist")
        if path not in paths:
            paths.append(path)
    return paths


def main(files: Sequence[str]) -> int:
    """Entry point of ``harness replay-golden calvin``; the exit status."""
    try:
        return 0 if replay_golden(files).passed else 1
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
