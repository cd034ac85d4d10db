"""The site in a real browser, from files: sorting, filtering, keys, themes, an episode and its video."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.results.leaderboard.browser import Browser, find_browser, start

pytestmark = pytest.mark.skipif(
    find_browser() is None, reason="no chromium (or chrome) with chromedriver on this machine"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = start(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.quit()


@pytest.fixture
def visit(browser: Browser, site: Path) -> Iterator[Callable[[str], Browser]]:
    def go(url: str) -> Browser:
        browser.open(site, url)
        return browser

    yield go
    assert browser.complaints() == [], "the console must stay empty"
    assert "owned" not in browser.title, "a text ran as a script"


def test_rows_sort_by_any_column(visit: Callable[[str], Browser]) -> None:
    page = visit("benchmarks/toy.html")
    column = "section.board:nth-of-type(2) .ranking tbody tr td:nth-child(3) .v"
    head = "section.board:nth-of-type(2) .ranking thead th:nth-child(3)"
    shown = page.texts(column)
    assert len(shown) == 4
    page.click(f"{head} button")
    descending = [float(text.rstrip("%")) for text in page.texts(column)]
    assert descending == sorted(descending, reverse=True)
    assert page.attribute(head, "aria-sort") == "descending"
    page.press(f"{head} button", "Enter")
    ascending = [float(text.rstrip("%")) for text in page.texts(column)]
    assert ascending == sorted(descending)
    assert page.attribute(head, "aria-sort") == "ascending"


def test_rows_are_filtered_by_words_and_marks(visit: Callable[[str], Browser]) -> None:
    page = visit("benchmarks/toy.html")
    board = "section.board:nth-of-type(2)"
    rows = f"{board} .ranking tbody tr:not([hidden])"
    page.type(f"{board} input[name=text]", "WALKER gain=1.0")
    assert page.count(rows) == 1
    assert page.texts(f"{board} .filters output") == ["1 of 4 runs"]
    page.clear(f"{board} input[name=text]")
    page.click(f"{board} input[name=privileged]")
    assert page.count(rows) == 3
    assert not any("curious" in text for text in page.texts(rows))


def test_the_drawer_has_the_provenance_and_closes_with_escape(visit: Callable[[str], Browser]) -> None:
    page = visit("benchmarks/toy.html")
    page.press("button.provenance", "Enter")
    page.wait_for(".drawer .provenance pre")
    text = page.text(".drawer")
    assert "Reproduce" in text
    assert "git checkout" in text
    page.press_key("Escape")
    assert page.count("dialog[open]") == 0


def test_the_grid_opens_an_episode_whose_video_plays(visit: Callable[[str], Browser]) -> None:
    page = visit("benchmarks/toy.html")
    grid = "section.board:nth-of-type(2) [data-grid]"
    page.scroll_to(grid)
    page.wait_for(f"{grid} canvas")
    page.focus(f"{grid} .grid-box")
    row = next(i for i, text in enumerate(page.texts("section.board:nth-of-type(2) tbody tr")) if "loud" in text)
    for _ in range(row):
        page.press_key("ArrowDown")
    said = page.text(f"{grid} .grid-cell")
    assert said.startswith("toy-000, walker")
    assert "mode=<b>loud</b> & proud" in said
    page.press_key("ArrowRight")
    assert page.text(f"{grid} .grid-cell").startswith("toy-002"), "by group: the next even one"
    page.press_key("Home")
    page.press_key("Enter")
    page.wait_for("#detail video")
    assert page.texts("#episode-title") == ["toy-000"]
    assert page.texts(".instruction") == ["“go 0”"]
    assert page.play("#detail video") > 0
    assert "get closer <img src=x" in page.text("#detail .trace")
    assert page.count("#detail .trace") == 2, "sub-goals, and the rest"
    page.click(".trace-bar button[data-kind=plan]")
    assert set(page.texts("#detail .trace-bar + .scroll td:nth-child(3)")) == {"plan"}
    page.click("#next")
    page.wait_for_text("#episode-title", "toy-001")
    assert page.count("#detail video") == 0
    page.wait_for_text("#detail", "harness replay RUN toy-001")
    page.click("#runs button[aria-pressed=false]")
    page.wait_for_text("#episode-title", "toy-001")


def test_the_theme_follows_the_system_and_the_button(visit: Callable[[str], Browser]) -> None:
    page = visit("index.html")
    page.prefer("light")
    light = page.background()
    page.prefer("dark")
    dark = page.background()
    assert sum(light) > 600 > 120 > sum(dark)
    page.click("#theme")
    assert page.background() == light
    page.open_again()
    assert page.background() == light, "the choice lasts"
    page.click("#theme")
    assert page.background() == dark


def test_keys_reach_everything_and_show_where_they_are(visit: Callable[[str], Browser]) -> None:
    page = visit("benchmarks/toy.html")
    page.press_key("Tab")
    assert page.focused_text() == "Skip to content"
    seen = []
    while not page.focus_left():
        assert page.focus_is_visible(), page.focused_text()
        seen.append(page.focused_text())
        page.press_key("Tab")
        assert len(seen) < 200, "the focus is trapped"
    assert {"Toys & tests", "Methods", "Theme", "Rank", "Browse the episodes one by one"} <= set(seen)
    assert sum(text.startswith("Provenance of") for text in seen) == 5


@pytest.mark.parametrize(
    "url", ["index.html", "benchmarks/toy.html", "methods.html", "audit.html", "agents/walker.html"]
)
def test_a_phone_shows_it_without_sideways_scrolling(visit: Callable[[str], Browser], url: str) -> None:
    page = visit(url)
    with page.screen(360, 740):
        assert page.overflow() == 0
        assert page.smallest_text() >= 11


def test_every_page_loads_without_a_complaint(visit: Callable[[str], Browser], site: Path) -> None:
    for path in sorted(site.rglob("*.html")):
        page = visit(path.relative_to(site).as_posix())
        assert page.text("h1")


def test_it_works_from_another_place(visit: Callable[[str], Browser], site: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(site, tmp_path / "a place with spaces & signs #1")
    page = visit("index.html")
    page.open(moved, "benchmarks/toy.html")
    page.scroll_to("[data-grid]")
    page.wait_for("[data-grid] canvas")
