"""The table of what happened: over episodes with a verdict, with and without the metrics it reads."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from harness.config import ConfigGroups
from harness.instantiate import build_benchmark
from harness.interfaces import MeanCell, RateCell
from thinkbench.benchmark import ThinkBench
from thinkbench.subgoals.benchmark import Subgoals

COLUMNS = ["episode_id", "template", "outcome", "success", "steps", "picks", "right_picks", "objects_off_table"]
FRAME = pd.DataFrame(
    [
        ("a", "tower-h3", "success", True, 4, 4.0, 2.0, 0.0),
        ("b", "tower-h3", "failure", False, 8, 2.0, 0.0, 3.0),
        ("c", "sort-h3", "error", False, 5, None, None, None),
        ("d", "sort-h3", "missing", False, 0, None, None, None),
    ],
    columns=COLUMNS,
).assign(broken_rule=[None, "not on(a, b)", None, None], goals_lost_while_settling=[2.0, 0.0, None, None])


def benchmark(name: str) -> ThinkBench | Subgoals:
    groups = ConfigGroups()
    built = build_benchmark(groups.load("benchmark", name) | {"name": name}, groups.load("protocol", name))
    assert isinstance(built, ThinkBench | Subgoals)
    return built


def test_it_is_over_the_episodes_that_ended_with_a_verdict() -> None:
    table = benchmark("thinkbench").conduct(FRAME)
    ((_, cells),) = table.rows
    templates = ("tower-h3", "tower-h3")
    assert dict(zip(table.columns, cells, strict=True)) == {
        "actions": MeanCell((4.0, 8.0), templates),
        "picks per action": MeanCell((1.0, 0.25), templates),
        "off the table": RateCell(1, 2, 1),
        "rule broken": RateCell(1, 2, 1),
        "goal lost": RateCell(1, 2, 1),
    }


def test_sub_goals_tell_which_picks_were_right() -> None:
    table = benchmark("subgoals").conduct(FRAME)
    right = table.rows[0][1][table.columns.index("right picks per action")]
    assert right == MeanCell((0.5, 0.0), ("a", "b"))


def test_relative_actions_pick_nothing_by_themselves() -> None:
    bench = benchmark("thinkbench")
    assert isinstance(bench, ThinkBench)
    delta = ThinkBench(replace(bench.protocol, control="delta"))
    assert delta.conduct(FRAME).columns == ("actions", "off the table", "rule broken", "goal lost")


def test_seeds_of_an_episode_count_as_one_in_the_interval() -> None:
    twice = pd.concat([FRAME, FRAME], ignore_index=True)
    ((_, cells),) = benchmark("thinkbench").conduct(twice).rows
    assert cells[2] == RateCell(2, 4, 2, distinct=2)


def test_a_run_that_has_not_ended_an_episode_has_the_same_columns() -> None:
    bench = benchmark("thinkbench")
    metrics = ["picks", "objects_off_table", "broken_rule", "goals_lost_while_settling"]
    empty = bench.conduct(FRAME[FRAME["outcome"] == "missing"].drop(columns=metrics))
    assert empty.columns == bench.conduct(FRAME).columns
    assert empty.rows[0][1] == (MeanCell((), ()), MeanCell((), ()), *[RateCell(0, 0)] * 3)
