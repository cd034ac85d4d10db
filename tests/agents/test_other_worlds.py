"""The agents on CALVIN and Language-Table, where no weights are trained yet: they run, and no table mistakes it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import agents.oracle_goal
from agents.flat_cem import FlatCEM
from agents.reasoner import SubGoal
from agents.thinkjepa.planner.config import PlannerConfig
from agents.thinkjepa.relevance import spot_maps
from agents.thinkjepa.untrained import untrained_model
from agents.vlm_only import VLMOnly
from envs.calvin.cameras import static_camera
from envs.calvin.layouts import TABLE_TOP
from envs.language_table.camera import camera
from harness.cli import main
from harness.config import compose_runs
from harness.instantiate import build_agent, build_benchmark
from harness.interfaces import EnvRequest, EpisodeSpec, Rehearses, SeedPath, StatesSubGoals, TaskView
from harness.runs import UNTRAINED, prepare
from harness.store import RunReader
from results.entry import EntryError
from results.entry.verify import verify_entry
from results.report import build_report
from tests.results.entry.forgery import forged

SHORT = {
    "calvin": ("protocol=calvin-d_d", "protocol.steps_per_task=2", "protocol.visuals=lowpoly"),
    "language_table": ("protocol.max_steps=1", "protocol.visuals=lowpoly"),
}
PLANNER = ("agent.device=cpu", *(f"agent.planner.{key}" for key in ("population=8", "iterations=1", "keep_elites=1")))
UNTAUGHT = (*PLANNER, "agent.checkpoint=untrained")
AGENTS = {
    "random": (),
    "thinkjepa": (*UNTAUGHT, "agent.reasoner=scripted"),
    "flat_cem": UNTAUGHT,
    "oracle_goal": UNTAUGHT,
    "vlm_only": ("agent.reasoner=scripted",),
}
TAUGHT = {"random", "vlm_only"}
"""These have no weights, or other people's."""


@contextmanager
def lived(world: str, keys: Sequence[str] | None) -> Iterator[tuple[Any, TaskView, EpisodeSpec, dict[str, Any]]]:
    """The first episode of a world, begun: its environment, view, specification and observation."""
    config = compose_runs([f"benchmark={world}", "agent=noop", *SHORT[world]])[0].config
    benchmark = build_benchmark(config.benchmark, config.protocol)
    spec = benchmark.episodes(1)[0]
    with closing(benchmark.make_env(EnvRequest(None if keys is None else tuple(keys)))) as made:
        env: Any = made
        seen, _ = env.reset(seed=spec.seed, options={"episode": spec})
        seeds = SeedPath(0, "e", 0)
        yield (
            env,
            TaskView(spec.stages[0].instruction, env.action_space, 10.0, 9, 0, seeds, env.privileged()),
            spec,
            seen,
        )


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="module")
def hurried() -> Iterator[None]:
    """Blocks of Language-Table may still move a little when an episode begins: nothing here looks at how they lie."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("envs.language_table.board._MOVE_STEPS", 20)
        patch.setattr("envs.language_table.board._SETTLE_STEPS", 50)
        patch.setattr("envs.language_table.world._STABILISE_STEPS", 20)
        yield


def run(folder: Path, world: str, agent: str, *overrides: str) -> int:
    given = (f"benchmark={world}", *SHORT[world], f"agent={agent}", "limit=1", "errors.attempts=1")
    return main(["run", *given, *overrides, f"run_dir={folder}"])


@pytest.fixture(scope="module", params=SHORT)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One run of each agent in a world, by the agent's name."""
    folder = tmp_path_factory.mktemp(request.param)
    for agent, overrides in AGENTS.items():
        assert run(folder / agent, request.param, agent, *overrides) == 0
    return {agent: folder / agent for agent in AGENTS}


def test_every_agent_runs_and_is_scored(runs: dict[str, Path]) -> None:
    for agent, folder in runs.items():
        with RunReader(folder) as reader:
            assert reader.outcome_counts()["failure"] == 1
            assert (UNTRAINED in reader.meta("deviations")) == (agent not in TAUGHT)
            kinds = set(reader.events()["kind"])
        wanted = {"random": set(), "vlm_only": {"subgoal", "servo"}}
        assert kinds == wanted.get(agent, {"subgoal", "plan", "compute"})


