"""What an entry is: the one description of the file that `harness export RUN -o entry.zip` writes.

An entry is a ZIP archive (stored or deflated, no ZIP64, no comment, nothing before it) of exactly these members:

``entry.json``
    ``{"format", "version", "harness", "run_key", "protocol_hash", "members": {name: {"sha256", "bytes"}}}``, where
    ``members`` lists all others. The SHA-256 of this one file therefore names the whole entry (its *digest*).
``run.json``
    The facts of the table ``meta`` in ``harness/schema.sql``: identity, run_key, protocol_hash, config, deviations,
    suite_size, privileged.
``sessions.jsonl  episodes.jsonl  attempts.jsonl  stages.jsonl  events.jsonl``
    One JSON object per row of the table of that name, in the order of its primary key, with the columns of
    ``schema.sql``. Columns that hold JSON are nested, not quoted. ``traceback`` and ``video`` are left out (source
    lines of the submitter's machine, files that are not here), and so are the ``facts`` of episodes, which follow
    from ``spec``. Of ``attempts``, ``actions`` and ``decisions`` hold the number of rows ``T`` of the arrays below.
``actions.bin  decisions.bin``
    The arrays of all attempts in the order of ``attempts.jsonl``: actions ``(T, action_size)`` as float64,
    decisions ``(T, 3)`` (seconds of env, agent and render) as float32; little-endian, C order.
``tables.json``
    The benchmark's tables as the submitter's harness derived them from the rows: a rate is ``{"successes", "valid",
    "errors"}``, a mean ``{"mean", "count"}``, anything else itself.

There is no code in it, nothing is unpacked to disk, and no class is named by it: the classes of benchmark and protocol
are those of the reader's own configuration, and the agent's is only printed. The submitter's configuration and command
line are in it as they were, paths included, but for ``run_dir``: where the run lay says nothing of it.

**What reading refuses** (`open_entry`): anything that is not of this form, larger than the bounds below, or at odds
with itself: members that do not have their hash; unknown, missing, repeated or null columns; numbers that are not
finite or absurdly large; control and direction-changing characters; keys that do not follow from the identity; rows
that contradict each other (`results.consistency`); a benchmark or protocol that the reader does not have; episodes
without a result.

**What verifying adds** (`verify_entry`): the planned episodes are those of the protocol, every specification to the
letter; the deviations are those that follow from the configuration; every cell of ``tables.json`` is derived again;
and, with ``--replay N``, the logged actions of N episodes lead to the recorded outcome and simulator state.

**What none of this can detect**: a forger who makes up rows that agree with each other. Hashes are not signatures:
whoever rewrites the rows can rewrite the hashes. Replaying raises the price (outcome, steps, progress and state hash
must come out of a real simulation of the actions, so successes need actions that succeed), but it cannot tell who or
what chose the actions, nor how many runs were made before this one was handed in, nor check the seconds and the
hardware. Episodes to be replayed are drawn after the entry is fixed, from its digest and a number of the verifier's
choice.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from harness.interfaces import Cell, MeanCell, RateCell, Table
from harness.store import StoreError

FORMAT = "thinkjepa-harness/entry"
VERSION = 1

MANIFEST = "entry.json"
FACTS = "run.json"
TABLES = "tables.json"
ROW_TABLES = ("sessions", "episodes", "attempts", "stages", "events")
"""In the order in which they refer to each other."""
ARRAYS = {"actions": ("<f8", None), "decisions": ("<f4", 3)}
"""Columns of ``attempts`` that are arrays: type, and columns of each row (``None``: the attempt's ``action_size``)."""
MEMBERS = (MANIFEST, FACTS, *(f"{table}.jsonl" for table in ROW_TABLES), *(f"{name}.bin" for name in ARRAYS), TABLES)

FACT_NAMES = ("identity", "run_key", "protocol_hash", "config", "deviations", "suite_size", "privileged")
JSON_COLUMNS = {"sessions": "provenance", "episodes": "spec", "stages": "metrics", "events": "data"}
WHERE = "run_dir"
"""What is left out of the configuration and of commands: the folder that a run lies in."""
LEFT_OUT = ("facts", "traceback", "video")
"""Columns of the store that entries do not have: ``facts`` follow from ``spec``."""

MAX_ARCHIVE_BYTES = 256 << 20
MAX_UNPACKED_BYTES = 512 << 20
MAX_LINE_BYTES = 4 << 20
MAX_DEPTH = 32
MAX_MAGNITUDE = 2**128
"""No number of a run is larger; sums and squares of such numbers stay finite."""

_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
"""Control characters (terminals obey them), those that change the direction of text, and halves of characters."""


def without_folder(words: Sequence[str]) -> list[str]:
    """A command's words but for ``WHERE``, and ``RUN`` for the folder that it resumed."""
    resumed = [number for number, word in enumerate(words[:2]) if word == "resume"]
    kept = [("RUN" if number - 1 in resumed else word) for number, word in enumerate(words)]
    return [word for word in kept if word.partition("=")[0] != WHERE]


class EntryError(StoreError):
    """The file is no entry, or one that cannot be believed; the message says why."""


def strict_json(text: bytes, where: str) -> Any:
    """JSON data that means one thing only and can be computed with and shown.

    Raises:
        EntryError: for anything that is not UTF-8 JSON, repeated keys, NaN, infinities, numbers beyond
            ``MAX_MAGNITUDE``, nesting beyond ``MAX_DEPTH`` and control characters.
    """

    def number(literal: str) -> float:
        value = float(literal)
        if not abs(value) <= MAX_MAGNITUDE:
            raise EntryError(f"{where}: the number {literal[:40]} is too large")
        return value

    def integer(literal: str) -> int:
        if len(literal) > len(str(MAX_MAGNITUDE)) + 1 or abs(int(literal)) > MAX_MAGNITUDE:
            raise EntryError(f"{where}: the number {literal[:40]} is too large")
        return int(literal)

    def constant(literal: str) -> float:
        raise EntryError(f"{where}: {literal} is no number")

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise EntryError(f"{where}: a key is given twice")
        return dict(pairs)

    try:
        data = json.loads(
            text.decode(),
            parse_float=number,
            parse_int=integer,
            parse_constant=constant,
            object_pairs_hook=mapping,
        )
    except (ValueError, RecursionError) as error:
        raise EntryError(f"{where} is not JSON: {error}") from error
    _check_contents(data, where)
    return data


def _check_contents(data: Any, where: str, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise EntryError(f"{where} is nested too deeply")
    if isinstance(data, str):
        if _FORBIDDEN.search(data):
            raise EntryError(f"{where}: a text holds a control character: {ascii(data)[:80]}")
    elif isinstance(data, dict):
        for key, value in data.items():
            _check_contents(key, where, depth)
            _check_contents(value, where, depth + 1)
    elif isinstance(data, list):
        for value in data:
            _check_contents(value, where, depth + 1)


def printable(data: Any) -> Any:
    """JSON data with the characters replaced that `strict_json` refuses; agents may report anything."""
    if isinstance(data, str):
        return _FORBIDDEN.sub("\ufffd", data)
    if isinstance(data, dict):
        return {printable(key): printable(value) for key, value in data.items()}
    return [printable(value) for value in data] if isinstance(data, list) else data


def derived_tables(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """The content of ``tables.json``."""
    return [
        {
            "key": table.key,
            "title": table.title,
            "columns": list(table.columns),
            "rows": [[name, [_derived_cell(cell) for cell in cells]] for name, cells in table.rows],
        }
        for table in tables
    ]


def _derived_cell(cell: Cell) -> Any:
    if isinstance(cell, RateCell):
        return {"successes": cell.successes, "valid": cell.valid, "errors": cell.errors}
    if isinstance(cell, MeanCell):
        count = len(cell.values)
        return {"mean": math.fsum(cell.values) / count if count else None, "count": count}
    return cell
