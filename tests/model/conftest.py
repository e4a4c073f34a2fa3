"""Small networks for the tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_unet.model.checkpoint import Checkpoint, default_classes
from napari_unet.model.config import UNetConfig


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def small() -> Checkpoint:
    """A checkpoint of two levels and three classes."""
    return Checkpoint.from_config(UNetConfig(features=(4, 8)), default_classes(3), name="small")


@pytest.fixture
def small_file(small: Checkpoint, tmp_path: Path) -> Path:
    return small.save(tmp_path / "small.safetensors")
