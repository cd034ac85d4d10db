"""Conditions change what they say and nothing else."""

import json
from dataclasses import replace

import numpy as np
import pytest

from envs.tabletop.cameras import Light, Views
from envs.tabletop.conditions import Conditions
from envs.tabletop.scene import Colour, Kind
from envs.tabletop.shapes import DENSITY, FRICTION, RGBA
from envs.tabletop.skills import push
from envs.tabletop.world import TabletopWorld
from tests.envs.tabletop.scenes import lying, scene, tower

SCENE = scene(*tower(2), lying("box", Kind.CUBE, 0.02, 0.15), lying("wedge", Kind.WEDGE, -0.05, -0.1))
LOOKS = {
    "camera": Conditions(views=Views(static_eye=(0.65, 0.2, 0.6))),
    "roll": Conditions(views=Views(static_roll=0.1)),
    "gripper camera": Conditions(views=Views(gripper_eye=(0.08, 0.01, -0.06))),
    "light": Conditions(light=Light(direction=(-0.5, 0.9, 0.8), colour=(1.0, 0.9, 0.7), ambient=0.4)),
    "shadows": Conditions(light=Light(shadows=True)),
    "paints": Conditions(palette={**RGBA, **dict.fromkeys(Colour, (0.3, 0.3, 0.3, 1.0))}),
    "table": Conditions(table=(0.3, 0.5, 0.6, 1.0)),
}


@pytest.fixture(scope="module")
def world():
    world = TabletopWorld()
    yield world
    world.close()


def outcome(world, conditions):
    """Digests of a fixed little history, and what both cameras see at its start."""
    world.load(SCENE, conditions)
    frames = {name: world.render(name, 64) for name in ("rgb_static", "rgb_gripper")}
    digests = [world.digest()]
    push(world, (0.02, 0.22), (0.02, 0.08))
    return [*digests, world.digest()], frames


def test_standard_conditions_are_no_conditions(world):
    digests, frames = outcome(world, None)
    same, alike = outcome(world, Conditions())
    assert digests == same
    assert all(np.array_equal(frames[name].rgb, alike[name].rgb) for name in frames)


@pytest.mark.parametrize("name", LOOKS)
def test_looks_change_pictures_only(world, name):
    standard, before = outcome(world, None)
    digests, after = outcome(world, LOOKS[name])
    assert digests == standard
    changed = {view for view in before if not np.array_equal(before[view].rgb, after[view].rgb)}
    moved = {view for view in before if not np.array_equal(before[view].segmentation, after[view].segmentation)}
    match name:
        case "camera" | "roll":
            assert changed == moved == {"rgb_static"}
        case "gripper camera":
            assert changed == moved == {"rgb_gripper"}
        case _:
            assert "rgb_static" in changed
            assert not moved


@pytest.mark.parametrize("conditions", [Conditions(friction=0.5), Conditions(mass=2.5)])
def test_friction_and_mass_change_the_outcome_only(world, conditions):
    standard, before = outcome(world, None)
    digests, after = outcome(world, conditions)
    assert digests[1] != standard[1]
    assert all(np.abs(before[n].rgb.astype(int) - after[n].rgb).mean() < 0.5 for n in before)


def test_factors_are_those_of_contacts_and_masses(world):
    world.load(SCENE, Conditions(friction=0.5, mass=3.0))
    box = world.client.getDynamicsInfo(world.objects["box"], -1)
    assert box[0] == pytest.approx(3.0 * DENSITY * 0.04**3)
    assert box[1] ** 2 == pytest.approx(0.5 * FRICTION**2)


def test_conditions_are_part_of_a_snapshot(world):
    slippery = Conditions(friction=0.5, table=(0.3, 0.5, 0.6, 1.0))
    world.load(SCENE, slippery)
    snapshot = world.get_state()
    push(world, (0.02, 0.22), (0.02, 0.08))
    expected, picture = world.digest(), world.render("rgb_static", 32).rgb
    world.load(SCENE)
    assert world.conditions == Conditions()
    world.set_state(snapshot)
    assert world.conditions == slippery
    push(world, (0.02, 0.22), (0.02, 0.08))
    assert world.digest() == expected
    assert np.array_equal(world.render("rgb_static", 32).rgb, picture)


@pytest.mark.parametrize("conditions", [*LOOKS.values(), Conditions(friction=0.7, mass=1.2)])
def test_json(conditions):
    assert Conditions.from_dict(json.loads(json.dumps(conditions.to_dict()))) == conditions
    assert replace(conditions, mass=9.0) != conditions