def test_untrained_runs_stand_in_no_table_beside_others(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = build_report(list(runs.values()))
    tables = [table for table in report.tables if table.key != "tasks"]
    rows = {name.split("(")[0].strip("*†‡ ") for table in tables for name, _ in table.rows}
    assert rows == {run.agent for run in report.runs} == TAUGHT
    assert {run.agent for run in report.left_out} == set(AGENTS) - TAUGHT
    for kind in ("md", "latex", "csv", "html"):
        assert main(["report", *map(str, runs.values()), "--format", kind]) == 0
        text = capsys.readouterr().out
        assert "weights are untrained" in text
        assert "flat" in text
    assert main(["report", *map(str, runs.values()), "--format", "json"]) == 0
    assert [run["untrained"] for run in json.loads(capsys.readouterr().out)["left_out"]] == [True] * 3
    assert main(["report", str(runs["random"]), "--baseline", str(runs["flat_cem"])]) == 2
    assert "has untrained weights" in capsys.readouterr().err
    assert main(["compare", str(runs["random"]), str(runs["flat_cem"])]) == 2
    assert "the weights of flat_cem† (untrained, seed 0) are untrained" in capsys.readouterr().err
    assert main(["leaderboard", "build", str(runs["random"]), str(runs["flat_cem"]), "-o", str(tmp_path / "site")]) == 2
    assert "has untrained weights" in capsys.readouterr().err


def test_by_themselves_untrained_runs_have_a_table_that_says_so(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(runs["flat_cem"]), str(runs["oracle_goal"])]) == 0
    text = capsys.readouterr().out
    assert "| flat_cem† (untrained, seed 0)" in text
    assert "| oracle_goal*† (untrained, seed 0)" in text
    assert f"flat_cem† (untrained, seed 0) is non-standard: {UNTRAINED}" in text
    assert "Not in the tables" not in text
    assert main(["compare", str(runs["flat_cem"]), str(runs["oracle_goal"])]) == 0


def test_an_entry_cannot_hide_that_it_is_untrained(runs: dict[str, Path], tmp_path: Path) -> None:
    entry = tmp_path / "entry.zip"
    assert main(["export", str(runs["flat_cem"]), "-o", str(entry)]) == 0
    assert UNTRAINED in verify_entry(entry).deviations
    hidden = forged(entry, tmp_path / "forged.zip", lambda data: data["run"]["deviations"].remove(UNTRAINED))
    with pytest.raises(EntryError, match="hides that it is non-standard: untrained"):
        verify_entry(hidden)


def test_the_run_says_that_it_is_untrained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "run", "language_table", "flat_cem", *UNTAUGHT) == 0
    assert f"note: {UNTRAINED}" in capsys.readouterr().err
    assert main(["plan", "benchmark=calvin", "agent=flat_cem", *UNTAUGHT]) == 0
    assert f"# standard   no: {UNTRAINED}" in capsys.readouterr().out


@pytest.mark.parametrize("agent", ["thinkjepa", "flat_cem", "oracle_goal"])
@pytest.mark.parametrize(("world", "components"), [("calvin", 7), ("language_table", 2)])
def test_weights_of_another_world_are_refused_before_anything_starts_with_what_to_do(
    world: str, components: int, agent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "run", world, agent, *PLANNER) == 2
    assert not (tmp_path / "run").exists()
    told = capsys.readouterr().err
    assert "error: agent.checkpoint=tiny-tabletop was trained in another world" in told
    assert f"{components} components do not make up the 6 of the model's actions" in told
    assert "`harness train world_model`" in told
    assert "agent.checkpoint=untrained" in told


@pytest.mark.parametrize(
    "words",
    [
        ("benchmark=calvin",),
        ("benchmark=calvin", "protocol.action_mode=absolute"),
        ("benchmark=language_table",),
        ("benchmark=thinkbench",),
        ("benchmark=thinkbench", "protocol=thinkbench-delta"),
        ("benchmark=subgoals",),
    ],
)
def test_benchmarks_know_the_actions_of_their_environments(words: Sequence[str]) -> None:
    config = compose_runs([*words, "agent=noop"])[0].config
    benchmark = build_benchmark(config.benchmark, config.protocol)
    with closing(benchmark.make_env(EnvRequest(()))) as env:
        assert benchmark.action_space() == env.action_space


def test_untrained_weights_are_always_the_same_and_disturb_no_draws() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one, other = untrained_model().state_dict(), untrained_model().state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_untrained_all_components_are_searched_for() -> None:
    planner = PlannerConfig(population=8, horizon=1, iterations=1, keep_elites=1, fixed=((0, -1.0),))
    agent = FlatCEM(checkpoint="untrained", planner=planner, device="cpu")
    with lived("language_table", agent.observation_keys) as (_, view, _, seen):
        agent.reset(0, view, seen)
        assert agent.act({0: seen})[0][0] > view.action_space.low[0]
        assert seen["rgb_static"].shape == (180, 320, 3)


# ------------------------------------------------------------------------------------------ goals and sub-goals


