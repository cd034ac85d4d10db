"""Numbers that others have published, as data: each table with its source and whether anybody verified it.

They stand below measured tables, never in them, and nothing that was measured is computed with them; the audit
(`results.audit`) computes with them what they claim of themselves.

**Adding rows of the literature.** Write a YAML file like those beside this module, and name it, or a folder of such
files, in the environment variable ``HARNESS_PUBLISHED``; reports, leaderboards and ``harness audit --published`` then
show it beside the project's own. One file is one source::

    source: My survey (2026)
    status: reported by its authors, not independently verified
    tables:
      - id: calvin                        # unique in the file
        benchmark: calvin                 # below whose tables it is shown
        title: CALVIN ABC->D
        where: table 2                    # in the source
        protocol_as_stated: 1000 chains
        columns: [1, 2, 3, 4, 5, average length]
        rows:
          My method: ["90.1%", "80.2%", "70.0%", "60.5%", "50.9%", "3.52"]     # to the letter, as texts

and, for the audit, optionally: ``setting`` (tables of equal settings must agree about a system) and ``systems`` (which
system a row is about); ``episodes`` (``{total: 200, over: [columns]}`` or ``{each: 50, of: [columns]}``); ``percent``
(columns whose texts lack the sign); ``relations`` between columns, see `results.audit.tables`. A file may further have
``claims`` of its text, see `results.audit.claims`, and ``works``: on what a cited work was evaluated at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from harness.instantiate import ConfigError
from results.published.quantity import Quantity, parse

VARIABLE = "HARNESS_PUBLISHED"
"""Environment variable with further files or folders, separated as in PATH."""

_REQUIRED = ("id", "benchmark", "title", "where", "protocol_as_stated", "columns", "rows")
_OPTIONAL = ("setting", "systems", "episodes", "percent", "relations")


@dataclass(frozen=True)
class PublishedTable:
    """A table as it was printed.

    Attributes:
        benchmark: The benchmark below whose tables it is shown.
        title: What it shows.
        source: Where it was printed.
        status: Whether anybody verified it.
        protocol_as_stated: What the source says of how the numbers were made.
        columns: Column names.
        rows: Row names and cells, to the letter.
        values: The cells of each row as numbers (rates in [0, 1]), ``None`` where a cell prints none.
        id: Names it within its source.
        setting: Tables of equal settings must agree about a system; empty if that is not known.
        systems: The system that a row is about, by row.
        episodes: How many episodes are behind the cells, as stated.
        percent: Columns that are percentages without saying so.
        relations: What columns must have to do with each other.
    """

    benchmark: str
    title: str
    source: str
    status: str
    protocol_as_stated: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    values: tuple[tuple[float | None, ...], ...]
    id: str = ""
    setting: str = ""
    systems: Mapping[str, str] = field(default_factory=dict)
    episodes: Mapping[str, Any] = field(default_factory=dict)
    percent: tuple[str, ...] = ()
    relations: tuple[Mapping[str, Any], ...] = ()

    def quantity(self, row: str, column: str) -> Quantity | None:
        """What a cell prints; ``KeyError`` if there is no such cell."""
        cells = dict(self.rows)[row]
        if column not in self.columns:
            raise KeyError(column)
        return parse(cells[self.columns.index(column)], column in self.percent)


@dataclass(frozen=True)
class PublishedSource:
    """One file.

    Attributes:
        name: The source.
        tables: Its tables.
        claims: What its text says about them (see `results.audit.claims`).
        works: On what cited works were evaluated: ``system``, ``source``, ``evaluated_on``.
    """

    name: str
    tables: tuple[PublishedTable, ...]
    claims: tuple[Mapping[str, Any], ...] = ()
    works: tuple[Mapping[str, Any], ...] = ()


def published_tables(benchmarks: Iterable[str]) -> tuple[PublishedTable, ...]:
    """The tables of some benchmarks, in their order: those of the project, then the user's own.

    Raises:
        ConfigError: if a file does not have the form above.
    """
    tables = [table for source in published_sources() for table in source.tables]
    return tuple(table for name in dict.fromkeys(benchmarks) for table in tables if table.benchmark == name)


def published_sources() -> tuple[PublishedSource, ...]:
    """Every source: those of the project, then the files and folders that the environment names.

    Raises:
        ConfigError: if a file does not have the form above.
    """
    own = sorted(_yaml_files(files("results.published")), key=_order)
    named = [Path(entry) for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry]
    return tuple(load_source(path) for path in [*own, *(file for path in named for file in _files(path))])


def load_source(path: Path | Traversable) -> PublishedSource:
    """One file.

    Raises:
        ConfigError: if it does not have the form above.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeysLoader)
        return _source(data)
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"{error.args[0]!s} is missing" if isinstance(error, KeyError) else str(error).replace("\n", " ")
        raise ConfigError(
            f"{path} is no table file: {reason}; results/published/__init__.py says how it looks"
        ) from error


