"""Which draw of a shift an episode has: the first after which the expert still succeeds through real contact.

They are found once (``harness shift``) and kept beside the suite, as JSON: the suite's hash, the version of the shifts,
and for each shift and level the episodes whose draw is not the first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from thinkbench.binding import RejectedError
from thinkbench.env import ThinkBenchEnv
from thinkbench.execution import execute
from thinkbench.names import SUFFIX
from thinkbench.shifts import SHIFT_VERSION, Shift, shifted
from thinkbench.specs import EpisodeRecord
from thinkbench.suite import Suite

Draws = Mapping[str, Mapping[str, int]]
"""Draws that are not 0 by ``shift/level`` and episode id."""

_MOST_DRAWS = 200


def key(shift: Shift, level: int) -> str:
    """What a shift at a level is called, for example ``clutter/2``."""
    return f"{shift}/{level}"


def draws_path(suite_file: Path) -> Path:
    """The file beside a suite's own that holds its draws."""
    return suite_file.with_name(f"{suite_file.name.removesuffix(SUFFIX)}.shifts.json")


def load_draws(suite: Suite, path: Path) -> Draws:
    """The draws that were accepted for ``suite``.

    Raises:
        ValueError: They are for other episodes or other shifts, or the file is damaged.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
        made_for, draws = (data["suite"], data["shifts"]), data["draws"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); make it again with `harness shift`") from error
    if made_for != (suite.hash, SHIFT_VERSION):
        raise ValueError(f"{path} is not for {suite.label} as it is now; make it again with `harness shift`")
    return dict(draws)


def write_draws(suite: Suite, draws: Draws, path: Path) -> None:
    """Keep the accepted draws of ``suite``; the same draws give the same bytes."""
    later = {name: {episode: draw for episode, draw in found.items() if draw} for name, found in draws.items()}
    data = {"suite": suite.hash, "shifts": SHIFT_VERSION, "draws": later}
    path.write_text(json.dumps(data, sort_keys=True, separators=(",", ":")) + "\n", "utf-8")


def rehearsed(record: EpisodeRecord, shift: Shift, level: int, first: int = 0) -> tuple[int, EpisodeRecord]:
    """The next draw, from ``first`` on, that leaves room for the task, and the episode under it.

    Raises:
        ValueError: None of many does.
    """
    for draw in range(first, _MOST_DRAWS):
        try:
            return draw, shifted(record, shift, level, draw)
        except RejectedError:
            continue
    raise ValueError(
        f"{record.episode_id} cannot be put under {key(shift, level)}: none of {_MOST_DRAWS} draws is valid"
    )


def certified_draw(record: EpisodeRecord, shift: Shift, level: int, env: ThinkBenchEnv) -> int:
    """The first draw after which the expert succeeds within twice the horizon and two actions more.

    Args:
        record: The episode, unshifted.
        shift: The shift.
        level: Its level.
        env: In skill control.

    Raises:
        ValueError: There is none among many.
    """
    draw = 0
    while True:
        draw, candidate = rehearsed(record, shift, level, draw)
        if execute(env, candidate.spec(2 * record.horizon + 2)).success:
            return draw
        draw += 1
