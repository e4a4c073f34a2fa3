"""Small real networks for the tests of inference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.config import UNetConfig
from napari_unet.model.unet import UNet


def make(network: type[UNet] = UNet, *, output: Any = None, seed: int = 0, **options: Any) -> Checkpoint:
    """Return a checkpoint whose deep layers matter and whose batch norms have seen something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = network(UNetConfig(**{"features": (4, 8), "out_channels": 3, **options})).eval()
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
                nn.init.normal_(layer.running_mean, std=0.3)
                nn.init.uniform_(layer.running_var, 0.5, 2.0)
                nn.init.uniform_(layer.weight, 0.5, 2.0)
    config = module.config
    return Checkpoint.from_module(
        module,
        ndim=config.ndim,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        output=output,
        name="tiny",
    )


@pytest.fixture(scope="session")
def make_checkpoint() -> Callable[..., Checkpoint]:
    """Return the function that makes checkpoints."""
    return make
