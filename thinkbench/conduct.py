"""What agents did, however it ended: the numbers that explain a success rate."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.interfaces import Cell, MeanCell, RateCell, Table, has_verdict

_SHARES = {
    "off the table": "objects_off_table",
    "rule broken": "broken_rule",
    "goal lost": "goals_lost_while_settling",
}
"""Columns of shares of episodes, and the metric that counts or names what happened."""


def conduct_table(frame: pd.DataFrame, picks: dict[str, str], alike: str) -> Table:
    """One row over the episodes that ended with a verdict.

    Columns: actions per episode; shares of the actions (means over episodes); and of the episodes: in which something
    lay beside the table at the end, a rule was broken, or the goal held once and did not outlast the settling.

    Args:
        frame: See `harness.interfaces.Benchmark.summarise`.
        picks: Columns of shares of the actions, and the metric that counts them.
        alike: The column of the frame that names what is resampled together for the means' intervals.
    """
    read = ["episode_id", "steps", alike, *picks.values(), *_SHARES.values()]  # of a million rows no more than that
    ended = frame.reindex(columns=list(dict.fromkeys(read)))[has_verdict(frame)]  # nobody may have reported a metric
    errors = int((frame["outcome"] == "error").sum())
    cells: dict[str, Cell] = {"actions": _mean(ended, ended["steps"], alike)}
    for column, metric in picks.items():
        cells[column] = _mean(ended, ended[metric] / ended["steps"].clip(lower=1), alike)
    for column, metric in _SHARES.items():
        happened = ended[metric].notna() if metric == "broken_rule" else ended[metric].fillna(0).astype(float) > 0
        cells[column] = RateCell.over(happened, errors, ended["episode_id"].nunique())
    return Table("conduct", "What happened", tuple(cells), (("conduct", tuple(cells.values())),), one_line=True)


def _mean(ended: pd.DataFrame, values: pd.Series[Any], alike: str) -> MeanCell:
    known = values.dropna().astype(float)
    return MeanCell(tuple(known), tuple(ended.loc[known.index, alike].astype(str)), tuple(known.index))
