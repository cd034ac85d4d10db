"""From entries to a folder of pages.

The folder is its own source: ``entries/`` holds what was handed in and ``videos/`` what came with it; all the rest is
written anew by every build. Pages are HTML with relative links, and data files are scripts, so the site works from a
file system as well as from any server. The names of all files are made here, none comes from an entry.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

import harness
from harness.identity import content_hash
from harness.store import RunReader, StoreError
from results.audit.findings import Finding
from results.audit.published import audit_published
from results.audit.runs import audit_run
from results.entry.reader import checked_members, digest, load_members
from results.leaderboard.auditing import audit_levels
from results.leaderboard.boards import Board, Row, build_boards
from results.leaderboard.episodes import CHUNK, chunks
from results.leaderboard.runs import SiteRun, site_run
from results.leaderboard.texts import cell_view
from results.published import PublishedTable, published_tables

MARKER = "leaderboard.json"
UNFINISHED = ".unfinished"
"""Is there from before an entry comes in until all pages show it, so that what was killed between can be repeated."""
CSP = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "media-src 'self'"),
        *("base-uri 'none'", "form-action 'none'"),
    )
)
TITLES = {"calvin": "CALVIN", "language_table": "Language-Table", "thinkbench": "ThinkBench"}


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's page."""

    name: str
    title: str
    slug: str
    boards: tuple[Board, ...]
    published: tuple[PublishedTable, ...]

    @property
    def url(self) -> str:
        """Relative to the site."""
        return f"benchmarks/{self.slug}.html"

    @property
    def run_count(self) -> int:
        """Runs in all its rankings."""
        return sum(len(board.rows) for board in self.boards)


@dataclass(frozen=True)
class Site:
    """What all pages know of each other."""

    title: str
    version: str
    runs: tuple[SiteRun, ...]
    benchmarks: tuple[Benchmark, ...]

    @property
    def agents(self) -> list[str]:
        """Names, each once."""
        return sorted({run.summary.agent for run in self.runs})

    @property
    def episodes(self) -> int:
        """Episodes of all runs."""
        return sum(run.summary.planned for run in self.runs)


def slug(name: str) -> str:
    """A file name that says something of ``name``, whatever that is; equal for equal names only."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return plain if plain and plain == name else f"{plain or 'x'}-{content_hash(name)[:6]}"


def is_site(folder: Path) -> bool:
    """Whether a leaderboard was built there."""
    return (folder / MARKER).is_file()


def site_title(folder: Path) -> str:
    """The name that the leaderboard there was given."""
    return str(json.loads((folder / MARKER).read_text())["title"])


def build_site(folder: Path, title: str, config_dir: Path | None = None) -> Site:
    """Write every page and data file of the entries in ``folder/entries``.

    Pages are written beside the old ones and take their place when all are done.

    Raises:
        StoreError: if there is no entry, or one that cannot be read.
    """
    paths = sorted((folder / "entries").glob("*.zip"))
    if not paths:
        raise StoreError(f"{folder} has no entries to build a leaderboard from")
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as draft_name:
        draft = Path(draft_name)
        runs, findings = [], []
        for path in paths:
            members = checked_members(path)
            with load_members(path, members, config_dir) as reader:
                run = site_run(reader, digest(members), f"entries/{path.name}", config_dir)
                write_run(draft / "data" / "runs" / run.id, run, chunks(reader, _videos(folder, run.id)))
                findings += [_named(finding, reader, run) for finding in audit_run(reader)]
            runs.append(run)
        site = assemble(title, runs)
        write_pages(draft, site, findings)
        for item in sorted(draft.iterdir()):
            target = folder / item.name
            if target.is_dir():
                shutil.rmtree(target)
            item.replace(target)
    (folder / MARKER).write_text(json.dumps({"title": title, "harness": harness.__version__}) + "\n")
    (folder / UNFINISHED).unlink(missing_ok=True)
    return site


def _named(finding: Finding, reader: RunReader, run: SiteRun) -> Finding:
    """With the run's name in the place of its file's."""
    name = f"{run.summary.agent} on {run.summary.protocol}, entry {run.id}"
    return replace(finding, source=finding.source.replace(str(reader.run_dir), name))


def _videos(folder: Path, run_id: str) -> dict[str, str]:
    """Videos by episode key."""
    return {path.stem: path.relative_to(folder).as_posix() for path in (folder / "videos" / run_id).glob("*.mp4")}


def assemble(title: str, runs: Sequence[SiteRun]) -> Site:
    """Rank the runs and put the rankings below their benchmarks."""
    boards = build_boards(runs)
    names = sorted({board.benchmark for board in boards}, key=lambda name: (name not in TITLES, name))
    benchmarks = [
        Benchmark(
            name,
            TITLES.get(name, name),
            slug(name),
            tuple(board for board in boards if board.benchmark == name),
            published_tables([name]),
        )
        for name in names
    ]
    return Site(title, harness.__version__, tuple(runs), tuple(benchmarks))


def write_run(folder: Path, run: SiteRun, parts: Iterable[list[dict[str, Any]]]) -> None:
    """The data files of a run: its facts, and its episodes part by part."""
    label = f"{run.summary.agent}{run.summary.marks} on {run.summary.protocol}, seed {run.summary.seed}"
    facts = {"label": label, "entry": run.entry, "provenance": run.provenance}
    _write_data(folder / "run.js", f"runs/{run.id}/run", facts)
    for number, part in enumerate(parts):
        _write_data(folder / f"episodes-{number}.js", f"runs/{run.id}/episodes-{number}", part)


def _write_data(path: Path, name: str, data: Any) -> None:
    """A script that hands ``data`` to the page. It stays a script whatever the texts are."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'leaderboard.deliver("{name}",{text});\n')


def write_pages(folder: Path, site: Site, findings: Sequence[Finding]) -> None:
    """Everything but the data of runs; ``findings`` are those of the site's own runs."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("results.leaderboard"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"slug": slug, "site": site, "csp": CSP, "cell_view": cell_view}

    def page(url: str, template: str, **values: Any) -> None:
        path = folder / url
        path.parent.mkdir(parents=True, exist_ok=True)
        root = "../" * url.count("/")
        path.write_text(environment.get_template(template).render(here=url, root=root, **values))

    page("index.html", "index.html")
    page("methods.html", "methods.html")
    page("audit.html", "audit.html", measured=audit_levels(findings), published=audit_levels(audit_published()))
    for benchmark in site.benchmarks:
        page(benchmark.url, "benchmark.html", benchmark=benchmark)
        for board in benchmark.boards:
            page(f"episodes/{board.id}.html", "episode.html", benchmark=benchmark, board=board)
            _write_data(folder / "data" / "boards" / board.id / "grid.js", f"boards/{board.id}/grid", _grid(board))
    for agent in site.agents:
        rows = [
            (benchmark, board, row)
            for benchmark in site.benchmarks
            for board in benchmark.boards
            for row in board.rows
            if row.run.summary.agent == agent
        ]
        page(f"agents/{slug(agent)}.html", "agent.html", agent=agent, rows=rows)
    shutil.copytree(Path(str(files("results.leaderboard") / "assets")), folder / "assets")


def _grid(board: Board) -> dict[str, Any]:
    def one(row: Row) -> dict[str, str]:
        return {"id": row.run.id, "label": row.label, "cells": row.run.cells}

    episodes = board.rows[0].run.episodes
    return {
        "chunk": CHUNK,
        "episodes": episodes.names,
        "groups": episodes.groups,
        "runs": [one(row) for row in board.rows],
    }
