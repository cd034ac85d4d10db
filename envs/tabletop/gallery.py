"""A contact sheet of random worlds, for documentation: ``python -m envs.tabletop.gallery sheet.png``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from envs.tabletop import kinematics
from envs.tabletop.cameras import CAMERAS
from envs.tabletop.random_scenes import random_scene
from envs.tabletop.scene import SceneSpec
from envs.tabletop.shapes import GRIPPER_OPENING
from envs.tabletop.world import TabletopWorld

_LOOK_FROM = np.array([-0.02, 0.0, 0.26])  # where the tool is for the pictures
_APPROACH_STEPS = 20


def contact_sheet(scenes: list[SceneSpec], size: int = 224) -> npt.NDArray[np.uint8]:
    """One column per scene, one row per camera: ``uint8 (2 * size, len(scenes) * size, 3)``."""
    world = TabletopWorld()
    columns = []
    for scene in scenes:
        world.load(scene)
        start, orientation = world.tool_target
        for step in range(1, _APPROACH_STEPS + 1):
            world.step_control(start + step / _APPROACH_STEPS * (_LOOK_FROM - start), orientation, GRIPPER_OPENING)
        world.step_control(_LOOK_FROM, kinematics.vertical(0.0), GRIPPER_OPENING)
        columns.append(np.concatenate([world.render(camera, size).rgb for camera in CAMERAS]))
    world.close()
    return np.concatenate(columns, axis=1)


def main() -> None:
    """Write the sheet."""
    from PIL import Image

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="picture to write")
    parser.add_argument("--count", type=int, default=4, help="scenes")
    parser.add_argument("--size", type=int, default=320, help="pixels per picture")
    arguments = parser.parse_args()
    scenes = [random_scene(np.random.default_rng(seed), 9) for seed in range(arguments.count)]
    Image.fromarray(contact_sheet(scenes, arguments.size)).save(arguments.path)


if __name__ == "__main__":
    main()
