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
        "Sub goal 1 - The red cube is on the bowl | (red cube, bowl)\nSub-goal 2: The drawer is closed | {drawer}",
        "1. The red cube is on the bowl | \"red cube\", 'bowl'.\n2. The drawer is closed | drawer.",
        "1. The red cube is on the bowl\n   Objects: red cube, bowl\n2. The drawer is closed\n   - **Objects:** drawer",
        "1\uff0eThe red cube is on the bowl | red cube, bowl, none\n2\u3001The drawer is closed | drawer, N/A",
        "1. [sub-goal description] | [relevant objects]\n1. The red cube is on the bowl | red cube, bowl\n"
        "2. The drawer is closed | drawer",
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


def texts(answer: str) -> list[str]:
    return [step.text for step in parse(answer).steps]


def test_slips_in_counting_lose_nothing() -> None:
    assert texts("1. a | x\n2. b | y\n10. c | z\n7. d | w") == ["a", "b", "c", "d"]
    assert texts("1. a\n2. b\n2. c") == ["a", "b", "c"]
    assert texts("Step 1 - 2 cubes | x\nStep 2 - 3 cubes | x\n3. 2*3 cubes") == ["2 cubes", "3 cubes", "2*3 cubes"]


@pytest.mark.parametrize(
    "notes",
    [
        "\nNotes:\n1. The drawer is heavy.\n2. Be careful.",
        "\n**Objects:**\n1. drawer\n2. handle",
        "\n1. [sub-goal description] | [relevant objects]",
    ],
)
def test_notes_below_a_plan_are_reasoning(notes: str) -> None:
    plan = parse("1. Open | drawer\n2. Close | drawer\n" + notes)
    assert [step.text for step in plan.steps] == ["Open", "Close"]
    assert plan.reasoning == notes.strip()


def test_the_parts_of_a_sub_goal_are_reasoning() -> None:
    plan = parse("1. Open | drawer\n   1. grasp | handle\n   so:\n   2. pull | handle\n2. Close | drawer")
    assert [step.text for step in plan.steps] == ["Open", "Close"]
    assert plan.reasoning.split("\n")[-1] == "   2. pull | handle"
    assert texts("1. Open\n2. Close\nRather:\n  1. Push\n  2. Pull") == ["Push", "Pull"]
    assert texts(" 1. Open\n  2. Close\n   3. Open") == ["Open", "Close", "Open"]


def test_spans_are_where_the_answer_says_it() -> None:
    answer = "Well.\r\n**1.** The red cube is on the bowl | red cube, bowl  \r\n2) The drawer is closed | drawer"
    first, second = (answer[slice(*step.span)] for step in parse(answer).steps)
    assert first == "The red cube is on the bowl | red cube, bowl"
    assert second == "The drawer is closed | drawer"
    (only,) = parse("1. Open it\n  Objects: drawer \nfor a look").steps
    assert "1. Open it\n  Objects: drawer \nfor a look"[slice(*only.span)] == "Open it\n  Objects: drawer"


@pytest.mark.parametrize(
    "answer", ["", "Open the drawer.\n- Close it", "1. | cube", "1.5 cm", "2 - 3 cubes", "12:30 it is", SEEDS]
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
