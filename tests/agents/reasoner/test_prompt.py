from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.reasoner import Attempt, ReasonerError
from agents.reasoner.prompt import IMAGE, Plan, Step, parse, prompt, write

RED = Step("The red cube is on the bowl", ("red cube", "bowl"))
DRAWER = Step("The drawer is closed", ("drawer",))
PLAN = Plan((RED, DRAWER))


SEEDS = """\
You are a robot planning assistant.
Current observation: [IMAGE]
Task: {task_description}
Decompose this task into ordered sub-goals. For each sub-goal,
describe the target scene state and which objects are involved.
Output format:
1. [sub-goal description] | [relevant objects]
2. [sub-goal description] | [relevant objects]
..."""
"""The source document's template (section 4.4), without the blanks at the ends of its lines."""


def test_the_prompt_is_the_seeds() -> None:
    assert IMAGE == "[IMAGE]"
    assert prompt("stack the blocks") == SEEDS.format(task_description="stack the blocks")
    assert prompt("stack\nthe {blocks}") == SEEDS.format(task_description="stack the {blocks}")


def test_a_prompt_for_another_plan_tells_what_was_tried() -> None:
    asked = prompt("tidy up", [Attempt("The drawer is open", True), Attempt("The cube is in it", False)])
    assert "- The drawer is open: reached\n- The cube is in it: not reached\n" in asked
    assert asked.replace(asked[asked.index("Sub-goals so far") : asked.index("Decompose")], "") == prompt("tidy up")


@pytest.mark.parametrize(
    "answer",
    [
        "1. The red cube is on the bowl | red cube, bowl\n2. The drawer is closed | drawer",
        "1) The red cube is on the bowl | red cube, bowl\r\n\r\n2) The drawer is closed | drawer\r\n",
        "**1.** The red cube is on the **bowl** | `red cube`; bowl\n\n- 2. The drawer is closed | drawer",
        "**1. The red cube is on the bowl | red cube, bowl**\n*2. The drawer is closed* | _drawer_",
        "1. [The red cube is on the bowl] | [red cube, bowl]\n2. [The drawer is closed] | [drawer]",
        "1 \u2013 The red cube is on the bowl | red cube, bowl\n\u2014 2: The drawer is closed | drawer",
        "### Step 1: The red cube is on the bowl | Objects: red cube, bowl\n### Step 2: The drawer is closed | drawer",
        "> 1.The red  cube is\ton the bowl|red cube,,bowl|\n> 2.The drawer is closed|drawer",
        "[1] The red cube is on the bowl | [red cube], [bowl]\n(2) The drawer is closed | relevant objects: drawer",
    ],
)
def test_answers_are_read_however_they_are_set(answer: str) -> None:
    assert parse(answer).steps == PLAN.steps


def test_thoughts_before_between_and_after_are_reasoning() -> None:
    plan = parse("The cube is 1.5 cm wide.\n1. Open it\nsince it is shut\n  2. Close it | lid\n\nThat is all. 3 steps")
    assert plan == Plan(
        (Step("Open it"), Step("Close it", ("lid",))),
        "The cube is 1.5 cm wide.\nsince it is shut\n\nThat is all. 3 steps",
    )


def test_the_last_list_counts() -> None:
    plan = parse("1. Push it\n2. Lift it\nNo, the cube is in the way:\n1. Remove the cube | cube\n3. Lift it")
    assert [step.text for step in plan.steps] == ["Remove the cube", "Lift it"]
    assert "1. Push it" in plan.reasoning
    assert [step.text for step in parse("1. Push it\n1. Lift it").steps] == ["Lift it"]


def test_spans_are_where_the_answer_says_it() -> None:
    answer = "Well.\r\n**1.** The red cube is on the bowl | red cube, bowl  \r\n2) The drawer is closed | drawer"
    first, second = (answer[slice(*step.span)] for step in parse(answer).steps)
    assert first == "The red cube is on the bowl | red cube, bowl"
    assert second == "The drawer is closed | drawer"


@pytest.mark.parametrize(
    "answer", ["", "Open the drawer.\n- Close it", "1. | cube", "1.5 cm", "2 - 3 cubes", "12:30 it is"]
)
def test_an_answer_without_a_list_is_refused(answer: str) -> None:
    with pytest.raises(ReasonerError, match="states no sub-goal"):
        parse(answer)
    with pytest.raises(ReasonerError, match="I cannot see any cube"):
        parse("I cannot see any cube " + 200 * "x")


WORDS = st.text(string.ascii_letters + string.digits + "_'()\u00e4\u4e2d", min_size=1)
MARKS = st.sampled_from(
    ["1.", "2)", "|", "**", "[", "]", "\n", "\r\n", " - ", "\u2013", "Step ", ":", ",", "objects:", "_", "`"]
)
ANSWERS = st.one_of(st.text(), st.lists(st.one_of(MARKS, WORDS, st.just(" ")), max_size=25).map("".join))


@given(ANSWERS)
def test_whatever_is_read_is_written_and_read_again(answer: str) -> None:
    try:
        plan = parse(answer)
    except ReasonerError:
        return
    assert parse(write(plan)).steps == plan.steps
    assert all("|" not in step.text and "\n" not in step.text for step in plan.steps)
    assert all(0 <= start < stop <= len(answer) for start, stop in (step.span for step in plan.steps))
