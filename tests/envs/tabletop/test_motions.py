"""Motions through relative actions: within their limits, and as precise as skills."""

import numpy as np
import pytest

from baselines.thinkbench_moves import towards
from envs.tabletop import kinematics, shapes
from envs.tabletop.actions import delta_action, parse_delta
from envs.tabletop.env import TabletopEnv
from envs.tabletop.motions import DELTA, Motions, ToolTarget
from envs.tabletop.scene import Kind, Size
from tests.envs.tabletop.scenes import lying, scene


@pytest.fixture(scope="module")
def env():
    env = TabletopEnv(control="delta", observation_keys=())
    yield env
    env.close()


def run(env, motion):
    """Carry a motion out in actions; how far the commanded pose was ever from the motion's target."""
    worst = 0.0
    for target in motion:
        action = towards(env.world, target)
        assert env.action_space.contains(action)
        env.step(action)
        worst = max(worst, float(np.abs(env.world.tool_target[0] - target.position).max()))
    return worst


def test_delta_action_is_the_inverse_of_its_reading():
    shift, angles = np.array([0.01, -0.02, 0.005]), np.array([0.0, 0.03, -0.05])
    action = delta_action(shift, angles, opens=True)
    read_shift, read_angles, opens = parse_delta(action)
    assert read_shift == pytest.approx(shift, abs=1e-8)
    assert read_angles == pytest.approx(angles, abs=1e-8)
    assert opens
    assert not parse_delta(delta_action(shift, angles, opens=False))[2]
    assert delta_action([1.0, 0, 0], [0, 0, -1.0], opens=True).tolist() == [1, 0, 0, 0, 0, -1, 1]


@pytest.mark.parametrize(
    ("kind", "size"), [(Kind.CUBE, Size.SMALL), (Kind.PYRAMID, Size.LARGE), (Kind.PLANK, Size.MEDIUM)]
)
def test_places_precisely_and_turns(env, kind, size):
    env.reset(options={"scene": scene(lying("it", kind, -0.09, 0.15, size, yaw=0.5))})
    _, before = env.world.pose("it")
    worst = run(env, Motions(env.world, DELTA).pick_and_place((-0.085, 0.152), (0.11, -0.2), -1.0))
    position, after = env.world.pose("it")
    assert worst < 1e-3
    assert position[:2] == pytest.approx([0.11, -0.2], abs=4e-3)
    assert kinematics.rotation_vector(after @ before.T) == pytest.approx([0, 0, -1.0], abs=0.06)


def test_takes_one_of_three_that_stand_close(env):
    """Between neighbours the gripper's opening is kept narrow, though it can only open and close."""
    gap = 0.04 + shapes.FINGER_GAP + 0.008
    row = [lying(name, Kind.CUBE, 0.0, y) for name, y in (("left", gap), ("middle", 0.0), ("right", -gap))]
    env.reset(options={"scene": scene(*(item for item in row))})
    run(env, Motions(env.world, DELTA).pick_and_place((0.0, 0.0), (0.12, 0.0), 0.0))
    assert env.world.pose("middle")[0][:2] == pytest.approx([0.12, 0.0], abs=4e-3)
    for name, y in (("left", gap), ("right", -gap)):
        assert env.world.pose(name)[0][:2] == pytest.approx([0.0, y], abs=4e-3)


def test_an_opening_between_is_kept_by_turns(env):
    env.reset(options={"scene": scene()})
    position, orientation = env.world.tool_target
    widths = []
    for _ in range(30):
        env.step(towards(env.world, ToolTarget(position, orientation, 0.05)))
        widths.append(env.world.robot.gripper_width())
    assert max(widths[10:]) - min(widths[10:]) < 0.02
    assert min(widths[10:]) == pytest.approx(0.05, abs=0.016)


def test_a_push_in_relative_actions(env):
    env.reset(options={"scene": scene(lying("it", Kind.CUBE, 0.0, 0.0))})
    run(env, Motions(env.world, DELTA).push((0.0, 0.1), (0.0, -0.05)))
    assert env.world.pose("it")[0][1] < -0.05
