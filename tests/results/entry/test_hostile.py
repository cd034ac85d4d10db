"""Files that are made to do harm, and files that are no entries at all."""

from __future__ import annotations

import io
import json
import re
import stat
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.identity import canonical_json
from results.entry import EntryError, open_entry
from results.entry.archive import read_archive, write_archive
from results.entry.format import FACTS, MANIFEST, MAX_UNPACKED_BYTES, MEMBERS, strict_json
from results.entry.writer import manifest
from tests.results.entry.forgery import CONFIGS, Contents, forged, rekey

Members = dict[str, bytes]


def refusal(path: Path) -> str:
    with pytest.raises(EntryError) as caught:
        open_entry(path, CONFIGS)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------ archives


def archive(members: Members, tweak: Callable[[zipfile.ZipInfo], object] = lambda info: None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            tweak(info)
            file.writestr(info, content)
    return buffer.getvalue()


def renamed(members: Members, name: str) -> Members:
    return {(name if old == "events.jsonl" else old): content for old, content in members.items()}


def link(info: zipfile.ZipInfo) -> None:
    if info.filename == "events.jsonl":
        info.external_attr = (stat.S_IFLNK | 0o777) << 16


def bzip2(info: zipfile.ZipInfo) -> None:
    info.compress_type = zipfile.ZIP_BZIP2


def with_directory_field(content: bytes, offset: int, value: bytes) -> bytes:
    """``content`` with a field of the first central directory record replaced."""
    start = content.index(b"PK\x01\x02")
    return content[: start + offset] + value + content[start + offset + len(value) :]


def doubled(members: Members) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file, warnings.catch_warnings(action="ignore"):
        for name, content in members.items():
            file.writestr("run.json" if name == "events.jsonl" else name, content)
    return buffer.getvalue()


ARCHIVES: dict[str, tuple[Callable[[Members], bytes], str]] = {
    "empty": (lambda m: b"", "it is no ZIP archive"),
    "text": (lambda m: b"{}" * 100, "it is no ZIP archive"),
    "an archive without members": (lambda m: archive({}), "it is no ZIP archive"),
    "cut off": (lambda m: archive(m)[:-100], "something follows the archive"),
    "something before it": (lambda m: b"#!/bin/sh\nrm -rf ~\n" + archive(m), "it is no ZIP archive"),
    "something after it": (lambda m: archive(m) + b"<html>", "something follows the archive"),
    "a path that leads out": (
        lambda m: archive(renamed(m, "../../etc/cron.d/evil")),
        "no member '../../etc/cron.d/evil'",
    ),
    "an absolute path": (lambda m: archive(renamed(m, "/etc/passwd")), "no member '/etc/passwd'"),
    "a drive": (lambda m: archive(renamed(m, "C:\\evil.exe")), "no member"),
    "code": (lambda m: archive(renamed(m, "agent.py")), "no member 'agent.py'"),
    "a pickle": (lambda m: archive(renamed(m, "data.pkl")), "no member 'data.pkl'"),
    "a folder": (lambda m: archive(renamed(m, "events.jsonl/")), "no member 'events.jsonl/'"),
    "one member too many": (lambda m: archive({**m, "more.json": b"{}"}), "it has 11 members"),
    "one member too few": (lambda m: archive({k: v for k, v in m.items() if k != "events.jsonl"}), "it has 9 members"),
    "a member twice": (doubled, "lacks events.jsonl and holds another member twice"),
    "a link": (lambda m: archive(m, link), "is a link"),
    "another compression": (lambda m: archive(m, bzip2), "packed in another way"),
    "encryption": (lambda m: with_directory_field(archive(m), 8, b"\x01\x00"), "encrypted"),
    "a bomb by its own account": (
        lambda m: with_directory_field(archive(m), 24, struct.pack("<L", 2**32 - 2)),
        "unpacked, it would have 4096 MiB",
    ),
    "a bomb that denies it": (
        lambda m: with_directory_field(archive(m), 24, struct.pack("<L", 10)),
        "is damaged|is not",
    ),
    "another checksum": (lambda m: with_directory_field(archive(m), 16, b"\0\0\0\0"), "is damaged: Bad CRC"),
    "a million members": (
        lambda m: archive(m)[:-22] + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 10, 10, 2**31, 0, 0),
        "its list of members has 2048 MiB",
    ),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives(case: str, entry: Path, tmp_path: Path) -> None:
    make, reason = ARCHIVES[case]
    (tmp_path / "hostile.zip").write_bytes(make(read_archive(entry)))
    before = set(tmp_path.rglob("*"))
    found = refusal(tmp_path / "hostile.zip")
    assert any(part in found for part in reason.split("|")), found
    assert set(tmp_path.rglob("*")) == before, "nothing is unpacked"


def test_a_bomb_takes_no_memory(entry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 kB that unpack to 300 MB are refused before anything is unpacked."""
    monkeypatch.setattr("results.entry.archive.MAX_UNPACKED_BYTES", 100 << 20)
    (tmp_path / "bomb.zip").write_bytes(archive({**read_archive(entry), "events.jsonl": bytes(300 << 20)}))
    tracemalloc.start()
    assert "unpacked, it would have 300 MiB" in refusal(tmp_path / "bomb.zip")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_the_file_itself_is_bounded(entry: Path, tmp_path: Path) -> None:
    huge = tmp_path / "huge.zip"
    with huge.open("wb") as file:
        file.truncate(300 << 20)  # a file of holes
    assert "has 300 MiB" in refusal(huge)
    assert MAX_UNPACKED_BYTES >= 512 << 20, "room for 1000 chains of five tasks"


def test_no_entry_is_read_from_a_folder_or_a_link_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "link.zip").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match="No such file"):
        open_entry(tmp_path / "link.zip")


# -------------------------------------------------------------------------------------------- JSON and rows


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": [-Infinity]}', "-Infinity is no number"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": 1e39}', "1e39 is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is too large"),
        (b'{"a": -' + b"9" * 40 + b"}", "is too large"),
        (b'{"a": 1, "a": 2}', "a key is given twice"),
        (b'{"a": "\\u0000"}', "control character"),
        (b'{"a": "\\u001b[2J"}', "control character"),
        (b'{"\\u202egnp.exe": 1}', "control character"),
        (b'{"a": "\\ud800"}', "control character"),
        (b'{"a": "\xff"}', "is not JSON"),
        (b'{"a": 1', "is not JSON"),
        (b"[" * 100_000, "is not JSON|nested"),
        (b"[" * 40 + b"]" * 40, "nested too deeply"),
        (b"", "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
    ],
)
def test_json(text: bytes, reason: str) -> None:
    with pytest.raises(EntryError) as caught:
        strict_json(text, "here")
    assert any(part in str(caught.value) for part in reason.split("|"))


def test_json_that_is_all_right() -> None:
    data = {"größe": [1, -2.5, None, True, "a\tb\nc", {"x": 2**127}], "<b>": "ok"}
    assert strict_json(canonical_json(data).encode(), "here") == data


def with_member(path: Path, target: Path, name: str, content: bytes) -> Path:
    members = {**read_archive(path), name: content}
    facts = json.loads(members[FACTS]) if name != FACTS else {}
    listed = {key: value for key, value in members.items() if key != MANIFEST}
    if name != MANIFEST:
        members[MANIFEST] = manifest(facts.get("run_key", ""), facts.get("protocol_hash", ""), listed)
    write_archive(target, members)
    return target


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("entry.json", b"[]", "must hold a mapping"),
        ("entry.json", b"{}", "says 'None version None'"),
        ("entry.json", b'{"format": "thinkjepa-harness/entry", "version": 2}', "version 2"),
        ("entry.json", b'{"format": "thinkjepa-harness/entry", "version": 1}', "does not list the members"),
        ("run.json", b"[]", "must hold a mapping"),
        ("run.json", b"{}", "are of different runs"),
        ("events.jsonl", b"[]\n", "line 1 must hold a mapping"),
        ("events.jsonl", b"{}\n", "line 1: the column"),
        ("events.jsonl", b"{}", "breaks off"),
        ("events.jsonl", b"\n", "line 1 is not JSON"),
        ("events.jsonl", b'{"a": "' + b"x" * (5 << 20) + b'"}\n', "line 1 has 5 MiB"),
        ("tables.json", b'[{"a": NaN}]', "NaN is no number"),
        ("attempts.jsonl", b"", "hold more than"),
    ],
)
def test_members(name: str, content: bytes, reason: str, entry: Path, tmp_path: Path) -> None:
    assert reason in refusal(with_member(entry, tmp_path / "hostile.zip", name, content))


@pytest.mark.parametrize(
    ("table", "column", "value", "reason"),
    [
        ("attempts", "steps", 2**63, "is too large"),
        ("attempts", "steps", 2.5, "is no integer"),
        ("attempts", "steps", True, "is no integer"),
        ("attempts", "steps", "4", "is no integer"),
        ("attempts", "steps", None, "is no integer"),
        ("attempts", "actions", -1, "does not hold -1 actions"),
        ("attempts", "actions", 2**62, "does not hold"),
        ("attempts", "action_size", -2, "does not hold"),
        ("attempts", "action_size", 0, "hold more than"),
        ("attempts", "worker", 5, "is no text"),
        ("stages", "metrics", "{}", "must be a mapping"),
        ("events", "data", [], "must be a mapping"),
        ("episodes", "spec", {"a": 1}, "the specification of 'toy-.*' is none"),
        ("episodes", "repeat", 3, "its key does not follow"),
        ("episodes", "episode_id", "<script>", "has the specification of"),
        ("sessions", "provenance", {"git": "abc"}, "the provenance's git has the wrong type"),
        ("sessions", "session", 77, "FOREIGN KEY"),
    ],
)
def test_columns(table: str, column: str, value: object, reason: str, entry: Path, tmp_path: Path) -> None:
    def edit(data: Contents) -> None:
        data[table][0][column] = value

    found = refusal(forged(entry, tmp_path / "hostile.zip", edit))
    assert re.search(reason, found), found


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a/../b", "", "x" * 200, "a\nb", 5])
def test_names_of_agents_hold_no_markup(name: object, entry: Path, tmp_path: Path) -> None:
    def edit(data: Contents) -> None:
        for group in (data["run"]["identity"], data["run"]["config"]):
            group["agent"]["name"] = name
        rekey(data)

    assert "is no name of an agent" in refusal(forged(entry, tmp_path / "hostile.zip", edit))


def test_an_entry_has_ten_members() -> None:
    assert len(MEMBERS) == len(set(MEMBERS)) == 10
