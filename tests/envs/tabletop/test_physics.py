"""Facts of physics that ThinkBench's tasks rest on."""

import numpy as np
import pytest

from envs.bullet import SimulationError
from envs.tabletop import shapes
from envs.tabletop.scene import Kind, Size
from envs.tabletop.world import TabletopWorld
from tests.envs.tabletop.scenes import lying, scene, tower


@pytest.fixture(scope="module")
def world():
    world = TabletopWorld()
    yield world
    world.close()


def height(world, name):
    return world.pose(name)[0][2]


@pytest.mark.parametrize("shift", [0.0, 0.002])
def test_tower_of_seven_stands(world, shift):
    world.load(scene(*tower(7, shift=shift)))
    world.hold(100)
    assert [height(world, f"t{level}") for level in range(7)] == pytest.approx(
        [0.02 + 0.04 * level for level in range(7)], abs=1e-3
    )


def test_leaning_tower_falls(world):
    world.load(scene(*tower(5, shift=0.015)))
    world.hold(40)
    assert height(world, "t4") < 0.1


@pytest.mark.parametrize("size", list(Size))
def test_plank_bridges_two_supports(world, size):
    half = shapes.dimensions(Kind.PLANK, size)[0] / 2 - 0.015
    supports = [lying("a", Kind.CUBE, -half, 0), lying("b", Kind.CUBE, half, 0)]
    world.load(
        scene(*supports, lying("plank", Kind.PLANK, 0, 0, size, on=0.04), lying("top", Kind.CUBE, 0, 0, on=0.06))
    )
    world.hold(40)
    thickness = shapes.dimensions(Kind.PLANK, size)[2]
    assert height(world, "plank") == pytest.approx(0.04 + thickness / 2, abs=2e-3)
    assert height(world, "top") == pytest.approx(0.06 + thickness, abs=2e-3)
    assert world.state().objects["plank"].touching == {"a", "b", "top"}


def test_plank_falls_without_second_support(world):
    world.load(scene(lying("a", Kind.CUBE, -0.05, 0), lying("plank", Kind.PLANK, 0.0, 0, on=0.04)))
    world.hold(40)
    assert world.pose("plank")[1][2, 2] < 0.95


@pytest.mark.parametrize("kind", sorted(shapes.SLOPED))
@pytest.mark.parametrize(
    "size",
    [Size.MEDIUM, *(pytest.param(size, marks=pytest.mark.slow) for size in Size if size is not Size.MEDIUM)],
)
@pytest.mark.parametrize("top", [Kind.CUBE, Kind.CYLINDER, Kind.PYRAMID, Kind.PLANK])
def test_nothing_rests_on_slopes_not_even_centred(world, kind, size, top):
    peak = shapes.dimensions(kind, size)[2] + 1e-4
    for offset in ((5e-5, 5e-5), (3e-4, 1e-4), (0.003, 0.002), (0.008, -0.006), (-0.01, 0.004)):
        world.load(scene(lying("base", kind, 0, 0, size), lying("top", top, *offset, on=peak)))
        world.hold(40)
        fell_to_the_floor = height(world, "top") < 0  # a cylinder may roll off the table
        assert fell_to_the_floor or "table" in world.state().objects["top"].touching, offset


@pytest.mark.parametrize("kind", sorted(set(Kind) - shapes.SLOPED - shapes.CONTAINERS))
def test_cube_rests_on_supports(world, kind):
    top = shapes.dimensions(kind, Size.MEDIUM)[2]
    world.load(scene(lying("base", kind, 0, 0), lying("cube", Kind.CUBE, 0.004, 0.0, on=top)))
    world.hold(60)
    assert height(world, "cube") == pytest.approx(top + 0.02, abs=1e-3)


@pytest.mark.parametrize("kind", sorted(shapes.CONTAINERS))
@pytest.mark.parametrize("size", list(Size))
def test_containers_hold_a_dropped_cube(world, kind, size):
    world.load(scene(lying("box", kind, 0, 0, size), lying("cube", Kind.CUBE, 0, 0, Size.SMALL, on=0.07)))
    world.hold(20)
    assert height(world, "cube") == pytest.approx(shapes.floor_height(kind) + 0.015, abs=2e-3)
    assert "box" in world.state().objects["cube"].touching


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("size", list(Size))
def test_objects_rest_at_their_stated_height(world, kind, size):
    world.load(scene(lying("it", kind, 0.02, -0.03, size, yaw=0.4)))
    world.hold(10)
    position, rotation = world.pose("it")
    assert position == pytest.approx([0.02, -0.03, shapes.dimensions(kind, size)[2] / 2], abs=1e-3)
    assert rotation[2, 2] > 0.9999


def test_overlapping_objects_are_pushed_apart_or_reported(world):
    world.load(scene(lying("a", Kind.CUBE, 0, 0), lying("b", Kind.CUBE, 0.01, 0)))
    assert np.linalg.norm(world.pose("a")[0] - world.pose("b")[0]) > 0.035


def test_not_a_number_raises_a_typed_error(world):
    world.load(scene(lying("a", Kind.CUBE, 0, 0)))
    world.client.resetBaseVelocity(world.objects["a"], [float("nan"), 0, 0])
    with pytest.raises(SimulationError, match="'a'"):
        world.hold(1)


def test_explosion_raises_a_typed_error(world):
    world.load(scene(lying("a", Kind.CUBE, 0, 0)))
    world.client.resetBaseVelocity(world.objects["a"], [0, 0, 500.0])
    with pytest.raises(SimulationError, match="exploded"):
        world.hold(1)


def test_malformed_scenes_are_refused(world):
    cube = lying("a", Kind.CUBE, 0, 0)
    with pytest.raises(ValueError, match="unique"):
        world.load(scene(cube, cube))
    with pytest.raises(ValueError, match="table"):
        world.load(scene(lying("table", Kind.CUBE, 0, 0)))
    with pytest.raises(ValueError, match="finite"):
        world.load(scene(lying("a", Kind.CUBE, float("nan"), 0)))
