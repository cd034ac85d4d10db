"""What the text of a source says about its tables, computed from the tables.

A claim has ``quote``, ``where``, ``table`` (an id) and ``is``, which names the check:

- ``values``: the cells of ``column`` by row are ``stated``;
- ``difference``: the cells of ``column`` in the two ``rows`` differ by ``stated``;
- ``best``: ``stated`` is the highest of ``column`` among the rows ``other_than`` those;
- ``below``: the cells of ``column`` in ``rows`` are below ``stated``;
- ``weighted means``: the means of the columns ``of``, under weights that the text leaves open, are ``stated`` by row,
  and the first minus the second is ``difference``;
- ``better``: in each column of ``of``, ``row`` is better than the rows ``than``, by more than the noise of as many
  episodes as the table states;
- ``effects``: the differences in ``column`` are more than the noise of two runs of ``episodes`` chains (a number that
  is ``episodes_from`` somewhere else), whose spread is that of the survival ``of`` a row (``spread``);
- ``proportional``: differences in points, ``stated`` by row, go with those of ``column`` as ``full`` (its ``stated``
  percentage, ``row`` and ``column``) does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from math import sqrt
from typing import Any

from scipy.special import ndtri

from harness.instantiate import ConfigError
from results.audit.findings import Finding
from results.audit.tables import combined, shown, verdict_on
from results.published import PublishedSource, PublishedTable
from results.published.quantity import Quantity, Range, parse

Tables = Mapping[str, PublishedTable]


def audit_claims(source: PublishedSource) -> Iterator[Finding]:
    """Check every claim of a source.

    Raises:
        ConfigError: if a claim names no kind, table, column or row that exists.
    """
    tables = {table.id: table for table in source.tables}
    for claim in source.claims:
        arguments = {key: value for key, value in claim.items() if key not in ("is", "quote", "where", "table")}
        check = CLAIMS.get(str(claim.get("is")))
        if check is None:
            raise ConfigError(f"{source.name}: a claim's `is` must be one of {', '.join(CLAIMS)}")
        try:
            own = {"tables": tables} if "spread" in arguments else {}
            found = list(check(tables[claim["table"]], **arguments, **own))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{source.name}: the claim {str(claim.get('quote'))[:60]!r}: {error}") from error
        for level, text in found:
            where = f"{source.name}, {claim.get('where', '')}".rstrip(", ")
            yield Finding(level, str(claim["is"]), where, text, str(claim.get("quote", "")))


Found = Iterator[tuple[Any, str]]


def _number(text: object) -> Quantity:
    quantity = parse(str(text))
    if quantity is None:
        raise ValueError(f"{text!r} is no number")
    return quantity


def _cell(table: PublishedTable, row: str, column: object) -> Quantity:
    quantity = table.quantity(row, str(column))
    if quantity is None:
        raise ValueError(f"row {row} prints no number in column {column}")
    return quantity


def _values(table: PublishedTable, column: object, stated: Mapping[str, str]) -> Found:
    for row, text in stated.items():
        cell = _cell(table, row, column)
        if cell.value != _number(text).value:
            yield "inconsistent", f"{row}: the text says {text}, the table {cell.text}"


def _difference(table: PublishedTable, column: object, rows: Sequence[str], stated: str) -> Found:
    one, other = (_cell(table, row, column) for row in rows)
    number, room = one.value - other.value, one.before_rounding - other.before_rounding
    found = verdict_on(_number(stated), number, room)
    if found is not None:
        level, how = found
        yield level, f"{rows[0]} minus {rows[1]} is {shown(number)}, not {stated}{how}"


def _best(table: PublishedTable, column: object, other_than: Sequence[str], stated: str) -> Found:
    others = [(row, _cell(table, row, column)) for row, _ in table.rows if row not in other_than]
    claimed = _number(stated).value
    higher = sorted((item for item in others if item[1].value > claimed), key=lambda item: item[1].value)
    if higher:
        listed = ", ".join(f"{row} {cell.text}" for row, cell in higher)
        same = ", ".join(row for row, cell in others if cell.value == claimed)
        whose = f" ({stated} is {same}, rank {len(higher) + 1} of {len(others)})" if same else ""
        yield "inconsistent", f"the best is said to be {stated}{whose}; its own table has {listed}"
    elif all(cell.value != claimed for _, cell in others):
        yield "inconsistent", f"no row has {stated}"


def _below(table: PublishedTable, column: object, rows: Sequence[str], stated: str) -> Found:
    for row in rows:
        cell = _cell(table, row, column)
        if cell.value >= _number(stated).value:
            yield "inconsistent", f"{row} is {cell.text}, not below {stated}"


# ----------------------------------------------------------------------------- means under unknown weights


def weightings(count: int) -> dict[str, list[Decimal]]:
    """Ways in which averages over columns are commonly weighted; each sums to 1."""
    falling = list(range(count, 0, -1))
    raw = {
        "equal weights": [1] * count,
        f"weights {', '.join(map(str, falling))}": falling,
        f"weights {', '.join(map(str, falling[::-1]))}": falling[::-1],
        "the first column alone": [1] + [0] * (count - 1),
        "the last column alone": [0] * (count - 1) + [1],
    }
    return {name: [Decimal(weight) / sum(weights) for weight in weights] for name, weights in raw.items()}


def _weighted_means(
    table: PublishedTable, of: Sequence[Any], stated: Mapping[str, str], difference: str | None = None
) -> Found:
    """Find the weights that explain each number; one set of weights has to explain them all."""
    claimed = {row: _number(text) for row, text in stated.items()}
    means: dict[str, dict[str, tuple[Decimal, Range]]] = {}
    explains: dict[str, set[str]] = {row: set() for row in stated}
    for name, weights in weightings(len(of)).items():
        for row, quantity in claimed.items():
            number, room = combined([_cell(table, row, column) for column in of], weights)
            means.setdefault(name, {})[row] = number, room
            if room.meets(quantity.before_rounding):
                explains[row].add(name)
    common = set.intersection(*explains.values())
    if not common:
        yield from _unexplained(stated, explains, means)
    if difference is not None:
        yield from _unexplained_difference(list(stated), difference, explains, common, means)


def _unexplained(
    stated: Mapping[str, str],
    explains: Mapping[str, set[str]],
    means: Mapping[str, Mapping[str, tuple[Decimal, Range]]],
) -> Found:
    for row, names in explains.items():
        if names:
            continue
        used = sorted(name for other, own in explains.items() if other != row for name in own)
        tried = ", ".join(f"{shown(means[name][row][0])} with {name}" for name in (used or means))
        given = ", ".join(stated[other] for other in explains if explains[other])
        whose = f"the weights that give {given} elsewhere give" if used else "none of the usual weights gives it:"
        yield "inconsistent", f"{row} is said to be {stated[row]}; {whose} {tried}"
    if all(explains.values()):
        yield "inconsistent", f"no weights give all of {', '.join(stated.values())}"


def _unexplained_difference(
    rows: Sequence[str],
    stated: str,
    explains: Mapping[str, set[str]],
    common: set[str],
    means: Mapping[str, Mapping[str, tuple[Decimal, Range]]],
) -> Found:
    claimed = _number(stated)
    gaps = {name: own[rows[0]][0] - own[rows[1]][0] for name, own in means.items()}
    rooms = {name: own[rows[0]][1] - own[rows[1]][1] for name, own in means.items()}
    used = sorted(common or set().union(*explains.values()))
    if not used or any(rooms[name].meets(claimed.before_rounding) for name in used):
        return
    elsewhere = [name for name, gap in gaps.items() if claimed.rounds_from(gap)]
    origin = f"; {stated} is the difference with {elsewhere[0]}" if elsewhere else ""
    found = ", ".join(f"{shown(gaps[name])} with {name}" for name in used)
    yield "inconsistent", f"{rows[0]} minus {rows[1]} is said to be {stated}; it is {found}{origin}"


# --------------------------------------------------------------------------------- claims and their noise


def _better(table: PublishedTable, row: str, than: Sequence[str], of: Sequence[Any]) -> Found:
    count = int(table.episodes["total"]) // len(table.episodes["over"])
    for column in of:
        one = _cell(table, row, column)
        for rival in than:
            other = _cell(table, rival, column)
            low, high = newcombe(float(one.value) / 100, float(other.value) / 100, count)
            if low <= 0 <= high:
                yield (
                    "note",
                    f"{column}: {one.text} against {other.text} ({rival}) is within noise at {count} episodes each: "
                    f"the difference is {100 * low:.1f} to {100 * high:.1f} points (95 %)",
                )


def newcombe(one: float, other: float, count: int) -> tuple[float, float]:
    """95 % interval of the difference of two independent rates of ``count`` trials each (Newcombe 1998, method 10;
    statsmodels' implementation). Printed rates need not be possible for ``count``.
    """
    from statsmodels.stats.proportion import confint_proportions_2indep  # takes a second to import

    low, high = confint_proportions_2indep(one * count, count, other * count, count, method="newcomb")
    return float(low), float(high)


def _effects(
    table: PublishedTable,
    *,
    column: object,
    spread: Mapping[str, Any],
    episodes: int,
    episodes_from: str,
    tables: Tables,
) -> Found:
    survival = [float(_cell(tables[spread["table"]], spread["row"], name).value) / 100 for name in spread["of"]]
    half = float(ndtri(0.975)) * sqrt(2 * length_variance(survival) / episodes)
    found = [(row, table.quantity(row, str(column))) for row, _ in table.rows]
    small = [f"{row} {cell.text}" for row, cell in found if cell is not None and abs(float(cell.value)) < half]
    if small:
        yield (
            "note",
            f"two runs of {episodes} chains ({episodes_from}; none is stated) of equal agents differ by up to "
            f"{half:.2f} (95 %, unpaired, standard deviation {sqrt(length_variance(survival)):.2f} from the printed "
            f"survival); within that: {', '.join(small)}",
        )


def length_variance(survival: Sequence[float]) -> float:
    """Variance of the length of chains, of which a share ``survival[k]`` is longer than ``k``."""
    ends = [one - other for one, other in pairwise([1.0, *survival, 0.0])]
    mean = sum(length * share for length, share in enumerate(ends))
    return sum((length - mean) ** 2 * share for length, share in enumerate(ends))


def _proportional(table: PublishedTable, column: object, full: Mapping[str, str], stated: Mapping[str, str]) -> Found:
    whole = _cell(table, full["row"], full["column"])
    points_per_unit = _number(full["stated"]).value / whole.value
    for row, text in stated.items():
        claimed = _number(text)
        implied = _cell(table, row, column).before_rounding
        low, high = implied.low * points_per_unit, implied.high * points_per_unit
        room = claimed.before_rounding
        if room.high < low or room.low > high:
            yield (
                "note",
                f"{row}: {text} in the text; in proportion to the table ({full['stated']} for {whole.text}) "
                f"it would be {_cell(table, row, column).value * points_per_unit:.1f} points",
            )


CLAIMS: Mapping[str, Callable[..., Found]] = {
    "values": _values,
    "difference": _difference,
    "best": _best,
    "below": _below,
    "weighted means": _weighted_means,
    "better": _better,
    "effects": _effects,
    "proportional": _proportional,
}
