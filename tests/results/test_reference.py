"""The committed reference results: runs that can be checked, and tables that follow from them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from results.compare import compare, comparison_markdown
from results.entry.verify import verify_entry
from results.render import markdown
from results.report import build_report
from tests.harness.toy_runs import ROOT

THINKBENCH = ROOT / "results" / "reference" / "thinkbench"
ENTRIES = sorted((THINKBENCH / "entries").glob("*.zip"))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda path: path.stem)
def test_entries_are_whole_and_standard(entry: Path) -> None:
    found = verify_entry(entry, standard=True)
    assert found.outcomes["planned"] == 200
    assert found.outcomes["success"] + found.outcomes["failure"] == 200
    assert entry.stem.startswith(found.agent)


def test_the_report_is_that_of_the_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(THINKBENCH)
    paths = [path.relative_to(THINKBENCH) for path in ENTRIES]
    assert len(paths) > 8
    assert markdown(build_report(paths, seeds_pooled=True)) == (THINKBENCH / "report.md").read_text()


def test_the_readme_s_first_table_is_part_of_the_report() -> None:
    """Its rates are those of the report's table, whose cells have all of them spelled out."""
    table = (ROOT / "README.md").read_text().partition("## First results")[2].partition("The expert bounds")[0]
    rows = [row.strip("| ").split(" | ") for row in table.splitlines() if row.count("/") >= 5]
    reported = [line for line in (THINKBENCH / "report.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == 9
    for label, *horizons, average in rows:
        name = label.split(",")[0]
        cells = [re.escape(f"({cell})") for cell in horizons] + [re.escape(average)]
        row = re.compile(rf"\| {re.escape(name)} \(.*" + ".*".join(cells))
        assert sum(row.match(line) is not None for line in reported) == 1, label


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("thinkjepa-scripted", "flat_cem"),
        ("thinkjepa-scripted", "vlm_only-trained"),
        ("thinkjepa-scripted", "thinkjepa-trained"),
        ("thinkjepa-trained", "flat_cem"),
        ("thinkjepa-trained", "vlm_only-trained"),
        ("flat_cem", "vlm_only-trained"),
        ("oracle_goal-next", "thinkjepa-scripted"),
        ("thinkjepa-scripted", "thinkjepa-scripted-done"),
        ("vlm_only-scripted", "vlm_only-trained"),
    ],
)
def test_the_comparisons_are_those_of_the_entries(one: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(THINKBENCH)
    paths = [path for name in (one, other) for path in sorted(Path("entries").glob(f"{name}-s?.zip"))]
    assert comparison_markdown(compare(*paths, seeds_pooled=True)) in (THINKBENCH / "comparisons.md").read_text()
