"""A report as one HTML file that needs nothing else: no script, no network, plots inside."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from results.cells import cell_text
from results.render import CELLS, MARKS, OVERVIEW, overview_row, published_source, remarks
from results.report import Report


def html(report: Report, figures: Sequence[tuple[str, str]] = ()) -> str:
    """The page.

    Args:
        report: What to show; every text in it is escaped.
        figures: Titles, which may repeat, and SVG documents; they are embedded as images, so nothing in them can run.
    """
    environment = Environment(
        loader=PackageLoader("results"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"cell_text": cell_text, "published_source": published_source}
    benchmarks = ", ".join(dict.fromkeys(run.benchmark for run in report.runs))
    return environment.get_template("report.html").render(
        title=f"Report: {benchmarks}",
        overview=OVERVIEW,
        runs=[overview_row(run) for run in report.runs],
        remarks=remarks(report.runs, report.left_out),
        figures=[{"title": title, "source": _as_data(svg)} for title, svg in figures],
        tables=report.tables,
        published=report.published,
        cells_note=CELLS,
        marks_note=MARKS.replace("\\*", "*"),
    )


def _as_data(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
