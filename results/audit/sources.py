"""Whether sources agree about the systems that they name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from results.audit.findings import Finding
from results.published import PublishedSource, PublishedTable
from results.published.quantity import Quantity, Range


def audit_sources(sources: Sequence[PublishedSource]) -> Iterator[Finding]:
    """Rows about one system in one setting must agree, and works must have results in the settings they stand in.

    A source is compared with all others, and a row of a system that has no entry elsewhere with what the works say.
    """
    works = [(source, work) for source in sources for work in source.works]
    for source in sources:
        others = [table for other in sources if other is not source for table in other.tables]
        for table in source.tables:
            for row, system in table.systems.items():
                yield from _against_literature(source, table, row, system, others)
                yield from _against_works(source, table, row, system, works)


def _against_literature(
    source: PublishedSource, table: PublishedTable, row: str, system: str, others: Sequence[PublishedTable]
) -> Iterator[Finding]:
    """One finding per pair of rows, from the side of the source that has claims to defend: the one with other text."""
    if not source.claims:
        return
    for other in others:
        for theirs, name in other.systems.items():
            if name != system or other.setting != table.setting or not table.setting:
                continue
            differing = [
                f"{column} {one.text} here, {two.text} there"
                for column, one, two in _pairs(table, row, other, theirs)
                if not _room(one).meets(_room(two))
            ]
            if differing:
                text = f"{row}: {'; '.join(differing)} ({other.source})"
                yield Finding("conflict", "literature", table.source, text + _elsewhere(table, row, system, others))


def _elsewhere(table: PublishedTable, row: str, system: str, others: Sequence[PublishedTable]) -> str:
    """Where else a differing number stands: the same system and column in another setting."""
    found = [
        f"{one.text} is its {column} in {other.setting}"
        for other in others
        for theirs, name in other.systems.items()
        if name == system and other.setting and other.setting != table.setting
        for column, one, two in _pairs(table, row, other, theirs)
        if one.value == two.value
    ]
    return f"; {', '.join(found)}" if found else ""


def _pairs(
    table: PublishedTable, row: str, other: PublishedTable, theirs: str
) -> Iterator[tuple[str, Quantity, Quantity]]:
    for column in table.columns:
        if column in other.columns:
            one, two = table.quantity(row, column), other.quantity(theirs, column)
            if one is not None and two is not None:
                yield column, one, two


def _room(quantity: Quantity) -> Range:
    """What the number may have been, with what is printed after ±."""
    spread = quantity.spread or 0
    room = quantity.before_rounding
    return Range(room.low - spread, room.high + spread)


def _against_works(
    source: PublishedSource,
    table: PublishedTable,
    row: str,
    system: str,
    works: Sequence[tuple[PublishedSource, Mapping[str, Any]]],
) -> Iterator[Finding]:
    for other, work in works:
        if other is source or work["system"] != system or not table.setting:
            continue
        if table.setting not in work["evaluated_on"]:
            text = (
                f"{row}: {work['source']} has no result of {system} on {table.setting} (it reports "
                f"{', '.join(work['evaluated_on'])}), so the numbers are of another origin"
            )
            yield Finding("conflict", "origin", table.source, text)
