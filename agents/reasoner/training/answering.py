"""What `harness answer` does; `agents.commands` has its arguments."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from agents.planning import CAMERA
from agents.reasoner.loading import VLMConfig
from agents.reasoner.protocol import Attempt, Reasoner, ReasonerError, SubGoal, UnreadableError
from agents.reasoner.replay import ReplayReasoner, record
from agents.reasoner.vlm import VLMReasoner
from agents.thinkjepa.checkpoints import CheckpointError, from_pretrained
from agents.thinkjepa.config import WorldModelConfig
from agents.thinkjepa.presets import preset
from harness.dataset import file_sha256
from harness.interfaces import SeedPath, TaskView
from harness.plans import SPLITS, Answered, Answers, PlansError, Question, Said, digest, question_ids, read_plans

_SAVED_EVERY = 20


def answer_all(arguments: argparse.Namespace) -> None:
    """Carry out ``harness answer``; prints the file.

    What the file holds already is not asked again, and stays there whatever is asked now.

    Raises:
        ValueError: An argument is impossible; the message names it and the remedy.
    """
    for option, path in (("--output", arguments.output), ("--replay", arguments.replay)):
        if path is not None and not path.parent.is_dir():
            raise ValueError(f"{option} {path}: its folder does not exist; make it")
    questions = _chosen(arguments.plans, arguments.split, arguments.limit)
    world = _world(arguments.world)
    reasoner, named = _reasoner(arguments, world)
    answers = Answers(digest(arguments.plans), named, world.encoder.crop, world.grid, ())
    known = _known(arguments.output, answers)
    fresh = [question for question in questions if question.id not in known]
    order = question_ids(arguments.plans)

    def save() -> None:
        kept = [known[one] for one in order if one in known]
        replace(answers, answers=kept).write(arguments.output)

    console = Console(stderr=True)
    try:
        for count, question in enumerate(track(fresh, "answer", console=console, disable=not console.is_terminal), 1):
            known[question.id] = ask(reasoner, question)
            if count % _SAVED_EVERY == 0:
                save()
    finally:
        if known:
            save()
    print(arguments.output)
    if arguments.replay is not None:
        record(
            arguments.replay, to_replay(questions, [known[question.id] for question in questions]), world.encoder.crop
        )
        print(arguments.replay)
        silent = sum(not question.reached and not known[question.id].subgoals for question in questions)
        if silent:
            print(f"note: {silent} answers state no sub-goal; the record has the instruction instead", file=sys.stderr)
        several = ambiguous(questions)
        if several:
            print(
                f"note: {len(several)} instructions are given in several scenes, such as {several[0]!r}; a record has "
                "one answer to each, the first",
                file=sys.stderr,
            )


def _known(path: Path, asked: Answers) -> dict[str, Answered]:
    """What a run before wrote to the same file, if the same reasoner answered the same questions."""
    if not path.exists():
        return {}
    try:
        before = Answers.read(path)
    except PlansError as error:
        raise ValueError(f"--output {path} is in the way: {error}") from error
    if replace(before, answers=()) != asked:
        one, other = (
            f"of {dict(some.reasoner)} to questions {some.plans[:12]}, with attention over {some.grid} x {some.grid} "
            f"cells of {list(some.crop)}"
            for some in (before, asked)
        )
        raise ValueError(
            f"--output {path} holds answers {one}; these are {other} (--world); name another file or remove it"
        )
    return {answer.id: answer for answer in before.answers}


def to_replay(questions: Sequence[Question], answered: Sequence[Answered]) -> dict[str, list[SubGoal]]:
    """What `replay.record` writes: the first answer to each instruction that was given at the start of an episode.

    Where it states no sub-goal, the instruction is the sub-goal, as it is for an agent that asks the model itself.
    """
    found: dict[str, list[SubGoal]] = {}
    for question, answer in zip(questions, answered, strict=True):
        if not question.reached:
            pairs = zip(answer.subgoals, answer.attention, strict=True)
            subgoals = [
                SubGoal(said.text, None if attention is None else torch.tensor(attention), objects=said.objects)
                for said, attention in pairs
            ]
            found.setdefault(question.task, subgoals or [SubGoal(question.task, None)])
    return found


def ambiguous(questions: Sequence[Question]) -> list[str]:
    """Instructions that several episodes begin with."""
    counted = Counter(question.task for question in questions if not question.reached)
    return [task for task, count in counted.items() if count > 1]


def ask(reasoner: Reasoner, question: Question) -> Answered:
    """Ask one question as an agent does: what was reached before is told. Reading errors are answers, too."""
    space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    view = TaskView(question.task, space, None, question.horizon, 0, SeedPath(0, question.id, 0))
    history = [Attempt(text, reached=True) for text in question.reached]
    began = time.perf_counter()
    observation, text = {CAMERA: question.picture()}, ""
    try:
        if isinstance(reasoner, VLMReasoner):
            answer = reasoner.answer(view, observation, history)
            subgoals, text = answer.subgoals, answer.text
        else:
            subgoals = tuple(reasoner.propose(view, observation, history))
    except ReasonerError as error:
        text = error.text if isinstance(error, UnreadableError) else ""
        return Answered(question.id, time.perf_counter() - began, error=str(error), text=text)
    return Answered(
        id=question.id,
        seconds=time.perf_counter() - began,
        subgoals=tuple(Said(subgoal.text, subgoal.objects) for subgoal in subgoals),
        attention=tuple(_numbers(subgoal) for subgoal in subgoals),
        text=text,
    )


def _numbers(subgoal: SubGoal) -> tuple[float, ...] | None:
    return None if subgoal.attention is None else tuple(round(value, 4) for value in subgoal.attention.tolist())


def _chosen(plans: Path, split: str | None, limit: int | None) -> Sequence[Question]:
    questions = list(read_plans(plans, [one for one in SPLITS if split in (None, one)]))
    if not questions:
        raise ValueError(f"--split {split}: {plans} has no such questions; leave it away to ask all")
    if limit is None or limit >= len(questions):
        return questions
    if limit < 1:
        raise ValueError(f"--limit {limit}: must be at least 1")
    return [questions[int(place)] for place in np.linspace(0, len(questions) - 1, limit)]


def _world(name: str | None) -> WorldModelConfig:
    """Whose grid attention maps are over; 14 x 14 cells of the whole picture without a world model."""
    if name is None:
        return preset("paper", action_dim=1, language_dim=1).world_model
    try:
        return from_pretrained(name).model.config.world_model
    except CheckpointError as error:
        raise ValueError(f"--world: {error}") from error


def _reasoner(arguments: argparse.Namespace, world: WorldModelConfig) -> tuple[Reasoner, dict[str, Any]]:
    """A reasoner, and what it is called."""
    options = ("revision", "lora", "layers", "sinks", "device", "max_new_tokens")
    given = {name: value for name in options if (value := getattr(arguments, name)) is not None}
    if arguments.record is not None:
        if given:
            name, value = next(iter(given.items()))
            raise ValueError(f"--{name.replace('_', '-')} {value} has no effect on --record; leave it away")
        return ReplayReasoner(arguments.record, world), {"record": file_sha256(arguments.record)}
    if given.get("max_new_tokens", 1) < 1:
        raise ValueError(f"--max-new-tokens {given['max_new_tokens']}: must be at least 1")
    config = VLMConfig(model=arguments.model, **given)
    reasoner = VLMReasoner(config, world)
    named = {name: getattr(config, name) for name in ("model", "layers", "sinks", "max_new_tokens")}
    if arguments.lora is not None:
        named["lora"] = str(arguments.lora)
    return reasoner, named | {"revision": reasoner.revision}
