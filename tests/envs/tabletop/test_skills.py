"""The skills do what they promise, by real contact."""

import math

import numpy as np
import pytest

from envs.tabletop import kinematics, shapes
from envs.tabletop.random_scenes import random_scene
from envs.tabletop.robot import HOME_JOINTS, HOME_POSITION
from envs.tabletop.scene import Kind, Size
from envs.tabletop.skills import pick_and_place, push
from envs.tabletop.world import TabletopWorld
from tests.envs.tabletop.scenes import lying, scene, tower

MOVABLE = sorted(set(Kind) - shapes.CONTAINERS)


@pytest.fixture(scope="module")
def world():
    world = TabletopWorld()
    yield world
    world.close()


def at(world, name):
    return world.pose(name)[0]


def turned_by(before, after):
    return kinematics.rotation_vector(after @ before.T)


@pytest.mark.parametrize("kind", MOVABLE)
@pytest.mark.parametrize("size", list(Size))
def test_places_precisely_and_turns(world, kind, size):
    world.load(scene(lying("it", kind, -0.09, 0.15, size, yaw=0.5)))
    _, before = world.pose("it")
    result = pick_and_place(world, (-0.085, 0.152), (0.11, -0.2), -1.0)
    position, after = world.pose("it")
    assert result.picked == "it"
    assert result.settled
    assert position[:2] == pytest.approx([0.11, -0.2], abs=3e-3)
    assert turned_by(before, after) == pytest.approx([0, 0, -1.0], abs=0.06)


@pytest.mark.parametrize("height", [3, pytest.param(7, marks=pytest.mark.slow)])
def test_builds_and_unbuilds_a_tower(world, height):
    spots = [(-0.12, -0.2), (0.1, -0.2), (-0.12, 0.2), (0.1, 0.2), (0, -0.24), (0, 0.24), (-0.13, 0.1)][:height]
    world.load(scene(*(lying(f"c{i}", Kind.CUBE, *spot, yaw=0.3 * i) for i, spot in enumerate(spots))))
    for spot in spots:
        pick_and_place(world, spot, (0.02, 0.0))
    assert [at(world, f"c{i}")[2] for i in range(height)] == pytest.approx(
        [0.02 + 0.04 * i for i in range(height)], abs=1.5e-3
    )
    for index in reversed(range(height)):
        assert pick_and_place(world, (0.02, 0.0), spots[index]).picked == f"c{index}"
    assert all(at(world, f"c{i}")[:2] == pytest.approx(spot, abs=4e-3) for i, spot in enumerate(spots))


def test_bridges_two_supports_with_a_plank(world):
    supports = [lying("a", Kind.CUBE, 0.0, -0.05), lying("b", Kind.CUBE, 0.0, 0.06)]
    world.load(scene(*supports, lying("plank", Kind.PLANK, -0.08, 0.18), lying("cube", Kind.CUBE, 0.1, 0.2)))
    pick_and_place(world, (-0.08, 0.18), (0.0, 0.005), math.pi / 2)
    assert world.state().objects["plank"].touching == {"a", "b"}
    pick_and_place(world, (0.1, 0.2), (0.0, 0.0))
    assert at(world, "cube")[2] == pytest.approx(0.04 + 0.016 + 0.02, abs=2e-3)


@pytest.mark.parametrize("kind", sorted(shapes.CONTAINERS))
@pytest.mark.parametrize(
    "item",
    [
        Kind.CUBE,
        pytest.param(Kind.CYLINDER, marks=pytest.mark.slow),
        pytest.param(Kind.PYRAMID, marks=pytest.mark.slow),
        Kind.WEDGE,
    ],
)
def test_puts_into_and_takes_out_of_containers(world, kind, item):
    world.load(scene(lying("box", kind, 0.05, 0.1, yaw=0.2), lying("it", item, -0.08, -0.15)))
    pick_and_place(world, (-0.08, -0.15), (0.05, 0.1))
    floor = shapes.floor_height(kind)
    assert at(world, "it") == pytest.approx([0.05, 0.1, floor + 0.02], abs=4e-3)
    assert pick_and_place(world, (0.05, 0.1), (-0.05, -0.2)).picked == "it"
    assert at(world, "it") == pytest.approx([-0.05, -0.2, 0.02], abs=4e-3)
    assert at(world, "box")[:2] == pytest.approx([0.05, 0.1], abs=0.01)


def test_picks_from_a_tight_grid_and_leaves_the_others(world):
    pitch = 0.04 + shapes.FINGER_GAP
    spots = {f"c{i}{j}": (pitch * (i - 1), pitch * (j - 1)) for i in range(3) for j in range(3)}
    world.load(scene(*(lying(name, Kind.CUBE, *spot) for name, spot in spots.items())))
    assert pick_and_place(world, (0, 0), (0.14, 0.22)).picked == "c11"
    for name, spot in spots.items():
        if name != "c11":
            assert at(world, name)[:2] == pytest.approx(spot, abs=2e-3), name


def test_places_into_a_gap_of_a_row(world):
    pitch = 0.04 + shapes.FINGER_GAP
    row = [lying(f"c{i}", Kind.CUBE, 0.0, pitch * (i - 2)) for i in range(5) if i != 2]
    world.load(scene(*row, lying("it", Kind.CUBE, 0.13, 0.0)))
    pick_and_place(world, (0.13, 0.0), (0.0, 0.0))
    assert at(world, "it")[:2] == pytest.approx([0, 0], abs=3e-3)
    assert at(world, "c1")[:2] == pytest.approx([0, -pitch], abs=3e-3)


