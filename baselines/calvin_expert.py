"""The privileged expert on CALVIN: solves the 34 tasks in closed loop through the agents' own relative actions.

Every task is a short program (a generator of actions) over a few motions: go to a pose, grasp, release, retreat. A
program reads the live ground truth before each motion; if it ends and the task is not done, it is run again.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi

import numpy as np

from baselines.calvin_motions import (
    CLOSE,
    TILTED,
    UPRIGHT,
    YAW,
    Block,
    Motion,
    Motions,
    Vector,
    lowest_corner,
    read_block,
)
from envs.calvin.layouts import DRAWER_FLOOR, SHELF_TOP, TABLE_TOP
from envs.calvin.tasks import rotation_difference
from envs.calvin.truth import PlayTableTruth
from harness.interfaces import Action, Observation, TaskView

TRAVEL_HEIGHT = 0.59
SLOT_GAP = 0.095
YAW_RANGE = (-0.1, 3.6)


class CalvinExpert:
    """Policy of the privileged expert for one stage at a time."""

    def begin(self, view: TaskView, observation: Observation) -> Motion:  # noqa: ARG002
        """A new stage starts.

        Raises:
            TypeError: The environment hands out no play-table truth.
        """
        if not isinstance(view.privileged, PlayTableTruth):
            raise TypeError(f"the CALVIN expert needs a PlayTableTruth, got {type(view.privileged).__name__}")
        return StageProgram(view.privileged).run()

    def decide(self, memory: Motion, view: TaskView, observation: Observation, rng: np.random.Generator) -> Action:  # noqa: ARG002
        """The program's next action."""
        return next(memory)


