"""A report as Markdown, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict

from results.cells import CellValue, cell_text, known
from results.published import PublishedTable
from results.report import Report, ReportTable
from results.runs import RunSummary

CELLS = (
    "Cells: rate [95 % Wilson interval] (successes/episodes), or mean [95 % BCa bootstrap interval over chains, "
    "templates or other clusters] (n). Every cell is over those of its episodes that ended with a verdict; errors are "
    'listed above, and "bounds" says what the success rate would be with every episode without a verdict counted as a '
    "failure, and as a success. Where a run repeats episodes, the interval is that of the distinct ones."
)

MARKS = (
    "\\* privileged: the agent reads ground truth. † non-standard: not comparable with runs of the plain protocol. "
    "‡ incomplete: episodes are missing."
)

MEASURED = "All numbers up to here were measured by this harness."

FIELDS = ("value", "low", "high", "successes", "count", "errors", "best", "p")
"""Columns of the CSV file that hold numbers; ``kind`` says of what."""

OVERVIEW = ("run", "agent", "protocol", "episodes", "errors", "missing", "retried", "bounds", "commit")


def markdown(report: Report) -> str:
    """For people and pull requests."""
    parts = ["## Runs\n\n" + grid(OVERVIEW, [overview_row(run) for run in report.runs])]
    parts += [f"- {inline(remark)}" for remark in remarks(report.runs, report.left_out)]
    parts += [_markdown_table(table) for table in report.tables]
    parts += [f"{CELLS}\n{MARKS}\n{MEASURED}"]
    parts += [_markdown_published(table) for table in report.published]
    return "\n\n".join(parts) + "\n"


def remarks(runs: Sequence[RunSummary], left_out: Sequence[RunSummary] = ()) -> list[str]:
    """What must be said of single runs, and of those that are in no table, above all tables."""
    lines = []
    if left_out:
        names = ", ".join(f"{run.label} of {run.protocol} ({run.run})" for run in left_out)
        lines.append(f"Not in the tables, for their weights are untrained: {names}")
    lines += [f"{run.label} is non-standard: {'; '.join(run.deviations)}" for run in runs if run.deviations]
    lines += [
        f"{run.label} is incomplete: {run.valid + run.errors} of {run.planned} episodes ended"
        for run in runs
        if run.missing
    ]
    lines += [
        f"{run.label} ran with other content than is here now: {'; '.join(run.fingerprint_changed)}"
        for run in runs
        if run.fingerprint_changed
    ]
    lines += [
        f"{run.label} had errors in: {', '.join(f'{p} {n}' for p, n in run.errors_by_phase.items())}"
        for run in runs
        if run.errors_by_phase
    ]
    return lines


def overview_row(run: RunSummary) -> tuple[str, ...]:
    """A run's line of the table of runs; the columns are ``OVERVIEW``."""
    return (
        run.run,
        run.label,
        f"{run.protocol} ({run.protocol_hash[:8]}){'' if not run.deviations else ' non-standard'}",
        f"{run.valid}/{run.planned}",
        str(run.errors),
        str(run.missing),
        str(run.retried),
        f"{run.bounds[0]:.1%} to {run.bounds[1]:.1%}",
        run.commit,
    )


def published_source(table: PublishedTable) -> str:
    """Where published numbers are from, and how they were made."""
    return f"Source: {table.source}. Protocol as stated there: {table.protocol_as_stated}."


def as_json(report: Report) -> str:
    """Every number, for programs."""
    runs, left_out = ([_run_data(run) for run in part] for part in (report.runs, report.left_out))
    tables = [
        {
            "key": table.key,
            "title": table.title,
            "origin": "measured",
            "notes": list(table.notes),
            "rows": [
                {"name": name, "cells": dict(zip(table.columns, map(_json_cell, cells), strict=True))}
                for name, cells in table.rows
            ],
        }
        for table in report.tables
    ]
    published = [_published_data(table) for table in report.published]
    return (
        json.dumps(
            {"runs": runs, "left_out": left_out, "tables": tables, "published": published},
            indent=2,
            ensure_ascii=False,
            allow_nan=False,
        )
        + "\n"
    )


def _run_data(run: RunSummary) -> dict[str, object]:
    return asdict(run) | {"bounds": run.bounds, "untrained": run.untrained}


def as_csv(report: Report) -> str:
    """One line per cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["table", "title", "row", "column", "kind", *FIELDS])
    for table in report.tables:
        for name, cells in table.rows:
            for column, cell in zip(table.columns, cells, strict=True):
                values = _json_cell(cell)
                writer.writerow([table.key, table.title, name, column, *(values.get(key) for key in ("kind", *FIELDS))])
        for note in table.notes:
            writer.writerow([table.key, table.title, "", "", "note", note, *[None] * (len(FIELDS) - 1)])
    for run in report.left_out:
        note = f"not in the tables, for its weights are untrained: {run.run}"
        writer.writerow(["left_out", run.protocol, run.label, "", "note", note, *[None] * (len(FIELDS) - 1)])
    for printed in report.published:
        for name, texts in printed.rows:
            for column, text in zip(printed.columns, texts, strict=True):
                title = f"{printed.title} ({printed.source}; {printed.status})"
                writer.writerow(["published", title, name, column, "published", text, *[None] * (len(FIELDS) - 1)])
    return buffer.getvalue()


def _markdown_table(table: ReportTable) -> str:
    rows = [(name, *map(_markdown_cell, cells)) for name, cells in table.rows]
    notes = "".join(f"\n- {inline(note)}" for note in table.notes)
    return f"## {inline(table.title)}\n\n" + grid(("", *table.columns), rows) + (f"\n{notes}" if notes else "")


def _markdown_cell(cell: CellValue) -> str:
    text = cell_text(cell)
    return f"**{text}**" if cell.best else text


def _markdown_published(table: PublishedTable) -> str:
    rows = [tuple(f"*{text}*" if text else "" for text in (name, *cells)) for name, cells in table.rows]
    title = f"## Published numbers, {inline(table.status)}: {inline(table.title)}"
    return f"{title}\n\n{inline(published_source(table))}\n\n" + grid(("", *table.columns), rows)


def inline(text: str) -> str:
    """A text within a line of Markdown: it cannot end the line or begin an HTML element."""
    return " ".join(text.split()).replace("<", "&lt;")


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, *rows]
    cleaned = [[inline(text).replace("|", "\\|") for text in line] for line in lines]
    widths = [max(len(line[column]) for line in cleaned) for column in range(len(header))]
    padded = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |"
        for line in cleaned
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([padded[0], rule, *padded[1:]])


def _published_data(table: PublishedTable) -> dict[str, object]:
    names = ("benchmark", "title", "source", "status", "protocol_as_stated", "columns", "rows", "values")
    return {"origin": "published"} | {name: getattr(table, name) for name in names}


def _json_cell(cell: CellValue) -> dict[str, object]:
    data: dict[str, object] = {"kind": cell.kind, "value": cell.value}
    if cell.kind in ("text", "number"):
        return data
    interval = known(cell.interval)
    data |= {"low": interval.low if interval else None, "high": interval.high if interval else None}
    data["count"] = cell.count
    if cell.kind == "rate":
        data |= {"successes": cell.successes, "errors": cell.errors}
    if cell.kind in ("rate", "mean"):
        data["best"] = cell.best
    else:
        data["p"] = cell.p_value
    return data
