"""Fixtures: recordings of the public simulator and its official models."""

import pytest

from envs.calvin import assets
from envs.calvin.generated import generate_assets
from tests.golden import golden_folder, official_assets_folder


@pytest.fixture
def golden():
    return golden_folder("calvin")


@pytest.fixture
def official(monkeypatch):
    monkeypatch.setenv("HARNESS_ASSETS", str(official_assets_folder()))
    found = assets.find_official()
    assert found is not None
    return found


@pytest.fixture(scope="session")
def generated(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        generate_assets.cache_clear()
        yield generate_assets()
    generate_assets.cache_clear()
