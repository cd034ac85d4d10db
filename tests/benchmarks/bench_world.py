"""How fast the tabletop world is. All times are CPU time of this process, medians of several runs."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from envs.tabletop.actions import Primitive, skill_action
from envs.tabletop.cameras import CAMERAS
from envs.tabletop.env import TabletopEnv
from envs.tabletop.random_scenes import random_scene
from envs.tabletop.scene import Colour, Kind, ObjectSpec, SceneSpec, Size

DELTA_STEPS = 40
REPEATS = 9


def cpu_seconds(call: Callable[[], object], repeats: int) -> float:
    """Median CPU time of a call; one unmeasured call warms up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return statistics.median(times)


def delta_steps_per_second(keys: tuple[str, ...], size: int, repeats: int) -> float:
    """Control steps per CPU second in delta mode, with the observations of ``keys``."""
    env = TabletopEnv(control="delta", image_size=size, observation_keys=keys)
    env.reset(options={"scene": random_scene(np.random.default_rng(0), 6)})
    sign = 1.0

    def run() -> None:
        nonlocal sign
        sign = -sign
        for _ in range(DELTA_STEPS):
            env.step([0.5 * sign, 0.3 * sign, -0.3 * sign, 0, 0, 0, 1])

    seconds = cpu_seconds(run, repeats)
    env.close()
    return DELTA_STEPS / seconds


def render_milliseconds(visuals: str, size: int, repeats: int) -> dict[str, float]:
    """CPU time of one picture of each camera."""
    env = TabletopEnv(image_size=size, visuals=visuals, observation_keys=("robot_obs",))
    env.reset(options={"scene": random_scene(np.random.default_rng(0), 6)})
    times = {name: 1e3 * cpu_seconds(lambda name=name: env.world.render(name, size), repeats) for name in CAMERAS}
    env.close()
    return times


def skill_seconds(repeats: int) -> dict[str, float]:
    """CPU time of a pick-and-place among eight objects, of a push, and of a reset."""
    spots = [(x, y) for x in (-0.1, 0.1) for y in (-0.21, -0.07, 0.07, 0.21)]
    cubes = [
        ObjectSpec(f"c{index}", Kind.CUBE, Colour.RED, Size.MEDIUM, (*spot, 0.02)) for index, spot in enumerate(spots)
    ]
    env = TabletopEnv(observation_keys=("robot_obs",))
    scene = SceneSpec(tuple(cubes))
    reset = cpu_seconds(lambda: env.reset(options={"scene": scene}), repeats)
    places = [(-0.1, -0.21), (0.0, 0.0)]

    def pick() -> None:
        places.reverse()
        env.step(skill_action(Primitive.PICK_AND_PLACE, places[1], places[0]))

    seconds = {"pick_and_place": cpu_seconds(pick, repeats)}
    seconds["push"] = cpu_seconds(lambda: env.step(skill_action(Primitive.PUSH, (0.0, 0.2), (0.0, 0.05))), repeats)
    return seconds | {"reset": reset}


def main() -> dict[str, Any]:
    """Measure everything and print it."""
    both = tuple(CAMERAS)
    numbers = {
        "renderer": "tiny",
        "delta_steps_per_cpu_second": {
            "without_rendering": delta_steps_per_second(("robot_obs",), 96, REPEATS),
            "both_cameras_96px": delta_steps_per_second(both, 96, REPEATS),
            "both_cameras_224px": delta_steps_per_second(both, 224, REPEATS),
        },
        "render_cpu_ms": {
            f"{visuals}_{size}px": render_milliseconds(visuals, size, REPEATS)
            for visuals in ("lowpoly", "stock")
            for size in (96, 224)
        },
        "cpu_seconds": skill_seconds(REPEATS),
    }
    print(json.dumps(numbers, indent=2))
    return numbers
