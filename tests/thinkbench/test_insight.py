"""What straight moves reach."""

import pytest

from thinkbench.insight import holds_claim, prove, straight_moves
from thinkbench.literals import Goal, Literal
from thinkbench.symbolic import TABLE, Domain, Move

BLOCKS = Domain(("a", "b", "c", "d"), {x: frozenset("abcd") - {x} for x in "abcd"}, {}, {"west": 1, "east": 1})


def goal(*texts: str) -> Goal:
    return tuple(Literal.from_list(text.split()) for text in texts)


def test_straight_moves_make_something_true_of_what_they_move() -> None:
    start = BLOCKS.state({"a": "b", "d": "west"})
    wanted = goal("on_table a", "on c a", "clear b", "not at_zone d west")
    moves = set(straight_moves(BLOCKS, start, wanted))
    assert {Move("a", TABLE), Move("c", "a"), Move("d", TABLE)} <= moves
    assert {move.item for move in moves} == {"a", "c", "d"}  # nothing is moved for what it makes true of others
    assert Move("a", "c") not in moves
    assert Move("c", TABLE) not in moves


@pytest.mark.parametrize(
    ("supports", "wanted", "states", "reaches_goal", "dead_end"),
    [
        ({}, goal("on a b"), 2, True, None),
        ({"c": "b"}, goal("on a b"), 1, False, ()),  # clearing
        ({"a": "west", "b": "east"}, goal("at_zone a east", "at_zone b west"), 1, False, ()),  # buffer
        ({}, goal("on b a", "on c b"), 4, True, (("c", "b"),)),  # order: c first, and b cannot move any more
    ],
)
def test_proofs(
    supports: dict[str, str],
    wanted: Goal,
    states: int,
    reaches_goal: bool,
    dead_end: tuple[tuple[str, str], ...] | None,
) -> None:
    proof = prove(BLOCKS, BLOCKS.state(supports), wanted, "none")
    assert (proof.states, proof.reaches_goal, proof.dead_end) == (states, reaches_goal, dead_end)


@pytest.mark.parametrize(
    ("claim", "supports", "wanted", "true"),
    [
        ("clearing", {"c": "b"}, goal("on a b"), True),
        ("clearing", {}, goal("on a b"), False),
        ("buffer", {"a": "west", "b": "east"}, goal("at_zone a east", "at_zone b west"), True),
        ("buffer", {"a": "west"}, goal("at_zone a east"), False),
        ("order", {}, goal("on b a", "on c b"), True),
        ("order", {}, goal("on a b"), False),
        ("none", {}, goal("on a b"), True),
    ],
)
def test_claims(claim: str, supports: dict[str, str], wanted: Goal, true: bool) -> None:
    assert holds_claim(prove(BLOCKS, BLOCKS.state(supports), wanted, claim)) is true
