"""A toy world as training data: two squares on a plane, seen from above, that jump from where an action picks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harness.dataset import DATA_PATH, EPISODES_PATH, FORMAT_VERSION, IMAGE_TYPE, SUMS, encode_image, file_sha256

SIZE = 16
ACTIONS = 4
COLOURS = {"red": (220, 40, 40), "blue": (40, 60, 220)}
PLACES = {"left": (0, -1), "right": (0, 1), "top": (1, 1), "bottom": (1, -1)}
_REACH, _EDGE, _HALF = 0.45, 0.4, 0.35

CAMERA = [
    "camera.benchmarks=[squares]",
    "camera.eye=[0.0,-0.001,5.0]",
    "camera.target=[0.0,0.0,0.0]",
    "camera.fov=22.62",
    "camera.plane=0.0",
    "camera.workspace=[-1,1,-1,1]",
    "camera.points=[[0,1],[2,3]]",
    "camera.mirror=null",
    "camera.crop=[0,0,1,1]",
]
"""What `thinkjepa.training.camera` is told of it."""

SUBGOALS = [
    [place, f"Put the {colour} square at the {place}.", [[f"at_{place}", colour]]]
    for colour in COLOURS
    for place in PLACES
]


def picture(squares: np.ndarray) -> np.ndarray:
    """``(2, 2)`` positions in [-1, 1] to ``uint8 (SIZE, SIZE, 3)``."""
    image = np.full((SIZE, SIZE, 3), 128, np.uint8)
    axis = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    for (x, y), colour in zip(squares, COLOURS.values(), strict=True):
        inside = (np.abs(-axis - y) < _HALF)[:, None] & (np.abs(axis - x) < _HALF)[None, :]
        image[inside] = colour
    return image


def moved(squares: np.ndarray, action: np.ndarray) -> np.ndarray:
    distance = np.linalg.norm(squares - action[:2], axis=1)
    after = squares.copy()
    if distance.min() < _REACH:
        after[distance.argmin()] = action[2:]
    return after


def holding(squares: np.ndarray) -> str:
    return "".join(
        "01"[int(sign * squares[number][axis] > _EDGE)]
        for number in range(len(COLOURS))
        for axis, sign in PLACES.values()
    )


def write_dataset(root: Path, episodes: int = 120, actions: int = 3, seed: int = 0, benchmark: str = "squares") -> Path:
    """A dataset in the harness's format, without what training does not read."""
    rng = np.random.default_rng(seed)
    scene = json.dumps({"objects": [{"name": name} for name in COLOURS], "zones": []})
    tables = [_episode(rng, actions, scene, number) for number in range(episodes)]
    (root / "data" / "chunk-000").mkdir(parents=True)
    (root / EPISODES_PATH).parent.mkdir(parents=True)
    path = root / DATA_PATH.format(chunk_index=0, file_index=0)
    with pq.ParquetWriter(path, tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=len(table))
    index = {"episode_index": range(episodes), "data/chunk_index": 0, "data/file_index": 0}
    pd.DataFrame(index).to_parquet(root / EPISODES_PATH)
    pd.DataFrame({"task_index": [0]}, index=pd.Index(["play"], name="task")).to_parquet(root / "meta" / "tasks.parquet")
    pd.DataFrame({"episode_index": []}).to_parquet(root / "meta" / "labels.parquet")
    features = {name: {"dtype": "float32", "shape": [1]} for name in tables[0].column_names}
    features |= {"action": {"shape": [ACTIONS]}, "observation.object_states": {"shape": [14]}}
    info = {
        "robot_type": benchmark,
        "total_episodes": episodes,
        "features": features,
        "collection": {"format_version": FORMAT_VERSION},
    }
    (root / "meta" / "info.json").write_text(json.dumps(info))
    files = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file()]
    (root / SUMS).write_text("".join(f"{file_sha256(root / name)}  {name}\n" for name in files))
    return root


def _episode(rng: np.random.Generator, actions: int, scene: str, number: int) -> pa.Table:
    squares = rng.uniform(-0.7, 0.7, (2, 2))
    states, chosen = [squares], []
    for _ in range(actions):
        pick = squares[rng.integers(2)] + 0.15 * rng.normal(size=2) if rng.random() < 0.8 else rng.uniform(-1, 1, 2)
        chosen.append(np.clip(np.concatenate([pick, rng.uniform(-0.8, 0.8, 2)]), -1, 1))
        squares = moved(squares, chosen[-1])
        states.append(squares)
    chosen.append(np.zeros(ACTIONS))
    rows = len(states)
    poses = np.zeros((rows, 2, 7), np.float32)
    poses[:, :, :2] = states
    return pa.table(
        {
            "observation.images.rgb_static": pa.array(
                [{"bytes": encode_image(picture(s)), "path": None} for s in states], IMAGE_TYPE
            ),
            "observation.object_states": pa.array(list(poses.reshape(rows, -1)), pa.list_(pa.float32(), 14)),
            "observation.scene": pa.array([scene] * rows),
            "observation.subgoals": pa.array([json.dumps(SUBGOALS)] * rows),
            "observation.holds": pa.array([holding(s) for s in states]),
            "action": pa.array(list(np.array(chosen, np.float32)), pa.list_(pa.float32(), ACTIONS)),
            "episode_index": pa.array([number] * rows),
            "frame_index": pa.array(range(rows)),
            "is_last": pa.array([False] * (rows - 1) + [True]),
        }
    )
