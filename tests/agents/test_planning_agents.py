"""The agents that plan in the world model, with random weights: what they do, not how well they do it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from agents.flat_cem import FlatCEM
from agents.oracle_goal import OracleGoal
from agents.planning import PlanningAgent
from agents.reasoner import Attempt, ReasonerError, ScriptedReasoner, SubGoal, record
from agents.reasoner.loading import VLMConfig
from agents.reasoner.tiny import TinySizes, make_tiny
from agents.thinkjepa.agent import Guidance, ThinkJEPAAgent, random_projection
from agents.thinkjepa.checkpoints import save_pretrained
from agents.thinkjepa.model import ThinkJEPA
from agents.thinkjepa.planner.config import PlannerConfig
from harness.cli import main
from harness.interfaces import SeedPath, StatedSubGoal, StatesSubGoals, TaskView
from tests.agents.thinkjepa.tiny import IDENTITY_POINT, awake, model_config, world_config

PLANNER = PlannerConfig(population=24, horizon=1, iterations=2, elite_fraction=0.25)


class Truth:
    """Two sub-goals, and a picture of the goal."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts) or ["Put the red cube in the bowl.", "Put the blue cube on the tray."]

    def stated_subgoals(self) -> list[StatedSubGoal]:
        return [StatedSubGoal(text, ((0.1 + 0.2 * number, 0.7),)) for number, text in enumerate(self.texts)]

    def goal_image(self) -> np.ndarray:
        return picture(99)

    def next_image(self) -> np.ndarray:
        return picture(98)


