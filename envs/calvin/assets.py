"""Where the models of the play tables come from: the official files, or generated ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from envs.calvin.layouts import BlockSize, Scene


@dataclass(frozen=True)
class AssetSet:
    """One complete set of models.

    Attributes:
        root: Folder that holds ``franka_panda/``, ``calvin_table_X/``, ``blocks/`` and ``plane/``.
    """

    root: Path

    @property
    def robot(self) -> Path:
        return self.root / "franka_panda" / "panda_longer_finger.urdf"

    @property
    def plane(self) -> Path:
        return self.root / "plane" / "plane.urdf"

    def table(self, scene: Scene) -> Path:
        return self.root / f"calvin_table_{scene}" / "urdf" / f"calvin_table_{scene}.urdf"

    def block(self, colour: str, size: BlockSize) -> Path:
        return self.root / "blocks" / f"block_{colour}_{size}.urdf"
