"""The ZIP archive around an entry, written so that equal runs give equal bytes and read so that it can do no harm."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from results.entry.format import MAX_ARCHIVE_BYTES, MAX_UNPACKED_BYTES, MEMBERS, EntryError

_END = struct.Struct("<4s4H2LH")
"""End of central directory: signature, two disk numbers, two counts, size and offset of the directory, comment."""
_MAX_DIRECTORY_BYTES = 4096
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_archive(path: Path, members: Mapping[str, bytes]) -> None:
    """Write all members, or nothing: the file appears when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in MEMBERS:
                info = zipfile.ZipInfo(name, _EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = (stat.S_IFREG | 0o644) << 16
                archive.writestr(info, members[name])
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_archive(path: Path) -> dict[str, bytes]:
    """The members of an entry, in memory; nothing is unpacked to disk.

    Raises:
        EntryError: unless the file is an archive of exactly the members of an entry, within the bounds.
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    if size > MAX_ARCHIVE_BYTES:
        raise EntryError(f"{path} has {size >> 20} MiB; an entry has at most {MAX_ARCHIVE_BYTES >> 20}")
    content = path.read_bytes()
    _check_frame(path, content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            _check_members(members)
            return {member.filename: archive.read(member) for member in members}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise EntryError(f"{path} is damaged: {error}") from error


def _check_frame(path: Path, content: bytes) -> None:
    """Bound what opening the archive costs, before a list of a million members is read."""
    tail = content[-_END.size - 20 :]
    if content[:4] != b"PK\x03\x04" or len(tail) < _END.size + 20:
        raise EntryError(f"{path} is no entry: it is no ZIP archive; `harness export RUN -o entry.zip` writes one")
    signature, *_, count, directory, _, comment = _END.unpack(tail[20:])
    if signature != b"PK\x05\x06" or comment or tail[:4] == b"PK\x06\x07":
        raise EntryError(f"{path} is no entry: something follows the archive, or it is a ZIP64 one")
    if directory > _MAX_DIRECTORY_BYTES:
        raise EntryError(f"{path} is no entry: its list of members has {directory >> 20} MiB")
    if count != len(MEMBERS):
        raise EntryError(f"{path} is no entry: it has {count} members, an entry has {len(MEMBERS)}")


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    unknown = [name for name in names if name not in MEMBERS]
    if unknown:
        raise EntryError(f"an entry has no member {ascii(unknown[0])[:80]}")
    if sorted(names) != sorted(MEMBERS):
        lacking = [name for name in MEMBERS if name not in names]
        raise EntryError(f"the entry lacks {lacking[0]} and holds another member twice")
    for member in members:
        mode = member.external_attr >> 16
        if member.is_dir() or (stat.S_IFMT(mode) not in (0, stat.S_IFREG)):
            raise EntryError(f"{member.filename} is a link or another special file")
        if member.flag_bits & 0x1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise EntryError(f"{member.filename} is encrypted or packed in another way than deflate")
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_UNPACKED_BYTES:
        raise EntryError(f"unpacked, it would have {unpacked >> 20} MiB; an entry has at most 512")
