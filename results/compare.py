"""Two runs against each other, episode by episode: every cell of their tables, tested and with its effect size."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from harness.identity import difference
from harness.interfaces import Table, has_verdict
from harness.statistics import Interval
from harness.store import StoreError
from results.cells import cell_text, difference_cell, known, work_out
from results.paired import PairedDifference, holm
from results.pool import pool_seeds, seeds_differ
from results.render import MARKS, grid, inline, remarks
from results.report import ReportTable
from results.runs import LoadedRun, PairedRows, RunSummary, left_out, load_runs, require_distinct
from results.ties import compare_cells

MOST_LISTED = 50
"""Discordant episodes that Markdown lists; JSON lists all."""

EXPLANATION = (
    "Differences are A - B over the episodes in which both have a verdict, paired by episode. Rates: McNemar's exact "
    "test on the discordant episodes, Newcombe's paired 95 % interval, Cohen's h. Means (chain length, progress): "
    "sign-flip test, 95 % BCa bootstrap of the paired differences, Cohen's d_z. Where runs repeat episodes, an "
    "episode is one observation: sign-flip test over episodes, and Newcombe's interval of so many pairs (means: both "
    "over the groups that the benchmark names, such as templates). p is corrected by Holm over the cells of its table."
)


@dataclass(frozen=True)
class ComparedCell:
    """One cell of both runs; ``adjusted_p`` is corrected over the table's cells (Holm)."""

    table: str
    row: str
    column: str
    difference: PairedDifference
    adjusted_p: float


@dataclass(frozen=True)
class DiscordantEpisode:
    """An episode that one of the two solved and the other did not. Videos are paths, where they were recorded."""

    episode: str
    solved_by: str
    first_steps: int
    second_steps: int
    first_video: str | None
    second_video: str | None


@dataclass(frozen=True)
class Comparison:
    """Everything that is known about the difference of two runs.

    Attributes:
        first: Run A.
        second: Run B.
        planned: Episodes that both planned.
        pairs: Episodes in which both have a verdict.
        bounds: Of the difference of success rates over all planned episodes, whatever the episodes without a verdict
            had ended as.
        cells: All cells that could be compared.
        discordant: In the order of the plan.
        notes: What a reader must know.
    """

    first: RunSummary
    second: RunSummary
    planned: int
    pairs: int
    bounds: Interval
    cells: tuple[ComparedCell, ...]
    discordant: tuple[DiscordantEpisode, ...]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """Who is compared."""
        return f"{self.first.label} - {self.second.label}"

    @cached_property
    def table(self) -> ReportTable:
        """All differences under each other."""
        rows = tuple((_cell_name(cell), (difference_cell(cell.difference, cell.adjusted_p),)) for cell in self.cells)
        return ReportTable("comparison", self.title, ("difference",), rows, (EXPLANATION,))


def compare(*paths: Path, config_dir: Path | None = None, seeds_pooled: bool = False) -> Comparison:
    """Compare two agents on the same episodes under the same protocol.

    Args:
        paths: Two runs; or with ``seeds_pooled`` all runs of two agents, the first agent's first.
        config_dir: See `results.runs.open_run`.
        seeds_pooled: Whether runs that differ in nothing but the seed are one, see `results.pool`.

    Raises:
        StoreError: if they cannot be compared, with every reason.
    """
    one, other = _two(paths, config_dir, seeds_pooled)
    reasons = refusals(one, other)
    if reasons:
        listed = "\n  ".join(reasons)
        raise StoreError(f"{one.summary.run} and {other.summary.run} cannot be compared:\n  {listed}")
    pairing = PairedRows(one, other)
    ended = _ended(one), _ended(other)
    pairs = len(pairing.values(*ended)[0])
    return Comparison(
        first=_of_all_parts(one),
        second=_of_all_parts(other),
        planned=pairing.shared,
        pairs=pairs,
        bounds=_bounds(one, other, pairing),
        cells=tuple(cell for table in one.tables for cell in _compare_table(one, table, other)),
        discordant=_discordant(one, other, pairing, ended),
        notes=_notes(one, other, pairing.shared, pairs),
    )


def _two(paths: Sequence[Path], config_dir: Path | None, seeds_pooled: bool) -> tuple[LoadedRun, LoadedRun]:
    require_distinct(paths, "name another run to compare it with")
    if not seeds_pooled and len(paths) != 2:
        raise StoreError(f"{len(paths)} runs are given; name two, or --pool-seeds for the runs of two agents")
    runs = load_runs(paths, config_dir)
    agents = pool_seeds(runs) if seeds_pooled else runs
    if len(agents) != 2:
        names = ", ".join(run.label for run in agents)
        raise StoreError(f"pooled, the runs are {len(agents)}: {names}; give the seeds of two agents")
    return agents[0], agents[1]


