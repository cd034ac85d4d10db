"""A long run does not eat memory."""

import numpy as np
import psutil
import pytest

from envs.tabletop.env import TabletopEnv
from envs.tabletop.random_scenes import random_scene


def resident_mib():
    return psutil.Process().memory_info().rss / 2**20


@pytest.mark.slow
def test_memory_stays_flat_over_500_episodes():
    env = TabletopEnv(control="delta", image_size=64)
    before = resident_mib()
    for episode in range(550):
        env.reset(options={"scene": random_scene(np.random.default_rng(episode % 50), 6)})
        env.step(np.zeros(7))
        env.set_state(env.get_state())
        if episode == 50:  # all shapes and meshes have been seen once
            before = resident_mib()
    assert resident_mib() - before < 5
    env.close()
