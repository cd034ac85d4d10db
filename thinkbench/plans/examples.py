"""Questions from episodes: the start of an episode, and what it looks like after some of the expert's moves.

Later states come from the world without physics (`thinkbench.ideal`): the moves of a rehearsal are carried out exactly,
and the simulator lets the scene that follows settle and takes its picture. That takes a twentieth of the time that
executing the moves would, and the states are those from which a reasoner is asked again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from envs.bullet import SimulationError
from envs.tabletop.cameras import CameraName
from envs.tabletop.scene import SceneSpec, WorldState
from harness.dataset import encode_image
from harness.interfaces import EpisodeSpec
from harness.plans import Question, Said, Split, Thing
from thinkbench.abstraction import abstract, domain_of
from thinkbench.env import ThinkBenchEnv, ThinkBenchTruth
from thinkbench.literals import Literal
from thinkbench.rehearsal import as_scene, rehearse
from thinkbench.specs import EpisodeRecord
from thinkbench.subgoals.goals import KINDS, SubGoal, called, move_in_words
from thinkbench.symbolic import TABLE

CAMERA: CameraName = "rgb_static"


def questions(
    env: ThinkBenchEnv, record: EpisodeRecord, task: str, moves: Sequence[int], split: Split
) -> Iterator[Question]:
    """An episode after so many of the expert's moves each; states that do not settle as they should are left out.

    Args:
        env: With the static camera.
        record: The episode.
        task: Its instruction.
        moves: How many, in ascending order, each less than the horizon.
        split: Of the questions.
    """
    scene = SceneSpec.from_dict(record.meta["scene"])
    goal, rules = (tuple(Literal.from_list(words) for words in record.meta[key]) for key in ("goal", "rules"))
    domain = domain_of(scene, goal, rules)
    for state, made in rehearse(scene, domain, goal, max(moves)):
        if len(made) not in moves:
            continue
        now = as_scene(state) if made else scene
        spec = record.spec(1)
        spec = replace(spec, meta={**spec.meta, "scene": now.to_dict()})
        try:
            observation, _ = env.reset(seed=record.seed, options={"episode": spec})
        except SimulationError:
            continue
        truth = env.privileged()
        if abstract(truth.state(), domain) == abstract(state, domain):
            reached = tuple(sentence(move_in_words(scene, placement.move, domain)) for placement in made)
            yield _question(spec, truth, observation[CAMERA], (task, reached, len(made)), split)


def sentence(subgoal: SubGoal) -> str:
    """A move in its standard words."""
    return subgoal.text(KINDS[subgoal.kind].standard[0])


def without_article(phrase: str) -> str:
    """``the red cube`` to ``red cube``."""
    return phrase.removeprefix("the ")


def _question(
    spec: EpisodeSpec,
    truth: ThinkBenchTruth,
    picture: npt.NDArray[np.uint8],
    told: tuple[str, tuple[str, ...], int],
    split: Split,
) -> Question:
    task, reached, number = told
    state = truth.state()
    things = _things(truth, state)
    plan = truth.moves_in_words(state)
    problem = {key: spec.meta[key] for key in ("scene", "goal", "rules")}
    return Question(
        id=f"{spec.episode_id}+{number}",
        split=split,
        template=spec.meta["template"],
        family=spec.meta["family"],
        horizon=len(plan),
        png=encode_image(picture),
        task=task,
        reached=reached,
        subgoals=tuple(Said(sentence(step), tuple(map(without_article, step.phrases))) for step in plan),
        things=things,
        labels_png=encode_image(truth.labels([thing.name for thing in things], len(picture))),
        problem=json.dumps(problem),
    )


def _things(truth: ThinkBenchTruth, state: WorldState) -> tuple[Thing, ...]:
    phrases = called(state.scene)
    domain = domain_of(state.scene, truth.goal, truth.rules)
    phrases |= {name: " and ".join(phrases[post] for post in span.posts) for name, span in domain.spans.items()}
    below = dict(zip(domain.movable, abstract(state, domain), strict=True))
    below |= {spec.name: TABLE for spec in state.scene.objects if spec.name not in below}
    names = [*(spec.name for spec in state.scene.objects), *(zone.name for zone in state.scene.zones)]
    things = []
    for name, (u, v) in zip(names, truth.seen_at(state, names), strict=True):
        on = "" if name not in below else without_article(phrases.get(below[name], TABLE))
        things.append(Thing(name, without_article(phrases[name]), on, u, v))
    return tuple(things)