@pytest.mark.parametrize("world", SHORT)
def test_the_instruction_is_the_one_subgoal(world: str) -> None:
    with lived(world, ()) as (env, _, spec, _):
        truth = env.privileged()
        assert isinstance(truth, StatesSubGoals)
        (stated,) = truth.stated_subgoals()
        assert (stated.text, stated.points) == (spec.stages[0].instruction, ())


@pytest.mark.parametrize("world", SHORT)
def test_what_is_rehearsed_begins_as_it_is_here_and_happens_there_only(world: str) -> None:
    with lived(world, ()) as (env, view, _, _):
        for action in np.random.default_rng(0).uniform(-0.1, 0.1, (5, *view.action_space.shape)).astype(np.float32):
            env.step(action)
        assert isinstance(env.privileged(), Rehearses)
        before = env.state_digest()
        with closing(env.privileged().rehearsal()) as copy:
            assert copy.state_digest() == before
            copy.step(np.full(view.action_space.shape, 0.1, np.float32))
            assert copy.state_digest() != before
            assert copy.render().dtype == np.uint8
        assert env.state_digest() == before


def test_a_rehearsal_goes_on_in_the_stage_that_has_begun() -> None:
    with lived("calvin", ()) as (env, _, spec, _):
        env.step(np.zeros(7, np.float32))
        env.begin_stage(1)
        with closing(env.privileged().rehearsal()) as copy:
            assert copy.privileged().task == spec.stages[1].task
            assert copy.privileged().start == env.privileged().start


