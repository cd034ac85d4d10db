"""Fixtures of the Language-Table tests."""

from pathlib import Path

import pytest

from envs.language_table.assets import AssetSet
from envs.language_table.generated import generate_assets
from tests.golden import golden_folder, official_assets_folder


@pytest.fixture(scope="session")
def golden() -> Path:
    return golden_folder("language_table")


@pytest.fixture(scope="session")
def official() -> AssetSet:
    return AssetSet(official_assets_folder() / "language_table")


@pytest.fixture(scope="session")
def generated() -> AssetSet:
    return generate_assets()
