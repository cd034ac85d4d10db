"""Instruction lists against those of the public simulator, and the encoding."""

import gzip
import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.language_table import play_texts
from envs.language_table.blocks import BlockMode, subsets
from envs.language_table.instructions import all_instructions, decode_instruction, encode_instruction

IMPOSSIBLE = [
    ("block2block", "BLOCK_1", "needs two blocks"),
    ("separate_blocks", "BLOCK_1", "needs two blocks"),
    ("play", "N_CHOOSE_K", "no instructions"),
    ("block2block", "BLOCK_4_WPOLE", "does not run in the public simulator"),
    ("block2block", "BLOCK_5", "Unknown block mode"),
    ("juggle", "BLOCK_8", "Unknown task family"),
]


def test_block_8_lists_are_those_of_the_public_simulator(golden):
    files = sorted(golden.glob("instructions_*_BLOCK_8.txt.gz"))
    assert len(files) == 14
    for path in files:
        kind, _, family = path.name.removeprefix("instructions_").removesuffix("_BLOCK_8.txt.gz").partition("_")
        family = family.removeprefix("all_")
        expected = gzip.decompress(path.read_bytes()).decode().split("\n")
        assert all_instructions(family, "BLOCK_8", "generated" if kind == "generate" else "reachable") == expected


def test_all_modes_match_the_recorded_hashes(golden):
    vocabulary = json.loads((golden / "vocab.json").read_text())
    compared = 0
    for key, kind in (("generate_all", "generated"), ("reachable", "reachable")):
        for family, modes in vocabulary[key].items():
            for mode, entry in modes.items():
                if family.startswith("ALL") or entry["unique"] == 0:
                    continue
                text = "\n".join(all_instructions(family, mode, kind))
                assert hashlib.sha256(text.encode()).hexdigest() == entry["sha256_sorted_unique"], (family, mode)
                compared += 1
    assert compared >= 35


def test_counts_of_the_eight_block_lists():
    counts = {
        "block2block": (896, 896),
        "block2absolutelocation": (744, 992),
        "block2block_relative_location": (7280, 5824),
        "block2relativelocation": (20736, 20736),
        "separate_blocks": (144, 6288),
        "point2block": (104, 104),
        "block1_to_corner": (72, 96),
    }
    for family, expected in counts.items():
        lists = all_instructions(family, "BLOCK_8"), all_instructions(family, "BLOCK_8", "reachable")
        assert tuple(map(len, lists)) == expected


def test_bring_is_enumerated_and_never_drawn():
    family = "block2block_relative_location"
    assert any(text.startswith("bring") for text in all_instructions(family, "BLOCK_4"))
    assert not any(text.startswith("bring") for text in all_instructions(family, "BLOCK_4", "reachable"))


def test_play_texts(golden):
    recorded = json.loads((golden / "vocab.json").read_text())["play"]
    assert list(play_texts.four_block_texts()) == recorded["block4_train"]
    assert len(play_texts.four_block_texts(training=False)) == recorded["block4_test_n"]


def test_n_choose_k_split(golden):
    recorded = json.loads((golden / "vocab.json").read_text())["blocks"]
    for training, key in ((True, "train_sha"), (False, "test_sha")):
        text = json.dumps([list(blocks) for blocks in subsets(BlockMode.N_CHOOSE_K, training)])
        assert hashlib.sha256(text.encode()).hexdigest() == recorded[key]


@pytest.mark.parametrize(("family", "mode", "message"), IMPOSSIBLE)
def test_impossible_combinations_are_refused(family, mode, message):
    with pytest.raises(ValueError, match=message):
        all_instructions(family, mode)


def test_reachable_n_choose_k_is_refused():
    with pytest.raises(ValueError, match="depend on each board"):
        all_instructions("block2block", "N_CHOOSE_K", "reachable")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=120))
def test_encoding_round_trip(text):
    encoded = encode_instruction(text)
    assert encoded.shape == (512,)
    assert encoded.dtype == np.int32
    assert decode_instruction(encoded) == text


def test_too_long_instructions_are_refused():
    with pytest.raises(ValueError, match="513 bytes"):
        encode_instruction("x" * 513)