@pytest.mark.parametrize("world", SHORT)
def test_the_goal_is_what_the_expert_brings_about(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [f"benchmark={world}", "agent=oracle_goal", *UNTAUGHT]
    agent: Any = build_agent(compose_runs(settings)[0].config.agent)
    with lived(world, agent.observation_keys) as (env, view, _, seen):
        before = env.state_digest()
        picture, events = agent._rehearsed(view, view.privileged)
        assert not events
        assert picture.shape == seen["rgb_static"].shape
        assert not np.array_equal(picture, seen["rgb_static"])
        assert env.state_digest() == before
        monkeypatch.setattr(agents.oracle_goal, "_MOST_STEPS", 1)
        agent.reset(0, view, seen)
        assert agent.act({0: seen})[0].shape == view.action_space.shape, "the episode goes on to its verdict"
        subgoal, failed, *_ = agent.pop_events(0)
        assert subgoal.data == {"text": "picture of the final state", "left": 1}
        assert (failed.kind, failed.data) == ("expert_failed", {"steps": 1})
        agent._goal = "next"
        with pytest.raises(ValueError, match=r"use agent\.goal=final"):
            agent.reset(0, view, seen)
        agent._expert = None
        with pytest.raises(ValueError, match=r"agent\.expert=CLASS"):
            agent.reset(0, view, seen)


@pytest.mark.parametrize("world", SHORT)
@pytest.mark.parametrize(
    ("setting", "told"), [("goal=next", "use agent.goal=final"), ("expert=''", "agent.expert=CLASS")]
)
def test_a_picture_that_no_one_can_show_is_refused_before_anything_starts(
    world: str, setting: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "run", world, "oracle_goal", *UNTAUGHT, f"agent.{setting}") == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("benchmark", ["thinkbench", "thinkbench protocol=thinkbench-delta", "subgoals"])
def test_where_next_steps_are_shown_they_may_be_asked_for(benchmark: str) -> None:
    words = [*f"benchmark={benchmark}".split(), "agent=oracle_goal", "agent.goal=next", *UNTAUGHT]
    assert prepare(compose_runs(words)[0]).privileged


@pytest.mark.parametrize("world", ["calvin", "language_table", "thinkbench", "subgoals"])
def test_benchmarks_know_the_ground_truth_of_their_environments(world: str) -> None:
    words = [f"benchmark={world}", "agent=noop", *SHORT.get(world, ())]
    config = compose_runs(words)[0].config
    benchmark = build_benchmark(config.benchmark, config.protocol)
    spec = benchmark.episodes(1)[0]
    with closing(benchmark.make_env(EnvRequest(()))) as env:
        env.reset(seed=spec.seed, options={"episode": spec})
        assert type(env.privileged()) is benchmark.truth()


@pytest.mark.parametrize("expert", ["nowhere", "baselines.expert.Nobody", "builtins.dict", "harness.interfaces.Agent"])
def test_an_expert_that_is_none_is_refused(expert: str) -> None:
    with pytest.raises(ValueError, match=f"expert={expert}"):
        agents.oracle_goal._agent(expert)


# ------------------------------------------------------------------------------------------------------- servos


def servo_agent(world: str) -> VLMOnly:
    config = compose_runs([f"benchmark={world}", "agent=vlm_only", "agent.reasoner=scripted"])[0].config
    agent = build_agent(config.agent)
    assert isinstance(agent, VLMOnly)
    return agent


@pytest.mark.parametrize(
    ("world", "eye", "height"), [("calvin", static_camera, TABLE_TOP), ("language_table", camera, 0.0)]
)
def test_the_configured_cameras_are_those_of_the_worlds(world: str, eye: Any, height: float) -> None:
    servo = servo_agent(world)._servo
    assert servo is not None
    view, projection = (np.reshape(matrix, (4, 4)).T for matrix in (eye().view, eye().projection))
    for point in ((-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0), (0.2, 0.3)):
        x, y, _, w = projection @ view @ [*servo.metres(np.array(point)), height, 1.0]
        place = servo.from_picture() @ [(x / w + 1) / 2, (1 - y / w) / 2, 1.0]
        np.testing.assert_allclose(place[:2] / place[2], point, atol=1e-3)


class Pointing:
    """A reasoner that looks at two points, in metres."""

    def __init__(self, agent: VLMOnly, **points: Sequence[float]) -> None:
        assert agent._servo is not None
        self.matrix, self.grid = np.reshape(agent._servo.homography, (3, 3)), agent._grid
        self.points = points

    def propose(self, *_: object) -> list[SubGoal]:
        return [SubGoal("Put it there.", None, objects=tuple(self.points))]

    def look(self, subgoal: SubGoal, *_: object) -> SubGoal:
        u, v, w = self.matrix @ [*self.points[subgoal.text], 1.0]
        return replace(subgoal, attention=spot_maps(self.grid * np.array([[[u / w, v / w]]]), self.grid)[0])


def carried_out(agent: VLMOnly, env: Any, view: TaskView, seen: dict[str, Any]) -> Iterator[tuple[np.ndarray, Any]]:
    """Actions of the first sub-goal, and what is seen before each."""
    agent.reset(0, replace(view, privileged=None), seen)
    for step in range(200):
        action = agent.act({0: seen})[0]
        events = agent.pop_events(0)
        if step and events:  # the next sub-goal
            return
        yield action, seen
        seen = env.step(action)[0]


def test_on_calvin_the_block_is_carried_from_the_first_point_to_the_second() -> None:
    agent = servo_agent("calvin")
    with lived("calvin", agent.observation_keys) as (env, view, _, seen):
        block = env.privileged().block_pose
        (start, _), target = block("block_blue"), np.array([-0.1, -0.1])
        agent._reasoner.reasoner = Pointing(agent, block=start[:2], there=target)  # type: ignore[assignment]
        grips = [float(action[6]) for action, _ in carried_out(agent, env, view, seen)]
        assert np.linalg.norm(block("block_blue")[0][:2] - target) < 0.08 < np.linalg.norm(start[:2] - target)
        assert [grip for grip, before in zip(grips, [0.0, *grips], strict=False) if grip != before] == [1, -1, 1]


def test_on_language_table_the_rod_goes_through_both_points() -> None:
    agent = servo_agent("language_table")
    with lived("language_table", agent.observation_keys) as (env, view, _, seen):
        points = {"first": (0.3, -0.1), "second": (0.45, 0.1)}
        agent._reasoner.reasoner = Pointing(agent, **points)  # type: ignore[assignment]
        steps = list(carried_out(agent, env, view, seen))
        way = np.array([observation["effector_translation"] for _, observation in steps])
        for point in points.values():
            assert np.linalg.norm(way - point, axis=1).min() < 0.03
        assert max(np.linalg.norm(action) for action, _ in steps) == pytest.approx(0.02, abs=1e-4)


def test_the_tool_stays_in_the_workspace_wherever_the_reasoner_looks() -> None:
    agent = servo_agent("language_table")
    with lived("language_table", agent.observation_keys) as (_, view, _, seen):
        agent.reset(0, view, seen)
        outside = np.array([-3.0, 2.0]), np.array([0.2, -1.5])
        agent._chosen = lambda *_: outside  # type: ignore[method-assign]
        agent.act({0: seen})
        x, end_x, y, end_y = agent._servo.workspace  # type: ignore[union-attr]
        for leg in agent._memories[0].legs:
            assert x - 1e-6 <= leg.target[0] <= end_x + 1e-6
            assert y - 1e-6 <= leg.target[1] <= end_y + 1e-6


def test_other_actions_than_the_servos_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("agent.reasoner=scripted", "protocol.action_mode=absolute")
    assert run(tmp_path / "run", "calvin", "vlm_only", *words) == 2
    assert "agent.servos: this world's are for 7 relative components up to 1.0" in capsys.readouterr().err
    assert not (tmp_path / "run").exists(), "before anything starts"
