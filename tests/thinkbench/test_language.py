"""Words: lists, descriptions that pick out one object, piles, and plans step by step."""

import re

import pytest

from envs.tabletop.scene import Kind, Size
from thinkbench.generator import generate
from thinkbench.language import AmbiguousError, arrangement, describe, instruct, steps
from thinkbench.literals import Goal, Literal
from thinkbench.symbolic import TABLE, Domain, Move, Span
from thinkbench.templates import load_templates

from .worlds import thing


def goal(*texts: str) -> Goal:
    return tuple(Literal.from_list(text.split()) for text in texts)


def test_lists_of_phrases() -> None:
    words = {"x": ["the cube"], "y": ["a", "b", "c"]}
    assert instruct("{x:start} and {y}.", words) == "The cube and a, b and c."
    assert instruct("{y:or}", words) == "a, b or c"
    with pytest.raises(ValueError, match="unknown placeholder form 'nor'"):
        instruct("{y:nor}", words)


def test_descriptions_pick_out_one_object() -> None:
    medium, small, wedge = thing("a"), thing("b", size=Size.SMALL), thing("c", Kind.WEDGE)
    assert describe(medium, [medium, wedge]) == "the red cube"
    assert describe(medium, [medium, small, wedge]) == "the medium red cube"
    with pytest.raises(AmbiguousError, match="a looks like another"):
        describe(medium, [medium, thing("d")])


@pytest.mark.parametrize(
    ("literals", "expected"),
    [
        (("at_zone a red", "on b a"), "a pile of A and B on RED"),
        (("at_zone a red", "at_zone b blue", "not shares_zone a"), "A on RED; B on BLUE"),
        (("inside a tray", "on b a", "on c b"), "a pile of A, B and C in TRAY"),
        (("on_table c", "on a c", "on_table d"), "a pile of C and A on the table; D by itself on the table"),
        (("on a c",), "a pile of C and A on the table"),
    ],
)
def test_piles_are_listed_from_the_bottom(literals: tuple[str, ...], expected: str) -> None:
    assert arrangement(goal(*literals), str.upper) == expected


def test_plans_in_words_say_where_things_come_from() -> None:
    domain = Domain(
        ("a", "b", "p"),
        {"a": frozenset("b")},
        {"tray": 1},
        {"red": 1, "blue": 1},
        open_containers=frozenset({"tray"}),
        spans={"a+b": Span(("a", "b"), ("red", "blue"), frozenset("p"))},
    )
    start = domain.state({"a": "tray", "b": "a"})
    plan = [Move("b", TABLE), Move("a", "red"), Move("b", "blue"), Move("p", "a+b")]
    assert steps(plan, start, domain, str.upper) == (
        "1. Put B from A onto the table. 2. Put A from TRAY onto RED. 3. Put B onto BLUE. 4. Put P onto A and B."
    )


@pytest.mark.parametrize("name", sorted(load_templates()))
def test_only_the_verbose_wording_gives_steps(name: str) -> None:
    drawn = generate(load_templates()[name], 0, 0)
    words = drawn.instructions
    assert words["verbose"].startswith(words["standard"])
    assert len(re.findall(r"\d+\. Put ", words["verbose"])) == drawn.template.horizon
    assert words["held_out"] not in words["verbose"]
    for wording in ("standard", "held_out"):
        assert "{" not in words[wording]
        assert "Steps:" not in words[wording]
        assert not re.search(r"\b[aA] (orange|object|other)\b", words[wording])
