"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from harness.config import ConfigGroups


def files_of(folder: Path | None) -> tuple[tuple[Path, int], ...]:
    """What is in a folder of configuration, and since when."""
    return tuple((path, path.stat().st_mtime_ns) for path in sorted(folder.resolve().rglob("*.yaml"))) if folder else ()


@pytest.fixture(autouse=True, scope="session")
def options_are_loaded_once() -> Iterator[None]:
    """The project's own options stay as they are while tests run, and those of a folder as long as its files do."""
    load = ConfigGroups.load
    known: dict[Any, dict[str, Any]] = {}

    def remembered(groups: ConfigGroups, group: str, name: str) -> dict[str, Any]:
        key = (files_of(groups._own), group, name)
        if key not in known:
            known[key] = load(groups, group, name)
        return deepcopy(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigGroups, "load", remembered)
        yield
