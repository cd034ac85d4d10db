"""What the hierarchical agent makes of a reasoner's sub-goals, with random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.reasoner import Attempt, ReasonerError, ScriptedReasoner, SubGoal, record
from agents.reasoner.loading import VLMConfig
from agents.reasoner.tiny import TinySizes, make_tiny
from agents.thinkjepa.agent import Guidance, ThinkJEPAAgent, random_projection
from agents.thinkjepa.checkpoints import from_pretrained, save_pretrained
from agents.thinkjepa.distances import Objective
from agents.thinkjepa.model import ThinkJEPA
from agents.thinkjepa.planner.config import SEED_CEM, PlannerConfig
from agents.thinkjepa.planner.latent import LatentPlanner
from agents.thinkjepa.planner.subgoals import SubgoalMonitor
from harness.config import compose_runs
from harness.interfaces import StatesSubGoals, TaskView
from harness.runs import check_agent
from tests.agents.planners import PLANNER, Truth, kinds, see, thinkjepa, view
from tests.agents.thinkjepa.tiny import awake, model_config


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


def test_a_distance_without_a_threshold_needs_one(checkpoint: str, tmp_path: Path) -> None:
    agent = thinkjepa(checkpoint)
    known, unknown = agent._objective.of_states, Objective(distance="pooled_cosine")
    assert agent._threshold == agent.thresholds[known]
    assert thinkjepa(checkpoint, threshold=0.5)._threshold == 0.5
    with pytest.raises(ValueError, match=r"pooled_cosine: the checkpoint has no threshold .* give agent.threshold"):
        thinkjepa(checkpoint, objective=unknown)
    assert thinkjepa(checkpoint, objective=unknown, threshold=0.15)._threshold == 0.15
    assert thinkjepa(checkpoint, objective=unknown, ask="every")._threshold == 0.0
    loaded = from_pretrained(checkpoint)
    save_pretrained(loaded.model, tmp_path / "uncalibrated")
    with pytest.raises(ValueError, match=r"the checkpoint has no threshold .* give agent.threshold"):
        thinkjepa(str(tmp_path / "uncalibrated"))
    (composed,) = compose_runs(["agent=thinkjepa", "agent.ask=done", f"agent.checkpoint={tmp_path / 'uncalibrated'}"])
    _, settings = check_agent(composed.config.agent)
    with pytest.raises(ValueError, match=r"token_cosine: the checkpoint has no threshold"):
        ThinkJEPAAgent.check_settings(settings, None, None)


def test_the_search_of_the_source_document(checkpoint: str) -> None:
    (composed,) = compose_runs(["agent=thinkjepa_seed", "benchmark=subgoals"])
    _, settings = check_agent(composed.config.agent)
    assert PlannerConfig(**settings["planner"]) == SEED_CEM
    agent = thinkjepa(checkpoint, ask="every", planner=replace(SEED_CEM, population=20, horizon=2, initial_std=9.0))
    agent.reset(0, view(), see(0))
    first = agent.act({0: see(0)})[0]
    assert np.abs(first).max() == 1.0, "it searches beyond the bounds, and acts within them"
    assert agent._lanes[0].warm_start is None


def test_that_a_subgoal_is_reached_is_told_by_the_distance_that_was_calibrated(
    checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which knows nothing of where the reasoner looks, whatever plans are scored by."""
    measured: list[float] = []
    observe = SubgoalMonitor.observe
    monkeypatch.setattr(SubgoalMonitor, "observe", lambda self, d: measured.append(d) or observe(self, d))
    for relevance in (False, True):
        agent = thinkjepa(checkpoint, objective=Objective(distance="token_cosine", relevance=relevance))
        agent.reset(0, view(), see(0))
        for step in range(2):
            agent.act({0: see(step)})
    plain, weighted = measured
    assert weighted == plain > 0