class _UniqueKeysLoader(yaml.SafeLoader):
    """Refuses a key that is given twice, such as two rows of one name: the first would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """See ``yaml.SafeLoader``."""
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise ValueError(f"a key is given twice, at {node.start_mark}")
        return mapping


def _order(path: Traversable) -> tuple[bool, str]:
    return path.name.startswith("literature"), path.name


def _yaml_files(folder: Traversable | Path) -> list[Traversable | Path]:
    return [entry for entry in folder.iterdir() if entry.name.endswith(".yaml")]


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise ConfigError(f"{path}: no such file or folder of published tables")
    return sorted(path.glob("*.yaml")) if path.is_dir() else [path]


def _source(data: Mapping[str, Any]) -> PublishedSource:
    unknown = sorted(set(data) - {"source", "status", "tables", "claims", "works"})
    if unknown:
        raise ValueError(f"unknown key {unknown[0]}")
    tables = tuple(_table(table, str(data["source"]), str(data["status"])) for table in data["tables"])
    if len({table.id for table in tables}) < len(tables):
        raise ValueError("two tables have the same id")
    return PublishedSource(str(data["source"]), tables, tuple(data.get("claims") or ()), tuple(data.get("works") or ()))


def _table(data: Mapping[str, Any], source: str, status: str) -> PublishedTable:
    unknown = sorted(set(data) - {*_REQUIRED, *_OPTIONAL})
    if unknown:
        raise ValueError(f"table {data.get('id')}: unknown key {unknown[0]}")
    columns = tuple(str(column) for column in data["columns"])
    percent = tuple(str(column) for column in data.get("percent") or ())
    rows = tuple((str(name), tuple(str(cell) for cell in cells)) for name, cells in data["rows"].items())
    wrong = next((name for name, cells in rows if len(cells) != len(columns)), None)
    if wrong is not None:
        raise ValueError(f"table {data['id']}: row {wrong} has another length than the head")
    strange = sorted(set(data.get("systems") or {}) - {name for name, _ in rows})
    if strange:
        raise ValueError(f"table {data['id']}: systems names {strange[0]}, which is no row")
    episodes = dict(data.get("episodes") or {})
    problem = _problem_with(episodes, columns) if episodes else None
    if problem is not None:
        raise ValueError(
            f"table {data['id']}: episodes: {problem}; give {{total: NUMBER, over: [COLUMN, ...]}} or "
            "{each: NUMBER, of: [COLUMN, ...]}"
        )
    quantities = [
        [parse(text, name in percent) for name, text in zip(columns, cells, strict=True)] for _, cells in rows
    ]
    return PublishedTable(
        benchmark=str(data["benchmark"]),
        title=str(data["title"]),
        source=f"{source}, {data['where']}",
        status=status,
        protocol_as_stated=str(data["protocol_as_stated"]),
        columns=columns,
        rows=rows,
        values=tuple(tuple(q.as_number() if q else None for q in row) for row in quantities),
        id=str(data["id"]),
        setting=str(data.get("setting") or ""),
        systems={str(row): str(system) for row, system in (data.get("systems") or {}).items()},
        episodes=episodes,
        percent=percent,
        relations=tuple(dict(relation) for relation in data.get("relations") or ()),
    )


def _problem_with(episodes: Mapping[str, Any], columns: Sequence[str]) -> str | None:
    """Why this does not say how many episodes are behind which columns; ``None`` if it does."""
    form = next((form for form in (("total", "over"), ("each", "of")) if set(episodes) == set(form)), None)
    if form is None:
        return f"its keys are {', '.join(map(str, episodes))}"
    count, named = (episodes[key] for key in form)
    if not isinstance(count, int) or count < 1:
        return f"{form[0]} is {count!r}"
    if not isinstance(named, list) or not named:
        return f"{form[1]} is {named!r}"
    unknown = next((column for column in named if str(column) not in columns), None)
    return None if unknown is None else f"{unknown} is no column"
