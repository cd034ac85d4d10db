"""The Gymnasium face of the tabletop world."""

import math

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

import envs.tabletop  # noqa: F401  (registers the environment)
from envs.tabletop import actions, shapes
from envs.tabletop.actions import Primitive
from envs.tabletop.env import FILM_EVERY, TabletopEnv
from envs.tabletop.scene import Kind
from tests.envs.tabletop.scenes import lying, scene, tower

SMALL = {"image_size": 32}
SCENE = scene(*tower(2), lying("pyramid", Kind.PYRAMID, -0.1, -0.15))


@pytest.mark.parametrize("control", ["skill", "delta"])
def test_passes_check_env(control):
    env = gymnasium.make(
        "thinkjepa/Tabletop-v0", control=control, depth=True, segmentation=True, render_mode="rgb_array", **SMALL
    )
    check_env(env.unwrapped)
    env.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vectorises(mode):
    envs_ = gymnasium.make_vec("thinkjepa/Tabletop-v0", num_envs=2, vectorization_mode=mode, control="delta", **SMALL)
    observation, _ = envs_.reset(seed=[5, 5])
    for _ in range(3):
        action = envs_.single_action_space.sample()
        observation, *_ = envs_.step(np.stack([action, action]))
    assert observation["rgb_static"].shape == (2, 32, 32, 3)
    assert (observation["robot_obs"][0] == observation["robot_obs"][1]).all()
    assert (observation["rgb_static"][0] == observation["rgb_static"][1]).all()
    envs_.close()


def test_renders_only_what_is_asked_for():
    env = TabletopEnv(observation_keys=("robot_obs",), control="delta", **SMALL)
    env.reset(seed=0)
    env.step(np.zeros(7))
    assert env.world.renders == 0
    env.render()
    assert env.world.renders == 1
    env = TabletopEnv(observation_keys=("rgb_gripper", "depth_gripper"), depth=True, control="delta", **SMALL)
    observation, _ = env.reset(seed=0)
    assert set(observation) == {"rgb_gripper", "depth_gripper"}
    assert env.world.renders == 1
    env.step(np.zeros(7))
    assert env.world.renders == 2


def test_skill_renders_once_per_camera():
    env = TabletopEnv(**SMALL)
    env.reset(seed=0, options={"scene": SCENE})
    before = env.world.renders
    env.step(actions.skill_action(Primitive.PICK_AND_PLACE, (0, 0), (0.1, 0.1)))
    assert env.world.renders == before + 2


def test_scene_as_data_equals_scene_as_object():
    env = TabletopEnv(observation_keys=("robot_obs",))
    env.reset(options={"scene": SCENE})
    first = env.state_digest()
    env.reset(options={"scene": SCENE.to_dict()})
    assert env.state_digest() == first
    assert env.world.scene == SCENE


def test_seed_draws_the_scene():
    env = TabletopEnv(observation_keys=("robot_obs",))
    digests = []
    for seed in (1, 2, 1):
        env.reset(seed=seed)
        digests.append(env.state_digest())
    assert digests[0] == digests[2] != digests[1]


def test_skill_action_stacks():
    env = TabletopEnv(observation_keys=("robot_obs",))
    env.reset(options={"scene": SCENE})
    *_, info = env.step(actions.skill_action(Primitive.PICK_AND_PLACE, (-0.1, -0.15), (0.0, 0.0)))
    assert info["picked"] == "pyramid"
    assert info["settled"]
    assert env.world.pose("pyramid")[0] == pytest.approx([0, 0, 0.1], abs=3e-3)


def test_delta_control_moves_by_calvins_scale():
    env = TabletopEnv(control="delta", observation_keys=("robot_obs",))
    start, _ = env.reset(options={"scene": SCENE})
    for action in ([1, 0, 0, 0, 0, 0, 1], [0, -1, 0, 0, 0, 0, 1], [0, 0, -1, 0, 0, 1, -1]):
        env.step(action)
    for _ in range(10):
        end, *_ = env.step([0, 0, 0, 0, 0, 0, -1])
    assert (end["robot_obs"] - start["robot_obs"])[:3] == pytest.approx([0.02, -0.02, -0.02], abs=1e-3)
    turn = (end["robot_obs"] - start["robot_obs"])[5]
    assert turn == pytest.approx(0.05, abs=2e-3)
    assert start["robot_obs"][14] == 1.0
    assert end["robot_obs"][14] == -1.0
    assert end["robot_obs"][6] < 0.005 < start["robot_obs"][6]


