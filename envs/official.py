"""Where the official files of the public simulators are on this machine.

They are looked for in ``$HARNESS_ASSETS/<world>`` and in the cache folder, into which ``harness assets`` puts them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from harness.interfaces import OfficialFile, OfficialFiles

ASSETS_VARIABLE = "HARNESS_ASSETS"


def cache_folder(world: str) -> Path:
    """Where ``harness assets`` puts a world's files."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "thinkjepa-harness" / "assets" / world


def read_manifest(path: Path) -> OfficialFiles:
    """The list of files that ships with a world."""
    content = json.loads(path.read_text())
    files = tuple(OfficialFile(name, **facts) for name, facts in content.pop("files").items())
    return OfficialFiles(files=files, folder=cache_folder(content["world"]), **content)


def find_official(files: OfficialFiles) -> Path | None:
    """The folder that holds all of ``files``, if there is one. A folder ``data/`` inside it is looked into as well.

    Raises:
        FileNotFoundError: A folder lacks files, or holds others than the public ones; running on with stand-ins would
            hide that.
    """
    candidates = [files.folder]
    if os.environ.get(ASSETS_VARIABLE):
        candidates.insert(0, Path(os.environ[ASSETS_VARIABLE]) / files.world)
    for candidate in candidates:
        root = candidate / "data" if (candidate / "data").is_dir() else candidate
        if not root.is_dir():
            continue
        damaged = _damaged(files, root)
        if damaged:
            raise FileNotFoundError(
                f"{root}: {len(damaged)} of {len(files.files)} official files are missing or damaged, for example "
                f"{damaged[0].path}; repair it with `harness assets {files.world} --to {root}`, or remove the folder "
                "to run on generated assets"
            )
        return root
    return None


_found_intact: set[tuple[str, Path]] = set()
"""Hashing takes a tenth of a second, so each process does it once per folder."""


def _damaged(files: OfficialFiles, root: Path) -> list[OfficialFile]:
    if (files.world, root) in _found_intact:
        return []
    damaged = files.damaged(root)
    if not damaged:
        _found_intact.add((files.world, root))
    return damaged