class StageProgram:
    """The program of one stage: retreat from where the last one ended, then do the task, again and again."""

    def __init__(self, truth: PlayTableTruth) -> None:
        self.truth = truth
        euler = truth.target_euler
        held = truth.start.robot_contacts & set(truth.bodies.blocks.values())
        self.held = next((name for name, uid in truth.bodies.blocks.items() if uid in held), None)
        grip = float(truth.robot_obs()[14])
        if grip > 0:
            self.held = None
        self.arm = Motions(truth, grip=grip, pitch=float(euler[1]), yaw=float(euler[2]))
        self.attempt = 0

    def run(self) -> Motion:
        """Actions without end."""
        task = self.truth.task
        words = task.split("_")
        programs: dict[str, Callable[[], Motion]] = {
            "rotate": lambda: self.rotate(f"block_{words[1]}", words[-1]),
            "push": lambda: self.push(f"block_{words[1]}", words[-1]),
            "lift": lambda: self.lift(f"block_{words[1]}"),
            "move": lambda: self.move_slider(words[-1]),
            "open": self.open_drawer,
            "close": self.close_drawer,
            "place": lambda: self.place(words[-1]),
            "stack": self.stack,
            "unstack": self.unstack,
            "turn": lambda: self.led() if words[-1] == "led" else self.lightbulb(words[1]),
        }
        program = self.push_into_drawer if task == "push_into_drawer" else programs[words[0]]
        if words[0] not in ("place", "stack"):
            if self.held is not None and task.startswith("rotate") and words[1] in self.held:
                yield from self.rotate_held(words[-1])
            if self.held is not None:
                yield from self.put_down()
            yield from self.finish_last()
            yield from self.retreat()
        while True:
            yield from program()
            yield from self.arm.wait(2)
            self.attempt += 1
            yield from self.retreat()

    # --------------------------------------------------------------------------------------- between tasks

    def slide(self) -> float:
        """Joint position of the sliding door."""
        return float(self.truth.scene_obs()[0])

    def drawer(self) -> float:
        """Joint position of the drawer."""
        return float(self.truth.scene_obs()[1])

    def finish_last(self) -> Motion:
        """Door and drawer tasks count as done half-way; complete the motion where the hand still is at the handle."""
        x, y, z = self.arm.tcp()
        layout = self.truth.layout
        drawer, slide = self.drawer(), self.slide()
        if z < 0.41 and abs(x - layout.drawer_x) < 0.05 and 0.08 < drawer < 0.2 and y < -0.25:
            opening = y > -0.235 - drawer
            yield from self.arm.go(x, -0.44 if opening else -0.27, self.truth.target_position[2], limit=20)
        handle = layout.slide_x + layout.handle_offset - slide
        if z > 0.5 and y > -0.03 and abs(x - handle) < 0.09 and 0.03 < slide < layout.slide_range - 0.03:
            side = -1 if x > handle else 1
            end = layout.slide_x + layout.handle_offset - (layout.slide_range if side < 0 else 0.0)
            yield from self.arm.go(end - side * 0.03, y, self.truth.target_position[2], limit=20)

    def retreat(self) -> Motion:
        """Bring the hand to a free place above the table."""
        x, y, z = self.truth.target_position
        if y > 0.02 and z < 0.6 and self.arm.pitch > -0.3:
            yield from self.arm.go(x, y, 0.61)
            y, z = -0.08, 0.61
            yield from self.arm.go(x, y, z, tolerance=0.03)
        elif y > -0.05:
            z = max(z + 0.03, 0.53)
            yield from self.arm.go(x, y - 0.03, z, tolerance=0.03)
            y = -0.10
            yield from self.arm.go(x, y, z, tolerance=0.03)
        if z < TRAVEL_HEIGHT:
            yield from self.arm.go(x, y, TRAVEL_HEIGHT, tolerance=0.03)

    def put_down(self) -> Motion:
        """Put a block that is still held onto a free spot of the table."""
        if self.held is None:
            return
        block = read_block(self.truth, self.held)
        x, y = self.free_spot(block.name, block.position)
        yield from self.place_at(x, y, TABLE_TOP)
        self.held = None

    def free_spot(self, name: str, near: Vector) -> tuple[float, float]:
        """The table spot closest to ``near`` that is clear of the other blocks, the button and the switch."""
        obstacles = [read_block(self.truth, other).position for other in self.truth.bodies.blocks if other != name]
        fixed = [(self.truth.layout.button_x, -0.12), (self.truth.layout.switch_x, 0.03)]
        points = [tuple(point[:2]) for point in obstacles if point[2] > 0.42] + fixed
        spots = [
            (float(x), float(y))
            for x in np.arange(-0.30, 0.35, 0.03)
            for y in (-0.12, -0.09, -0.06, -0.14)
            if all(np.hypot(x - px, y - py) > 0.105 for px, py in points)
        ]
        return min(spots, key=lambda spot: np.hypot(spot[0] - near[0], spot[1] - near[1]))

    # --------------------------------------------------------------------------------------------- blocks

    def choose_yaw(self, block: Block, turn: float = 0.0) -> float:
        """The grasp yaw nearest to the middle of the range in which yaw and yaw + turn can be reached."""
        middle = YAW - turn / 2
        options = [yaw for yaw in block.grasp_yaws if YAW_RANGE[0] <= yaw <= YAW_RANGE[1]]
        options = options or [YAW]
        if turn:
            good = [yaw for yaw in options if YAW_RANGE[0] <= yaw + turn <= YAW_RANGE[1]]
            options = good or options
        # A tilted hand leans along its yaw; it has to lean towards the front, out of cabinet and drawer.
        straight = 3.0 if self.arm.pitch < UPRIGHT - 0.1 else 1.0

        def cost(yaw: float) -> float:
            return straight * abs(yaw - middle) + (0.0 if self._fingers_clear(block, yaw) else 0.9)

        ranked = sorted(options, key=cost)
        return ranked[self.attempt % min(2, len(ranked))]

    def _fingers_clear(self, block: Block, yaw: float) -> bool:
        """Whether the open fingers have room beside the block."""
        direction = np.array([np.sin(yaw), -np.cos(yaw)])
        for other in self.truth.bodies.blocks:
            position = read_block(self.truth, other).position
            if other == block.name or abs(position[2] - block.position[2]) > 0.03:
                continue
            for side in (-1, 1):
                if np.hypot(*(block.position[:2] + side * 0.046 * direction - position[:2])) < 0.027:
                    return False
        return True

    def grasp(self, name: str, turn: float = 0.0) -> Motion:
        """Take a block where it lies: table, shelf, drawer or on another block."""
        block = read_block(self.truth, name)
        x, y, z = block.position
        on_shelf, in_drawer = y > 0.02, z < 0.42
        arm = self.arm
        yield from arm.open(1)
        arm.pitch = TILTED if on_shelf or in_drawer else UPRIGHT
        arm.yaw = self.choose_yaw(block, turn)
        if on_shelf:
            yield from self.uncover(x)
            arm.pitch = TILTED
            arm.yaw = self.choose_yaw(block, turn)
            yield from arm.go(x, -0.08, 0.60, tolerance=0.02)
            block = read_block(self.truth, name)
            x, y, z = block.position
            yield from arm.go(x, y - 0.04, z + 0.09, tolerance=0.01)
            yield from arm.go(x, y, z + 0.008, speed=0.6)
        else:
            above = z + 0.12
            yield from arm.go(x, y, max(above, 0.56), tolerance=0.02)
            block = read_block(self.truth, name)
            x, y, z = block.position
            arm.yaw = self.choose_yaw(block, turn)
            yield from arm.go(x, y, z + block.half_height + 0.035, tolerance=0.006)
            lowest = DRAWER_FLOOR + 0.02 if in_drawer else 0.46
            yield from arm.go(x, y, max(z + block.half_height - 0.018, lowest), speed=0.7, tolerance=0.004, limit=25)
        yield from arm.close()
        self.held = name

    def uncover(self, x: float) -> Motion:
        """Slide the door away from above ``x``."""
        left = self.truth.layout.slide_x - self.slide()
        if left - 0.05 < x < left + 0.28 + 0.05:
            go_left = x > self.truth.layout.slide_x - self.truth.layout.slide_range + 0.28
            slide = self.slide()
            if (go_left and slide < self.truth.layout.slide_range - 0.02) or (not go_left and slide > 0.02):
                yield from self.move_slider("left" if go_left else "right")
                yield from self.retreat()

    def lift(self, name: str) -> Motion:
        """Grasp and raise."""
        in_drawer = read_block(self.truth, name).position[2] < 0.42
        if in_drawer and self.drawer() < 0.19:
            yield from self.open_drawer()
            yield from self.retreat()
        yield from self.grasp(name)
        x, y, z = self.truth.target_position
        if y > 0.02:
            yield from self.arm.go(x, y - 0.04, z + 0.06)
            yield from self.arm.go(x, -0.07, z + 0.10)
        else:
            yield from self.arm.go(x, y, z + 0.14)

    def rotate(self, name: str, side: str) -> Motion:
        """Grasp, raise a little, turn by more than 60 degrees, put down."""
        start = self.truth.start.blocks[name].orientation
        now = self.truth.block_pose(name)[1]
        sign = -1.0 if side == "right" else 1.0
        done = np.radians(rotation_difference(start, (now[0], now[1], now[2], now[3]))[2])
        turn = sign * np.radians(82) - done
        yield from self.grasp(name, turn)
        x, y, z = self.truth.target_position
        yield from self.arm.go(x, y, z + 0.02)
        self.arm.yaw += float(turn)
        yield from self.arm.go(x, y, z + 0.02)
        yield from self._drop(x, y)

    def rotate_held(self, side: str) -> Motion:
        """Turn a block that is already in the hand and put it down within 0.1 m, beside what it was taken from."""
        if self.held is None:
            return
        start = read_block(self.truth, self.held).position
        others = [read_block(self.truth, other).position for other in self.truth.bodies.blocks if other != self.held]
        directions = [np.array([np.cos(angle), np.sin(angle)]) for angle in np.arange(16) * pi / 8]
        spots = [start[:2] + 0.075 * direction for direction in directions]
        spots = [spot for spot in spots if -0.155 < spot[1] < -0.03]
        spot = max(spots, key=lambda s: min(float(np.hypot(*(s - other[:2]))) for other in others))
        self.arm.yaw += (-1.0 if side == "right" else 1.0) * np.radians(80)
        x, y, z = self.truth.target_position
        yield from self.arm.go(x, y, z + 0.01)
        x, y = self.truth.target_position[:2] + spot - read_block(self.truth, self.held).position[:2]
        yield from self.arm.go(x, y, z + 0.01)
        yield from self._drop(x, y)

    def _drop(self, x: float, y: float) -> Motion:
        """Let go of the held block just above the table.

        The stage ends when the block touches the table; dropped, it does so out of the hand, and the next stage
        finds it free.
        """
        if self.held is None:
            return
        height = self.truth.target_position[2] - lowest_corner(self.truth, self.held) + TABLE_TOP + 0.007
        yield from self.arm.go(x, y, height, speed=0.4, tolerance=0.003, limit=25)
        yield from self.arm.open()
        self.held = None

    def push(self, name: str, side: str) -> Motion:
        """Move a block along x by carrying it just above the table; the rule allows that."""
        start = self.truth.start.blocks[name].position
        sign = 1.0 if side == "right" else -1.0
        x = start[0] + sign * 0.115
        y = self._push_row(name, x)
        yield from self.grasp(name)
        block = read_block(self.truth, name)
        px, py, z = self.truth.target_position
        offset = block.position[:2] - np.array([px, py])
        height = max(z + 0.065, 0.53)
        yield from self.arm.go(px, py, height, tolerance=0.02)
        yield from self.arm.go(x - offset[0], y - offset[1], height)
        yield from self.arm.go(x - offset[0], y - offset[1], 0.49, tolerance=0.006)
        yield from self._drop(x - offset[0], y - offset[1])

    def _push_row(self, name: str, x: float) -> float:
        """The y at which a block put down at ``x`` is farthest from everything else."""
        others = [read_block(self.truth, other).position for other in self.truth.bodies.blocks if other != name]
        points = [tuple(point[:2]) for point in others if point[2] > 0.42]
        points += [(self.truth.layout.button_x, -0.12), (self.truth.layout.switch_x, 0.03)]
        rows = (-0.12, -0.14, -0.10, -0.08, -0.06)

        def clearance(y: float) -> float:
            return float(min(0.10, *(np.hypot(x - px, y - py) for px, py in points)))

        return max(rows, key=clearance)

    def place(self, where: str) -> Motion:
        """Put the held block onto the open half of the shelf, or into the drawer."""
        if self.held is None:
            yield from self._take_up_again()
        if self.held is None:
            return
        name = self.held
        others = [read_block(self.truth, other).position for other in self.truth.bodies.blocks if other != name]
        layout = self.truth.layout
        yield from self._raise_held()
        # Put down along the depth of shelf or drawer, a block can be taken up again from the front.
        self.arm.yaw = YAW
        if where == "slider":
            left = layout.slide_x - self.slide()
            inside = [point for point in others if point[1] > 0.02 and 0.42 < point[2] < 0.5]
            # The plank ends at its own borders; beside the door the hand needs some room.
            slots = list(np.arange(layout.slide_x - 0.23, layout.slide_x + 0.245, 0.01))
            slots = [x for x in slots if x < left - 0.045 or x > left + 0.28 + 0.045]
            centre = layout.slide_x - 0.14 if left > layout.slide_x - 0.14 else layout.slide_x + 0.14
            x = float(max(slots, key=lambda s: (min([SLOT_GAP, *(abs(s - p[0]) for p in inside)]), -abs(s - centre))))
            yield from self.place_at(x, 0.065, SHELF_TOP, travel=0.62)
        else:
            deep = self.drawer()
            y = -0.18 - deep / 2
            inside = [point for point in others if point[2] < 0.42]
            slots = [layout.drawer_x + offset for offset in (0.0, 0.08, -0.08, 0.14, -0.14)]
            x = float(max(slots, key=lambda s: min([0.10, *(abs(s - p[0]) for p in inside)])))
            yield from self.place_at(x, y, DRAWER_FLOOR + 0.01, travel=0.56)

    def _take_up_again(self) -> Motion:
        """After a failed placement: only the block that was held at the start counts."""
        uids = self.truth.start.robot_contacts
        name = next((name for name, uid in self.truth.bodies.blocks.items() if uid in uids), None)
        if name is not None:
            yield from self.lift(name)

    def _raise_held(self) -> Motion:
        x, y, z = self.truth.target_position
        if y > 0.02:
            yield from self.arm.go(x, y - 0.04, z + 0.05, tolerance=0.03)
            y, z = -0.07, z + 0.05
            yield from self.arm.go(x, y, max(z, 0.56), tolerance=0.03)
        if z < 0.56:
            yield from self.arm.go(x, y, 0.56, tolerance=0.03)

    def place_at(self, x: float, y: float, floor: float, travel: float = 0.57) -> Motion:
        """Lower the held block onto a surface at height ``floor`` and let go of it."""
        if self.held is None:
            return
        arm = self.arm
        tx, ty, tz = self.truth.target_position
        yield from arm.go(tx, ty, max(tz, travel), tolerance=0.03)
        offset = read_block(self.truth, self.held).position - self.arm.tcp()
        bottom = lowest_corner(self.truth, self.held)
        x, y = x - offset[0], y - offset[1]
        height = float(self.arm.tcp()[2]) - bottom + floor
        yield from arm.go(tx, min(ty, -0.06) if y > 0.0 else ty, travel, tolerance=0.03)
        yield from arm.go(x, min(y, -0.06), travel, tolerance=0.02)
        yield from arm.go(x, y, travel)
        yield from arm.go(x, y, height + 0.012)
        yield from arm.go(x, y, height + 0.002, speed=0.25, limit=15)
        yield from arm.open()
        self.held = None
        yield from arm.go(x, y, height + 0.03, speed=0.6, limit=10)

    def push_into_drawer(self) -> Motion:
        """Carry a block that lies on the table to the drawer and drop it; the rule asks for no more."""
        if self.drawer() < 0.19:
            yield from self.open_drawer()
            yield from self.retreat()
        top = frozenset({(self.truth.bodies.table, -1)})
        names = [name for name, block in self.truth.start.blocks.items() if block.contacts == top]
        if not names:
            names = [name for name in self.truth.bodies.blocks if self.truth.block_pose(name)[0][2] > 0.42]
        name = min(names, key=lambda n: abs(self.truth.block_pose(n)[0][0] - self.truth.layout.drawer_x))
        yield from self.grasp(name)
        yield from self._raise_held()
        yield from self.place("drawer")

    def stack(self) -> Motion:
        """Put the held block onto another one."""
        if self.held is None:
            yield from self._take_up_again()
        if self.held is None:
            return
        arm, name = self.arm, self.held
        others = [read_block(self.truth, other) for other in self.truth.bodies.blocks if other != name]
        reachable = [block for block in others if block.position[1] < 0.02 and block.position[2] > 0.42]
        if not reachable:
            return
        base = min(reachable, key=lambda block: block.half_height)
        yield from self._raise_held()
        # Align the sides with as little turning as possible.
        held = read_block(self.truth, name)
        arm.yaw += (base.yaw - held.yaw + pi / 4) % (pi / 2) - pi / 4
        x, y, z = self.truth.target_position
        high = max(z, 0.58)
        yield from arm.go(x, y, high)
        x, y = base.position[:2]
        for _ in range(3):
            # The arm does not reach every commanded pose exactly: correct by what is left.
            yield from arm.go(x, y, high)
            x, y = self.truth.target_position[:2] + base.position[:2] - read_block(self.truth, name).position[:2]
        yield from arm.go(x, y, high, tolerance=0.003)
        height = self.truth.target_position[2] - lowest_corner(self.truth, name) + base.position[2] + base.half_height
        yield from arm.go(x, y, height + 0.012, tolerance=0.004)
        yield from arm.go(x, y, height + 0.001, speed=0.2, tolerance=0.003, limit=14)
        yield from arm.open(8)
        self.held = None
        yield from arm.go(x, y, height + 0.08, speed=0.5)
        yield from arm.wait(10)

    def unstack(self) -> Motion:
        """Take the upper block off."""
        blocks = set(self.truth.bodies.blocks.values())
        names = [n for n, b in self.truth.start.blocks.items() if b.bodies and b.bodies <= blocks]
        if not names:
            names = [max(self.truth.bodies.blocks, key=lambda n: self.truth.block_pose(n)[0][2])]
        yield from self.grasp(names[0])
        x, y, z = self.truth.target_position
        yield from self.arm.go(x, y, z + 0.12)

    # ------------------------------------------------------------------------------- drawer, door and lights

    def open_drawer(self) -> Motion:
        """Hook the handle from behind and pull."""
        arm, x = self.arm, self.truth.layout.drawer_x
        arm.pitch, arm.yaw = UPRIGHT, YAW
        arm.grip = CLOSE
        y = -0.211 - self.drawer()
        yield from arm.go(x, y, 0.50, tolerance=0.02)
        yield from arm.go(x, y, 0.39)
        yield from arm.go(x, y, 0.365)
        yield from arm.go(x, -0.445, 0.365, limit=40)

    def close_drawer(self) -> Motion:
        """Push the handle from the front."""
        arm, x = self.arm, self.truth.layout.drawer_x
        arm.pitch, arm.yaw = UPRIGHT, YAW
        arm.grip = CLOSE
        y = -0.30 - self.drawer()
        yield from arm.go(x, y, 0.48, tolerance=0.02)
        yield from arm.go(x, y, 0.36)
        yield from arm.go(x, -0.268, 0.36, limit=40)

    def move_slider(self, side: str) -> Motion:
        """Push the door's handle from its side."""
        arm, layout = self.arm, self.truth.layout
        arm.pitch, arm.yaw = UPRIGHT, YAW
        arm.grip = CLOSE
        sign = -1.0 if side == "left" else 1.0
        handle = layout.slide_x + layout.handle_offset - self.slide()
        end = layout.slide_x + layout.handle_offset - (layout.slide_range if side == "left" else 0.0)
        x = handle - sign * 0.10
        yield from arm.go(x, -0.12, 0.56, tolerance=0.02)
        yield from arm.go(x, -0.005, 0.55)
        yield from arm.go(end + sign * 0.035, -0.005, 0.55, limit=45)

    def lightbulb(self, state: str) -> Motion:
        """Push the switch up its slope, or pull it down."""
        arm, x = self.arm, self.truth.layout.switch_x
        arm.grip, arm.yaw = CLOSE, YAW
        if state == "on":
            arm.pitch = -0.6
            yield from arm.go(x, -0.13, 0.56, tolerance=0.02)
            yield from arm.go(x, -0.10, 0.495)
            yield from arm.go(x, -0.01, 0.49, limit=25)
            yield from arm.go(x, 0.06, 0.62, limit=30)
        else:
            arm.pitch = -0.8
            # Where the fingers slipped past the lever's front, reach farther over it.
            over = 0.02 * (self.attempt % 4)
            yield from arm.go(x, -0.08, 0.66 + over, tolerance=0.02)
            yield from arm.go(x, 0.055 + over, 0.66 + over, limit=30)
            yield from arm.go(x, 0.055 + over, 0.64, limit=20)
            yield from arm.go(x, 0.0, 0.53, limit=30)

    def led(self) -> Motion:
        """Press the button from above."""
        arm, x = self.arm, self.truth.layout.button_x
        arm.pitch, arm.yaw = UPRIGHT, YAW
        arm.grip = CLOSE
        yield from arm.go(x, -0.12, 0.55)
        yield from arm.go(x, -0.12, 0.465, limit=14)
        yield from arm.go(x, -0.12, 0.55, limit=14)