def test_weights_have_the_precision_that_was_asked_for(checkpoint: str, tmp_path: Path) -> None:
    model = from_pretrained(checkpoint).model
    model.world_model.cast_weights(torch.bfloat16)
    save_pretrained(model, tmp_path, thresholds={"token_cosine": 1e-6})
    for precision, dtype in (("float32", torch.float32), ("auto", torch.float32), ("bf16", torch.bfloat16)):
        agent = thinkjepa(str(tmp_path), precision=precision, device="cpu")
        assert {parameter.dtype for parameter in agent.world.parameters()} == {dtype}


def test_patience_ends_in_a_question(checkpoint: str) -> None:
    agent = thinkjepa(checkpoint, patience=2)
    agent.reset(0, view(), see(0))
    for step in range(3):
        agent.act({0: see(step)})
    events = agent.pop_events(0)
    assert [event.data for event in events if event.kind == "replan"] == [{"reason": "patience"}]
    watched = [event.data for event in events if event.kind == "watched"]
    assert [told["text"] for told in watched] == [Truth().texts[0]] * 2
    assert all(told["distance"] > agent._threshold for told in watched)


def test_the_reasoner_can_be_asked_before_every_decision(checkpoint: str) -> None:
    agent = thinkjepa(checkpoint, ask="every")
    truth = Truth()
    agent.reset(0, view(truth), see(0))
    agent.act({0: see(0)})
    assert kinds(agent) == ["subgoal", "plan", "compute"]
    truth.texts = truth.texts[1:]  # the first was reached
    agent.act({0: see(1)})
    subgoal, *_ = agent.pop_events(0)
    text = "Put the blue cube on the tray."
    assert subgoal.data == {"text": text, "objects": [f"thing 1 of {text}"], "left": 1, "then": []}


def test_what_is_left_of_a_plan_is_kept_for_the_same_subgoal(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = thinkjepa(checkpoint, ask="every", planner=replace(PLANNER, horizon=2))
    truth = Truth()
    agent.reset(0, view(truth), see(0))
    starts: list[Any] = []
    plan = LatentPlanner.plan

    def watched(*given: Any, warm_start: Any, **named: Any) -> Any:
        starts.extend(warm_start)
        return plan(*given, warm_start=warm_start, **named)

    monkeypatch.setattr(LatentPlanner, "plan", watched)
    agent.act({0: see(0)})
    agent.act({0: see(1)})
    truth.texts = truth.texts[1:]
    agent.act({0: see(2)})
    assert [start is not None for start in starts] == [False, True, False]


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
    told = agent.pop_events(0)
    events = {event.kind: event.data for event in told}
    assert "states no sub-goal" in events["no_subgoal"]["reason"]
    assert events["no_subgoal"]["text"] == "The table is a mess."
    assert {"no_subgoal": 1} in [event.data for event in told if event.kind == "compute"], "what reports show"
    assert events["subgoal"]["text"] == "Tidy up."


@pytest.mark.parametrize("text", ["hashed_words", "external"])
def test_a_language_model_reasons(
    text: str, tiny_vlm: VLMConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = awake(ThinkJEPA(model_config(text=text, language_dim=48)))
    assert isinstance(model, ThinkJEPA)
    save_pretrained(model, tmp_path, thresholds={"token_cosine": 1e-6})
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["agent.patience=3"], r"agent\.patience=3 has no effect with ask=every; give agent\.ask=done"),
        (["agent.look=once"], r"agent\.look=once has no effect"),
        (["agent.threshold=0.1"], r"agent\.threshold=0\.1 has no effect"),
        (["agent.guidance={attention: false, alpha: 0.3}"], r"alpha=0\.3 has no effect with guidance\.attention=false"),
        (["agent.guidance.attention=false"], ""),
        (["agent.ask=done", "agent.patience=3", "agent.hits=2"], ""),
        (["agent=thinkjepa_seed"], ""),
    ],
)
def test_settings_without_effect_are_refused(words: list[str], message: str) -> None:
    (composed,) = compose_runs(["agent=thinkjepa", *words])
    _, settings = check_agent(composed.config.agent)
    if not message:
        return ThinkJEPAAgent.check_settings(settings, None, None)
    with pytest.raises(ValueError, match=message):
        ThinkJEPAAgent.check_settings(settings, None, None)
    return None
