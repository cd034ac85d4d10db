"""Whether a list of sub-goals in words can be executed and reaches the goal.

A sub-goal is read as the legal moves whose words it has, in any of their paraphrases (`KINDS`); where it has those of
none, as `thinkbench.plans.reading` reads ordinary words. Where it fits several moves, because objects look alike, all
of them are followed, and one that reaches the goal is enough. One that only says what is picked up (`grasped`) is
executed if the next one moves that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from envs.tabletop.scene import SceneSpec
from harness.plans import Said
from thinkbench.abstraction import abstract, domain_of
from thinkbench.ideal import ideal_state
from thinkbench.literals import Literal
from thinkbench.plans.reading import grasped, normalised, readings
from thinkbench.subgoals.goals import KINDS, called, move_in_words
from thinkbench.symbolic import Domain, Move, SymbolicState, satisfied

_IT = re.compile(r"\bit\b")


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


def judge(problem: str, subgoals: Sequence[Said]) -> Judged:
    """Carry out sub-goals under the rules of the abstract domain.

    Args:
        problem: Of the question; see `harness.plans`.
        subgoals: What is to be done, in this order.
    """
    data = json.loads(problem)
    scene = SceneSpec.from_dict(data["scene"])
    goal, rules = (tuple(Literal.from_list(words) for words in data[key]) for key in ("goal", "rules"))
    domain = domain_of(scene, goal, rules)
    states = {abstract(ideal_state(scene), domain)}
    held: frozenset[str] = frozenset()
    for legal, said in enumerate(subgoals):
        following = _following(scene, domain, states, said, held)
        if following:
            states, held = following, frozenset()
            continue
        held = frozenset().union(*(grasped(scene, domain, state, said) for state in states) if not held else ())
        if not held or legal == len(subgoals) - 1:
            return Judged(legal, executable=False, correct=False)
    correct = bool(subgoals) and any(satisfied(domain, state, goal) for state in states)
    return Judged(len(subgoals), executable=bool(subgoals), correct=correct)


def _following(
    scene: SceneSpec, domain: Domain, states: Collection[SymbolicState], said: Said, held: frozenset[str]
) -> set[SymbolicState]:
    """States after the legal moves that a sub-goal states: of what is held, if anything is; it may be called *it*."""
    if not held:
        return {domain.apply(state, move) for state, move in _moves(scene, domain, states, said)}
    phrases = called(scene)
    spoken = [said, *(replace(said, text=_IT.sub(phrases[item], said.text, count=1)) for item in sorted(held))]
    found = (pair for one in spoken for pair in _moves(scene, domain, states, one))
    return {domain.apply(state, move) for state, move in found if move.item in held}


def _moves(
    scene: SceneSpec, domain: Domain, states: Collection[SymbolicState], said: Said
) -> list[tuple[SymbolicState, Move]]:
    """The legal moves that a sub-goal states, in the words of sub-goals or else in ordinary ones."""
    words = normalised(said.text)
    pairs = [
        (state, move) for state in states for move in domain.moves(state) if words in _wordings(scene, domain, move)
    ]
    return pairs or [(state, move) for state in states for move in readings(scene, domain, state, said)]


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
