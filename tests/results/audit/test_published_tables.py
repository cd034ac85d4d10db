"""The audit of what was published: everything that is known to be wrong is found, by computing, and nothing else."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from harness.cli import main
from harness.instantiate import ConfigError
from results.audit.findings import Finding
from results.audit.published import audit_file, audit_published
from results.audit.render import as_json, as_text
from results.audit.tables import audit_table
from results.published import published_sources

TABLE = {
    "source": "My paper (2026)",
    "status": "mine",
    "tables": [
        {
            "id": "main",
            "benchmark": "calvin",
            "title": "CALVIN",
            "where": "table 1",
            "protocol_as_stated": "1000 chains",
            "columns": [1, 2, 3, "length", "gain"],
            "rows": {
                "base": ["50.0%", "25.0%", "10.0%", "0.85", ""],
                "new": ["60.0%", "30.0%", "20.0%", "1.10", "+0.25"],
            },
            "episodes": {"each": 40, "of": [1, 2, 3]},
            "relations": [
                {"is": "sum", "column": "length", "of": [1, 2, 3]},
                {"is": "falling", "of": [1, 2, 3]},
                {"is": "difference", "column": "gain", "of": ["length"], "to": "base"},
            ],
        }
    ],
}


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    return audit_published()


def found(findings: list[Finding], check: str, *texts: str) -> Finding:
    own = [finding for finding in findings if finding.check == check and all(text in finding.text for text in texts)]
    assert len(own) == 1, (check, texts, own)
    return own[0]


def test_the_weighted_means(findings: list[Finding]) -> None:
    """73.2 follows from weights 5 to 1; then V-JEPA-2 has 59.4 and the gain is 13.8."""
    wrong = found(findings, "weighted means", "V-JEPA-2 + CEM is said to be 58.4%")
    assert wrong.level == "inconsistent"
    assert "59.3733 with weights 5, 4, 3, 2, 1" in wrong.text
    gain = found(findings, "weighted means", "ThinkJEPA minus V-JEPA-2 + CEM is said to be +14.8")
    assert "13.78 with weights 5, 4, 3, 2, 1" in gain.text
    assert "+14.8 is the difference with equal weights" in gain.text


def test_the_best_prior_method(findings: list[Finding]) -> None:
    text = found(findings, "best", "the best is said to be 2.49").text
    assert "HULC (2022), rank 4 of 5" in text
    assert all(part in text for part in ("RT-2 (2023) 2.68", "SuSIE (2024) 2.76", "oracle goals 2.93"))


def test_rows_that_the_literature_does_not_have(findings: list[Finding]) -> None:
    hulc = found(findings, "literature", "HULC (2022)", "2.49 here, 0.67 there")
    assert "82.7% is its 1 in calvin D->D" in hulc.text
    assert "2.76 here, 2.69 there" in found(findings, "literature", "SuSIE (2024)").text
    assert "has no result of RT-2 on calvin" in found(findings, "origin", "RT-2 (2023)").text
    assert found(findings, "origin", "V-JEPA-2 + CEM", "calvin ABC->D").level == "conflict"


def test_impossible_percentages(findings: list[Finding]) -> None:
    assert found(findings, "GRIM", "so 50 episodes").text.startswith("11 of 12 percentages are impossible")
    assert found(findings, "GRIM", "had all: 200").text.startswith("10 of 12 percentages are impossible")
    assert found(findings, "GRIM", "751 episodes per cell is the smallest").level == "note"


def test_an_average_that_was_cut_off(findings: list[Finding]) -> None:
    average = found(findings, "mean", "ThinkJEPA: Avg. is printed as 57.9%", "57.95")
    assert average.level == "note", "unrounded cells could have given it"


def test_ablations_are_noted_where_text_and_table_or_noise_disagree(findings: list[Finding]) -> None:
    implied = {"attention": "4.3", "refinement": "5.7", "ViT-L": "5.0"}
    for row, points in implied.items():
        assert f"-{points} points" in found(findings, "proportional", row).text
    noise = found(findings, "effects", "0.15").text
    assert all(part in noise for part in ("MSE", "70B", "concatenation"))
    assert "SIGReg" not in noise


def test_what_is_right_is_not_found(findings: list[Finding]) -> None:
    """Sums of chains, deltas of ablations, the gain over the oracle, restated values: all are right."""
    assert not [f for f in findings if f.check in ("falling", "difference", "values", "below")]
    assert not [f for f in findings if f.check == "sum" and "ThinkJEPA design" in f.source]
    counts = {level: sum(f.level == level for f in findings) for level in ("inconsistent", "conflict", "note")}
    assert counts == {"inconsistent": 5, "conflict": 7, "note": 9}


def test_a_finding_goes_away_with_its_cause() -> None:
    """No list knows the findings: correct numbers are accepted, other wrong ones are found."""
    source = next(source for source in published_sources() if source.claims)
    table = next(table for table in source.tables if table.id == "thinkbench")
    rows = tuple((name, ("72.0%", "46.0%", "22.0%", "8.0%", "37.0%")) for name, _ in table.rows)
    assert list(audit_table(type(table)(**{**vars(table), "rows": rows}))) == []
    rows = tuple((name, ("72.0%", "46.0%", "22.0%", "8.0%", "38.0%")) for name, _ in table.rows)
    assert {f.level for f in audit_table(type(table)(**{**vars(table), "rows": rows}))} == {"inconsistent"}


def audited(tmp_path: Path, **changes: object) -> list[Finding]:
    data = json.loads(json.dumps(TABLE))
    data["tables"][0] |= changes.pop("table", {})  # type: ignore[call-overload]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(data | changes, sort_keys=False))
    return audit_file(tmp_path / "mine.yaml")


def test_a_file_of_the_project_is_not_held_against_itself(findings: list[Finding]) -> None:
    path = Path(str(files("results.published") / "thinkjepa.yaml"))
    assert [finding for finding in audit_file(path) if finding not in findings] == []


def test_a_right_table_of_ones_own(tmp_path: Path) -> None:
    assert audited(tmp_path) == []


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (["61.0%", "30.0%", "20.0%", "1.11", "+0.26"], "1 of 6 percentages are impossible"),
        (["60.0%", "30.0%", "20.0%", "1.20", "+0.35"], "length is printed as 1.20; the sum of its columns is 1.1"),
        (["60.0%", "20.0%", "30.0%", "1.10", "+0.25"], "3 is 30.0%, more than 20.0% at 2"),
        (["60.0%", "30.0%", "20.0%", "1.10", "+0.35"], "gain is printed as +0.35; the difference to base is 0.25"),
    ],
)
def test_a_wrong_table_of_ones_own(row: list[str], text: str, tmp_path: Path) -> None:
    (finding,) = audited(tmp_path, table={"rows": {"base": TABLE["tables"][0]["rows"]["base"], "new": row}})  # type: ignore[index]
    assert text in finding.text
    assert finding.level == "inconsistent"


CLAIM = {"quote": "q", "where": "w", "table": "main"}


@pytest.mark.parametrize(
    ("claim", "texts"),
    [
        ({"is": "values", "column": "length", "stated": {"new": "1.10"}}, []),
        ({"is": "values", "column": "length", "stated": {"new": "1.2"}}, ["new: the text says 1.2, the table 1.10"]),
        ({"is": "difference", "column": 1, "rows": ["new", "base"], "stated": "+10"}, []),
        (
            {"is": "difference", "column": 1, "rows": ["new", "base"], "stated": "+12"},
            ["new minus base is 10, not +12"],
        ),
        (  # 10.05 rounded to 10.1, of 60.04 and 49.99
            {"is": "difference", "column": 1, "rows": ["new", "base"], "stated": "10.1"},
            ["new minus base is 10, not 10.1 (possible if its parts were rounded before)"],
        ),
        (
            {"is": "difference", "column": 1, "rows": ["new", "base"], "stated": "10.2"},
            ["new minus base is 10, not 10.2"],
        ),
        ({"is": "best", "column": 1, "other_than": ["new"], "stated": "50%"}, []),
        ({"is": "best", "column": 1, "other_than": ["new"], "stated": "55%"}, ["no row has 55%"]),
        ({"is": "below", "column": 1, "rows": ["base"], "stated": "51%"}, []),
        ({"is": "below", "column": 1, "rows": ["base"], "stated": "50%"}, ["base is 50.0%, not below 50%"]),
        (
            {"is": "weighted means", "of": [1, 2, 3], "stated": {"new": "36.7%", "base": "28.3%"}, "difference": "8.3"},
            [],
        ),
        ({"is": "weighted means", "of": [1, 2, 3], "stated": {"new": "41%"}}, ["none of the usual weights gives it"]),
        (
            {"is": "weighted means", "of": [1, 2, 3], "stated": {"new": "36.7%", "base": "35.0%"}},
            ["no weights give all of 36.7%, 35.0%"],
        ),
    ],
)
def test_claims(claim: dict[str, object], texts: list[str], tmp_path: Path) -> None:
    findings = audited(tmp_path, claims=[CLAIM | claim])
    assert len(findings) == len(texts)
    assert all(text in finding.text for text, finding in zip(texts, findings, strict=True))
    assert all(finding.quote == "q" for finding in findings)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"claims": [CLAIM | {"is": "nonsense"}]}, "`is` must be one of values, difference"),
        ({"claims": [CLAIM | {"is": "below", "column": 9, "rows": ["base"], "stated": "1%"}]}, "'q': '9'"),
        ({"claims": [CLAIM | {"is": "below", "rows": ["base"], "stated": "1%"}]}, "missing 1 required"),
        ({"claims": [{"is": "below", "table": "other"}]}, "other"),
        ({"table": {"relations": [{"is": "product"}]}}, "`is` must be one of sum, mean"),
        ({"table": {"relations": [{"is": "mean", "column": "length", "of": [1], "weights": [0]}]}}, "relation"),
        ({"table": {"episodes": {"total": 200}}}, "episodes: its keys are total; give {total: NUMBER, over"),
        ({"table": {"episodes": {"each": 0, "of": [1]}}}, "episodes: each is 0"),
        ({"table": {"episodes": {"total": 200, "over": [9]}}}, "episodes: 9 is no column"),
        ({"table": {"relations": [{"is": "sum", "column": "lenght", "of": [1]}]}}, "lenght"),
    ],
)
def test_what_is_wrong_with_relations_and_claims(changes: dict[str, object], reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=reason):
        audited(tmp_path, **changes)


def test_formats(findings: list[Finding], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--published"]) == 1
    assert capsys.readouterr().out == as_text(findings)
    assert main(["audit", "--published", "--format", "json"]) == 1
    assert [Finding(**item) for item in json.loads(capsys.readouterr().out)] == findings
    assert as_json([]) == "[]\n"
    assert as_text([]) == "nothing was found\n"
    assert main(["audit"]) == 2
    (tmp_path / "right.yaml").write_text(yaml.safe_dump(TABLE))
    assert main(["audit", str(tmp_path / "right.yaml")]) == 0
