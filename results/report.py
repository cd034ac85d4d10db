"""From runs to tables with intervals: what is measured, over which episodes, and how sure it is.

All rates and means of a report are over the same episodes: those that ended with a verdict (``valid``). Episodes that
ended in an error, or are missing, are counted beside them, and the success rate's bounds say what they could change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.interfaces import RateCell, Table
from harness.store import StoreError
from results.cells import CellValue, difference_cell, work_out
from results.compute import MOST_EPISODES, pareto_efficient
from results.paired import PairedDifference, holm
from results.pool import pool_seeds, seeds_differ
from results.published import PublishedTable, published_tables
from results.runs import LoadedRun, RunSummary, left_out, load_runs
from results.shifts import UNSHIFTED, Shifted, shift_groups
from results.ties import compare_cells, mark_best

COMPUTE_COLUMNS = (
    "decisions",
    "agent s",
    "p50",
    "p95",
    "p99",
    "env s",
    "render s",
    "model calls",
    "calls p50",
    "calls p95",
    "calls p99",
    "peak memory GiB",
    "success",
    "efficient",
    "reported by the agent",
)

TIES = (
    "Bold: best, or not shown to be worse than the best (paired by episode: McNemar's exact test for rates, sign-flip "
    "test for means and where episodes are repeated; Holm's correction over the agents of the column, level 0.05). "
    "Privileged agents are ranked only where there are no others."
)


@dataclass(frozen=True)
class ReportTable:
    """A table of measured numbers of one or more runs.

    Attributes:
        key: Machine name.
        title: Shown above it.
        columns: Column names, without the row's name.
        rows: ``(row name, one cell per column)``.
        notes: Footnotes: denominators, errors and bounds of its runs, and what its cells mean.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[CellValue, ...]], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """Everything that the renderers need.

    Attributes:
        runs: What stands in the tables.
        tables: Measured numbers.
        published: Numbers of others, which stand apart from the measured ones.
        left_out: Runs that were given and stand in no table, because their weights are untrained and others' are not.
    """

    runs: tuple[RunSummary, ...]
    tables: tuple[ReportTable, ...]
    published: tuple[PublishedTable, ...] = ()
    left_out: tuple[RunSummary, ...] = ()


def build_report(
    paths: Sequence[Path], baseline: Path | None = None, config_dir: Path | None = None, *, seeds_pooled: bool = False
) -> Report:
    """Read runs (directories, or entries) and work out every cell.

    Runs of the same episodes under the same protocol (same hash) share their one-line tables, one row per run. Others
    never share a table, except in the table of shifts, whose runs differ in ``protocol.shift`` on purpose. Runs with
    untrained weights stand in none, unless there are no others.

    Args:
        paths: The runs.
        baseline: One more run, or one of ``paths``: the full agent, to which an ablation table gives the differences.
        config_dir: The reader's own benchmarks and protocols, for entries that name them.
        seeds_pooled: Whether runs that differ in nothing but the seed share a row (all tables but that of compute).

    Raises:
        StoreError: if a folder holds no run, is given twice, or no run can be compared with the baseline; or the
            baseline is untrained and others are not; or seeds are to be pooled and an agent has one twice.
    """
    given = list(paths)
    if baseline is not None and baseline.resolve() not in [path.resolve() for path in given]:
        given.insert(0, baseline)
    loaded = load_runs(given, config_dir)
    outside = left_out([run.summary for run in loaded])
    alone = [run for run in loaded if run.summary not in outside]
    runs = pool_seeds(alone) if seeds_pooled else alone
    tables: list[ReportTable] = []
    for group in comparable(runs):
        tables += _joined(group)
        tables += [_own(run, table) for run in group for table in run.tables if not table.one_line]
    if baseline is not None:
        full = next((run for run in runs if _holds(run, baseline)), None)
        if full is None:
            raise StoreError(f"the baseline {baseline} has untrained weights, so no other run is compared with it")
        tables += _ablation(full, runs, outside)
    tables += [_shift_table(shifted) for shifted in shift_groups(runs)]
    for group in comparable(runs):
        tables += _conduct(group)
    tables += [_compute(group) for group in comparable(alone)]
    published = published_tables(run.summary.benchmark for run in alone)
    return Report(tuple(run.summary for run in alone), tuple(tables), published, tuple(outside))


