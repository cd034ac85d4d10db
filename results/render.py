"""A report as Markdown, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict

from results.published import PublishedTable
from results.report import CellValue, Report, ReportTable, RunSummary

FOOTNOTE = """\
Cells: rate [95 % Wilson interval] (successes/episodes), or mean [95 % cluster bootstrap interval] (n). Every cell is
over those of its episodes that ended with a verdict; errors are listed above, and "bounds" says what the success rate
would be with every episode without a verdict counted as a failure, and as a success. Where a run repeats episodes, the
interval is that of the distinct ones.
\\* privileged: the agent reads ground truth. † non-standard: not comparable with runs of the plain protocol.
‡ incomplete: episodes are missing."""


def markdown(report: Report) -> str:
    """For people and pull requests."""
    parts = [_overview(report.runs)]
    parts += [f"- {run.label} is non-standard: {'; '.join(run.deviations)}" for run in report.runs if run.deviations]
    parts += [
        f"- {run.label} is incomplete: {run.valid + run.errors} of {run.planned} episodes ended"
        for run in report.runs
        if run.missing
    ]
    parts += [
        f"- {run.label} ran with other content than is here now: {'; '.join(run.fingerprint_changed)}"
        for run in report.runs
        if run.fingerprint_changed
    ]
    parts += [
        f"- {run.label} had errors in: {', '.join(f'{p} {n}' for p, n in run.errors_by_phase.items())}"
        for run in report.runs
        if run.errors_by_phase
    ]
    parts += [_markdown_table(table) for table in report.tables]
    parts.append(FOOTNOTE)
    parts += [_markdown_published(table) for table in report.published]
    return "\n\n".join(parts) + "\n"


def as_json(report: Report) -> str:
    """Every number, for programs."""
    runs = [asdict(run) | {"bounds": run.bounds} for run in report.runs]
    tables = [
        {
            "key": table.key,
            "title": table.title,
            "rows": [
                {"name": name, "cells": dict(zip(table.columns, map(_json_cell, cells), strict=True))}
                for name, cells in table.rows
            ],
        }
        for table in report.tables
    ]
    published = [asdict(table) for table in report.published]
    return (
        json.dumps(
            {"runs": runs, "tables": tables, "published": published}, indent=2, ensure_ascii=False, allow_nan=False
        )
        + "\n"
    )


def as_csv(report: Report) -> str:
    """One line per cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["table", "title", "row", "column", "kind", "value", "low", "high", "successes", "count", "errors"])
    for table in report.tables:
        for name, cells in table.rows:
            for column, cell in zip(table.columns, cells, strict=True):
                values = _json_cell(cell)
                fields = ("kind", "value", "low", "high", "successes", "count", "errors")
                writer.writerow([table.key, table.title, name, column, *(values.get(field) for field in fields)])
    for printed in report.published:
        for name, texts in printed.rows:
            for column, text in zip(printed.columns, texts, strict=True):
                title = f"{printed.title} ({printed.source}; {printed.status})"
                writer.writerow(["published", title, name, column, "published", text, *[None] * 5])
    return buffer.getvalue()


def cell_text(cell: CellValue) -> str:
    """For example ``95.0% [86.3, 98.3] (57/60)``."""
    if cell.value is None:
        return f"- ({cell.errors} errors)" if cell.errors else "-"
    if cell.kind == "rate" and cell.interval is not None:
        low, high = 100 * cell.interval.low, 100 * cell.interval.high
        errors = f", {cell.errors} errors" if cell.errors else ""
        return f"{cell.value:.1%} [{low:.1f}, {high:.1f}] ({cell.successes}/{cell.count}{errors})"
    if cell.kind == "mean" and cell.interval is not None:
        known = not math.isnan(cell.interval.low)
        interval = f" [{cell.interval.low:.2f}, {cell.interval.high:.2f}]" if known else ""
        return f"{cell.value:.2f}{interval} ({cell.count})"
    return f"{cell.value:.3g}" if isinstance(cell.value, float) else str(cell.value)


def _overview(runs: Sequence[RunSummary]) -> str:
    header = ("run", "agent", "protocol", "episodes", "errors", "missing", "retried", "bounds", "commit")
    rows = [
        (
            f"`{run.run}`",
            run.label,
            f"{run.protocol} (`{run.protocol_hash[:8]}`){'' if not run.deviations else ' non-standard'}",
            f"{run.valid}/{run.planned}",
            str(run.errors),
            str(run.missing),
            str(run.retried),
            f"{run.bounds[0]:.1%} to {run.bounds[1]:.1%}",
            run.commit,
        )
        for run in runs
    ]
    return "## Runs\n\n" + _grid(header, rows)


def _markdown_table(table: ReportTable) -> str:
    rows = [(name, *map(cell_text, cells)) for name, cells in table.rows]
    return f"## {table.title}\n\n" + _grid(("", *table.columns), rows)


def _markdown_published(table: PublishedTable) -> str:
    rows = [(f"*{name}*", *(f"*{cell}*" for cell in cells)) for name, cells in table.rows]
    source = f"Source: {table.source}. Protocol as stated there: {table.protocol_as_stated}."
    return f"## Published numbers, {table.status}: {table.title}\n\n{source}\n\n" + _grid(("", *table.columns), rows)


def _grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, *rows]
    cleaned = [[text.replace("|", "\\|") for text in line] for line in lines]
    widths = [max(len(line[column]) for line in cleaned) for column in range(len(header))]
    padded = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |"
        for line in cleaned
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([padded[0], rule, *padded[1:]])


def _json_cell(cell: CellValue) -> dict[str, object]:
    data: dict[str, object] = {"kind": cell.kind, "value": cell.value}
    if cell.kind in ("rate", "mean"):
        known = cell.interval is not None and not math.isnan(cell.interval.low)
        data["low"] = cell.interval.low if known and cell.interval else None
        data["high"] = cell.interval.high if known and cell.interval else None
        data["count"] = cell.count
    if cell.kind == "rate":
        data |= {"successes": cell.successes, "errors": cell.errors}
    return data
