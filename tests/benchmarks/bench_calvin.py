"""Speed of the CALVIN world on one core: ``python -m tests.benchmarks.bench_calvin`` (CPU time, medians).

The public simulator on one core of its recording machine: 225 steps per CPU-second without cameras, 46 ms per static
and 22 ms per gripper frame.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from envs.calvin.env import CalvinEnv

PUBLIC = {"steps": 225.0, "static": 46.0, "gripper": 22.0}


def cpu_seconds(call: Callable[[], Any]) -> float:
    """CPU time of one call."""
    before = time.process_time()
    call()
    return time.process_time() - before


def random_steps(env: CalvinEnv, count: int = 300) -> None:
    """Play with an action that changes every ten steps."""
    rng = np.random.default_rng(0)
    for step in range(count):
        if step % 10 == 0:
            action = rng.uniform(-1, 1, 7).astype(np.float32)
        env.step(action)


def main() -> dict[str, Any]:
    """Measure everything; prints as it goes."""
    env = CalvinEnv("D", observation_keys=("robot_obs",))
    kind = "generated" if env.world.assets.generated else "official"
    print(f"assets: {kind}")
    resets, rates = [], []
    for chain in range(5):
        resets.append(cpu_seconds(lambda chain=chain: env.reset(options={"chain": chain})))
        rates.append(300 / cpu_seconds(lambda: random_steps(env)))
    env.close()
    print(f"reset: {median(resets) * 1e3:.0f} ms")
    print(f"steps per CPU-second without cameras: {median(rates):.0f} ({median(rates) / PUBLIC['steps']:.2f}x public)")
    numbers: dict[str, Any] = {
        "assets": kind,
        "public": PUBLIC,
        "reset_ms": 1e3 * median(resets),
        "steps_per_cpu_second": median(rates),
    }
    frames: dict[tuple[bool, str], list[np.ndarray[Any, Any]]] = {}
    for lowpoly in (False, True):
        for camera in ("static", "gripper"):
            env = CalvinEnv("D", observation_keys=(f"rgb_{camera}",), lowpoly=lowpoly)
            spent = []
            for chain in range(4):
                env.reset(options={"chain": chain})
                for _ in range(4):
                    spent.append(cpu_seconds(lambda env=env, camera=camera: env._frame(camera)))
                    observation, *_ = env.step(np.array([0.3, 0.5, -0.4, 0, 0, 0, 1], dtype=np.float32))
                    frames.setdefault((lowpoly, camera), []).append(observation[f"rgb_{camera}"].astype(float))
            env.close()
            looks, milliseconds = "lowpoly" if lowpoly else "stock", 1e3 * median(spent)
            numbers[f"frame_{looks}_{camera}_ms"] = milliseconds
            print(f"{looks} {camera}: {milliseconds:.1f} ms ({PUBLIC[camera] / milliseconds:.1f}x public)")
    for camera in ("static", "gripper"):
        pairs = zip(frames[False, camera], frames[True, camera], strict=True)
        difference = float(np.mean([np.abs(a - b).mean() for a, b in pairs]))
        numbers[f"pixel_difference_lowpoly_{camera}"] = difference
        print(f"mean pixel difference of lowpoly {camera}: {difference:.2f} of 255")
    return numbers


if __name__ == "__main__":
    main()