def comparable(runs: Sequence[LoadedRun]) -> list[list[LoadedRun]]:
    """The runs in groups that have the same protocol (by hash) and the same episodes."""
    groups: dict[tuple[str, str], list[LoadedRun]] = {}
    for run in runs:
        groups.setdefault((run.summary.protocol_hash, run.summary.episode_set), []).append(run)
    return list(groups.values())


def _holds(run: LoadedRun, path: Path) -> bool:
    """Whether it is the run at ``path``, or that one is pooled in it."""
    return any(Path(one.summary.run).resolve() == path.resolve() for one in (run, *run.parts))


def coverage(runs: Sequence[LoadedRun]) -> tuple[str, ...]:
    """One footnote per run: its denominator, errors and bounds."""
    return tuple(run.summary.coverage for run in runs)


def _joined(group: Sequence[LoadedRun]) -> list[ReportTable]:
    """One-line tables of runs under one protocol, put under each other."""
    joined = []
    for template in (table for table in group[0].tables if table.one_line):
        rows = mark_best([(run, one_line(run, template.key)) for run in group])
        ranked = any(cell.best for _, cells in rows for cell in cells)
        joined.append(
            ReportTable(
                template.key,
                f"{group[0].summary.protocol}: {template.title}",
                template.columns,
                tuple((run.label, cells) for run, cells in rows),
                (*coverage(group), *((TIES, *seeds_differ(group)) if ranked else ())),
            )
        )
    return joined


def one_line(run: LoadedRun, key: str) -> tuple[CellValue, ...]:
    """The worked-out cells of a one-line table of a run."""
    table = next(table for table in run.tables if table.key == key)
    return tuple(work_out(cell) for cell in table.rows[0][1])


def _own(run: LoadedRun, table: Table) -> ReportTable:
    rows = tuple((name, tuple(work_out(cell) for cell in cells)) for name, cells in table.rows)
    return ReportTable(table.key, f"{run.label}: {table.title}", table.columns, rows, coverage([run]))


def _ablation(full: LoadedRun, runs: Sequence[LoadedRun], outside: Sequence[RunSummary]) -> list[ReportTable]:
    """Differences of the other runs to the full agent, paired by episode."""
    group = next(group for group in comparable(runs) if full in group)
    others = [run for run in group if run is not full]
    if not others:
        raise StoreError(f"no run can be compared with the baseline {full.summary.run}: {_alone(full, runs, outside)}")
    left_out = [run.label for run in runs if run not in group]
    notes = (
        *coverage([full, *others]),
        f"Differences to {full.label} in percentage points or in the mean's unit, over the episodes in which both have "
        "a verdict, with 95 % paired intervals; p-values corrected by Holm over the agents of the column.",
        *seeds_differ([full, *others]),
        *((f"Not compared, because protocol or episodes differ: {', '.join(left_out)}",) if left_out else ()),
    )
    tables = []
    for template in (table for table in full.tables if table.one_line):
        base = one_line(full, template.key)
        differences = [
            [
                compare_cells(run, cell, full, reference)
                for cell, reference in zip(one_line(run, template.key), base, strict=True)
            ]
            for run in others
        ]
        rows = [(run.label, cells) for run, cells in zip(others, _holm_by_column(differences), strict=True)]
        title = f"Ablation of {full.label}, {full.summary.protocol}: {template.title}"
        tables.append(
            ReportTable(f"ablation_{template.key}", title, template.columns, ((full.label, base), *rows), notes)
        )
    return tables


def _alone(full: LoadedRun, runs: Sequence[LoadedRun], outside: Sequence[RunSummary]) -> str:
    """Why no run stands beside the baseline."""
    if len(runs) > 1:
        summary = full.summary
        return f"none has its protocol ({summary.protocol}, hash {summary.protocol_hash[:8]}) and episodes"
    if outside:
        return f"the others have untrained weights ({', '.join(summary.run for summary in outside)})"
    pooled = "all runs are seeds of one agent" if len(full.parts) > 1 else "there is no other"
    return f"{pooled}; name one of another agent as well"


def _holm_by_column(differences: Sequence[Sequence[PairedDifference | None]]) -> list[tuple[CellValue, ...]]:
    """Cells of differences; p-values are corrected over the rows of each column."""
    columns = []
    for column in zip(*differences, strict=True):
        adjusted = iter(holm([entry.p_value for entry in column if entry is not None]))
        columns.append([difference_cell(entry, next(adjusted) if entry is not None else None) for entry in column])
    return [tuple(cells) for cells in zip(*columns, strict=True)]


