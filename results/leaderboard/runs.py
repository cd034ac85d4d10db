"""What the site shows of one run, worked out from its rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.identity import RunIdentity, content_hash
from harness.interfaces import MeanCell, RateCell, has_verdict
from harness.store import RunReader
from results.cells import CellValue, work_out
from results.compute import QUANTILES, Compute
from results.leaderboard.provenance import provenance
from results.leaderboard.texts import seconds_text
from results.runs import RunSummary, load_run

ID_LENGTH = 12
"""Hex digits of an entry's digest that name its files."""

GROUP_COLUMNS = ("template", "family")
"""The first of these that the episodes' meta data has names their groups in the grid."""


@dataclass(frozen=True)
class WorkedTable:
    """A benchmark's table of one run, with its numbers worked out."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[CellValue, ...]], ...]
    one_line: bool


@dataclass(frozen=True)
class EpisodeSet:
    """The episodes of a run in the order of its plan: names (with ``#R`` for repetitions), groups, and ids."""

    names: tuple[str, ...]
    groups: tuple[str, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True)
class SiteRun:
    """One row of a ranking.

    Attributes:
        id: First digits of the entry's digest; names the run's files.
        entry: The entry, relative to the site.
        summary: Its facts.
        identity: What its results depend on.
        compute: What its decisions cost.
        episodes: What was run.
        chains: Stages of each episode; runs of more than one are scored by stages completed, others by success.
        scores: One whole number per episode, ``nan`` where it ended in an error, ``(N,)``.
        cells: One character per episode, see ``assets/grid.js``.
        headline: The number that it is ranked by.
        tables: The benchmark's own tables.
        provenance: Names and texts.
    """

    id: str
    entry: str
    summary: RunSummary
    identity: RunIdentity
    compute: Compute
    episodes: EpisodeSet
    chains: int
    scores: npt.NDArray[np.float64]
    cells: str
    headline: CellValue
    tables: tuple[WorkedTable, ...]
    provenance: tuple[tuple[str, str], ...]

    @property
    def comparable_with(self) -> str:
        """Equal for runs that may share a ranking: same protocol and content, same episodes."""
        return content_hash([self.identity.benchmark, self.identity.protocol_hash, self.episodes.names])[:ID_LENGTH]

    @property
    def seconds(self) -> float | None:
        """Of the agent per decision, on average; ``None`` if it never decided."""
        return self.compute.agent_seconds[0] if self.compute.agent_seconds else None


def site_run(reader: RunReader, digest: str, entry: str, config_dir: Path | None = None) -> SiteRun:
    """Work out everything. ``config_dir`` has further configuration groups.

    Raises:
        ConfigError: if the run's benchmark cannot be built.
    """
    run = load_run(reader)
    frame = run.frame
    valid = has_verdict(frame)
    chains = int(frame["stages_planned"].max())
    return SiteRun(
        id=digest[:ID_LENGTH],
        entry=entry,
        summary=run.summary,
        identity=run.identity,
        compute=run.compute,
        episodes=_episodes(frame),
        chains=chains,
        scores=np.where(valid, frame["stages_completed"] if chains > 1 else frame["success"], np.nan).astype(float),
        cells=_cells(frame),
        headline=_headline(frame, chains),
        tables=tuple(
            WorkedTable(
                table.key,
                table.title,
                table.columns,
                tuple((name, tuple(map(work_out, cells))) for name, cells in table.rows),
                table.one_line,
            )
            for table in run.tables
        ),
        provenance=(*provenance(reader, digest, config_dir), ("Compute", _compute_text(run.compute))),
    )


def _compute_text(compute: Compute) -> str:
    parts = []
    if compute.agent_seconds:
        mean, *quantiles = map(seconds_text, compute.agent_seconds)
        spread = ", ".join(f"p{100 * q:.0f} {text}" for q, text in zip(QUANTILES, quantiles, strict=True))
        parts.append(f"agent {mean} per decision ({spread}) over {compute.decisions:,} decisions")
    parts += [f"{name} {value:.3g} per decision" for name, value in compute.reported.items()]
    if compute.peak_bytes is not None:
        parts.append(f"at most {compute.peak_bytes / 2**20:,.0f} MiB resident in a worker")
    return "; ".join(parts) or "no decisions"


def _episodes(frame: pd.DataFrame) -> EpisodeSet:
    ids = tuple(str(name) for name in frame["episode_id"])
    names = tuple(f"{name}#{repeat}" if repeat else name for name, repeat in zip(ids, frame["repeat"], strict=True))
    column = next((name for name in GROUP_COLUMNS if name in frame), None)
    groups = ("",) * len(ids) if column is None else tuple(str(group) for group in frame[column])
    return EpisodeSet(names, groups, ids)


def _headline(frame: pd.DataFrame, chains: int) -> CellValue:
    if chains == 1:
        return work_out(RateCell.of(frame))
    ended = frame[has_verdict(frame)]
    return work_out(MeanCell(tuple(ended["stages_completed"].astype(float)), tuple(ended["episode_id"])))


def _cells(frame: pd.DataFrame) -> str:
    codes = []
    for outcome, progress in zip(frame["outcome"], frame["progress"], strict=True):
        codes.append({"success": "S", "error": "E"}.get(outcome) or str(min(9, int(10 * progress))))
    return "".join(codes)
