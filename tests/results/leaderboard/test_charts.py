"""Charts of the site: every point lies within its drawing."""

from __future__ import annotations

import re

from results.cells import CellValue
from results.leaderboard.charts import WIDTH, Series, forest


def test_points_without_intervals_are_on_the_scale() -> None:
    lengths = [Series(name, (CellValue("mean", value, count=4),)) for name, value in (("best", 5.0), ("worst", 0.0))]
    drawing = str(forest(lengths, ""))
    places = [float(x) for x in re.findall(r'<circle[^>]* cx="([-\d.]+)"', drawing)]
    assert len(places) == 2
    assert 0 < places[1] < places[0] < WIDTH
