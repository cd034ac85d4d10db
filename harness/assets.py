"""Download the official files of a world and check every one."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from harness.instantiate import ConfigError, did_you_mean
from harness.interfaces import OfficialFile, OfficialFiles

ASSETS_GROUP = "thinkjepa_harness.assets"
"""Entry-point group of functions ``() -> OfficialFiles``, one per world."""

TIMEOUT_SECONDS = 30.0
ATTEMPTS = 3
BLOCK = 1 << 16


class DownloadError(Exception):
    """A file could not be had, or is not the one that was published; the message says what to do."""


def official_files(world: str) -> OfficialFiles:
    """What a world needs.

    Raises:
        ConfigError: if no such world has official files.
    """
    entries = {entry.name: entry for entry in importlib.metadata.entry_points(group=ASSETS_GROUP)}
    if world not in entries:
        raise ConfigError(f"no official files are known for world {world!r}{did_you_mean(world, entries)}")
    files: OfficialFiles = entries[world].load()()
    return files


def fetch(files: OfficialFiles, root: Path, report: Callable[[int, int], None], pause: float = 1.0) -> int:
    """Bring ``root`` into the published state: get what is missing, replace what is damaged, keep what is right.

    Each file appears under its name only when it is complete and its SHA-256 is right. What an interrupted download
    left behind (``*.part``) is continued where the server allows that.

    Args:
        files: What is wanted.
        root: Where to put it.
        report: Gets the bytes that are in place and the bytes of all files.
        pause: Seconds before a failed request is tried again; doubled each time.

    Returns:
        How many files were downloaded.

    Raises:
        DownloadError: The network or the server failed, or a file is not the published one.
    """
    wanted = files.damaged(root)
    total = sum(file.size for file in files.files)
    done = total - sum(file.size for file in wanted)
    report(done, total)
    for file in wanted:
        target = root / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch_one(files, file, target, pause)
        done += file.size
        report(done, total)
    return len(wanted)


def _fetch_one(files: OfficialFiles, file: OfficialFile, target: Path, pause: float) -> None:
    url = files.base_url + file.path
    partial = target.with_name(target.name + ".part")
    for attempt in range(ATTEMPTS):
        try:
            _download(url, partial, file.size)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise DownloadError(f"{url}: the server answers {error.code} {error.reason}") from error
            problem: Exception = error
        except (OSError, EOFError) as error:
            problem = error
        else:
            _install(url, file, partial, target)
            return
        if attempt + 1 < ATTEMPTS:
            time.sleep(pause * 2**attempt)
    raise DownloadError(
        f"{url} cannot be downloaded ({problem}). Without a network, copy the files from a machine that has them to "
        f"DIR/{files.world} and set HARNESS_ASSETS=DIR"
    ) from problem


def _download(url: str, partial: Path, size: int) -> None:
    """Fetch the rest of ``partial``; ``EOFError`` where the connection ended early."""
    have = partial.stat().st_size if partial.exists() else 0
    if have >= size:  # not a beginning of the file
        partial.unlink()
        have = 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        continued = response.status == 206  # a server without ranges sends the whole file again
        with partial.open("ab" if continued else "wb") as stream:
            while block := response.read(BLOCK):
                stream.write(block)
            stream.flush()
            os.fsync(stream.fileno())
    got = partial.stat().st_size
    if got < size:
        raise EOFError(f"the connection ended after {got} of {size} bytes")


def _install(url: str, file: OfficialFile, partial: Path, target: Path) -> None:
    digest = hashlib.sha256(partial.read_bytes()).hexdigest()
    if digest != file.sha256:
        partial.unlink()
        raise DownloadError(
            f"{url} has SHA-256 {digest}, expected {file.sha256}; it was not installed. A proxy may have changed it: "
            "try again or use another network"
        )
    partial.replace(target)