def picture(seed: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def see(seed: int) -> dict[str, Any]:
    return {"rgb_static": picture(seed)}


def view(truth: Any = None, key: str = "e") -> TaskView:
    space = Box(-1.0, 1.0, (3,), np.float32)
    return TaskView("Tidy up.", space, None, 4, 0, SeedPath(0, key, 0), truth if truth is not None else Truth())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    model = awake(ThinkJEPA(model_config()))
    assert isinstance(model, ThinkJEPA)
    save_pretrained(model, folder, thresholds={"token_cosine": 1e-6})
    return str(folder)


@pytest.fixture(scope="module")
def shifting(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose actions have a point in the picture."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("shifting")
    config = model_config()
    config = replace(config, world_model=world_config(action_points=(IDENTITY_POINT,)))
    model = awake(ThinkJEPA(config))
    assert isinstance(model, ThinkJEPA)
    save_pretrained(model, folder)
    return str(folder)


def thinkjepa(checkpoint: str, **settings: Any) -> ThinkJEPAAgent:
    torch.set_num_threads(1)
    return ThinkJEPAAgent(checkpoint=checkpoint, **({"planner": PLANNER, "device": "cpu"} | settings))


def oracle(checkpoint: str, **settings: Any) -> OracleGoal:
    torch.set_num_threads(1)
    return OracleGoal(checkpoint=checkpoint, **({"planner": PLANNER, "device": "cpu"} | settings))


def flat(checkpoint: str, **settings: Any) -> FlatCEM:
    torch.set_num_threads(1)
    return FlatCEM(checkpoint=checkpoint, **({"planner": PLANNER, "device": "cpu"} | settings))


def kinds(agent: PlanningAgent[Any], lane: int = 0) -> list[str]:
    return [event.kind for event in agent.pop_events(lane)]


@pytest.mark.parametrize("make", [thinkjepa, oracle, flat])
def test_lanes_in_one_batch_act_as_each_would_alone(make: Any, checkpoint: str) -> None:
    together = make(checkpoint)
    for lane in range(3):
        together.reset(lane, view(key=str(lane)), see(lane))
    acted = together.act({lane: see(lane) for lane in range(3)})
    for lane in range(3):
        alone = make(checkpoint)
        alone.reset(7, view(key=str(lane)), see(lane))
        np.testing.assert_array_equal(alone.act({7: see(lane)})[7], acted[lane])
        assert acted[lane].shape == (3,)
        assert acted[lane].dtype == np.float32
        assert np.abs(acted[lane]).max() <= 1
    assert not np.array_equal(acted[0], acted[1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("make", [thinkjepa, oracle, flat])
def test_compiled_agents_find_as_good_plans(make: Any, checkpoint: str) -> None:
    costs = []
    for agent in (make(checkpoint), make(checkpoint, compile=True)):
        agent.reset(0, view(), see(0))
        agent.act({0: see(0)})
        costs.append(next(event for event in agent.pop_events(0) if event.kind == "plan").data["costs"])
    np.testing.assert_allclose(*costs, rtol=1e-3)


@pytest.mark.parametrize("make", [thinkjepa, oracle, flat])
def test_compiling_for_a_cpu_needs_a_compiler(make: Any, checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    make(checkpoint)
    with pytest.raises(ValueError, match=r"no C\+\+ compiler here \(g\+\+, clang\+\+\); install one, or give compile"):
        make(checkpoint, compile=True)


def test_draws_depend_on_the_step_and_not_on_what_ran_before(checkpoint: str) -> None:
    agent = oracle(checkpoint)
    runs = []
    for _ in range(2):
        agent.reset(0, view(), see(0))
        runs.append([agent.act({0: see(0)})[0] for _ in range(2)])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0][0], runs[0][1])


def test_every_decision_reports_its_plan_and_its_cost(checkpoint: str) -> None:
    agent = oracle(checkpoint)
    agent.reset(0, view(), see(0))
    agent.act({0: see(0)})
    plan, compute = agent.pop_events(0)
    assert not agent.pop_events(0)
    assert not agent.pop_events(5)
    assert len(plan.data["costs"]) == 2
    assert 0 < plan.data["costs"][1] <= plan.data["costs"][0]
    assert plan.data["distance"] > 0
    assert compute.data["predictor_steps"] == 48
    assert compute.data["plan_ms"] > 0
    json.dumps([plan.data, compute.data])


def test_what_is_seen_is_the_goal_where_it_is_reached(checkpoint: str) -> None:
    agent = oracle(checkpoint)
    agent.reset(0, view(), see(99))
    agent.act({0: see(99)})
    assert agent.pop_events(0)[0].data["distance"] == pytest.approx(0, abs=1e-6)


def test_the_flat_goal_is_the_projected_instruction_and_reads_no_ground_truth(checkpoint: str) -> None:
    agent = flat(checkpoint)
    assert not agent.privileged
    lane = agent.begin(replace(view(), privileged=None), see(0))
    states = agent.encode([picture(0)])
    goal = agent.goals([lane], [see(0)], states).states
    uniform = torch.ones(1, states.shape[1])
    assert not torch.equal(goal, agent.project(agent.embed(["Something else."]), uniform, states))
    torch.testing.assert_close(goal, agent.project(agent.embed(["Tidy up."]), uniform, states))


def test_the_next_goal_is_looked_at_before_every_decision(checkpoint: str) -> None:
    agent = oracle(checkpoint, goal="next")
    agent.reset(0, view(), see(0))
    distances = []
    for seen in (98, 97):
        agent.act({0: see(seen)})
        distances.append(agent.pop_events(0)[0].data["distance"])
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert distances[1] > 0


def test_blocks_are_executed_before_the_next_plan(checkpoint: str) -> None:
    agent = oracle(checkpoint, planner=replace(PLANNER, horizon=2, action_block=3))
    space = Box(-1.0, 1.0, (1,), np.float32)
    agent.reset(0, TaskView("", space, None, 4, 0, SeedPath(0, "e", 0), Truth()), see(0))
    acted = [agent.act({0: see(number)})[0] for number in range(4)]
    assert all(action.shape == (1,) for action in acted)
    assert kinds(agent) == ["plan", "compute"] * 2


def test_other_actions_than_the_models_are_refused(checkpoint: str) -> None:
    space = Box(-1.0, 1.0, (7,), np.float32)
    wrong = TaskView("", space, None, 4, 0, SeedPath(0, "e", 0), Truth())
    with pytest.raises(ValueError, match="do not make up the 3 of the model's actions"):
        oracle(checkpoint).reset(0, wrong, see(0))


def test_actions_are_checked_before_an_agent_is_built(checkpoint: str, tmp_path: Path) -> None:
    def check(components: int, named: str, **planner: Any) -> None:
        space = Box(-1.0, 1.0, (components,), np.float32)
        FlatCEM.check_actions({"checkpoint": named, "planner": planner}, space)

    check(3, checkpoint)
    check(1, checkpoint, action_block=3)
    check(7, "untrained")
    with pytest.raises(ValueError, match="action_block=2 actions of 3 components do not make up the 3 of the model's"):
        check(3, checkpoint, action_block=2)
    shutil.copytree(checkpoint, tmp_path / "damaged")
    (tmp_path / "damaged" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"^agent\.checkpoint=.*damaged: .* was changed; fetch it again"):
        check(3, str(tmp_path / "damaged"))


@pytest.mark.parametrize("make", [thinkjepa, oracle])
def test_a_world_that_tells_nothing_is_refused(make: Any, checkpoint: str) -> None:
    with pytest.raises(ValueError, match="benchmark="):
        make(checkpoint).reset(0, view(object()), see(0))


def test_without_a_gpu_cuda_is_refused(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="give device=cpu"):
        oracle(checkpoint, device="cuda")


# ---------------------------------------------------------------------------------------------- sub-goals


def test_a_reached_subgoal_is_followed_by_the_next_and_then_by_a_question(checkpoint: str) -> None:
    agent = thinkjepa(checkpoint)
    agent._threshold = 100.0  # every state counts as the goal
    agent.reset(0, view(), see(0))
    seen = []
    for step in range(3):
        agent.act({0: see(step)})
        seen.append([(event.kind, event.data.get("text", "")) for event in agent.pop_events(0)])
    first, second = Truth().texts
    assert seen[0] == [("subgoal", first), ("plan", ""), ("compute", "")]
    assert seen[1] == [("reached", first), ("subgoal", second), ("plan", ""), ("compute", "")]
    assert seen[2] == [("reached", second), ("replan", ""), ("subgoal", first), ("plan", ""), ("compute", "")]


def test_patience_ends_in_a_question(checkpoint: str) -> None:
    agent = thinkjepa(checkpoint, patience=2)
    agent.reset(0, view(), see(0))
    for step in range(3):
        agent.act({0: see(step)})
    assert kinds(agent).count("replan") == 1


def test_the_reasoner_can_be_asked_before_every_decision(checkpoint: str) -> None:
    agent = thinkjepa(checkpoint, ask="every")
    truth = Truth()
    agent.reset(0, view(truth), see(0))
    agent.act({0: see(0)})
    assert kinds(agent) == ["subgoal", "plan", "compute"]
    truth.texts = truth.texts[1:]  # the first was reached
    agent.act({0: see(1)})
    subgoal, *_ = agent.pop_events(0)
    assert subgoal.data == {"text": "Put the blue cube on the tray.", "left": 1}


@pytest.mark.parametrize("make", [thinkjepa, oracle, flat])
def test_further_looks_change_the_plan_and_its_price(make: Any, shifting: str) -> None:
    """And not what a lane does beside others."""
    costs = []
    for looks in (1, 2, 4):
        together, alone = make(shifting, looks=looks), make(shifting, looks=looks)
        for lane in range(2):
            together.reset(lane, view(key=str(lane)), see(lane))
        alone.reset(5, view(key="1"), see(1))
        acted = together.act({lane: see(lane) for lane in range(2)})
        np.testing.assert_array_equal(alone.act({5: see(1)})[5], acted[1])
        told = {event.kind: event.data for event in together.pop_events(1)}
        assert told["compute"]["predictor_steps"] == 48 * looks
        costs.append(told["plan"]["costs"][-1])
    assert len(set(costs)) == 3


@pytest.mark.parametrize("make", [thinkjepa, oracle, flat])
def test_what_was_tried_is_remembered_until_something_changes(make: Any, checkpoint: str) -> None:
    def acts(pictures: Sequence[int], futile: float) -> list[np.ndarray]:
        agent = make(checkpoint, planner=replace(PLANNER, population=128, iterations=3, futile=futile))
        agent.reset(0, view(), see(0))
        return [agent.act({0: see(number)})[0] for number in pictures]

    believed, remembered = acts([0, 0, 1], 0.0), acts([0, 0, 1], 1.0)
    np.testing.assert_array_equal(believed[0], remembered[0])
    assert not np.array_equal(believed[1], remembered[1]), "the first action changed nothing"
    np.testing.assert_array_equal(believed[2], remembered[2], "something has changed, whatever it was")


def test_words_and_attention_change_the_plan(checkpoint: str) -> None:
    def costs(truth: Truth, **settings: Any) -> list[float]:
        agent = thinkjepa(checkpoint, **settings)
        agent.reset(0, view(truth), see(0))
        agent.act({0: see(0)})
        (plan,) = (event for event in agent.pop_events(0) if event.kind == "plan")
        return list(plan.data["costs"])

    base = costs(Truth("Lift the cube."))
    assert base == costs(Truth("Lift the cube."))
    assert base != costs(Truth("Lift the bowl."))
    unguided = costs(Truth("Lift the cube."), guidance=Guidance(attention=False))
    assert base != unguided
    assert base != costs(Truth("Lift the cube."), guidance=Guidance(alpha=0.0)) != unguided
    assert base != costs(Truth("Lift the cube."), gpi="random")


def test_a_random_projection_is_the_same_everywhere(checkpoint: str) -> None:
    torch.manual_seed(1)
    one = thinkjepa(checkpoint, gpi="random").model.gpi.state_dict()
    torch.manual_seed(2)
    other = thinkjepa(checkpoint, gpi="random").model.gpi.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not any(weight.requires_grad for weight in random_projection(thinkjepa(checkpoint).model).parameters())


def test_the_reasoner_is_told_what_was_tried(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = thinkjepa(checkpoint, patience=1)
    told: list[tuple[Attempt, ...]] = []
    propose = agent._reasoner.reasoner.propose

    def listen(view: TaskView, observation: Any, history: Any = ()) -> Any:
        told.append(history)
        if any(attempt.reached for attempt in history):
            raise ReasonerError("nothing is left")
        return propose(view, observation)

    monkeypatch.setattr(agent._reasoner.reasoner, "propose", listen)
    monkeypatch.setattr(agent._reasoner.reasoner, "look", lambda subgoal, *_: subgoal)
    agent.reset(0, view(), see(0))
    for step in range(2):
        agent.act({0: see(step)})
    first, second = Truth().texts
    assert told == [(), (Attempt(first, False),)]
    agent._threshold = 100.0
    agent._lanes[0].monitor = agent._monitor()
    for step in range(2):
        agent.act({0: see(step)})
    history = (Attempt(first, False), Attempt(first, True), Attempt(second, True))
    assert told[2:] == [history, ()], "what has nothing to add is asked as if for the first time"
    agent.reset(0, view(), see(0))
    assert told[-1] == (), "a new stage begins without a past"


def test_a_record_replaces_the_truth(checkpoint: str, tmp_path: Path) -> None:
    blind = replace(view(), privileged=None)
    record(tmp_path / "r.json", {"Tidy up.": [SubGoal("Lift it.", torch.ones(16)), SubGoal("Drop it.", None)]})
    agent = thinkjepa(checkpoint, reasoner="replay", record=tmp_path / "r.json")
    agent._threshold = 100.0
    agent.reset(0, blind, see(0))
    texts = []
    for step in range(3):
        agent.act({0: see(step)})
        texts += [event.data["text"] for event in agent.pop_events(0) if event.kind == "subgoal"]
    assert texts == ["Lift it.", "Drop it.", "Lift it."]


@pytest.mark.parametrize(
    ("settings", "reads"),
    [
        ({}, True),
        ({"reasoner": "scripted"}, True),
        ({"reasoner": "replay"}, False),
        ({"reasoner": "vlm"}, False),
        ({"reasoner": "VLM"}, True),
        ({"reasoner": ["vlm"]}, True),
    ],
)
def test_only_the_scripted_reasoner_reads_ground_truth(settings: dict[str, Any], reads: bool) -> None:
    assert ThinkJEPAAgent.reads_truth(settings) is reads


SAID = "The table is a mess.\n1. Put the cube away. | cube\n2. Put the bowl away. | bowl"
SIZES = TinySizes(image_size=32, patch_size=8, vision_width=32, vision_layers=1, width=48, layers=2, heads=2)


@pytest.fixture(scope="module")
def tiny_vlm(tmp_path_factory: pytest.TempPathFactory) -> VLMConfig:
    folder = make_tiny([SAID, "Tidy up."], tmp_path_factory.mktemp("vlm"), SIZES)
    return VLMConfig(model=str(folder), device="cpu", layers="middle")


def says(agent: ThinkJEPAAgent, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an answer into the model's mouth; where it looks and how it embeds words remain its own."""
    model, tokenizer = agent._reasoner.reasoner._model, agent._reasoner.reasoner._chat.tokenizer
    tokens = torch.tensor([tokenizer(answer + tokenizer.eos_token)["input_ids"]])
    monkeypatch.setattr(model, "generate", lambda input_ids, **_: torch.cat([input_ids, tokens], dim=1))


def test_a_model_without_an_answer_gets_the_instruction_for_a_subgoal(
    checkpoint: str, tiny_vlm: VLMConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = thinkjepa(checkpoint, reasoner="vlm", vlm=tiny_vlm)
    says(agent, "The table is a mess.", monkeypatch)
    agent.reset(0, replace(view(), privileged=None), see(0))
    agent.act({0: see(0)})
    events = {event.kind: event.data for event in agent.pop_events(0)}
    assert "states no sub-goal" in events["no_subgoal"]["reason"]
    assert events["subgoal"]["text"] == "Tidy up."


@pytest.mark.parametrize("text", ["hashed_words", "external"])
def test_a_language_model_reasons(
    text: str, tiny_vlm: VLMConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = awake(ThinkJEPA(model_config(text=text, language_dim=48)))
    assert isinstance(model, ThinkJEPA)
    save_pretrained(model, tmp_path)
    calls = {}
    for look in ("every", "once"):
        agent = thinkjepa(str(tmp_path), reasoner="vlm", vlm=tiny_vlm, look=look)
        says(agent, SAID, monkeypatch)
        agent.reset(0, replace(view(), privileged=None), see(0))
        events = []
        for step in range(3):
            agent.act({0: see(step)})
            events.append(agent.pop_events(0))
        assert [event.kind for event in events[0]] == ["reasoning", "compute", "subgoal", "plan", "compute"]
        assert events[0][0].data == {"text": "The table is a mess."}
        assert events[0][1].data["model_calls"] == 4, "the answer, where it looked, and two embeddings"
        calls[look] = [sum(event.data.get("model_calls", 0) for event in some) for some in events[1:]]
    assert calls == {"every": [1, 1], "once": [0, 0]}


def test_embeddings_must_be_those_of_the_checkpoint(tiny_vlm: VLMConfig, tmp_path: Path) -> None:
    save_pretrained(ThinkJEPA(model_config(text="external")), tmp_path)
    with pytest.raises(ValueError, match=r"embeddings have 48 numbers, the checkpoint's .* takes 10"):
        thinkjepa(str(tmp_path), reasoner="vlm", vlm=tiny_vlm)
    with pytest.raises(ValueError, match=r"agent\.reasoner=vlm"):
        thinkjepa(str(tmp_path))


def test_an_error_leaves_the_lanes_as_they_were(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = thinkjepa(checkpoint)
    agent.reset(0, view(), see(0))
    agent.act({0: see(0)})
    kinds(agent)
    monkeypatch.setattr(agent._planner, "plan", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        agent.act({0: see(1)})
    assert kinds(agent) == []
    monkeypatch.undo()
    again = agent.act({0: see(1)})[0]
    undisturbed = thinkjepa(checkpoint)
    undisturbed.reset(0, view(), see(0))
    undisturbed.act({0: see(0)})
    np.testing.assert_array_equal(undisturbed.act({0: see(1)})[0], again)


def test_the_scripted_reasoner_looks_where_things_are() -> None:
    truth = Truth("Put it there.")
    world = model_config().world_model
    first, *others = ScriptedReasoner(world).propose(view(truth), see(0))
    assert others == []
    assert first.attention is not None
    assert first.attention.mean().item() == pytest.approx(1)
    assert divmod(int(first.attention.argmax()), 4) == (2, 0)  # v = 0.7 and u = 0.1 of 4 cells
    lower = replace(world, encoder=replace(world.encoder, crop=(0.0, 0.6, 0.5, 1.0)))
    (cropped,) = ScriptedReasoner(lower).propose(view(truth), see(0))
    assert cropped.attention is not None
    assert int(cropped.attention.argmax()) == 0
    gone = SubGoal("Something else.", None)
    assert ScriptedReasoner(world).look(gone, view(truth), see(0)) is gone


# ------------------------------------------------------------------------------------- through the harness


@pytest.fixture(scope="module")
def skills(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose actions are those of the tabletop's skills."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("skills")
    config = model_config()
    world = config.world_model
    larger = type(world)(encoder=world.encoder, predictor=world.predictor, action_dim=6, grid=world.grid)
    model = awake(ThinkJEPA(type(config)(world_model=larger, gpi=config.gpi)))
    assert isinstance(model, ThinkJEPA)
    save_pretrained(model, folder)
    return str(folder)


@pytest.mark.parametrize("agent", ["thinkjepa", "thinkjepa agent.reasoner=replay", "oracle_goal"])
def test_the_harness_runs_them_on_subgoals(agent: str, skills: str, tmp_path: Path) -> None:
    from thinkbench.subgoals.suite import load_frozen

    words = [
        *f"agent={agent}".split(),
        f"agent.checkpoint={skills}",
        "agent.planner.population=100",
        f"run_dir={tmp_path / 'r'}",
    ]
    replays = "replay" in agent
    if replays:
        instruction = load_frozen().spec("on", 0, 1, "standard").stages[0].instruction
        record(tmp_path / "record.json", {instruction: [SubGoal("Lift it.", None)]})
        words.append(f"agent.record={tmp_path / 'record.json'}")
    overrides = ["benchmark=subgoals", "limit=1", "protocol.image_size=32", "protocol.max_steps=1"]
    assert main(["run", *words, *overrides]) == 0
    with sqlite3.connect(tmp_path / "r" / "run.sqlite") as store:
        reported = {kind for (kind,) in store.execute("select kind from events")}
        meta = dict(store.execute("select key, value from meta"))
    assert {"plan", "compute"} <= reported
    assert json.loads(meta["privileged"]) is not replays
    identity = json.loads(meta["identity"])
    assert set(identity["checkpoints"]) == {"checkpoint", *(["record"] if replays else [])}
    assert {len(digest) for digest in identity["checkpoints"].values()} == {32}
    assert "record" not in identity["agent"] or not replays


def test_bad_settings_are_told_before_anything_starts(
    skills: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "benchmark=subgoals", "agent=thinkjepa", f"run_dir={tmp_path / 'r'}"]
    for override, message in {
        "agent.checkpoint=nowhere": "agent.checkpoint=nowhere: nowhere: no such folder, no shipped model",
        "agent.planner.population=20": "agent.planner: keep_elites=5 is more than the 2 elites of 20",
        "agent.planner.population=0": "agent.planner.population: Input should be greater than 0",
        "agent.objective.distance=cosine": "agent.objective.distance='cosine' is not one of change_cosine",
        "agent.objective.forgiven=0.3": "agent.objective: forgiven has no meaning with distance=change_cosine",
        "agent.guidance.alpha=-1": "agent.guidance.alpha: Input should be greater than or equal to 0",
        "agent.reasoner=oracle": "agent.reasoner='oracle' is not one of scripted, replay, vlm",
        "agent.reasoner=replay": "agent: reasoner=replay needs recorded answers; give agent.record=FILE",
        "agent.vlm.side=4": "agent: vlm has no effect with reasoner=scripted; give agent.reasoner=vlm",
        "agent.record=x.json": "agent: record has no effect with reasoner=scripted; give agent.reasoner=replay",
    }.items():
        assert main([*words, f"agent.checkpoint={skills}", override]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_subgoals_tell_where_their_things_are_seen() -> None:
    from thinkbench.subgoals.env import SubgoalEnv
    from thinkbench.subgoals.suite import load_frozen

    env = SubgoalEnv(image_size=64, observation_keys=("rgb_static",))
    try:
        spec = load_frozen().spec("on", 0, 4, "standard")
        env.reset(seed=0, options={"episode": spec})
        truth = env.privileged()
        assert isinstance(truth, StatesSubGoals)
        (stated,) = truth.stated_subgoals()
        assert stated.text == spec.stages[0].instruction
        seen = truth.world.render("rgb_static", 224).segmentation
        bodies = [seen[int(v * 224), int(u * 224)] for u, v in stated.points]
        assert [truth.world.objects[name] for name in truth.goal[0].args] == bodies
    finally:
        env.close()
