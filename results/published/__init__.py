"""Numbers that others have published, as data: each table with its source and whether anybody verified it.

They stand below measured tables, never in them, and nothing is computed with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

import yaml


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
    """

    benchmark: str
    title: str
    source: str
    status: str
    protocol_as_stated: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def published_tables(benchmarks: Iterable[str]) -> tuple[PublishedTable, ...]:
    """The tables of some benchmarks, in their order.

    Raises:
        ValueError: if a table has a row of another length than its head.
    """
    folder = files("results.published")
    found = {entry.name.removesuffix(".yaml"): entry for entry in folder.iterdir() if entry.name.endswith(".yaml")}
    return tuple(_load(found[name].read_text()) for name in dict.fromkeys(benchmarks) if name in found)


def _load(text: str) -> PublishedTable:
    data = yaml.safe_load(text)
    columns = tuple(str(column) for column in data.pop("columns"))
    rows = tuple((str(name), tuple(str(cell) for cell in cells)) for name, cells in data.pop("rows").items())
    wrong = next((name for name, cells in rows if len(cells) != len(columns)), None)
    if wrong is not None:
        raise ValueError(f"{data['source']}: row {wrong} has another length than the head")
    return PublishedTable(**data, columns=columns, rows=rows)
