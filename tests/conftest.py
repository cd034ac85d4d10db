"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from harness.config import ConfigGroups

CONFIGS = Path(__file__).parent / "configs"


@pytest.fixture(autouse=True, scope="session")
def options_are_loaded_once() -> Iterator[None]:
    """Files of options that are part of the project stay as they are while tests run; Hydra takes long over each."""
    load = ConfigGroups.load
    known: dict[tuple[Path | None, str, str], dict[str, Any]] = {}

    def remembered(groups: ConfigGroups, group: str, name: str) -> dict[str, Any]:
        if groups._own not in (None, CONFIGS):
            return load(groups, group, name)
        key = (groups._own, group, name)
        if key not in known:
            known[key] = load(groups, group, name)
        return deepcopy(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigGroups, "load", remembered)
        yield
