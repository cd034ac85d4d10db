from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from envs.calvin.tasks import TASKS, BlockInfo, Bodies, SceneInfo, achieved, needs, rotation_difference

BODIES = Bodies(
    robot=0,
    table=5,
    blocks={"block_red": 2, "block_blue": 3, "block_pink": 4},
    links={"base_link": -1, "plank_link": 6, "drawer_link": 3},
)
TOP, SHELF, DRAWER = (5, -1), (5, 6), (5, 3)


def block(x=0.0, y=0.0, z=0.46, yaw=0.0, contacts=(TOP,), speed=0.0):
    quaternion = tuple(Rotation.from_euler("z", yaw, degrees=True).as_quat())
    return BlockInfo((x, y, z), quaternion, (speed, 0.0, 0.0), (0.0, 0.0, 0.0), frozenset(contacts))


def scene(robot=(), slide=0.0, drawer=0.0, bulb=0, led=0, **blocks):
    named = {f"block_{colour}": block(x=0.2 * i) for i, colour in enumerate(("red", "blue", "pink"))}
    named |= {f"block_{colour}": value for colour, value in blocks.items()}
    return SceneInfo(
        named, frozenset(robot), {"base__slide": slide, "base__drawer": drawer}, {"lightbulb": bulb, "led": led}
    )


def done(start, end):
    return set(achieved(BODIES, start, end))


def test_there_are_34_tasks_and_standing_still_is_none():
    assert len(TASKS) == 34
    assert done(scene(), scene()) == set()


@pytest.mark.parametrize(
    ("yaw", "expected"), [(59, set()), (61, {"rotate_red_block_left"}), (-61, {"rotate_red_block_right"})]
)
def test_rotation_threshold(yaw, expected):
    assert done(scene(), scene(red=block(yaw=yaw))) == expected


def test_rotation_needs_a_surface_and_little_motion():
    assert done(scene(), scene(red=block(yaw=90, contacts=[(0, 9)]))) == set()
    assert done(scene(), scene(red=block(y=0.11, yaw=90))) == set()


@pytest.mark.parametrize(
    ("x", "expected"), [(0.1, set()), (0.101, {"push_red_block_right"}), (-0.101, {"push_red_block_left"})]
)
def test_push_threshold(x, expected):
    assert done(scene(), scene(red=block(x=x))) == expected


def test_push_must_keep_the_surface():
    assert done(scene(), scene(red=block(x=0.2, contacts=[SHELF]))) == set()


@pytest.mark.parametrize(
    ("surface", "place", "height"), [(TOP, "table", 0.05), (SHELF, "slider", 0.03), (DRAWER, "drawer", 0.05)]
)
def test_lift_depends_on_where_the_block_lay(surface, place, height):
    start = scene(blue=block(x=0.2, contacts=[surface]))
    held = {"contacts": [(0, 10), (0, 12)]}
    assert done(start, scene(blue=block(x=0.2, z=0.46 + height + 0.001, **held))) == {f"lift_blue_block_{place}"}
    assert done(start, scene(blue=block(x=0.2, z=0.46 + height - 0.001, **held))) == set()
    assert done(start, scene(blue=block(x=0.2, z=0.6, contacts=[(0, 10), TOP]))) == set()


@pytest.mark.parametrize(("surface", "task"), [(SHELF, "place_in_slider"), (DRAWER, "place_in_drawer")])
def test_place_needs_the_block_held_before_and_let_go_after(surface, task):
    held = scene(robot=[2], red=block(z=0.6, contacts=[(0, 9)]))
    assert done(held, scene(red=block(contacts=[surface]))) == {task}
    assert done(held, scene(robot=[2], red=block(contacts=[surface]))) == set()
    assert task not in done(
        scene(robot=[2, 5], red=block(z=0.6, contacts=[(0, 9)])), scene(red=block(contacts=[surface]))
    )


def test_push_into_drawer_ignores_the_robot_as_the_public_code_does():
    assert done(scene(), scene(pink=block(x=0.4, z=0.36, contacts=[DRAWER, (0, 9)]))) == {"push_into_drawer"}
    assert (
        done(scene(pink=block(x=0.4, contacts=[TOP, (0, 9)])), scene(pink=block(x=0.4, z=0.36, contacts=[DRAWER])))
        == set()
    )


def test_stack_and_unstack_mirror_each_other():
    stacked = scene(red=block(x=0.2, z=0.5, contacts=[(3, -1)]), blue=block(x=0.2, contacts=[TOP, (2, -1)]))
    assert done(scene(red=block(x=0.21)), stacked) == {"stack_block"}
    assert done(stacked, scene(red=block(x=0.21))) == {"unstack_block"}
    moving = scene(red=block(x=0.2, z=0.5, contacts=[(3, -1)], speed=1.0))
    assert done(scene(red=block(x=0.21)), moving) == set()


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ({}, {"slide": 0.151}, "move_slider_left"),
        ({"slide": 0.28}, {"slide": 0.12}, "move_slider_right"),
        ({}, {"drawer": 0.121}, "open_drawer"),
        ({"drawer": 0.2}, {"drawer": 0.07}, "close_drawer"),
        ({}, {"bulb": 1}, "turn_on_lightbulb"),
        ({"bulb": 1}, {}, "turn_off_lightbulb"),
        ({}, {"led": 1}, "turn_on_led"),
        ({"led": 1}, {}, "turn_off_led"),
    ],
)
def test_furniture(start, end, expected):
    assert done(scene(**start), scene(**end)) == {expected}
    assert done(scene(**end), scene(**end)) == set()


def test_needs_names_enough_for_the_verdict():
    start = scene(robot=[2], red=block(z=0.6, contacts=[(0, 9)]))
    end = scene(red=block(x=0.3, yaw=80, contacts=[SHELF]))
    for task in TASKS:
        blocks, robot = needs(task)
        partial = replace(
            end,
            blocks={name: end.blocks[name] for name in blocks},
            robot_contacts=end.robot_contacts if robot else frozenset(),
        )
        assert achieved(BODIES, start, partial, (task,)) == achieved(BODIES, start, end, (task,))


quaternions = st.tuples(*[st.floats(-1, 1) for _ in range(4)]).filter(lambda q: np.linalg.norm(q) > 0.1)


@given(quaternions, quaternions)
def test_rotation_difference_agrees_with_scipy(start, end):
    expected = (Rotation.from_quat(end) * Rotation.from_quat(start).inv()).as_matrix()
    start, end = (tuple(np.array(q) / np.linalg.norm(q)) for q in (start, end))
    angles = rotation_difference(start, end)
    assume(abs(angles[1]) < 89.9)  # upright on its side the angles are not unique, and every verdict is no
    np.testing.assert_allclose(Rotation.from_euler("xyz", angles, degrees=True).as_matrix(), expected, atol=1e-6)
