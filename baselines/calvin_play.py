"""Play on CALVIN's tables: which tasks are feasible now, and one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from baselines.calvin_expert import StageProgram
from baselines.play import label
from envs.calvin.language import INSTRUCTIONS
from envs.calvin.tasks import SceneInfo, achieved
from envs.calvin.truth import PlayTableTruth
from harness.interfaces import Action, AgentEvent, TaskView

PATIENCE = 220
"""Actions after which a task that is not done is given up."""
_OPEN = 0.17
"""A drawer is open from here on, metres."""
_USE_WHAT_IS_HELD = 0.8
"""Chance that a held block is placed or stacked rather than put back."""


class CalvinPlayer:
    """Draws a feasible task, runs the expert's program until the oracle sees it done, and draws the next."""

    def __init__(self) -> None:
        self.labels: list[AgentEvent] = []
        self._truth: PlayTableTruth | None = None
        self._program: Iterator[Action] | None = None
        self._began = 0

    def decide(self, view: TaskView, step: int, rng: np.random.Generator) -> Action:
        """The next action ``(7,)`` of the present task's program.

        Raises:
            ValueError: Actions are absolute poses.
        """
        if not (view.action_space.high == 1).all():
            raise ValueError("play acts in relative actions only; leave protocol.action_mode=relative")
        if self._truth is not None:
            self._judge(self._truth, step)
        if self._truth is None or self._program is None or step - self._began >= PATIENCE:
            present: PlayTableTruth = view.privileged
            task = self._draw(present, rng)
            self._truth = present.retargeted(task)
            self._program = StageProgram(self._truth).run()
            self._began = step
        return next(self._program)

    def _judge(self, truth: PlayTableTruth, step: int) -> None:
        """End the stretch if its task is done; everything else that was done on the way is reported with it."""
        info = truth.info()
        if not achieved(truth.bodies, truth.start, info, (truth.task,)):
            return
        done = achieved(truth.bodies, truth.start, info)
        # The intended task comes last: of labels over the same frames the last one names them.
        for task in sorted(done, key=lambda name: (name == truth.task, name)):
            self.labels.append(label(task, INSTRUCTIONS[task], self._began, step))
        self._truth = self._program = None

    @staticmethod
    def _draw(truth: PlayTableTruth, rng: np.random.Generator) -> str:
        tasks = feasible_tasks(truth)
        held = [task for task in tasks if task in ("place_in_slider", "place_in_drawer", "stack_block")]
        if held and rng.uniform() < _USE_WHAT_IS_HELD:
            tasks = held
        return tasks[int(rng.integers(len(tasks)))]


def feasible_tasks(truth: PlayTableTruth) -> list[str]:
    """Tasks whose preconditions hold now, by the same ground truth that the oracle reads."""
    info = truth.info()
    drawer_is_open = info.doors["base__drawer"] > _OPEN
    tasks = _fixture_tasks(truth, info)
    held = held_block(truth, info)
    on_table = False
    for name in info.blocks:
        if name != held:
            own = _block_tasks(truth, info, name, drawer_is_open)
            on_table |= f"lift_{name.removeprefix('block_')}_block_table" in own
            tasks += own
    if drawer_is_open and on_table:
        tasks.append("push_into_drawer")
    if held is not None:
        tasks.append("place_in_slider")
        tasks += ["place_in_drawer"] if drawer_is_open else []
        tasks += ["stack_block"] if on_table else []
    return tasks


def _fixture_tasks(truth: PlayTableTruth, info: SceneInfo) -> list[str]:
    """Lights, drawer and door. The oracle wants to see the drawer move by 0.12 m and the door by 0.15 m."""
    slide, drawer = info.doors["base__slide"], info.doors["base__drawer"]
    conditions = {
        f"turn_{'off' if info.lights['lightbulb'] else 'on'}_lightbulb": True,
        f"turn_{'off' if info.lights['led'] else 'on'}_led": True,
        "open_drawer": drawer < 0.06,
        "close_drawer": drawer > _OPEN,
        "move_slider_left": slide < truth.layout.slide_range - 0.18,
        "move_slider_right": slide > 0.18,
    }
    return [task for task, holds in conditions.items() if holds]


def _block_tasks(truth: PlayTableTruth, info: SceneInfo, name: str, drawer_is_open: bool) -> list[str]:
    """What can be done with a block that is not held, by what it stands on."""
    bodies, block, colour = truth.bodies, info.blocks[name], name.removeprefix("block_")
    others = set(bodies.blocks.values())
    links = {link for body, link in block.contacts if body == bodies.table}
    if block.bodies & others:
        return ["unstack_block"] if block.bodies <= others else []
    if links == {bodies.links["base_link"]} and block.position[1] < 0.02:
        moves = [f"{verb}_{colour}_block_{side}" for verb in ("rotate", "push") for side in ("left", "right")]
        return [*moves, f"lift_{colour}_block_table"]
    if bodies.links["plank_link"] in links:
        return [f"lift_{colour}_block_slider"]
    if bodies.links["drawer_link"] in links and drawer_is_open:
        return [f"lift_{colour}_block_drawer"]
    return []


def held_block(truth: PlayTableTruth, info: SceneInfo) -> str | None:
    """The block that touches nothing but the closed hand, if any."""
    closed = truth.robot_obs()[14] < 0
    held = [name for name, block in info.blocks.items() if block.bodies == {truth.bodies.robot}]
    return held[0] if held and closed else None
