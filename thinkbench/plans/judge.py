"""Whether a list of sub-goals in words can be executed and reaches the goal.

A sub-goal is read as the legal moves whose words it has, in any of their paraphrases (`KINDS`). Where it fits several
moves, because objects look alike, all of them are followed, and one that reaches the goal is enough.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from envs.tabletop.scene import SceneSpec
from thinkbench.abstraction import abstract, domain_of
from thinkbench.ideal import ideal_state
from thinkbench.literals import Literal
from thinkbench.subgoals.goals import KINDS, move_in_words
from thinkbench.symbolic import Domain, Move, SymbolicState, satisfied

_ARTICLES = frozenset({"the", "a", "an"})


@dataclass(frozen=True)
class Judged:
    """What became of a list of sub-goals.

    Attributes:
        legal: How many could be executed, one after the other, before the first that could not.
        executable: Whether all could.
        correct: Whether the goal holds after the last.
    """

    legal: int
    executable: bool
    correct: bool


def judge(problem: str, texts: Sequence[str]) -> Judged:
    """Carry out sub-goals under the rules of the abstract domain.

    Args:
        problem: Of the question; see `harness.plans`.
        texts: The sub-goals.
    """
    data = json.loads(problem)
    scene = SceneSpec.from_dict(data["scene"])
    goal, rules = (tuple(Literal.from_list(words) for words in data[key]) for key in ("goal", "rules"))
    domain = domain_of(scene, goal, rules)
    states = {abstract(ideal_state(scene), domain)}
    for legal, text in enumerate(texts):
        states = {after for state in states for after in _following(scene, domain, state, normalised(text))}
        if not states:
            return Judged(legal, executable=False, correct=False)
    correct = bool(texts) and any(satisfied(domain, state, goal) for state in states)
    return Judged(len(texts), executable=bool(texts), correct=correct)


def normalised(text: str) -> tuple[str, ...]:
    """The words of a text, without case, punctuation and articles."""
    return tuple(word for word in re.findall(r"[a-z]+", text.lower()) if word not in _ARTICLES)


def _following(
    scene: SceneSpec, domain: Domain, state: SymbolicState, words: tuple[str, ...]
) -> Iterator[SymbolicState]:
    """States after the legal moves that these words fit."""
    for move in domain.moves(state):
        if words in _wordings(scene, domain, move):
            yield domain.apply(state, move)


def _wordings(scene: SceneSpec, domain: Domain, move: Move) -> frozenset[tuple[str, ...]]:
    """A move in all its paraphrases, some of which fit others as well.

    A move to the table may be called so where it is the bare table that is meant, and a zone of a row by its colour.
    """
    subgoal = move_in_words(scene, move, domain)
    kinds = {subgoal.kind, "table"} if subgoal.kind == "bare" else {subgoal.kind}
    phrasings = {subgoal.phrases}
    phrasings |= {
        (subgoal.phrases[0], f"the {zone.colour} zone") for zone in scene.zones if zone.name == move.destination
    }
    return frozenset().union(*(_paraphrases(kind, phrases) for kind in kinds for phrases in phrasings))


@lru_cache(maxsize=100_000)
def _paraphrases(kind: str, phrases: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    phrasing = KINDS[kind]
    return frozenset(normalised(words.format(*phrases)) for words in (*phrasing.standard, *phrasing.held_out))
