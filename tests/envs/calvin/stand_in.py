"""A stand-in for the public simulator: the few attributes and methods of it that the adapter uses.

It wraps the project's own `World`, so the physics is real; records have the public layout, with whole rows of
``getContactPoints``. Like the public one it keeps the gripper command over a reset and scales actions in place.
"""

from types import SimpleNamespace

import numpy as np

from envs.calvin.assets import find_assets
from envs.calvin.cameras import render_gripper, render_static
from envs.calvin.layouts import Scene
from envs.calvin.world import BUTTON, LED, LIGHT, SWITCH, LedVariant, World

calls: list[str] = []
"""What the adapter did, over all stand-ins."""


class Light:
    def __init__(self, name, link, world):
        self.name, self._link, self._world = name, link, world

    def reset(self, state):
        self._world.lights[self._link] = int(state)

    def get_state(self):
        return self._world.lights[self._link]


class Button:
    def __init__(self, light, head, world):
        self.light, self._head, self._world = light, head, world

    def reset(self):
        self._world._button_on = self._head and bool(self.light.get_state())

    @property
    def state(self):
        return SimpleNamespace(value=int(self._world._button_on))

    @property
    def prev_is_pressed(self):
        return self._world._button_was_pressed


class Switch:
    def __init__(self, world):
        self._world = world

    @property
    def state(self):
        return SimpleNamespace(value=int(self._world._switch_on))


class Camera:
    def __init__(self, name, world):
        self.name, self._world = name, world

    def render(self):
        calls.append(f"render {self.name}")
        frame = (render_static if self.name == "static" else render_gripper)(self._world)
        return frame.rgb, frame.depth.astype(np.float64)


class Robot:
    def __init__(self, world):
        self._world = world
        self.gripper_action = 1

    @property
    def target_pos(self):
        return self._world.robot.target_position

    @property
    def target_orn(self):
        return self._world.robot.target_euler


class StandIn:
    """Arguments as in the public ``env/play_table_env.yaml``, plus ``letter`` and ``head``."""

    def __init__(self, cameras, use_egl, use_scene_info, show_gui, letter, head):
        assert not use_egl
        assert not show_gui
        assert use_scene_info
        led = LedVariant.HEAD if head else LedVariant.PINNED
        self._world = world = World(Scene(letter), find_assets(), led=led, visuals=bool(cameras))
        world._load()
        self.p = world.client
        self.robot = Robot(world)
        lights = [Light("lightbulb", LIGHT, world), Light("led", LED, world)]
        self.scene = SimpleNamespace(
            np_random=None, lights=lights, buttons=[Button(lights[1], head, world)], switches=[Switch(world)]
        )
        self.cameras = [Camera(name, world) for name in cameras]

    def seed(self, seed):
        calls.append(f"seed {seed}")
        self.np_random = f"random numbers of seed {seed}"

    def load(self):
        assert self.scene.np_random == "random numbers of seed 0"
        calls.append("load")

    def reset(self, robot_obs, scene_obs):
        calls.append("reset")
        self._world.reset(robot_obs, scene_obs)

    def step(self, action):
        for camera in self.cameras:
            camera.render()
        if isinstance(action, tuple):
            position, euler, gripper = action
            self._world.step_absolute(np.array([*position, *euler, gripper], dtype=np.float32))
            self.robot.gripper_action = gripper
        else:
            self._world.step_relative(action)
            self.robot.gripper_action = action[6]
            action[:3] *= 0.02
        return {}, 0, False, self.get_info()

    def get_state_obs(self):
        robot_obs = self._world.robot_obs()
        robot_obs[14] = self.robot.gripper_action
        return {"robot_obs": robot_obs, "scene_obs": self._world.scene_obs()}

    def get_info(self):
        world, client = self._world, self.p
        movable = {}
        for name, uid in world.bodies.blocks.items():
            position, orientation = client.getBasePositionAndOrientation(uid)
            linear, angular = client.getBaseVelocity(uid)
            movable[name] = {
                "current_pos": position,
                "current_orn": orientation,
                "current_lin_vel": linear,
                "current_ang_vel": angular,
                "contacts": client.getContactPoints(bodyA=uid),
                "uid": uid,
            }
        table = world.bodies.table
        joints = {name: world.client.getJointState(table, joint)[0] for name, joint in (("b", BUTTON), ("s", SWITCH))}
        robot = world.bodies.robot
        return {
            "robot_info": {"uid": robot, "contacts": client.getContactPoints(bodyA=robot)},
            "scene_info": {
                "fixed_objects": {"table": {"uid": table, "links": dict(world.bodies.links)}},
                "movable_objects": movable,
                "doors": {name: {"current_state": value} for name, value in world.info((), False).doors.items()},
                "buttons": {"base__button": {"joint_state": joints["b"]}},
                "switches": {"base__switch": {"joint_state": joints["s"]}},
                "lights": {light.name: {"logical_state": light.get_state()} for light in self.scene.lights},
            },
        }

    def close(self):
        print("disconnecting")
        calls.append("close")
        self._world.close()
