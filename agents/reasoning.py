"""What agents share that ask a reasoner: which one, its settings, and what is reported of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from agents.reasoner import Attempt, Reasoner, ReasonerError, ReplayReasoner, ScriptedReasoner, SubGoal, UnreadableError
from agents.reasoner.loading import VLMConfig, describe, located, pinned
from agents.reasoner.vlm import VLMReasoner
from agents.thinkjepa.config import WorldModelConfig
from harness.interfaces import AgentEvent, Observation, TaskView

Kind = Literal["scripted", "replay", "vlm"]

_Result = TypeVar("_Result")


def reads_truth(settings: Mapping[str, Any]) -> bool:
    """`Agent.reads_truth` of an agent whose reasoner alone may: ``scripted`` does, the others do not."""
    return settings.get("reasoner") not in ("replay", "vlm")


def chosen_vlm(settings: Mapping[str, Any]) -> VLMConfig:
    """The model that ``vlm`` would ask."""
    return VLMConfig(**(settings.get("vlm") or {}))


def content(settings: Mapping[str, Any]) -> dict[str, Path | str]:
    """`Agent.content`: the record, or the model's folder and its adapter. A model of the hub is known by its commit.

    Raises:
        ValueError: A setting is missing that the reasoner needs, or given that it does not; or there is no such file
            or model.
    """
    kind, record, vlm = settings["reasoner"], settings.get("record"), settings.get("vlm")
    if kind == "replay" and record is None:
        raise ValueError("agent.reasoner=replay needs recorded answers; give agent.record=FILE")
    for name, value, wanted in (("record", record, "replay"), ("vlm", vlm, "vlm")):
        if value is not None and kind != wanted:
            raise ValueError(
                f"agent.{name} has no effect with reasoner={kind}; give agent.reasoner={wanted} or leave it away"
            )
    chosen = chosen_vlm(settings)
    named = {"vlm.lora": chosen.lora} if kind == "vlm" else {"record": record}
    files = {name: Path(value) for name, value in named.items() if value is not None}
    for name, path in files.items():
        if not path.exists():
            raise ValueError(f"agent.{name}={path}: no such file or folder")
    return files | ({"vlm.model": _weights(chosen)} if kind == "vlm" else {})


def _weights(vlm: VLMConfig) -> Path | str:
    """What identifies the weights of a model: its folder, or its commit on the hub."""
    with _key_in_full():
        commit = pinned(vlm.model, vlm.revision)
    return Path(located(vlm.model)) if commit is None else commit


def check_settings(settings: Mapping[str, Any], world: WorldModelConfig | None) -> None:
    """`Agent.check_settings` of an agent that asks a reasoner: what can be told before weights are read.

    Args:
        settings: The agent's.
        world: Whose grid attention maps are over, where it is known by now.

    Raises:
        ValueError: The model, its layers, its adapter or the device are not there, or the record does not fit.
    """
    if settings["reasoner"] == "vlm":
        with _key_in_full():
            describe(chosen_vlm(settings))
    if settings["reasoner"] == "replay" and world is not None:
        try:
            ReplayReasoner(settings["record"], world)
        except ReasonerError as error:
            raise ValueError(f"agent.record={error}") from error


@contextlib.contextmanager
def _key_in_full() -> Iterator[None]:
    """Errors of a model name its settings as they are given to an agent."""
    try:
        yield
    except ReasonerError as error:
        raise ValueError(f"agent.vlm.{error}") from error


def make_reasoner(kind: Kind, record: Path | None, vlm: VLMConfig | None, world: WorldModelConfig) -> Reasoner:
    """The reasoner of these settings.

    Args:
        kind: ``scripted``, ``replay`` or ``vlm``.
        record: What ``replay`` repeats.
        vlm: The model that ``vlm`` asks; the shipped one if not given.
        world: Whose grid attention maps are over.

    Raises:
        ValueError: A setting is missing, or the reasoner cannot be set up.
    """
    match kind:
        case "scripted":
            return ScriptedReasoner(world)
        case "vlm":
            return VLMReasoner(vlm or VLMConfig(), world)
        case "replay" if record is not None:
            return ReplayReasoner(record, world)
    raise ValueError("reasoner=replay needs agent.record=FILE")


def subgoal_event(subgoals: Sequence[SubGoal]) -> AgentEvent:
    """``subgoal``: which is taken up now (``text``, ``objects``), of how many (``left``); the others come ``then``."""
    first, *rest = subgoals
    told = {"text": first.text, "objects": list(first.objects), "left": len(subgoals)}
    return AgentEvent("subgoal", told | {"then": [subgoal.text for subgoal in rest]})


class Asking:
    """A reasoner, and events about what it was asked.

    ``reasoning`` (``text``) is a model's chain of thought; ``compute`` (``model_calls``, ``reason_ms``) is reported
    where a model was called, and ``compute`` (``no_subgoal``) where its answer stated none, so that reports tell it.

    Args:
        reasoner: Whom to ask.
    """

    def __init__(self, reasoner: Reasoner) -> None:
        self.reasoner = reasoner

    def propose(
        self, view: TaskView, observation: Observation, history: Sequence[Attempt], events: list[AgentEvent]
    ) -> Sequence[SubGoal]:
        """`Reasoner.propose`; adds to ``events``.

        Where a history leaves nothing to propose, it is asked as if for the first time: the episode goes on, so that
        something of what was thought to be reached is not. Where a model states no sub-goal even then, it gets the
        instruction for one, and ``no_subgoal`` (``reason``, ``text``) is reported: what it cannot do is its failure,
        no error.

        Raises:
            ReasonerError: What does not generate answers has none.
        """
        problem: ReasonerError
        for told in dict.fromkeys((tuple(history), ())):
            try:
                return self._measured(lambda: self._answer(view, observation, told, events), events)  # noqa: B023
            except ReasonerError as error:
                problem = error
        model = self.reasoner
        if not isinstance(model, VLMReasoner) or not isinstance(problem, UnreadableError):
            raise problem
        said = {"reason": str(problem), "text": problem.text}
        events += [AgentEvent("no_subgoal", said), AgentEvent("compute", {"no_subgoal": 1})]
        embedding = self._measured(lambda: model.embed(view.instruction), events)
        return [SubGoal(view.instruction, None, embedding)]

    def look(self, subgoal: SubGoal, view: TaskView, observation: Observation, events: list[AgentEvent]) -> SubGoal:
        """`Reasoner.look`; adds to ``events``."""
        return self._measured(lambda: self.reasoner.look(subgoal, view, observation), events)

    def _answer(
        self, view: TaskView, observation: Observation, history: Sequence[Attempt], events: list[AgentEvent]
    ) -> Sequence[SubGoal]:
        if not isinstance(self.reasoner, VLMReasoner):
            return self.reasoner.propose(view, observation, history)
        answer = self.reasoner.answer(view, observation, history)
        if answer.reasoning:
            events.append(AgentEvent("reasoning", {"text": answer.reasoning}))
        return answer.subgoals

    def _measured(self, ask: Callable[[], _Result], events: list[AgentEvent]) -> _Result:
        if not isinstance(self.reasoner, VLMReasoner):
            return ask()
        began, before = time.perf_counter(), self.reasoner.calls
        try:
            return ask()
        finally:
            called, took = self.reasoner.calls - before, 1e3 * (time.perf_counter() - began)
            if called:
                events.append(AgentEvent("compute", {"model_calls": called, "reason_ms": round(took, 2)}))