def _of_all_parts(run: LoadedRun) -> RunSummary:
    """The facts of a run; of a pooled one with all its folders."""
    return replace(run.summary, run=", ".join(part.summary.run for part in run.parts) or run.summary.run)


def refusals(one: LoadedRun, other: LoadedRun) -> list[str]:
    """Why two runs cannot be compared; empty if they can."""
    reasons = []
    if one.identity.benchmark != other.identity.benchmark:
        reasons.append(f"benchmark: {one.identity.benchmark} -> {other.identity.benchmark}")
    if one.summary.protocol_hash != other.summary.protocol_hash:
        reasons += difference(dict(one.identity.protocol), dict(other.identity.protocol), "protocol")
        reasons += difference(dict(one.identity.fingerprint), dict(other.identity.fingerprint), "content")
    if not reasons and PairedRows(one, other).shared == 0:
        seeds = [", ".join(map(str, run.summary.seeds)) for run in (one, other)]
        alike = set(one.frame["episode_id"]) & set(other.frame["episode_id"])
        told = f"no seed in common ({' and '.join(seeds)}); give a seed of both, or two runs without --pool-seeds"
        reasons.append(f"they have {told if alike else 'no episode in common'}")
    reasons += [f"the weights of {run.label} are untrained" for run in left_out([one.summary, other.summary])]
    return reasons


def _notes(one: LoadedRun, other: LoadedRun, planned: int, pairs: int) -> tuple[str, ...]:
    notes = [one.summary.coverage, other.summary.coverage]
    if pairs < planned:
        notes.append(f"{planned - pairs} of {planned} common episodes lack a verdict of A or B and are left out")
    if planned < max(len(one.frame), len(other.frame)):
        notes.append(
            f"only the {planned} episodes that both planned are compared ({len(one.frame)}, {len(other.frame)})"
        )
    if one.parts:
        notes += [*seeds_differ([one, other]), "#1 after an episode is its second repetition or seed"]
    elif one.identity.seed != other.identity.seed:
        notes.append(
            f"the seeds differ ({one.identity.seed}, {other.identity.seed}): the worlds of a pair are the same, the "
            "agents' random draws are not"
        )
    return tuple(notes)


def _ended(run: LoadedRun) -> pd.Series[Any]:
    frame = run.frame
    return frame.loc[has_verdict(frame), "success"]


def _bounds(one: LoadedRun, other: LoadedRun, pairing: PairedRows) -> Interval:
    every_one, every_other = one.frame["success"], other.frame["success"]
    first, second, rows = pairing.values(every_one, every_other)
    first_known = has_verdict(one.frame).to_numpy()[rows]
    second_known = pairing.values(every_one, has_verdict(other.frame))[1].astype(bool)
    low = first.sum() - (second.sum() + (~second_known).sum())
    high = first.sum() + (~first_known).sum() - second.sum()
    return Interval(float(low) / len(rows), float(high) / len(rows))


def _compare_table(one: LoadedRun, table: Table, other: LoadedRun) -> list[ComparedCell]:
    """Cells that both runs have; runs in which a row (a task) never occurred lack it."""
    opposite = next((t for t in other.tables if t.key == table.key), None)
    if opposite is None:
        return []
    rows = dict(opposite.rows)
    found = []
    for name, cells in table.rows:
        opposed = dict(zip(opposite.columns, rows.get(name, ()), strict=False))
        for column, cell in zip(table.columns, cells, strict=True):
            if column not in opposed:
                continue
            entry = compare_cells(one, work_out(cell), other, work_out(opposed[column]))
            if entry is not None:
                found.append((name, column, entry))
    adjusted = holm([entry.p_value for _, _, entry in found])
    return [
        ComparedCell(table.title, "" if table.one_line else name, column, entry, p_value)
        for (name, column, entry), p_value in zip(found, adjusted, strict=True)
    ]


def _discordant(
    one: LoadedRun, other: LoadedRun, pairing: PairedRows, ended: tuple[pd.Series[Any], pd.Series[Any]]
) -> tuple[DiscordantEpisode, ...]:
    first, second, rows = pairing.values(*ended)
    places = pd.Series(np.arange(len(other.frame)), index=other.episodes)
    episodes = []
    for place in np.flatnonzero(first != second):
        row = int(rows[place])
        name = str(one.episodes[row])
        mine, theirs = one.frame.iloc[row], other.frame.iloc[int(places[name])]
        episodes.append(
            DiscordantEpisode(
                episode=name,
                solved_by="A" if first[place] else "B",
                first_steps=int(mine["steps"]),
                second_steps=int(theirs["steps"]),
                first_video=_video(one, mine),
                second_video=_video(other, theirs),
            )
        )
    return tuple(episodes)


