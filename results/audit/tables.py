"""What the cells of one table have to do with each other.

A table states its ``relations`` (see `results.published`), each with ``is`` and:

- ``sum``: ``column`` is the sum of the columns ``of`` (percentages count as shares: five of them give a length);
- ``mean``: ``column`` is the mean of ``of``, weighted by ``weights`` if these are given;
- ``falling``: from one column of ``of`` to the next no value rises;
- ``difference``: ``column`` is the value in the one column of ``of`` minus that of the row ``to``.

The arithmetic is exact (decimals), and every printed number stands for all that rounds to it: a cell is inconsistent
only if no numbers that print like this would do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from harness.instantiate import ConfigError
from results.audit.findings import Finding, Level
from results.audit.grim import is_possible, smallest_count
from results.published import PublishedTable
from results.published.quantity import Quantity, Range


def audit_table(table: PublishedTable) -> Iterator[Finding]:
    """Check the relations of a table and the percentages that it prints.

    Raises:
        ConfigError: if a relation names no kind, column or row that exists.
    """
    for relation in table.relations:
        arguments = {key: value for key, value in relation.items() if key != "is"}
        check = RELATIONS.get(str(relation.get("is")))
        if check is None:
            raise ConfigError(f"{table.source}: relation {relation}: `is` must be one of {', '.join(RELATIONS)}")
        try:
            yield from check(table, **arguments)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise ConfigError(f"{table.source}: relation {dict(relation)}: {error}") from error
    yield from _possible_percentages(table)


def _sum(table: PublishedTable, column: str, of: Sequence[Any]) -> Iterator[Finding]:
    return _combined(table, column, of, [Decimal(1)] * len(of), "sum")


def _mean(
    table: PublishedTable, column: str, of: Sequence[Any], weights: Sequence[float] | None = None
) -> Iterator[Finding]:
    shares = [Decimal(str(weight)) for weight in (weights or [1] * len(of))]
    return _combined(table, column, of, [share / sum(shares) for share in shares], "mean")


def _combined(
    table: PublishedTable, column: str, of: Sequence[Any], factors: Sequence[Decimal], name: str
) -> Iterator[Finding]:
    for row, _ in table.rows:
        stated = table.quantity(row, str(column))
        parts = _quantities(table, row, of)
        if stated is None or parts is None:
            continue
        unit = Decimal("0.01") if parts[0].percent and not stated.percent else Decimal(1)
        number, room = combined(parts, [factor * unit for factor in factors])
        verdict = verdict_on(stated, number, room)
        if verdict is not None:
            text = f"{row}: {column} is printed as {stated.text}; the {name} of its columns is {shown(number)}"
            yield Finding(verdict[0], name, table.source, text + verdict[1])


def _falling(table: PublishedTable, of: Sequence[Any]) -> Iterator[Finding]:
    for row, _ in table.rows:
        parts = _quantities(table, row, of) or []
        for (before, one), (after, other) in zip(
            zip(of, parts, strict=False), list(zip(of, parts, strict=False))[1:], strict=False
        ):
            if other.value > one.value:
                text = f"{row}: {after} is {other.text}, more than {one.text} at {before}; it cannot rise"
                yield Finding("inconsistent", "falling", table.source, text)


def _difference(table: PublishedTable, column: str, of: Sequence[Any], to: str) -> Iterator[Finding]:
    (measured,) = (str(name) for name in of)
    reference = table.quantity(to, measured)
    for row, _ in table.rows:
        stated, value = table.quantity(row, str(column)), table.quantity(row, measured)
        if stated is None or value is None or reference is None:
            continue
        room = value.before_rounding - reference.before_rounding
        number = value.value - reference.value
        verdict = verdict_on(stated, number, room)
        if verdict is not None:
            text = f"{row}: {column} is printed as {stated.text}; the difference to {to} is {shown(number)}"
            yield Finding(verdict[0], "difference", table.source, text + verdict[1])


RELATIONS: Mapping[str, Callable[..., Iterator[Finding]]] = {
    "sum": _sum,
    "mean": _mean,
    "falling": _falling,
    "difference": _difference,
}


def combined(parts: Sequence[Quantity], factors: Sequence[Decimal]) -> tuple[Decimal, Range]:
    """The weighted sum of the printed values, and of everything that rounds to them."""
    number, room = Decimal(0), Range(Decimal(0), Decimal(0))
    for part, factor in zip(parts, factors, strict=True):
        number += part.value * factor
        room += part.before_rounding.times(factor)
    return number, room


def shown(number: Decimal) -> str:
    """A computed number with as many digits as it takes to see what it rounds to."""
    return f"{number.quantize(Decimal('0.0001')).normalize():f}"


def verdict_on(stated: Quantity, number: Decimal, room: Range) -> tuple[Level, str] | None:
    """Nothing if ``number`` is printed as stated; a note if it could have been, with how; else an inconsistency."""
    if stated.rounds_from(number):
        return None
    cut_off = stated.truncates_from(number)
    if room.meets(stated.before_rounding):
        return "note", f" (possible if its parts were {'cut off or ' if cut_off else ''}rounded before)"
    return ("note", " (cut off instead of rounded)") if cut_off else ("inconsistent", "")


def _quantities(table: PublishedTable, row: str, columns: Sequence[Any]) -> list[Quantity] | None:
    found = [table.quantity(row, str(column)) for column in columns]
    parts = [quantity for quantity in found if quantity is not None]
    return parts if len(parts) == len(found) else None


# ------------------------------------------------------------------------------------- possible percentages


def _possible_percentages(table: PublishedTable) -> Iterator[Finding]:
    """GRIM: percentages against the number of episodes that is stated, per cell and, where it is split, in all."""
    stated = table.episodes
    if not stated:
        return
    columns = [str(column) for column in stated.get("over") or stated.get("of") or ()]
    cells = [
        (f"{row} {column}", quantity)
        for row, _ in table.rows
        for column in columns
        if (quantity := table.quantity(row, column)) is not None and quantity.percent
    ]
    if "total" in stated:
        total = int(stated["total"])
        yield from _impossible(
            table, cells, total // len(columns), f"{total} episodes over {len(columns)} columns, so "
        )
        if any(not is_possible(quantity, total) for _, quantity in cells):
            yield from _impossible(table, cells, total, "even if each cell had all: ")
        smallest = smallest_count([quantity for _, quantity in cells])
        if smallest is None or smallest > total // len(columns):
            known = "no number up to 10000 of episodes" if smallest is None else f"{smallest} episodes"
            text = f"{known} per cell is the smallest number with which all {len(cells)} percentages are possible"
            yield Finding("note", "GRIM", table.source, text)
    else:
        yield from _impossible(table, cells, int(stated["each"]), "")


def _impossible(
    table: PublishedTable, cells: Sequence[tuple[str, Quantity]], count: int, why: str
) -> Iterator[Finding]:
    wrong = [f"{name} {quantity.text}" for name, quantity in cells if not is_possible(quantity, count)]
    if wrong:
        text = (
            f"{len(wrong)} of {len(cells)} percentages are impossible ({why}{count} episodes per cell, "
            f"steps of {100 / count:.3g} points): {', '.join(wrong)}"
        )
        yield Finding("inconsistent", "GRIM", table.source, text)
