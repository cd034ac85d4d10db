"""All instructions of a family, and their encoding.

Two lists exist: ``generated`` is what the public simulator enumerates (published vocabularies are made from it),
``reachable`` is what its resets can really draw; their verbs and block names differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from envs.language_table import play_texts, wording
from envs.language_table.blocks import BlockMode, block_set, synonyms, text
from envs.language_table.families import DIRECTIONS, check_combination
from envs.language_table.geometry import INSTRUCTION_LENGTH

Kind = Literal["generated", "reachable"]


def encode_instruction(instruction: str) -> npt.NDArray[np.int32]:
    """UTF-8 bytes, zero-padded, ``int32 (512,)``, as the public simulator gives them to agents.

    Raises:
        ValueError: More than 512 bytes.
    """
    data = instruction.encode()
    if len(data) > INSTRUCTION_LENGTH:
        raise ValueError(f"Instruction has {len(data)} bytes, at most {INSTRUCTION_LENGTH} fit: '{instruction}'")
    encoded = np.zeros(INSTRUCTION_LENGTH, np.int32)
    encoded[: len(data)] = list(data)
    return encoded


def decode_instruction(encoded: npt.NDArray[np.int32]) -> str:
    """The inverse of `encode_instruction`."""
    return bytes(encoded[encoded != 0].tolist()).decode()


def all_instructions(family: str, mode: str | BlockMode, kind: Kind = "generated") -> list[str]:
    """The distinct instructions of a family in a block mode, sorted.

    Args:
        family: Its name.
        mode: Block mode.
        kind: Which list; ``reachable`` exists for the modes with one block set.

    Raises:
        ValueError: An unknown or impossible combination, or ``reachable`` with ``N_CHOOSE_K``.
    """
    parsed = check_combination(family, mode)
    if family == "play":
        texts = play_texts.four_block_texts() if parsed is BlockMode.BLOCK_4 else play_texts.eight_block_texts()
        return sorted(set(texts))
    if kind == "generated":
        return sorted(set(_generated(family, [text(block) for block in block_set(parsed)])))
    if parsed is BlockMode.N_CHOOSE_K:
        raise ValueError("Reachable instructions of N_CHOOSE_K depend on each board; use kind='generated'")
    return sorted(set(_reachable(family, block_set(parsed))))


def _generated(family: str, names: Sequence[str]) -> Iterator[str]:
    pairs = itertools.permutations(names, 2)
    match family:
        case "block2block":
            yield from _to_block(pairs)
        case "block2absolutelocation":
            yield from _to_location(names, wording.LOCATION_VERBS, itertools.chain(*wording.LOCATIONS.values()))
        case "block1_to_corner":
            yield from _to_location(names, wording.LOCATION_VERBS, wording.CORNER)
        case "block2relativelocation":
            yield from _in_direction(names)
        case "block2block_relative_location":
            yield from _beside(pairs, wording.RELATIVE_BLOCK_VERBS)
        case "point2block":
            yield from _point(names)
        case _:
            for block, count in itertools.product(names, range(1, len(names))):
                # The enumeration takes the first blocks as those to avoid, even if the moved one is among them.
                yield from _separate([block], _avoided(names[:count]))


def _reachable(family: str, on_table: Sequence[str]) -> Iterator[str]:
    named = {block: synonyms(block, on_table) for block in on_table}
    names = list(itertools.chain(*named.values()))
    pairs = [p for a, b in itertools.permutations(on_table, 2) for p in itertools.product(named[a], named[b])]
    match family:
        case "block2block":
            yield from _to_block(pairs)
        case "block2absolutelocation":
            yield from _to_location(names, wording.PUSH_VERBS, itertools.chain(*wording.LOCATIONS.values()))
        case "block1_to_corner":
            yield from _to_location(names, wording.PUSH_VERBS, wording.CORNER)
        case "block2relativelocation":
            yield from _in_direction(names)
        case "block2block_relative_location":
            yield from _beside(pairs, wording.PUSH_VERBS)
        case "point2block":
            yield from _point(names)
        case _:
            for block in on_table:
                others = [other for other in on_table if other != block]
                for count in range(1, len(others) + 1):
                    for avoid in itertools.permutations(others, min(count, 3)):
                        for words in itertools.product(*(named[other] for other in avoid)):
                            yield from _separate(named[block], _avoided(words))
                    if count >= 3:
                        yield from _separate(named[block], list(wording.GROUPS))


def _avoided(names: Sequence[str]) -> list[str]:
    if len(names) == 1:
        return [names[0]]
    if len(names) == 2:
        return [f"{names[0]} and {names[1]}"]
    if len(names) == 3:
        return [f"{names[0]}, {names[1]}, and {names[2]}"]
    return list(wording.GROUPS)


def _separate(names: Sequence[str], avoided: Sequence[str]) -> Iterator[str]:
    for template, name, others in itertools.product(wording.SEPARATE, names, avoided):
        yield template % (name, others)


def _to_block(pairs: Iterator[tuple[str, str]] | Sequence[tuple[str, str]]) -> Iterator[str]:
    for (first, second), verb, prep in itertools.product(pairs, wording.PUSH_VERBS, wording.PREPOSITIONS):
        yield f"{verb} {first} {prep} {second}"


def _to_location(names: Sequence[str], verbs: Sequence[str], places: Iterator[str] | Sequence[str]) -> Iterator[str]:
    for name, verb, place in itertools.product(names, verbs, places):
        yield f"{verb} {name} to the {place}"


def _beside(pairs: Iterator[tuple[str, str]] | Sequence[tuple[str, str]], verbs: Sequence[str]) -> Iterator[str]:
    sides = itertools.chain(*wording.BESIDE.values())
    for (first, second), verb, side in itertools.product(pairs, verbs, sides):
        yield f"{verb} {first} {side} {second}"


def _point(names: Sequence[str]) -> Iterator[str]:
    for phrase, name in itertools.product(wording.POINT_PHRASES, names):
        yield f"{phrase} {name}"


def _in_direction(names: Sequence[str]) -> Iterator[str]:
    for name, verb, words in itertools.product(names, wording.LOCATION_VERBS, list(_directions())):
        yield f"{verb} {name} {words}"
        yield f"slightly {verb} {name} {words}"
        for slightly in wording.SLIGHTLY:
            yield f"{verb} {name} {slightly} {words}"
            yield f"{verb} {name} {words} {slightly}"


def _directions() -> Iterator[str]:
    for direction in DIRECTIONS:
        if direction.startswith("diagonal"):
            parts = (wording.DIRECTIONS[part] for part in direction.split("_")[1:])
            for words, template in itertools.product(itertools.product(*parts), wording.DIAGONALS):
                yield template % words
        else:
            yield from wording.DIRECTIONS[direction]
