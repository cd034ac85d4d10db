"""Each format against a golden file, and with hostile texts. ``python -m tests.results.test_formats`` rewrites them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.interfaces import MeanCell, RateCell
from harness.statistics import Interval
from results.cells import CellValue, work_out
from results.html_report import html
from results.latex import escape, latex
from results.plots import report_plots
from results.published import PublishedTable
from results.render import as_csv, as_json, markdown
from results.report import COMPUTE_COLUMNS, Report, ReportTable
from results.runs import RunSummary, run_labels

GOLDEN = Path(__file__).parent / "golden"
FORMATS: dict[str, Callable[[Report], str]] = {
    "csv": as_csv,
    "html": html,
    "json": as_json,
    "md": markdown,
    "tex": latex,
}
NASTY = '<script>alert(1)</script> \\input{x} | $5 & 50% #_^~ "q" -- [é…] ‡'


def summary(agent: str, **changes: object) -> RunSummary:
    plain = RunSummary(
        run=f"runs/{agent}",
        benchmark="calvin",
        protocol="calvin-abc_d@1",
        protocol_hash="0123456789abcdef",
        agent=agent,
        privileged=False,
        seed=0,
        deviations=(),
        planned=10,
        valid=10,
        successes=6,
        errors=0,
        missing=0,
        retried=0,
        errors_by_phase={},
        commit="0a1b2c3d4e5f",
        run_key="k",
        arguments={},
        fingerprint_changed=(),
        episode_set="e",
        label=f"{agent} (seed 0)",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def chain(lengths: list[int], errors: int = 0) -> tuple[CellValue, ...]:
    cells = [work_out(RateCell(sum(n >= k for n in lengths), len(lengths), errors)) for k in range(1, 6)]
    return (*cells, work_out(MeanCell(tuple(map(float, lengths)))))


def best(cells: tuple[CellValue, ...]) -> tuple[CellValue, ...]:
    return tuple(replace(cell, best=True) for cell in cells)


def example() -> Report:
    """One of everything, by hand: nothing here depends on a run or on this machine."""
    full = summary("thinkjepa")
    ablated = summary(
        "flat",
        valid=8,
        successes=2,
        errors=1,
        missing=1,
        retried=2,
        errors_by_phase={"step": 1},
        deviations=("limit: the first 10 of 1000 episodes",),
        label="flat†‡ (seed 0)",
    )
    columns = ("1", "2", "3", "4", "5", "average length")
    mine, theirs = chain([5, 5, 5, 5, 5, 5, 4, 3, 2, 1]), chain([5, 5, 4, 3, 2, 2, 1, 0], errors=1)
    coverage = (full.coverage, ablated.coverage)
    joined = ReportTable(
        "chain",
        "calvin-abc_d@1: Tasks in a row",
        columns,
        ((full.label, best(mine)), (ablated.label, theirs)),
        coverage,
    )
    drop = CellValue("rate difference", -0.25, Interval(-0.5, 0.02), count=8, p_value=0.0625)
    shorter = CellValue("mean difference", -1.25, Interval(-2.0, -0.5), count=8, p_value=0.0004)
    differences = (drop,) * 5 + (shorter,)
    ablation = ReportTable(
        "ablation_chain", "Ablation of thinkjepa", columns, ((full.label, mine), (ablated.label, differences)), coverage
    )
    numbers = [
        CellValue("number", value) for value in (1234, 0.05, 0.04, 0.1, 0.2, 0.01, None, 3.0, 3.0, 5.0, 9.0, 1.5)
    ]
    costs = (*numbers, mine[4], CellValue("text", "yes"), CellValue("text", None))
    compute = ReportTable("compute", "Compute", COMPUTE_COLUMNS, ((full.label, costs),), ("Per decision.",))
    published = PublishedTable(
        benchmark="calvin",
        title="CALVIN, tasks in a row",
        source="a document",
        status="reported, not independently verified",
        protocol_as_stated="none",
        columns=("1", "average length"),
        rows=(("Theirs & co.", ("91.4%", "3.20 ± 0.1")), ("Others", ("", "2.46"))),
        values=((0.914, 3.2), (None, 2.46)),
    )
    return Report((full, ablated), (joined, ablation, compute), (published,))


@pytest.mark.parametrize("suffix", FORMATS)
def test_golden(suffix: str) -> None:
    assert FORMATS[suffix](example()) == (GOLDEN / f"report.{suffix}").read_text(), (
        "if the change is wanted, python -m tests.results.test_formats rewrites the golden files"
    )


@pytest.mark.parametrize("suffix", FORMATS)
def test_measured_and_published_numbers_are_told_apart(suffix: str) -> None:
    text = FORMATS[suffix](example())
    assert "published" in text.lower()
    assert "measured" in text or suffix == "csv"


def hostile() -> Report:
    run = summary("x", label=NASTY, run=NASTY, deviations=(NASTY,))
    table = ReportTable(NASTY, NASTY, (NASTY,), ((NASTY, (CellValue("text", NASTY),)),), (NASTY,))
    return Report((run,), (table,), ())


def test_texts_cannot_break_out_of_html() -> None:
    class Tags(HTMLParser):
        seen: set[str] = set()  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.seen.add(tag)

    page = html(hostile(), [(NASTY, "<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>")])
    parser = Tags()
    parser.feed(page)
    assert "script" not in parser.seen
    assert "&lt;script&gt;alert(1)" in page


def test_texts_cannot_break_out_of_latex() -> None:
    text = escape(NASTY)
    assert re.sub(r"\\text\w+\{\}|\\[&%$#_{}]", "", text).count("\\") == 0
    assert "\\textbackslash{}input\\{x\\}" in text
    assert "…" not in text
    assert "é" in text
    assert escape("Ł→ź") == "?\\textrightarrow{}z"


def test_texts_cannot_break_out_of_markdown() -> None:
    text = markdown(hostile())
    assert "<script" not in text
    rows = [line for line in text.splitlines() if line.startswith("| &lt;script>")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [10, 3]


def test_json_has_no_values_that_json_does_not_know() -> None:
    data = json.loads(as_json(example()), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert data["tables"][0]["origin"] == "measured"
    assert data["published"][0]["origin"] == "published"
    assert data["tables"][1]["rows"][1]["cells"]["5"]["p"] == 0.0625


def test_latex_is_balanced_booktabs() -> None:
    for report in (example(), hostile()):
        text = latex(report)
        assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == text.count(r"\toprule")
        assert text.count(r"\midrule") == text.count(r"\bottomrule") == text.count(r"\toprule")
        bare = text.replace(r"\{", "").replace(r"\}", "")
        assert bare.count("{") == bare.count("}")
        for table in re.findall(r"\\begin{tabular}{(\w+)}(.*?)\\end{tabular}", text, re.DOTALL):
            lines = re.findall(r"^(.*) \\\\$", table[1], re.MULTILINE)
            assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines} == {len(table[0])}


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here; its structure is checked above")
@pytest.mark.parametrize("make", [example, hostile])
def test_latex_compiles(make: Callable[[], Report], tmp_path: Path) -> None:
    (tmp_path / "report.tex").write_text(latex(make()))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout[-2000:]
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_plots_are_vector_graphics_with_intervals(tmp_path: Path) -> None:
    report = example()
    plots = {plot.name: plot for plot in report_plots(report)}
    assert list(plots) == ["00-chain", "01-ablation_chain", "02-compute"]
    chain_svg = plots["00-chain"].svg()
    assert chain_svg == report_plots(report)[0].svg(), "the same numbers give the same file"
    assert "<image" not in chain_svg
    axes = plots["00-chain"].figure.axes[0]
    (full, _) = axes.containers
    _, caps, bars = full  # type: ignore[misc]
    segments = bars[0].get_segments()
    low, high = (100 * bound for bound in (report.tables[0].rows[0][1][0].interval.low, 1.0))  # type: ignore[union-attr]
    assert segments[0][:, 1] == pytest.approx([low, high])
    assert len(caps) == 2
    figure = plots["00-chain"].figure
    (legend,) = figure.legends
    assert legend.get_window_extent().y1 <= axes.get_window_extent().y0, "the legend covers no interval"
    forest = plots["01-ablation_chain"].figure.axes
    assert [axes.get_xlabel().split(" (")[0] for axes in forest] == ["percentage points", "difference of means"]
    pdf = plots["02-compute"].save(tmp_path, "pdf")
    assert pdf.read_bytes().startswith(b"%PDF")


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, render in FORMATS.items():
        (GOLDEN / f"report.{name}").write_text(render(example()))


def test_rows_are_named_by_the_settings_in_which_they_differ() -> None:
    own = [
        {
            "reasoner": "vlm",
            "planner": {"population": 128, "horizon": 1},
            "vlm.model": "788ff226a6c04b5d1318086c41b9fbcb",
        },
        {"reasoner": "scripted", "planner": {"population": 64, "horizon": 1}, "vlm.model": None},
    ]
    labels = run_labels([*(summary("thinkjepa", arguments=settings) for settings in own), summary("flat_cem")])
    assert labels == [
        "thinkjepa (planner.population=128, reasoner=vlm, vlm.model=788ff226, seed 0)",
        "thinkjepa (planner.population=64, reasoner=scripted, seed 0)",
        "flat_cem (seed 0)",
    ]