def _video(run: LoadedRun, episode: pd.Series[Any]) -> str | None:
    if not isinstance(episode["video"], str):
        return None
    return (Path(episode.get("run", run.summary.run)) / "videos" / episode["video"]).as_posix()


def _cell_name(cell: ComparedCell) -> str:
    return f"{cell.row}, {cell.column}" if cell.row else cell.column


# ------------------------------------------------------------------------------------------------ formats


def comparison_markdown(comparison: Comparison) -> str:
    """For people and pull requests."""
    first, second, bounds = comparison.first, comparison.second, comparison.bounds
    parts = [
        f"## {inline(comparison.title)}",
        f"- A: {inline(first.label)}, {inline(first.run)}\n- B: {inline(second.label)}, {inline(second.run)}\n"
        f"- {first.protocol} (`{first.protocol_hash[:8]}`), {comparison.pairs} pairs of {comparison.planned} episodes",
        "\n".join(f"- {inline(line)}" for line in (*remarks([first, second]), *comparison.notes)),
        f"- Over all {comparison.planned} episodes, whatever those without a verdict had ended as, A - B in success is "
        f"between {100 * bounds.low:+.1f} and {100 * bounds.high:+.1f} pp",
    ]
    header = ("", "A", "B", "A - B (p by Holm)", "only A / only B", "effect")
    for title in dict.fromkeys(cell.table for cell in comparison.cells):
        cells = [cell for cell in comparison.cells if cell.table == title]
        parts += [f"### {inline(title)}", grid(header, [_line(cell) for cell in cells])]
    parts += [EXPLANATION, MARKS, _discordant_markdown(comparison.discordant)]
    return "\n\n".join(parts) + "\n"


def _line(cell: ComparedCell) -> tuple[str, ...]:
    entry = cell.difference
    form = "{:.1%}" if entry.rate else "{:.2f}"
    effect = "-" if math.isnan(entry.effect) else f"{'h' if entry.rate else 'd_z'} {entry.effect:+.2f}"
    return (
        _cell_name(cell),
        form.format(entry.first),
        form.format(entry.second),
        cell_text(difference_cell(entry, cell.adjusted_p)),
        f"{entry.better} / {entry.worse}",
        effect,
    )


def _discordant_markdown(episodes: Sequence[DiscordantEpisode]) -> str:
    if not episodes:
        return "### Discordant episodes\n\nNone."
    rows = [
        (e.episode, e.solved_by, _steps(e.first_steps, e.first_video), _steps(e.second_steps, e.second_video))
        for e in episodes[:MOST_LISTED]
    ]
    more = f"\n\n{len(episodes) - MOST_LISTED} more; `--format json` lists all" if len(episodes) > MOST_LISTED else ""
    return f"### Discordant episodes ({len(episodes)})\n\n" + grid(("episode", "solved by", "A", "B"), rows) + more


def _steps(steps: int, video: str | None) -> str:
    return f"{steps} steps" + (f", [video]({quote(video)})" if video else "")


def comparison_json(comparison: Comparison) -> str:
    """Every number, for programs."""
    data = {
        "a": asdict(comparison.first),
        "b": asdict(comparison.second),
        "planned": comparison.planned,
        "pairs": comparison.pairs,
        "difference_bounds": asdict(comparison.bounds),
        "notes": comparison.notes,
        "cells": [_cell_data(cell) for cell in comparison.cells],
        "discordant": [asdict(episode) for episode in comparison.discordant],
    }
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _cell_data(cell: ComparedCell) -> dict[str, Any]:
    entry = cell.difference
    interval = known(entry.interval)
    return {
        "table": cell.table,
        "row": cell.row,
        "column": cell.column,
        "kind": "rate" if entry.rate else "mean",
        "pairs": entry.pairs,
        "episodes": entry.episodes,
        "a": entry.first,
        "b": entry.second,
        "difference": entry.difference,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "p": entry.p_value,
        "p_holm": cell.adjusted_p,
        "only_a": entry.better,
        "only_b": entry.worse,
        "odds_ratio": entry.odds_ratio if math.isfinite(entry.odds_ratio) else None,
        "effect": None if math.isnan(entry.effect) else entry.effect,
    }
