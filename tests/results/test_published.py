"""Published tables: to the letter, as numbers, with their source, and the user's own beside them."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.instantiate import ConfigError
from results.published import load_source, published_sources, published_tables
from results.published.quantity import parse

MINE = """\
source: My survey (2026)
status: reported by its authors, not independently verified
tables:
  - id: mine
    benchmark: calvin
    title: CALVIN ABC->D
    where: table 2
    protocol_as_stated: 1000 chains
    columns: [1, 2, 3, 4, 5, average length]
    rows:
      My method: ["90.1%", "80.2%", "70.0%", "60.5%", "50.9%", "3.52"]
"""


def test_every_results_table_of_the_design_document_is_there() -> None:
    source = next(source for source in published_sources() if source.name.startswith("ThinkJEPA"))
    sizes = {table.id: (len(table.rows), len(table.columns)) for table in source.tables}
    assert sizes == {
        "calvin": (6, 6),
        "language-table": (4, 4),
        "thinkbench": (3, 5),
        "ablations": (11, 2),
        "probing": (3, 2),
    }
    assert {table.status for table in source.tables} == {"reported, not independently verified"}
    assert all(table.source.startswith("ThinkJEPA design document") for table in source.tables)
    assert all(table.protocol_as_stated for table in source.tables)


def test_numbers_stand_next_to_what_was_printed() -> None:
    for table in published_tables(["calvin", "language_table", "thinkbench", "linear_probing"]):
        for (row, texts), values in zip(table.rows, table.values, strict=True):
            for column, text, value in zip(table.columns, texts, values, strict=True):
                quantity = table.quantity(row, column)
                assert (quantity is None) == (value is None) == (text == ""), (table.id, row, column)
                if value is not None and (text.endswith("%") or column in table.percent):
                    assert 0 <= value <= 1
    calvin = published_tables(["calvin"])[0]
    assert calvin.rows[-1] == ("ThinkJEPA", ("91.4%", "78.5%", "63.7%", "49.2%", "36.8%", "3.20"))
    assert calvin.values[-1] == (0.914, 0.785, 0.637, 0.492, 0.368, 3.2)


def test_own_files_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text(MINE)
    plain = len(published_tables(["calvin"]))
    for own in (tmp_path, tmp_path / "mine.yaml"):
        monkeypatch.setenv("HARNESS_PUBLISHED", str(own))
        tables = published_tables(["calvin"])
        assert len(tables) == plain + 1
        assert tables[-1].source == "My survey (2026), table 2"
        assert tables[-1].values[0][-1] == 3.52
    assert len(published_tables(["calvin", "thinkbench", "calvin"])) == plain + 2
    monkeypatch.setenv("HARNESS_PUBLISHED", str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match="no such file"):
        published_tables(["calvin"])


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"3.52"', "", "row My method has another length than the head"),
        ("where: table 2", "", "where is missing"),
        ("source: My survey (2026)", "", "source is missing"),
        ("title:", "titel:", "unknown key titel"),
        ("status:", "state:", "unknown key state"),
        ("      My method", '      My method: ["1%"]\n      My method', "a key is given twice"),
        ("id: mine", "id: mine\n    systems: {Other: X}", "systems names Other, which is no row"),
        (MINE, "tables", "is no table file"),
        (MINE, "!!python/object/apply:os.system ['true']", "is no table file"),
        ("  - id", "  - - id", "is no table file"),
    ],
)
def test_what_is_wrong_with_a_file(old: str, new: str, reason: str, tmp_path: Path) -> None:
    assert old in MINE
    (tmp_path / "mine.yaml").write_text(MINE.replace(old, new))
    with pytest.raises(ConfigError, match=reason):
        load_source(tmp_path / "mine.yaml")


def test_numbers() -> None:
    assert parse("") is None
    assert parse("n/a") is None
    minus = parse("−0.74")  # noqa: RUF001 - as it is printed
    assert minus is not None
    assert (float(minus.value), minus.decimals, minus.percent) == (-0.74, 2, False)
    spread = parse("72 ± 3", percent=True)
    assert spread is not None
    assert (spread.as_number(), float(spread.spread or 0)) == (0.72, 3.0)


@given(st.integers(-99_999, 99_999), st.integers(0, 3), st.booleans())
def test_what_is_printed_rounds_from_itself(digits: int, decimals: int, percent: bool) -> None:
    text = f"{digits / 10**decimals:.{decimals}f}{'%' if percent else ''}"
    quantity = parse(text)
    assert quantity is not None
    assert quantity.rounds_from(quantity.value)
    assert quantity.truncates_from(quantity.value)
    assert math.isclose(float(quantity.value), digits / 10**decimals, abs_tol=1e-12)
    assert quantity.before_rounding.high - quantity.before_rounding.low == quantity.unit


def test_published_numbers_never_look_measured() -> None:
    from results.render import as_csv, markdown
    from results.report import Report

    report = Report((), (), published_tables(["thinkbench", "calvin"]))
    text = markdown(report)
    assert "reported, not independently verified" in text
    assert "*91.4%*" in text
    assert "| 91.4%" not in text
    assert {row["kind"] for row in csv.DictReader(io.StringIO(as_csv(report)))} == {"published"}