def test_delta_control_picks_up_a_cube():
    env = TabletopEnv(control="delta", observation_keys=("robot_obs",))
    observation, _ = env.reset(options={"scene": scene(lying("cube", Kind.CUBE, 0.05, 0.05))})

    def go(target, gripper, steps):
        nonlocal observation
        for _ in range(steps):
            shift = (np.array(target) - env.world.tool_target[0]) / actions.DELTA_POSITION
            observation, *_ = env.step(np.append(np.clip(shift, -1, 1), [0, 0, 0, gripper]))

    go((0.05, 0.05, 0.1), 1, 25)
    go((0.05, 0.05, 0.02), 1, 10)
    go((0.05, 0.05, 0.02), -1, 8)
    go((0.05, 0.05, 0.2), -1, 15)
    assert env.world.held() == "cube"
    assert env.world.pose("cube")[0] == pytest.approx([0.05, 0.05, 0.2], abs=5e-3)


def test_restore_through_the_environment():
    env = TabletopEnv(control="delta", **SMALL)
    env.reset(options={"scene": SCENE})
    for _ in range(5):
        env.step([0, 0, -1, 0, 0, 0, 1])
    state, picture = env.get_state(), env.observe()
    env.step([0, 0, -1, 0, 0, 0, 1])
    later = env.state_digest()
    again = env.set_state(state)
    assert all(np.array_equal(again[key], picture[key]) for key in picture)
    env.step([0, 0, -1, 0, 0, 0, 1])
    assert env.state_digest() == later


def test_pictures_show_what_is_there():
    env = TabletopEnv(image_size=96, segmentation=True, depth=True)
    observation, _ = env.reset(options={"scene": SCENE})
    count = len(SCENE.objects)
    for view in ("static", "gripper"):
        assert len(set(np.unique(observation[f"segmentation_{view}"])) & set(range(1, count + 1))) >= 1
    assert set(range(1, count + 1)) <= set(np.unique(observation["segmentation_static"]))
    assert 0.4 < observation["depth_static"].min() < 1.0


@pytest.mark.parametrize(
    "arguments",
    [{"control": "joint"}, {"cameras": ("rgb_top",)}, {"observation_keys": ("depth_static",)}, {"image_size": 0}],
)
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=r"no|No|at least"):
        TabletopEnv(**arguments)


@pytest.mark.parametrize("action", [np.zeros(5), np.full(6, np.nan)])
def test_wrong_actions_are_refused(action):
    env = TabletopEnv(observation_keys=("robot_obs",))
    env.reset(options={"scene": scene()})
    with pytest.raises(ValueError, match="6 finite numbers"):
        env.step(action)


@given(
    st.sampled_from(list(Primitive)),
    st.tuples(st.floats(*shapes.WORKSPACE_X), st.floats(*shapes.WORKSPACE_Y)),
    st.tuples(st.floats(*shapes.WORKSPACE_X), st.floats(*shapes.WORKSPACE_Y)),
    st.floats(-math.pi / 2, math.pi / 2),
)
def test_skill_actions_round_trip(primitive, start, end, turn):
    action = actions.skill_action(primitive, start, end, turn)
    assert actions.action_space("skill").contains(action)
    skill = actions.parse_skill(action)
    assert skill.primitive is primitive
    assert skill.start == pytest.approx(start, abs=1e-6)
    assert skill.end == pytest.approx(end, abs=1e-6)
    assert skill.turn == pytest.approx(turn, abs=1e-6)


def test_a_pick_and_place_that_ends_where_it_starts_moves_nothing() -> None:
    env = TabletopEnv(observation_keys=())
    env.reset(options={"scene": SCENE})
    before = env.state_digest()
    target = SCENE.objects[0].position[:2]
    info = env.step(actions.skill_action(Primitive.PICK_AND_PLACE, target, target))[-1]
    assert (info["picked"], info["control_steps"]) == (None, 0)
    assert env.state_digest() == before
    env.close()


def test_filming_changes_nothing_but_the_pictures() -> None:
    digests = []
    for film in (False, True):
        env = TabletopEnv(observation_keys=(), image_size=32, film=film)
        env.reset(options={"scene": SCENE})
        info = env.step(actions.skill_action(Primitive.PUSH, (0.0, -0.1), (0.05, 0.1)))[-1]
        digests.append(env.state_digest())
        assert len(info.get("frames", ())) == (info["control_steps"] // FILM_EVERY if film else 0)
        assert (env.render_seconds > 0) is film
        env.close()
    assert digests[0] == digests[1]
