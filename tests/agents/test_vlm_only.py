"""Skills where a reasoner looks: what is drawn, scored and executed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from gymnasium.spaces import Box
from torch import Tensor

from agents.reasoner import Attempt, SubGoal, record
from agents.thinkjepa.checkpoints import SHIPPED
from agents.thinkjepa.relevance import spot_maps
from agents.thinkjepa.training.camera import CameraConfig
from agents.vlm_only import Affordance, VLMOnly
from harness.cli import main
from harness.config import compose_runs
from harness.interfaces import AgentEvent, SeedPath, StatedSubGoal, TaskView
from harness.runs import check_agent

ROOT = Path(__file__).parents[2]
CAMERA = CameraConfig(**yaml.safe_load((ROOT / "configs/train/camera/tabletop.yaml").read_text()))
GRID = 24
LEFT, RIGHT, FAR = (0.2, -0.6), (-0.3, 0.5), (1.4, 0.0)
"""In action units; the last one is beyond the workspace."""


def seen(point: Sequence[float]) -> np.ndarray:
    """Where the camera sees a point in action units, 0 to 1 across its crop."""
    x, y, w = np.reshape(CAMERA.action_points()[0].homography, (3, 3)) @ [*point, 1.0]
    return np.array([x / w, y / w])


def spots(*points: Sequence[float]) -> Tensor:
    return spot_maps(GRID * np.stack([seen(point) for point in points])[None], GRID)[0]


class Spoken:
    """A reasoner that says and sees what it is given."""

    def __init__(self, subgoals: Sequence[SubGoal], looks: dict[str, Tensor]) -> None:
        self.subgoals, self.looks, self.told = subgoals, looks, []

    def propose(self, view: TaskView, observation: Any, history: Sequence[Attempt] = ()) -> Sequence[SubGoal]:
        self.told.append(tuple(history))
        return self.subgoals

    def look(self, subgoal: SubGoal, view: TaskView, observation: Any) -> SubGoal:
        return replace(subgoal, attention=self.looks.get(subgoal.text, subgoal.attention))


class Truth:
    """One sub-goal about things at these points, in action units."""

    def __init__(self, *points: Sequence[float]) -> None:
        self.points = points or (LEFT,)

    def stated_subgoals(self) -> list[StatedSubGoal]:
        corner, size = np.array(CAMERA.crop[:2]), np.array(CAMERA.crop[2:]) - CAMERA.crop[:2]
        shown = [corner + seen(point) * size for point in self.points]
        return [StatedSubGoal("Put it there.", tuple((float(u), float(v)) for u, v in shown))]


def agent(*subgoals: SubGoal, looks: dict[str, Tensor] | None = None, **settings: Any) -> tuple[VLMOnly, Spoken]:
    made = VLMOnly(**({"camera": CAMERA, "reasoner": "scripted"} | settings))
    spoken = Spoken(subgoals, looks or {})
    if subgoals:
        made._reasoner.reasoner = spoken
    return made, spoken


def view(key: str = "e", truth: Any = None) -> TaskView:
    return TaskView("Tidy up.", Box(-1.0, 1.0, (6,), np.float32), None, 4, 0, SeedPath(0, key, 0), truth)


def act(made: VLMOnly, lane: int = 0) -> np.ndarray:
    return np.asarray(made.act({lane: {"rgb_static": np.zeros((8, 8, 3), np.uint8)}})[lane])


def test_the_first_thing_is_picked_and_put_at_the_last() -> None:
    put = SubGoal("Put the cube on the tray.", spots(LEFT, RIGHT), objects=("cube", "?", "tray"))
    made, _ = agent(put, looks={"cube": spots(LEFT), "tray": spots(RIGHT)})
    made.reset(0, view(), {})
    action = act(made)
    assert action.dtype == np.float32
    assert (action[0], action[5]) == (-1, 0)
    np.testing.assert_allclose(action[1:3], LEFT, atol=0.1)
    np.testing.assert_allclose(action[3:5], RIGHT, atol=0.1)
    subgoal, skill = made.pop_events(0)
    assert not made.pop_events(0)
    assert subgoal.data == {"text": put.text, "objects": list(put.objects), "left": 1, "then": []}
    np.testing.assert_allclose(skill.data["pick"], action[1:3], atol=1e-3)
    assert skill.data["affordance"] > 100
    json.dumps(skill.data)


def test_without_named_things_both_points_are_where_it_looks() -> None:
    made, _ = agent(SubGoal("Tidy up.", spots(LEFT, RIGHT), objects=("cube",)))
    found = set()
    for number in range(8):
        made.reset(0, view(str(number)), {})
        action = act(made)
        pair = [int(np.linalg.norm(action[at] - RIGHT) < 0.15) for at in (slice(1, 3), slice(3, 5))]
        assert sorted(pair) == [0, 1], "one at each"
        found.add(pair[0])
    assert found == {0, 1}, "which of two equal ones is drawn"


def test_what_cannot_be_reached_is_not_afforded() -> None:
    made, _ = agent(SubGoal("Put it there.", spots(FAR, LEFT, RIGHT)), affordance=Affordance(sharpness=0.5))
    for number in range(4):
        made.reset(0, view(str(number)), {})
        assert np.abs(act(made)).max() <= 1
        assert made.pop_events(0)[-1].data["affordance"] > 0
    apart, _ = agent(SubGoal("Put it there.", spots(LEFT)), affordance=Affordance(apart=1.5, candidates=4))
    apart.reset(0, view(), {})
    assert np.abs(act(apart)).max() <= 1
    assert apart.pop_events(0)[-1].data["affordance"] == 0


def test_a_reasoner_that_does_not_say_where_leaves_it_to_chance() -> None:
    made, _ = agent(SubGoal("Put it there.", None))
    made.reset(0, view(), {})
    act(made)
    assert made.pop_events(0)[-1].data["affordance"] == pytest.approx(1)


@pytest.mark.parametrize(("ask", "asked"), [("every", 3), ("once", 2)])
def test_skills_that_were_executed_count_as_reached(ask: str, asked: int) -> None:
    first, second = SubGoal("One.", spots(LEFT)), SubGoal("Two.", spots(RIGHT))
    made, spoken = agent(first, second, ask=ask)
    made.reset(0, view(), {})
    for _ in range(3):
        act(made)
    events = made.pop_events(0)
    assert [event.data for event in events if event.kind == "replan"] == [{"reason": "none left"}] * (ask == "once")
    done = [event.data["text"] for event in events if event.kind == "subgoal"]
    assert done == (["One."] * 3 if ask == "every" else ["One.", "Two.", "One."])
    assert len(spoken.told) == asked
    assert spoken.told[-1] == tuple(Attempt(text, True) for text in done[:2])
    made.reset(0, view(), {})
    act(made)
    assert spoken.told[-1] == ()


def test_lanes_and_draws_are_their_own() -> None:
    made, _ = agent(SubGoal("Put it there.", spots(LEFT, RIGHT)))
    for lane in range(2):
        made.reset(lane, view(str(lane)), {})
    one, other = act(made, 0), act(made, 1)
    again, _ = agent(SubGoal("Put it there.", spots(LEFT, RIGHT)))
    again.reset(5, view("1"), {})
    np.testing.assert_array_equal(act(again, 5), other)
    assert not np.array_equal(one, other)


def test_the_scripted_reasoner_points_at_things() -> None:
    made, _ = agent()
    assert VLMOnly.reads_truth({"reasoner": "scripted"})
    assert not VLMOnly.reads_truth({"reasoner": "vlm"})
    made.reset(0, view(truth=Truth()), {})
    action = act(made)
    assert min(np.linalg.norm(action[1:3] - LEFT), np.linalg.norm(action[3:5] - LEFT)) < 0.15


def test_the_scripted_reasoner_tells_what_to_pick_from_where_to_put_it() -> None:
    made, _ = agent()
    for lane in range(8):
        made.reset(lane, view(str(lane), truth=Truth(LEFT, RIGHT)), {})
        action = act(made, lane)
        assert np.linalg.norm(action[1:3] - LEFT) < 0.15
        assert np.linalg.norm(action[3:5] - RIGHT) < 0.15


def test_of_a_plan_that_was_told_once_each_sub_goal_has_its_own_things() -> None:
    class Plan(Truth):
        """A second sub-goal, the other way round; the truth does not notice what was done."""

        def stated_subgoals(self) -> list[StatedSubGoal]:
            (first,) = super().stated_subgoals()
            return [first, StatedSubGoal("Put it back.", first.points[::-1])]

    made, _ = agent(ask="once")
    made.reset(0, view(truth=Plan(LEFT, RIGHT)), {})
    for pick, place in ((LEFT, RIGHT), (RIGHT, LEFT)):
        action = act(made)
        assert np.linalg.norm(action[1:3] - pick) < 0.15
        assert np.linalg.norm(action[3:5] - place) < 0.15


def test_what_nobody_has_stated_does_not_count_as_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    made, spoken = agent(SubGoal("Tidy up.", spots(LEFT)))
    told = []

    def mute(view: TaskView, observation: Any, history: Sequence[Attempt], events: list[AgentEvent]) -> list[SubGoal]:
        told.append(history)
        events.append(AgentEvent("no_subgoal", {"reason": "it states no sub-goal"}))
        return list(spoken.subgoals)

    monkeypatch.setattr(made._reasoner, "propose", mute)
    made.reset(0, view(), {})
    for _ in range(2):
        act(made)
    assert told == [(), ()]


def test_what_it_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match=r"camera\.points: an action names 1 points; give pick and place"):
        agent(camera=replace(CAMERA, points=((1, 2),)))
    with pytest.raises(ValueError, match="grid=0"):
        agent(grid=0)
    made, _ = agent()
    for refused in (replace(view(), control_hz=20.0), replace(view(), action_space=Box(-1.0, 1.0, (3,), np.float32))):
        with pytest.raises(ValueError, match="in skill control"):
            made.reset(0, refused, {})


def test_the_harness_runs_it_without_ground_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from thinkbench.subgoals.suite import load_frozen

    instruction = load_frozen().spec("on", 0, 1, "standard").stages[0].instruction
    record(tmp_path / "record.json", {instruction: [SubGoal("Lift it.", spots(LEFT, RIGHT))]})
    words = ["run", "benchmark=subgoals", "agent=vlm_only", "limit=1", "protocol.max_steps=1", "protocol.image_size=32"]
    assert main([*words, "agent.vlm.lora=nowhere", f"run_dir={tmp_path / 'r'}"]) == 2
    assert "agent.vlm.lora=nowhere: no such file or folder" in capsys.readouterr().err
    assert main([*words, "agent.vlm.layers=[9]", f"run_dir={tmp_path / 'r'}"]) == 2
    assert "agent.vlm.layers=9: the language model has layers 0 to 3" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
    replay = ["agent.reasoner=replay", f"agent.record={tmp_path / 'record.json'}"]
    assert main([*words, *replay, f"run_dir={tmp_path / 'r'}"]) == 0
    with sqlite3.connect(tmp_path / "r" / "run.sqlite") as store:
        meta = dict(store.execute("select key, value from meta"))
        (outcome,) = store.execute("select outcome from attempts").fetchone()
        reported = {kind for (kind,) in store.execute("select kind from events")}
    assert outcome != "error"
    assert json.loads(meta["privileged"]) is False
    assert set(json.loads(meta["identity"])["checkpoints"]) == {"record"}
    assert reported == {"subgoal", "skill"}
    torch.testing.assert_close(torch.tensor(1.0), spots(LEFT).mean())


def test_skills_are_for_skill_control(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["protocol=thinkbench-delta", "agent=vlm_only", "agent.reasoner=scripted", f"run_dir={tmp_path / 'run'}"]
    assert main(["run", *words]) == 2
    assert "agent=vlm_only executes skills" in capsys.readouterr().err
    assert not (tmp_path / "run").exists(), "before anything starts"


@pytest.mark.parametrize(
    ("words", "untrained"),
    [
        (["benchmark=calvin"], True),
        (["benchmark=language_table"], True),
        (["benchmark=calvin", "agent.reasoner=scripted"], False),
        (["benchmark=calvin", f"agent.vlm.model={SHIPPED / 'tiny-reasoner'}"], True),
        (["benchmark=calvin", "agent.vlm.model=somebodys/model"], False),
        (["benchmark=thinkbench"], False),
    ],
)
def test_the_shipped_reasoner_knows_nothing_of_other_worlds(words: list[str], untrained: bool) -> None:
    (composed,) = compose_runs([*words, "agent=vlm_only"])
    _, settings = check_agent(composed.config.agent)
    assert VLMOnly.untrained(settings) == untrained


def test_what_somebody_elses_settings_hold_is_no_error() -> None:
    given: dict[str, Any] = {"reasoner": "vlm", "world": "calvin", "servos": {"calvin": {}}}
    for settings, untrained in (
        ({"servos": ["x"]}, False),
        ({"servos": {"calvin": 1}}, False),
        ({"world": 3}, False),
        ({"vlm": "x"}, True),
        ({"vlm": {"foo": 1}}, True),
        ({"vlm": {"model": "a\0b"}}, True),
        ({"vlm": {"model": "a" * 5000}}, True),
        ({"vlm": {"model": "theirs"}}, False),
    ):
        assert VLMOnly.untrained(given | settings) == untrained
