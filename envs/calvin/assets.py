"""Where the models of the play tables come from: the official files where they are, generated ones elsewhere.

The official files are looked for in ``$HARNESS_ASSETS/calvin`` and in the cache folder; ``fetch`` downloads them there.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from envs.calvin.layouts import LAYOUTS, BlockSize, Scene

ASSETS_VARIABLE = "HARNESS_ASSETS"
_MANIFEST = Path(__file__).with_name("data") / "assets.json"


@dataclass(frozen=True)
class AssetSet:
    """One set of models, enough for all four tables.

    Attributes:
        root: Folder that holds ``franka_panda/``, ``calvin_table_X/``, ``blocks/`` and ``plane/``.
        generated: Whether these are the project's own stand-ins; results with them are non-standard.
    """

    root: Path
    generated: bool = False

    @property
    def robot(self) -> Path:
        """URDF of the arm."""
        return self.root / "franka_panda" / "panda_longer_finger.urdf"

    @property
    def plane(self) -> Path:
        """URDF of the floor."""
        return self.root / "plane" / "plane.urdf"

    def table(self, scene: Scene) -> Path:
        """URDF of a play table."""
        return self.root / f"calvin_table_{scene}" / "urdf" / f"calvin_table_{scene}.urdf"

    def block(self, colour: str, size: BlockSize) -> Path:
        """URDF of a block."""
        return self.root / "blocks" / f"block_{colour}_{size}.urdf"

    def fingerprint(self, scene: Scene) -> str:
        """SHA-256 over names and contents of the files that a scene is made of (meshes and textures included)."""
        return _fingerprint(self.root, scene)


@functools.cache
def _fingerprint(root: Path, scene: Scene) -> str:
    digest = hashlib.sha256()
    blocks = [f"block_{colour}_{size}.urdf" for colour, size in LAYOUTS[scene].blocks]
    for path in sorted(_files(root)):
        parts = path.relative_to(root).parts
        if parts[0] in ("franka_panda", "plane", f"calvin_table_{scene}") or parts[-1] in blocks:
            digest.update("/".join(parts).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    """The manifest's files under an official root, all files under a generated one."""
    listed = [root / name for name in manifest().files]
    if all(path.is_file() for path in listed):
        yield from listed
    else:
        yield from (path for path in root.rglob("*") if path.is_file())


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
    return Path(base) / "thinkjepa-harness" / "assets" / "calvin"


def find_official() -> AssetSet | None:
    """The official files, if they are on this machine and complete.

    Raises:
        FileNotFoundError: A folder holds some of the files but not all; running on with stand-ins would hide that.
    """
    candidates = [cache_folder()]
    if os.environ.get(ASSETS_VARIABLE):
        candidates.insert(0, Path(os.environ[ASSETS_VARIABLE]) / "calvin")
    for candidate in candidates:
        root = candidate / "data" if (candidate / "data").is_dir() else candidate
        if not root.is_dir():
            continue
        missing = [name for name in manifest().files if not (root / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{root} lacks {len(missing)} of {len(manifest().files)} CALVIN files, for example {missing[0]}: "
                "complete it with `harness assets calvin`, or remove the folder to run on generated assets"
            )
        return AssetSet(root)
    return None


def find_assets() -> AssetSet:
    """The official files where they are, else generated ones (made once, kept in the cache folder)."""
    from envs.calvin.generated import generate_assets

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
