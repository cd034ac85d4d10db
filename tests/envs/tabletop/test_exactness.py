"""Worlds are exact: the same past gives the same future, bit for bit, wherever and whenever."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from envs.tabletop import kinematics
from envs.tabletop.random_scenes import random_scene
from envs.tabletop.scene import Kind
from envs.tabletop.skills import pick_and_place, push
from envs.tabletop.world import TabletopWorld
from tests.envs.tabletop.scenes import lying, scene, tower

EXTRAS = (
    lying("pyramid", Kind.PYRAMID, -0.1, -0.15, yaw=0.4),
    lying("cylinder", Kind.CYLINDER, 0.1, -0.15),
    lying("bowl", Kind.BOWL, 0.0, 0.18),
    lying("plank", Kind.PLANK, 0.1, 0.05, yaw=1.2),
)


def wiggle(world, steps, seed=0):
    """Low-level control that grasps, drags and knocks things over."""
    rng = np.random.default_rng(seed)
    digests = []
    position = np.array([0.0, 0.0, 0.15])
    for step in range(steps):
        position = np.clip(position + rng.uniform(-0.03, 0.03, 3), [-0.1, -0.2, 0.02], [0.1, 0.2, 0.2])
        world.step_control(position, kinematics.vertical(rng.uniform(-0.3, 0.3)), 0.08 * (step % 8 > 3))
        digests.append(world.digest())
    return digests


def play(world):
    """A fixed little history; returns the digests along it."""
    world.load(scene(*tower(4), *EXTRAS))
    digests = [world.digest()]
    pick_and_place(world, (0.0, 0.0), (0.08, -0.05), 0.4)
    digests.append(world.digest())
    push(world, (-0.08, 0.02), (0.05, 0.02))
    digests.append(world.digest())
    return digests + wiggle(world, 12)


@pytest.fixture(scope="module")
def reference():
    world = TabletopWorld()
    digests = play(world)
    world.close()
    return digests


@pytest.mark.parametrize(
    "processor",
    [{}, {"OPENBLAS_CORETYPE": "Prescott"}, {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"}],
    ids=["this", "BLAS for an old one", "numpy without AVX-512"],
)
def test_a_fresh_process_gives_the_same(reference, processor):
    """Also where numpy takes other code, as it does on other processors."""
    code = (
        "from tests.envs.tabletop.test_exactness import play\n"
        "from envs.tabletop.world import TabletopWorld\n"
        "print(*play(TabletopWorld()))"
    )
    root = Path(__file__).parents[3]
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, **processor},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert result.stdout.split()[-len(reference) :] == reference


def test_history_does_not_leak(reference):
    world = TabletopWorld()
    for seed in range(3):
        world.load(random_scene(np.random.default_rng(seed)))
        wiggle(world, 15, seed)
        world.render("rgb_static", 32)
    assert play(world) == reference


def test_other_worlds_do_not_leak(reference):
    worlds = [TabletopWorld() for _ in range(3)]
    for index, world in enumerate(worlds):
        world.load(random_scene(np.random.default_rng(index)))
    world = TabletopWorld()
    wiggle(worlds[0], 5)
    assert play(world) == reference
    assert play(worlds[1]) == reference


def test_interleaved_worlds_are_independent():
    first, second = TabletopWorld(), TabletopWorld()
    for world in (first, second):
        world.load(scene(*tower(3), *EXTRAS))
    for step in range(15):
        for world in (first, second):
            world.step_control([0.0, 0.0, 0.3 - 0.02 * step], kinematics.vertical(0.0), 0.08)
        assert first.digest() == second.digest()


def test_looks_and_rendering_do_not_touch_the_physics(reference):
    world = TabletopWorld(visuals="stock")
    world.load(scene())
    world.render("rgb_static", 32)
    assert play(world) == reference


@pytest.mark.parametrize("moment", [0, 3, 9])
def test_restored_worlds_have_the_same_future(moment):
    world = TabletopWorld()
    world.load(scene(*tower(4), *EXTRAS))
    pick_and_place(world, (0.0, 0.0), (0.08, -0.05))
    wiggle(world, moment)
    snapshot = world.get_state()
    now, truth = world.digest(), world.state()
    future = wiggle(world, 20, seed=5)
    wiggle(world, 7, seed=6)

    world.set_state(snapshot)
    assert world.digest() == now
    assert world.state() == truth
    assert wiggle(world, 20, seed=5) == future

    other = TabletopWorld()
    other.load(random_scene(np.random.default_rng(1)))
    other.set_state(pickle.loads(pickle.dumps(snapshot)))  # noqa: S301  (our own bytes)
    assert wiggle(other, 20, seed=5) == future


def test_taking_a_snapshot_changes_nothing():
    def run(peek):
        world = TabletopWorld()
        world.load(scene(*tower(4), *EXTRAS))
        for seed in range(3):
            wiggle(world, 5, seed)
            if peek:
                world.get_state()
                world.state()
        return world.digest()

    assert run(peek=True) == run(peek=False)


def test_skills_after_restore_are_the_same():
    world = TabletopWorld()
    world.load(scene(*tower(4), *EXTRAS))
    snapshot = world.get_state()
    results = []
    for _ in range(2):
        world.set_state(snapshot)
        pick_and_place(world, (0.0, 0.0), (-0.1, 0.05), 0.7)
        results.append((world.digest(), world.state()))
    assert results[0] == results[1]


def test_different_actions_give_different_digests():
    world = TabletopWorld()
    world.load(scene(*tower(3)))
    start = world.get_state()
    first = wiggle(world, 5, seed=1)
    world.set_state(start)
    assert wiggle(world, 5, seed=2)[-1] != first[-1]