def _shift_table(group: Shifted) -> ReportTable:
    """Success of each agent under each shift, one row per shift and level, and the change against no shift."""
    columns: list[str] = []
    by_agent: list[list[CellValue]] = []
    for label, by_shift in group.agents.items():
        none = by_shift.get(UNSHIFTED)
        found = [None if s == UNSHIFTED else _change(by_shift.get(s), none) for s in group.shifts]
        adjusted = iter(holm([entry.p_value for entry in found if entry is not None]))
        columns += [f"{label}, success", f"{label}, change"]
        by_agent.append([_success(by_shift.get(shift)) for shift in group.shifts])
        by_agent.append([difference_cell(entry, next(adjusted) if entry is not None else None) for entry in found])
    rows = tuple(zip(group.shifts, zip(*by_agent, strict=True), strict=True))
    notes = (
        *coverage([run for by_shift in group.agents.values() for run in by_shift.values()]),
        "Rows: the shift and its level. Changes are against the run without a shift of the same agent, over the "
        "episodes in which both have a verdict, paired by episode, with 95 % intervals; p-values corrected by Holm "
        "over the shifts of the agent.",
        *seeds_differ([run for by_shift in group.agents.values() for run in by_shift.values()]),
        *(
            f"Not in the table, where a run of at least as many episodes stands: {run.summary.run}"
            for run in group.left_out
        ),
    )
    return ReportTable("shift", f"{group.title}: Success under shifts", tuple(columns), rows, notes)


def _success(run: LoadedRun | None) -> CellValue:
    return CellValue("text", None) if run is None else work_out(RateCell.of(run.frame))


def _change(run: LoadedRun | None, none: LoadedRun | None) -> PairedDifference | None:
    if run is None or none is None:
        return None
    return compare_cells(run, _success(run), none, _success(none))


def _conduct(group: Sequence[LoadedRun]) -> list[ReportTable]:
    """What the agents of a group did, where the benchmark has a table of that; it ranks nobody."""
    rows = [(run.label, table) for run in group if (table := run.benchmark.conduct(run.frame)) is not None]
    if not rows:
        return []
    _, table = rows[0]
    title = f"{group[0].summary.protocol}: {table.title}"
    cells = tuple((label, tuple(map(work_out, own.rows[0][1]))) for label, own in rows)
    return [ReportTable(table.key, title, table.columns, cells, coverage(group))]


def _compute(group: Sequence[LoadedRun]) -> ReportTable:
    """Cost per decision of runs that can be compared, and who is efficient among them."""
    priced = [run for run in group if run.compute.agent_seconds is not None and run.summary.valid]
    costs = [run.compute.agent_seconds[0] for run in priced if run.compute.agent_seconds is not None]
    rates = [run.summary.successes / run.summary.valid for run in priced]
    efficient = dict(zip((run.label for run in priced), pareto_efficient(costs, rates), strict=True))
    rows = tuple((run.label, _compute_cells(run, efficient.get(run.label))) for run in group)
    sampled = [run.label for run in group if run.compute.sampled]
    notes = (
        *coverage(group),
        "Wall-clock seconds and model calls are per decision: mean, then quantiles over decisions. A batch's time is "
        "shared equally by its lanes.",
        "Peak memory: the most that any worker's process had resident; - where the run did not record it.",
        "Efficient: no other run of the table has at least its success for at most its mean agent seconds (point "
        "estimates).",
        *((f"Over a random sample of {MOST_EPISODES} episodes: {', '.join(sampled)}",) if sampled else ()),
    )
    return ReportTable("compute", f"{group[0].summary.protocol}: Compute", COMPUTE_COLUMNS, rows, notes)


def _compute_cells(run: LoadedRun, efficient: bool | None) -> tuple[CellValue, ...]:
    compute = run.compute
    none = (None,) * 4
    peak = None if compute.peak_bytes is None else compute.peak_bytes / 2**30
    numbers = (
        *(compute.agent_seconds or none),
        compute.env_seconds,
        compute.render_seconds,
        *(compute.model_calls or none),
        peak,
    )
    reported = ", ".join(f"{name} {value:.3g}" for name, value in compute.reported.items())
    return (
        CellValue("number", compute.decisions),
        *(CellValue("number", number) for number in numbers),
        _success(run),
        CellValue("text", None if efficient is None else ("yes" if efficient else "no")),
        CellValue("text", reported or None),
    )