def test_takes_the_topmost(world):
    world.load(scene(*tower(3)))
    assert pick_and_place(world, (0.01, 0.0), (0.1, 0.1)).picked == "t2"
    assert at(world, "t1")[2] == pytest.approx(0.06, abs=1e-3)


def test_snaps_within_two_centimetres_and_not_beyond(world):
    world.load(scene(lying("it", Kind.CUBE, 0, 0)))
    assert pick_and_place(world, (0.0, 0.035), (0.1, 0.1)).picked == "it"
    world.load(scene(lying("it", Kind.CUBE, 0, 0)))
    result = pick_and_place(world, (0.0, 0.1), (0.1, 0.1))
    assert result.picked is None
    assert at(world, "it")[:2] == pytest.approx([0, 0], abs=1e-3)


def test_containers_are_not_picked(world):
    world.load(scene(lying("box", Kind.TRAY, 0, 0)))
    assert pick_and_place(world, (0.0, 0.0), (0.1, 0.1)).picked is None


@pytest.mark.parametrize("base", sorted(shapes.SLOPED))
@pytest.mark.parametrize("top", MOVABLE)
def test_what_is_put_on_a_slope_falls_off(world, base, top):
    world.load(scene(lying("base", base, 0.0, 0.1, yaw=0.3), lying("it", top, 0.0, -0.1)))
    assert pick_and_place(world, (0.0, -0.1), (0.0, 0.1)).picked == "it"
    assert "table" in world.state().objects["it"].touching


def test_pushes_along_a_line(world):
    world.load(scene(lying("it", Kind.CUBE, 0.0, 0.0)))
    push(world, (-0.06, 0.0), (0.05, 0.0))
    assert at(world, "it")[0] == pytest.approx(0.05 + 0.02 + 0.01, abs=0.008)
    assert abs(at(world, "it")[1]) < 0.01


def test_pushes_a_container(world):
    world.load(scene(lying("box", Kind.TRAY, 0.0, 0.0)))
    push(world, (0.0, -0.12), (0.0, 0.0))
    assert at(world, "box")[1] > 0.05


def test_pushing_a_tower_topples_it(world):
    world.load(scene(*tower(5)))
    push(world, (-0.06, 0.0), (0.06, 0.0))
    assert at(world, "t4")[2] < 0.1


def test_ends_at_home(world):
    world.load(scene(*tower(4)))
    pick_and_place(world, (0, 0), (0.1, 0.1))
    assert world.robot.tool()[0] == pytest.approx(HOME_POSITION, abs=2e-3)


@pytest.mark.slow
def test_success_rate_on_random_scenes(world):
    tried = good = 0
    for seed in range(24):
        rng = np.random.default_rng(seed)
        scene_ = random_scene(rng, 7)
        world.load(scene_)
        for spec in scene_.objects:
            end = _free_spot(world, rng, spec)
            if spec.kind in shapes.CONTAINERS or end is None:
                continue
            turn = rng.uniform(-1.5, 1.5)
            position, before = world.pose(spec.name)
            result = pick_and_place(world, position[:2] + rng.uniform(-0.008, 0.008, 2), end, turn)
            position, after = world.pose(spec.name)
            slip = np.linalg.norm(turned_by(before, after) - [0, 0, turn])
            tried += 1
            good += result.picked == spec.name and np.hypot(*(position[:2] - end)) < 5e-3 and slip < 0.12
    assert tried > 100
    assert good / tried > 0.97


def _free_spot(world, rng, spec):
    for _ in range(200):
        end = np.array([rng.uniform(*shapes.WORKSPACE_X), rng.uniform(*shapes.WORKSPACE_Y)])
        others = [other for other in world.scene.objects if other.name != spec.name]
        if all(np.hypot(*(at(world, o.name)[:2] - end)) > _radius(o) + _radius(spec) + 0.025 for o in others):
            return end
    return None


def _radius(spec):
    return math.hypot(*shapes.dimensions(spec.kind, spec.size)[:2]) / 2


@pytest.mark.parametrize("yaw", [-1.5, 0.0, 1.5])
def test_workspace_is_reached_at_all_heights(yaw):
    low_x, high_x = shapes.WORKSPACE_X
    for x in (low_x, 0.0, high_x):
        for y in shapes.WORKSPACE_Y:
            for z in (0.005, 0.2, shapes.REACH_HEIGHT):
                azimuth = math.atan2(y, x - shapes.BASE_POSITION[0])
                branch = yaw if yaw - azimuth > -1.9 else yaw + math.pi
                joints = HOME_JOINTS
                for share in np.linspace(0.1, 1, 10):
                    target = (1 - share) * np.array(HOME_POSITION) + share * np.array([x, y, z])
                    joints = kinematics.inverse(joints, target, kinematics.vertical(share * branch))
                position, rotation, _ = kinematics.forward(joints)
                assert position == pytest.approx([x, y, z], abs=1e-4)
                assert np.abs(rotation - kinematics.vertical(branch)).max() < 1e-3


def test_the_way_home_never_leads_through_the_wrists_limit(world):
    """After this turn the wrist stands more than half a turn from home; the shortest way back is the wrong one."""
    world.load(scene(lying("it", Kind.PLANK, 0.0, 0.0, Size.SMALL, yaw=-1.2)))
    errors = []
    world.after_step = lambda: errors.append(np.abs(world.robot.joints()[:7, 0] - world.arm_target).max())
    pick_and_place(world, (0.0, 0.0), (-0.1, 0.2), 1.2)
    world.after_step = None
    assert max(errors) < 0.15, "the motors cannot follow"
