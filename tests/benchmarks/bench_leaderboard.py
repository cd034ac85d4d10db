"""How fast the leaderboard's pages are in a browser, with 100 runs of 1000 episodes.

``python -m tests.benchmarks leaderboard``. One run is real; the others are it again with outcomes drawn at random.
Times are medians of several loads from files, each with an empty cache, in milliseconds.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from harness.interfaces import RateCell
from harness.store import RunReader
from results.cells import work_out
from results.leaderboard.build import assemble, write_pages, write_run
from results.leaderboard.episodes import chunks
from results.leaderboard.runs import SiteRun, site_run
from tests.harness.toy_runs import run_toy
from tests.results.leaderboard.browser import Browser, find_browser, start

RUNS = 100
EPISODES = 1000
LOADS = 5


def varied(run: SiteRun, number: int) -> SiteRun:
    """The run again, by another agent whose outcomes are drawn at random."""
    rng = np.random.default_rng(number)
    share = 0.2 + 0.7 * number / RUNS
    success = rng.random(EPISODES) < share
    progress = rng.integers(0, 10, EPISODES)
    summary = replace(run.summary, agent=f"agent-{number:03}", successes=int(success.sum()))
    return replace(
        run,
        id=f"{number:012x}",
        summary=summary,
        scores=success.astype(float),
        cells="".join("S" if done else str(tenth) for done, tenth in zip(success, progress, strict=True)),
        headline=work_out(RateCell(int(success.sum()), EPISODES)),
    )


def write_site(folder: Path) -> dict[str, float]:
    """Build it; returns the seconds of CPU time of its parts."""
    run_toy(folder / "run", f"protocol.episodes={EPISODES}")
    with RunReader(folder / "run") as reader:
        first = site_run(reader, "0" * 64, "entries/none.zip")
        parts = list(chunks(reader, {}))
    site_folder = folder / "site"
    (site_folder / "entries").mkdir(parents=True)
    runs = [varied(first, number) for number in range(RUNS)]
    for run in runs:
        write_run(site_folder / "data" / "runs" / run.id, run, parts)
    begin = time.process_time()
    site = assemble("Leaderboard", runs)
    ranked = time.process_time()
    write_pages(site_folder, site, ())
    return {"rank 100 runs [CPU s]": ranked - begin, "write pages [CPU s]": time.process_time() - ranked}


@contextmanager
def fresh_browser() -> Iterator[Browser]:
    """One with an empty cache."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = start(Path(profile))
        try:
            yield browser
        finally:
            browser.quit()


def load(browser: Browser, site: Path, url: str) -> dict[str, float]:
    """Open a page; returns when it was painted, and when it was complete."""
    browser.open(site, url)
    times: dict[str, float] = browser.run_async(
        """
        const done = arguments[0];
        const look = () => {
          const [page] = performance.getEntriesByType("navigation");
          const paint = performance.getEntriesByName("first-contentful-paint")[0];
          if (!page.loadEventEnd || !paint) { setTimeout(look, 20); return; }
          done({ painted: paint.startTime, loaded: page.loadEventEnd });
        };
        look();
        """
    )
    return times


def timed(browser: Browser, action: str, until: str) -> float:
    """Milliseconds from a script to the frame in which a condition holds."""
    return float(
        browser.run_async(
            f"""
            const done = arguments[0], begin = performance.now();
            const look = () => requestAnimationFrame(() => {{
              if ({until}) done(performance.now() - begin); else look();
            }});
            {action};
            look();
            """
        )
    )


def one_visit(site: Path, board: str) -> dict[str, float]:
    """Load, scroll to the grid, sort, filter, open an episode."""
    with fresh_browser() as browser:
        load(browser, site, "methods.html")  # so that the browser itself is warm
        page = load(browser, site, "benchmarks/toy.html")
        episode = load(browser, site, f"episodes/{board}.html")
        browser.wait_for("#detail .stages")
        load(browser, site, "benchmarks/toy.html")
        head = "document.querySelectorAll('.ranking thead button')[2]"
        find = "document.querySelector('input[name=text]')"
        return {
            "ranking page painted [ms]": page["painted"],
            "ranking page loaded [ms]": page["loaded"],
            "episode page loaded [ms]": episode["loaded"],
            "grid drawn after scrolling to it [ms]": timed(
                browser,
                "document.querySelector('[data-grid]').scrollIntoView()",
                "document.querySelector('[data-grid]').grid",
            ),
            "sort [ms]": timed(browser, f"{head}.click()", "document.querySelector('th.headline[aria-sort]')"),
            "filter [ms]": timed(
                browser,
                f"{find}.value = 'agent-05'; {find}.dispatchEvent(new Event('input', {{bubbles: true}}))",
                "document.querySelectorAll('.ranking tbody tr:not([hidden])').length === 10",
            ),
        }


def main() -> dict[str, Any]:
    """Print and return the figures."""
    if find_browser() is None:
        raise SystemExit("no chromium (or chrome) with chromedriver on this machine")
    folder = Path(tempfile.mkdtemp())
    try:
        numbers = write_site(folder)
        (grid,) = (folder / "site" / "data" / "boards").iterdir()
        visits = [one_visit(folder / "site", grid.name) for _ in range(LOADS)]
        sizes = {
            "ranking page [kB]": (folder / "site" / "benchmarks" / "toy.html").stat().st_size / 1000,
            "grid data [kB]": (grid / "grid.js").stat().st_size / 1000,
            "grid cells": RUNS * EPISODES,
        }
    finally:
        shutil.rmtree(folder)
    figures = numbers | {name: median(visit[name] for visit in visits) for name in visits[0]} | sizes
    for name, value in figures.items():
        print(f"{name:42} {value:,.5g}")
    return figures


if __name__ == "__main__":
    main()
