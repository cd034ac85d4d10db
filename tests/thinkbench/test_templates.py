"""Template data: what ships is complete, and what is wrong is refused with the template's name."""

import copy
import re
from typing import Any

import pytest

from thinkbench.templates import MIN_HELD_OUT, MIN_PARAPHRASES, load_templates, parse_family

FAMILY: dict[str, Any] = {
    "family": "toy",
    "paraphrases": [f"{i}: put {{item}} on {{base}}." for i in range(5)],
    "held_out": [f"unseen {i}: {{item}} belongs on {{base}}." for i in range(3)],
    "templates": [
        {
            "name": "toy-h1",
            "horizon": 1,
            "objects": {"a": {"kinds": ["cube"], "sizes": ["small"]}, "b": {"kinds": ["cube"], "sizes": ["large"]}},
            "start": [["a"], ["b"]],
            "insight": "none",
            "goal": ["on a b"],
            "slots": {"item": ["a"], "base": ["b"]},
            "distractors": 0,
        }
    ],
}


def test_every_family_has_every_horizon() -> None:
    cells = {(template.family, template.horizon) for template in load_templates().values()}
    families = {family for family, _ in cells}
    assert len(families) == 10
    assert cells == {(family, horizon) for family in families for horizon in (3, 5, 7, 10)}


def test_every_template_has_enough_paraphrases_and_distractors() -> None:
    for template in load_templates().values():
        assert len(set(template.paraphrases)) >= MIN_PARAPHRASES
        assert len(set(template.held_out)) >= MIN_HELD_OUT
        assert template.distractors >= 1 or template.selection  # a selection leaves objects out by itself


def test_instructions_state_the_goal_and_not_the_steps() -> None:
    """No sequencing words, and nothing that only has to be moved out of the way is mentioned."""
    for template in load_templates().values():
        for text in (*template.paraphrases, *template.held_out):
            assert not re.search(r"\b(first|then|before|after|next|finally|remove|clear|unstack|move)\b", text), text
        mentioned = {name for names in template.slots.values() for name in names}
        relevant = {name for literal in template.goal if literal.positive for name in literal.args}
        relevant |= {name for name, role in template.objects.items() if role.is_container}
        assert mentioned & set(template.objects) <= relevant


def test_a_well_formed_family_is_read() -> None:
    (template,) = parse_family(FAMILY)
    assert template.horizon == 1
    assert template.colour_variables == ()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("templates", 0, "start"), [["a"]], "every object must be in exactly one pile"),
        (("templates", 0, "start"), [["a", "b"], ["b"]], "every object must be in exactly one pile"),
        (("templates", 0, "goal"), ["on a c"], "names c, which the template does not define"),
        (("templates", 0, "goal"), ["beside a b"], "no predicate 'beside'"),
        (("templates", 0, "goal"), ["on * b"], "only a negative literal may"),
        (("templates", 0, "goal"), [], "goal must not be empty"),
        (("templates", 0, "horizon"), 0, "horizon must be at least 1"),
        (("templates", 0, "slots"), {"item": ["a"], "base": ["q"]}, "slot 'base' lists q"),
        (("paraphrases",), FAMILY["paraphrases"][:4], "needs 5 different paraphrases"),
        (("held_out",), FAMILY["held_out"][:2], "and 3 held-out ones"),
        (("held_out",), FAMILY["paraphrases"][:3], "must not be among the others"),
        (("paraphrases", 0), "put {item} on {basis}.", "must have placeholders, all of them from base, item"),
    ],
)
def test_malformed_templates_are_refused(path: tuple[Any, ...], value: Any, message: str) -> None:
    data = copy.deepcopy(FAMILY)
    parent: Any = data
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    with pytest.raises(ValueError, match=message):
        parse_family(data)
