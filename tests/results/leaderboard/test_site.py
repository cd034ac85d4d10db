"""The site's files: complete, escaped, from verified entries only."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.cli import main
from results.leaderboard.build import slug
from results.leaderboard.texts import seconds_text
from tests.results.leaderboard.agents import MARKUP
from tests.results.leaderboard.conftest import CONFIG, EPISODES

VOID = {"meta", "link", "input", "img", "br"}


class Page(HTMLParser):
    """What a browser would make of a page: tags, links and texts; complains about tags that are not closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(path.read_text())
        assert not self._open, f"{path.name}: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def rows(self) -> list[dict[str, str | None]]:
        """Attributes of the rows of rankings."""
        return [attributes for tag, attributes in self.tags if tag == "tr" and "data-run" in attributes]


def delivered(path: Path) -> tuple[str, object]:
    """Name and value of a data file."""
    found = re.fullmatch(r'leaderboard\.deliver\("([^"]+)",(.*)\);\n', path.read_text(), re.DOTALL)
    assert found is not None
    return found[1], json.loads(found[2])


def test_every_link_leads_somewhere_inside_the_site(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert {path.relative_to(site).parts[0] for path in pages} == {
        *("index.html", "audit.html", "methods.html", "agents", "benchmarks", "episodes"),
    }
    for path in pages:
        for tag, attributes in Page(path).tags:
            for name in ("href", "src"):
                link = (attributes.get(name) or "").partition("#")[0]
                assert "://" not in link
                if link and tag in ("a", "script", "link"):
                    target = (path.parent / link).resolve()
                    assert target.is_file(), f"{path.name}: {link}"
                    assert target.is_relative_to(site)


def test_no_page_runs_anything_but_the_sites_own_scripts(site: Path) -> None:
    for path in site.rglob("*.html"):
        page = Page(path)
        (policy,) = [a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
        assert policy is not None
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for tag, attributes in page.tags:
            assert tag != "style"
            assert not any(name == "style" or name.startswith("on") for name in attributes)
            assert tag != "script" or (attributes.get("src") or "").startswith(("assets/", "../assets/"))


def test_names_with_markup_are_texts(site: Path) -> None:
    for path in site.rglob("*.html"):
        page = Page(path)
        assert not any(tag in ("b", "img") for tag, _ in page.tags)
    benchmark = Page(site / "benchmarks" / "toy.html")
    assert "mode=<b>loud</b> & proud" in benchmark.text
    for path in (site / "data").rglob("*.js"):
        assert "<" not in path.read_text()
    agents = {path.stem for path in (site / "agents").iterdir()}
    assert agents == {"walker", "curious"}


def test_rankings_keep_what_cannot_be_compared_apart(site: Path) -> None:
    text = (site / "benchmarks" / "toy.html").read_text()
    standard, other = text.split('<section class="board"')[1:]
    assert "standard protocol" in standard
    assert standard.count("<tr data-run=") == 1
    assert other.count("<tr data-run=") == 4
    assert "protocol.episodes: 8 -&gt; 12; protocol.max_steps: 6 -&gt; 4" in other
    assert "McNemar&#39;s exact test, paired by episode" in other
    ranks = re.findall(r'class="rank" data-v="(\d*)"[^>]*>([^<]+)<', other)
    assert ("", "ref.") in ranks, "who reads ground truth has no rank"
    assert [text for number, text in ranks if number] == ["1=", "1=", "3"], (
        "two tie, and no test is needed to see the third"
    )


def test_the_grid_has_every_episode_of_every_run(site: Path) -> None:
    grids = [delivered(path) for path in (site / "data" / "boards").rglob("grid.js")]
    assert sorted((len(g["episodes"]), len(g["runs"])) for _, g in grids) == [(8, 1), (EPISODES, 4)]  # type: ignore[index, call-overload]
    for name, grid in grids:
        assert (site / "data" / f"{name}.js").is_file()
        for run in grid["runs"]:  # type: ignore[index, call-overload]
            assert len(run["cells"]) == len(grid["episodes"])  # type: ignore[index, call-overload]
            assert set(run["cells"]) <= set("S0123456789E")


def test_an_episode_has_its_stages_events_and_video(site: Path) -> None:
    found = []
    for path in (site / "data" / "runs").rglob("episodes-0.js"):
        _, episodes = delivered(path)
        found += [e for e in episodes if e["video"]]  # type: ignore[attr-defined]
    (episode,) = found
    assert (site / episode["video"]).read_bytes()[4:8] == b"ftyp"
    assert episode["id"] == "toy-000"
    assert episode["stages"][0]["instruction"] == "go 0"
    assert episode["stages"][0]["success"] in (True, False)
    kinds = [kind for _, _, kind, _ in episode["events"]]
    assert kinds[:3] == ["subgoal", "compute", "plan"]
    assert episode["events"][0][3]["text"] == f"get closer {MARKUP}"
    assert episode["replay"] == "harness replay RUN toy-000 --video episode.mp4"


def test_provenance_says_how_to_repeat_the_run(site: Path) -> None:
    facts = [dict(delivered(path)[1]["provenance"]) for path in (site / "data" / "runs").rglob("run.js")]  # type: ignore[index, call-overload]
    assert len(facts) == 5
    for fact in facts:
        assert {"Commit", "Hardware", "Run key", "Protocol", "Configuration", "Reproduce"} <= set(fact)
        assert len(fact["Entry digest (SHA-256)"]) == 64


def test_an_entry_is_added_and_errors_are_told(
    site: Path, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, entry = tmp_path / "site", tmp_path / "entry.zip"
    assert main(["leaderboard", "build", str(runs["slow"]), "-o", str(folder), *CONFIG]) == 0
    assert main(["export", str(runs["errors"]), "-o", str(entry)]) == 0
    assert main(["leaderboard", "add", str(entry), str(folder), *CONFIG]) == 0
    assert "20 episodes of 2 runs" in capsys.readouterr().out
    assert len(list((folder / "entries").iterdir())) == 2
    text = (folder / "agents" / "walker.html").read_text()
    assert "rank \u2013: more than 2% of its episodes ended in an error" in text
    assert "1 errors: with all of them counted as failures success\n  would be" in text
    before = sorted(folder.rglob("*"))

    assert main(["leaderboard", "add", str(entry), str(folder), *CONFIG]) == 2
    assert "already, as entry" in capsys.readouterr().err
    assert main(["leaderboard", "build", str(runs["fast"]), "-o", str(folder), *CONFIG]) == 2
    assert "is a leaderboard already" in capsys.readouterr().err
    assert main(["leaderboard", "add", str(entry), str(tmp_path / "nowhere"), *CONFIG]) == 2
    assert "is no leaderboard" in capsys.readouterr().err
    assert (
        main(["leaderboard", "build", str(runs["fast"]), str(runs["fast"]), "-o", str(tmp_path / "two"), *CONFIG]) == 2
    )
    assert "is given twice" in capsys.readouterr().err
    assert not (tmp_path / "two").exists(), "a build that failed leaves nothing"
    assert sorted(folder.rglob("*")) == before


def test_what_was_killed_before_all_pages_were_there_can_be_repeated(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "site"
    assert main(["leaderboard", "build", str(runs["slow"]), "-o", str(folder), *CONFIG]) == 0
    with monkeypatch.context() as patch:  # as if killed: neither pages nor cleaning up
        patch.setattr("results.leaderboard.build.build_site", raising(SystemExit))
        patch.setattr("results.leaderboard.intake.discard", lambda _: None)
        with pytest.raises(SystemExit):
            main(["leaderboard", "add", str(runs["fast"]), str(folder), *CONFIG])
    assert len(list((folder / "entries").iterdir())) == 2
    assert len(list((folder / "data" / "runs").iterdir())) == 1
    assert main(["leaderboard", "add", str(runs["fast"]), str(folder), *CONFIG]) == 0
    assert len(list((folder / "data" / "runs").iterdir())) == len(list((folder / "entries").iterdir())) == 2
    assert main(["leaderboard", "add", str(runs["fast"]), str(folder), *CONFIG]) == 2


def raising(error: type[BaseException]) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_a_tampered_entry_leaves_the_site_as_it_was(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, entry, forged = tmp_path / "site", tmp_path / "entry.zip", tmp_path / "forged.zip"
    assert main(["leaderboard", "build", str(runs["slow"]), "-o", str(folder), *CONFIG]) == 0
    assert main(["export", str(runs["fast"]), "-o", str(entry)]) == 0
    with zipfile.ZipFile(entry) as old, zipfile.ZipFile(forged, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            content = old.read(member)
            new.writestr(
                member,
                content.replace(b'"seed": 0', b'"seed": 9').replace(b'"outcome":"failure"', b'"outcome":"success"'),
            )
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert main(["leaderboard", "add", str(forged), str(folder), *CONFIG]) == 2
    assert "error:" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_files_are_named_by_us() -> None:
    assert slug("thinkbench") == "thinkbench"
    names = ["../../etc/passwd", "A", "a b", "", "x" * 300, "a.", "COM1 ", "ü"]
    slugs = [slug(name) for name in names]
    assert all(re.fullmatch(r"[a-z0-9-]{1,50}", one) for one in slugs)
    assert len(set(slugs)) == len(names)


def test_durations() -> None:
    assert [seconds_text(value) for value in (None, 2.0, 0.00336, 9.76e-5)] == ["\u2013", "2 s", "3.36 ms", "97.6 µs"]
