"""The frozen data file of the protocol: 1000 chains and the scene that each of them starts from.

The file is what `chains` and `initial` generate; it is shipped because generating takes minutes and because a hash of
one file is easier to trust. ``python -m envs.calvin.frozen`` writes it anew.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from envs.arrays import FloatArray
from envs.calvin.chains import State, generate_chains, initial_states
from envs.calvin.initial import ROBOT_OBS, SceneHash, scene_obs
from envs.calvin.tasks import TASKS

DATA_FILE = Path(__file__).with_name("data") / "chains.json.gz"
DATA_SHA256 = "8673faacfbd1428f22e4cf7de0423eab5231def96d71d0c90b81418b115357fe"
"""Of the uncompressed content, so that it does not depend on the compressor."""


@dataclass(frozen=True)
class Chain:
    """One evaluation chain.

    Attributes:
        state: Symbolic initial state.
        tasks: Five task names.
        robot_obs: ``(15,)``, what the robot is reset with.
        scene_obs: ``(24,)``, what the scene is reset with.
    """

    state: State
    tasks: tuple[str, ...]
    robot_obs: FloatArray
    scene_obs: FloatArray


@cache
def load_chains(variant: SceneHash = SceneHash.OFFICIAL) -> tuple[Chain, ...]:
    """The 1000 chains in the order of the protocol, with the initial scenes of ``variant``.

    Raises:
        ValueError: The data file is not the one that this version was released with.
    """
    content = gzip.decompress(DATA_FILE.read_bytes())
    digest = hashlib.sha256(content).hexdigest()
    if digest != DATA_SHA256:
        raise ValueError(
            f"{DATA_FILE} has SHA-256 {digest}, expected {DATA_SHA256}: reinstall the package, or rebuild the file "
            "with `python -m envs.calvin.frozen`"
        )
    data = json.loads(content)
    robot = np.array(data["robot_obs"])
    scenes = [np.array(scene) for scene in data["scene_obs"][variant]]
    return tuple(
        Chain(data["states"][index], tuple(TASKS[task] for task in tasks), robot, scenes[index])
        for index, tasks in data["chains"]
    )


def build() -> bytes:
    """The uncompressed content of the data file. Takes about a minute."""
    states = initial_states()
    index = {json.dumps(state): number for number, state in enumerate(states)}
    data = {
        "robot_obs": ROBOT_OBS.tolist(),
        "states": states,
        "scene_obs": {variant: [scene_obs(state, variant).tolist() for state in states] for variant in SceneHash},
        "chains": [
            [index[json.dumps(state)], [TASKS.index(task) for task in tasks]] for state, tasks in generate_chains()
        ],
    }
    return json.dumps(data, separators=(",", ":")).encode()


def main() -> None:
    """Write the data file and print the hash to be put into ``DATA_SHA256``."""
    content = build()
    DATA_FILE.write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
    print(hashlib.sha256(content).hexdigest())  # noqa: T201


if __name__ == "__main__":
    main()
