"""Where the recordings of the public simulators are, for tests that compare with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

GOLDEN_VARIABLE = "HARNESS_GOLDEN"
_BESIDE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared"


def golden_folder(benchmark: str) -> Path:
    """The folder of a benchmark's recordings; skips the calling test where there is none."""
    root = Path(os.environ.get(GOLDEN_VARIABLE) or _BESIDE_CHECKOUT / "golden")
    folder = root / benchmark
    if not folder.is_dir():
        pytest.skip(f"no recordings of the public simulator in {folder}; set {GOLDEN_VARIABLE} to their folder")
    return folder


def official_assets_folder() -> Path:
    """A folder for ``HARNESS_ASSETS`` with official data files; skips the calling test where there is none."""
    root = Path(os.environ.get("HARNESS_ASSETS") or _BESIDE_CHECKOUT / "assets")
    if not root.is_dir():
        pytest.skip(f"no official data files in {root}; set HARNESS_ASSETS to their folder")
    return root
