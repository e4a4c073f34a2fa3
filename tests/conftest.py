"""What all tests share: the folder of real images, required in CI."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests on real images where those are absent; in CI their absence is an error."""
    needing = [item for item in items if item.get_closest_marker("shared_data")]
    if not needing or SHARED_DATA.is_dir():
        return
    if os.environ.get("CI") == "true":
        raise pytest.UsageError(f"CI needs the real images, and {SHARED_DATA} does not exist.")
    config.hook.pytest_deselected(items=needing)
    items[:] = [item for item in items if item not in set(needing)]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real images; the test must be marked ``shared_data``."""
    return SHARED_DATA


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what tests measure out of the user's cache folder, also in processes that they start."""
    os.environ["NAPARI_UNET_CACHE"] = str(tmp_path_factory.mktemp("cache"))
