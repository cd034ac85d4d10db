"""Where the models of the play tables come from: the official files where they are, generated ones elsewhere.

``harness assets calvin`` downloads the official files; see `envs.official` for where they are looked for.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from envs import official
from envs.calvin.layouts import LAYOUTS, BlockSize, Scene
from envs.official import read_manifest
from harness.interfaces import OfficialFiles

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
    listed = [root / file.path for file in manifest().files]
    if all(path.is_file() for path in listed):
        yield from listed
    else:
        yield from (path for path in root.rglob("*") if path.is_file())


def manifest() -> OfficialFiles:
    """The official files that are needed; named by the entry point ``thinkjepa_harness.assets``."""
    return read_manifest(_MANIFEST)


def find_official() -> AssetSet | None:
    """The official files, if they are on this machine.

    Raises:
        FileNotFoundError: A folder lacks some of the files, or holds others; running on with stand-ins would hide that.
    """
    root = official.find_official(manifest())
    return AssetSet(root) if root else None


def find_assets() -> AssetSet:
    """The official files where they are, else generated ones (made once, kept in the cache folder)."""
    found = find_official()
    if found is None:
        from envs.calvin.generated import generate_assets

        found = generate_assets()
    return found
