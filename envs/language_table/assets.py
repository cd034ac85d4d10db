"""Where the models of the table come from: the official files where they are, generated ones elsewhere.

``harness assets language_table`` downloads the official files; see `envs.official` for where they are looked for.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from envs import official
from envs.official import read_manifest
from harness.interfaces import OfficialFiles

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
        for name in sorted(file.path for file in manifest().files):
            digest.update(name.encode() + b"\0" + hashlib.sha256((self.root / name).read_bytes()).digest())
        return digest.hexdigest()


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
        from envs.language_table.generated import generate_assets

        found = generate_assets()
    return found
