"""Tiny real models and images on disk, and the command line called as a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tifffile
import torch

from napari_unet.cli import main
from napari_unet.image.synthetic import nuclei_2d
from napari_unet.model.checkpoint import Checkpoint, default_classes
from napari_unet.model.config import UNetConfig
from napari_unet.model.header import ClassInfo, Output


class Said(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Return a function that runs the command line with the given arguments."""

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


def tiny(kind: str, **options: object) -> Checkpoint:
    """Return a tiny network: "classes" or "instances"."""
    config = UNetConfig(features=(4, 8), **{"out_channels": 3, **options})
    if kind == "classes":
        return Checkpoint.from_config(config, default_classes(3), name="tiny-classes", seed=3)
    classes = (ClassInfo("background", "#000000"), ClassInfo("nucleus", "#e69f00"))
    output = Output("instances", "softmax", ("background", "interior", "boundary"), classes)
    torch.manual_seed(5)
    network = Checkpoint.from_config(config, default_classes(3), name="x", seed=5).network
    return Checkpoint.from_module(
        network, ndim=2, in_channels=config.in_channels, out_channels=3, output=output, name="tiny"
    )


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return checkpoint files by kind."""
    folder = tmp_path_factory.mktemp("models")
    return {kind: tiny(kind).save(folder / f"{kind}.safetensors") for kind in ("classes", "instances")}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder ``images`` beside ``labels``, each with two fields of generated nuclei."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for number in (2, 10):
        image, labels = nuclei_2d((96, 80), seed=number)
        tifffile.imwrite(tmp_path / "images" / f"field_{number}.tif", image)
        tifffile.imwrite(tmp_path / "labels" / f"field_{number}.tif", labels.astype(np.uint16))
    return tmp_path / "images"
