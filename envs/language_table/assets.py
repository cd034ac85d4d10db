"""Where the models of the table come from: the official files where they are, generated ones elsewhere.

The official files are looked for in ``$HARNESS_ASSETS/language_table`` and in the cache folder; ``fetch`` downloads
them there from the public repository at a pinned commit.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ASSETS_VARIABLE = "HARNESS_ASSETS"
_MANIFEST = Path(__file__).with_name("data") / "assets.json"


@dataclass(frozen=True)
class AssetSet:
    """The models of blocks, rod and table.

    Attributes:
        root: Folder that holds ``blocks/``, ``suction/``, ``plane.obj`` and ``workspace_real.urdf``.
        generated: Whether these are the project's own stand-ins; results with them are non-standard.
    """

    root: Path
    generated: bool = False

    @property
    def table(self) -> Path:
        """URDF of the drawn board; it has no collision shape."""
        return self.root / "workspace_real.urdf"

    @property
    def rod(self) -> Path:
        """URDF of the rod that pushes."""
        return self.root / "suction" / "cylinder_real.urdf"

    def block(self, name: str) -> Path:
        """URDF of a block."""
        return self.root / "blocks" / f"{name}.urdf"

    def fingerprint(self) -> str:
        """SHA-256 over names and contents of the files."""
        digest = hashlib.sha256()
        for name in sorted(manifest().files):
            digest.update(name.encode() + b"\0" + hashlib.sha256((self.root / name).read_bytes()).digest())
        return digest.hexdigest()


@dataclass(frozen=True)
class Manifest:
    """The official files that are needed, at one commit of the public repository.

    Attributes:
        repository: ``owner/name`` on GitHub.
        commit: Full commit hash.
        folder: Folder in the repository to which the names are relative.
        files: SHA-256 by name.
    """

    repository: str
    commit: str
    folder: str
    files: dict[str, str]

    def url(self, name: str) -> str:
        """Where a file is downloaded from."""
        return f"https://raw.githubusercontent.com/{self.repository}/{self.commit}/{self.folder}/{name}"


@functools.cache
def manifest() -> Manifest:
    """The list that ships with the package."""
    return Manifest(**json.loads(_MANIFEST.read_text()))


def cache_folder() -> Path:
    """Where ``fetch`` puts the official files."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "thinkjepa-harness" / "assets" / "language_table"


def find_official() -> AssetSet | None:
    """The official files, if they are on this machine.

    Raises:
        FileNotFoundError: A folder holds some of the files but not all; running on with stand-ins would hide that.
        ValueError: A file has another content than the public repository's.
    """
    candidates = [cache_folder()]
    if os.environ.get(ASSETS_VARIABLE):
        candidates.insert(0, Path(os.environ[ASSETS_VARIABLE]) / "language_table")
    for root in candidates:
        if not root.is_dir():
            continue
        missing = [name for name in manifest().files if not (root / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{root} lacks {len(missing)} of {len(manifest().files)} Language-Table files, for example "
                f"{missing[0]}: complete it with `harness assets language_table`, or remove the folder to run on "
                "generated assets"
            )
        wrong = wrong_files(root)
        if wrong:
            raise ValueError(
                f"{root / wrong[0]} is not the public file (SHA-256 differs): replace it with "
                "`harness assets language_table`, or remove the folder to run on generated assets"
            )
        return AssetSet(root)
    return None


def find_assets() -> AssetSet:
    """The official files where they are, else generated ones (made once, kept in the cache folder)."""
    from envs.language_table.generated import generate_assets

    return find_official() or generate_assets()


def wrong_files(root: Path) -> list[str]:
    """Names of the manifest's files that are missing under ``root`` or have another content."""
    return [name for name, digest in manifest().files.items() if _sha256(root / name) != digest]


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _download(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as response:
        return bytes(response.read())


def fetch(
    destination: Path | None = None,
    download: Callable[[str], bytes] = _download,
    report: Callable[[str], None] = print,
) -> Path:
    """Download the official files and check each one's SHA-256; files that are already right are kept.

    Args:
        destination: Folder to put them in; the cache folder by default.
        download: Turns a URL into its content.
        report: Gets one line per downloaded file.

    Returns:
        The folder of the files.

    Raises:
        ValueError: A downloaded file has another SHA-256 than the manifest's; it is not written.
    """
    root = destination or cache_folder()
    wanted = wrong_files(root)
    for number, name in enumerate(wanted, 1):
        content = download(manifest().url(name))
        digest = hashlib.sha256(content).hexdigest()
        if digest != manifest().files[name]:
            raise ValueError(f"{manifest().url(name)} has SHA-256 {digest}, expected {manifest().files[name]}")
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".part")
        partial.write_bytes(content)
        partial.replace(path)
        report(f"{number}/{len(wanted)} {name}")
    return root
