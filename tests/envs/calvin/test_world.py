"""Episodes do not depend on what ran before, beside them, or in which process."""

import subprocess
import sys

import numpy as np
import pytest

from envs.calvin.cameras import render_gripper, render_static
from envs.calvin.frozen import load_chains
from envs.calvin.layouts import LAYOUTS, Scene
from envs.calvin.lowpoly import LowpolyView
from envs.calvin.world import SLIDE, LedVariant, World

OPEN = np.array([0, 0, 0, 0, 0, 0, 1], dtype=np.float32)


def actions(seed, count=25):
    rng = np.random.default_rng(seed)
    drawn = np.repeat(rng.uniform(-1, 1, (count // 5, 7)), 5, axis=0).astype(np.float32)
    drawn[:, 6] = np.where(drawn[:, 6] > 0, 1, -1)
    return drawn


def play(world, chain, seed):
    world.reset(chain.robot_obs, chain.scene_obs)
    for action in actions(seed):
        world.step_relative(action)
    return world.digest()


@pytest.mark.parametrize("kind", ["official", "generated"])
def test_order_lane_and_neighbours_do_not_matter(kind, request):
    assets = request.getfixturevalue(kind)
    chains = load_chains()
    first, second = World(Scene.D, assets), World(Scene.D, assets)
    forward = [play(first, chains[i], i) for i in (0, 1, 2)]
    backward = [play(second, chains[i], i) for i in (2, 1, 0)]
    assert forward == backward[::-1]
    # Interleaved steps of two worlds in one process.
    first.reset(chains[0].robot_obs, chains[0].scene_obs)
    second.reset(chains[1].robot_obs, chains[1].scene_obs)
    for a, b in zip(actions(0), actions(1), strict=True):
        first.step_relative(a)
        second.step_relative(b)
    assert [first.digest(), second.digest()] == forward[:2]
    first.close()
    second.close()


def test_a_fresh_process_gives_the_same_bits(official):
    code = (
        "from envs.calvin.assets import find_official\n"
        "from tests.envs.calvin.test_world import *\n"
        "print(play(World(Scene.D, find_official()), load_chains()[7], 7))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    world = World(Scene.D, official)
    play(world, load_chains()[3], 3)
    assert play(world, load_chains()[7], 7) == answer.stdout.split()[-1]
    world.close()


def test_visuals_do_not_alter_physics(official):
    chain = load_chains()[4]
    digests = set()
    for options in ({}, {"visuals": True}):
        world = World(Scene.D, official, **options)
        digests.add(play(world, chain, 4))
        world.close()
    assert len(digests) == 1


def test_upstreams_leaks_are_not_there(generated):
    world = World(Scene.D, generated)
    chain = load_chains()[0]
    world.reset(chain.robot_obs, chain.scene_obs)
    fresh = world.digest()
    world.step_relative(np.array([0, 0, -1, 0, 0, 0, -1], dtype=np.float32))
    assert world.robot_obs()[14] == -1
    world.reset(chain.robot_obs, chain.scene_obs)
    assert world.digest() == fresh
    assert world.robot_obs()[14] == 1
    world.close()


@pytest.mark.parametrize(("variant", "after_one_press"), [(LedVariant.PINNED, 1), (LedVariant.HEAD, 0)])
def test_led_that_is_on_at_reset(generated, variant, after_one_press):
    world = World(Scene.D, generated, led=variant)
    chain = next(chain for chain in load_chains() if chain.state["led"] == 1)
    world.reset(chain.robot_obs, chain.scene_obs)
    layout = LAYOUTS[Scene.D]
    world.step_relative(OPEN)
    assert world.scene_obs()[5] == 1
    world.client.resetJointState(world.bodies.table, 0, 0.02)
    world.step_relative(OPEN)
    assert world.scene_obs()[5] == after_one_press
    assert layout.button_x == -0.12
    world.close()


def test_targets_add_up_and_the_gripper_command_is_checked(generated):
    world = World(Scene.A, generated)
    chain = load_chains()[0]
    world.reset(chain.robot_obs, chain.scene_obs)
    before = world.robot.target_position.copy()
    action = np.array([1, 0, 0, 0, 0, 0, 1], dtype=np.float32)
    for _ in range(5):
        world.step_relative(action)
    np.testing.assert_allclose(world.robot.target_position - before, [0.1, 0, 0], atol=1e-7)
    assert (action == [1, 0, 0, 0, 0, 0, 1]).all()
    with pytest.raises(ValueError, match="gripper"):
        world.step_relative(np.zeros(7, dtype=np.float32))
    world.close()


@pytest.mark.parametrize("scene", list(Scene))
def test_generated_tables_have_the_measured_joints(generated, scene):
    world = World(scene, generated)
    chain = load_chains()[0]
    world.reset(chain.robot_obs, chain.scene_obs)
    joints = [world.client.getJointInfo(world.bodies.table, index) for index in range(7)]
    assert [joint[1].decode() for joint in joints] == [
        "base__button",
        "base__switch",
        "base__slide",
        "base__drawer",
        "base__led",
        "base__light",
        "base__plank",
    ]
    layout = LAYOUTS[scene]
    limits = [joint[9] for joint in joints[:4]]
    np.testing.assert_allclose(limits, [0.02, 0.088, layout.slide_range, 0.22], atol=1e-9)
    assert joints[SLIDE][13] == (-1.0, 0.0, 0.0)
    robot = {world.client.getJointInfo(world.robot.uid, index)[12].decode(): index for index in range(16)}
    assert (robot["gripper_cam"], robot["tcp"]) == (14, 15)
    for _ in range(10):
        world.step_relative(OPEN)
    heights = world.scene_obs()[[8, 14, 20]]
    assert ((heights > 0.455) & (heights < 0.466)).all()
    world.close()


def test_wrong_shapes_are_refused(generated):
    world = World(Scene.D, generated)
    with pytest.raises(ValueError, match=r"\(15,\)"):
        world.reset(np.zeros(14), np.zeros(24))
    world.close()


@pytest.mark.parametrize("kind", ["official", "generated"])
def test_lowpoly_frames_show_the_same_scene_without_touching_it(kind, request):
    assets = request.getfixturevalue(kind)
    stock, plain = World(Scene.D, assets, visuals=True), World(Scene.D, assets)
    view = LowpolyView(plain)
    for chain in (load_chains()[0], load_chains()[3]):
        digests = set()
        for world in (stock, plain):
            world.reset(chain.robot_obs, chain.scene_obs)
            for action in actions(1):
                world.step_relative(action)
            if world is plain:
                frames = (view.static(), view.gripper())
            digests.add(world.digest())
        assert len(digests) == 1
        for fast, exact in zip(frames, (render_static(stock), render_gripper(stock)), strict=True):
            assert fast.rgb.shape == exact.rgb.shape
            assert np.abs(fast.rgb.astype(float) - exact.rgb).mean() < 12
            assert np.median(np.abs(fast.depth - exact.depth)) < 0.005
    view.close()
    stock.close()
    plain.close()


def test_lowpoly_static_view_follows_the_lights(generated):
    world = World(Scene.D, generated)
    view = LowpolyView(world)
    chain = load_chains()[0]
    off = chain.scene_obs.copy()
    off[4:6] = 0
    off[3] = 0
    world.reset(chain.robot_obs, off)
    dark = view.static().rgb
    on = off.copy()
    on[4:6] = 1
    world.reset(chain.robot_obs, on)
    lit = view.static().rgb
    changed = (dark != lit).any(axis=2)
    assert 10 < changed.sum() < 2000
    view.close()
    world.close()
