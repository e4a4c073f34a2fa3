"""Networks of other packages: saved there, opened here, tuned for ten steps, and given back.

These tests need the packages themselves and run in the tox environment ``families``; elsewhere they are skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_unet.learning.samples import TrainingRegion
from napari_unet.learning.trainer import Trainer, TrainSettings
from napari_unet.model.checkpoint import Checkpoint, load_checkpoint
from napari_unet.model.returning import write_original

DIFFERENCES: list[float] = []
Scores = Callable[[torch.Tensor], torch.Tensor]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def used() -> Callable[..., nn.Module]:
    """Return a function that lets a network see images, so that its statistics are not those of a new one."""

    def use(network: nn.Module, channels: int, size: tuple[int, ...]) -> nn.Module:
        network.train()
        with torch.no_grad():
            for layer in network.modules():
                if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d | nn.GroupNorm):
                    nn.init.uniform_(layer.weight, 0.5, 1.5)
                    nn.init.uniform_(layer.bias, -0.5, 0.5)
            network(2 * torch.randn(2, channels, *size) + 1)
        return network.eval()

    return use


def activated(checkpoint: Checkpoint, image: torch.Tensor) -> torch.Tensor:
    """Return the scores of a checkpoint."""
    with torch.no_grad():
        values = checkpoint.network(image)
    how = checkpoint.header.output.activation
    return values.softmax(1) if how == "softmax" else values.sigmoid() if how == "sigmoid" else values


def assert_equal(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Fail unless two scores differ by no more than 1e-5 of the largest one, or of 1."""
    assert found.shape == expected.shape
    difference = float((found - expected).abs().max()) / max(1.0, float(expected.abs().max()))
    DIFFERENCES.append(difference)
    assert difference <= 1e-5


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how far scores were apart."""
    if DIFFERENCES:
        terminalreporter.write_line(
            f"{len(DIFFERENCES)} pairs of scores compared: at most {max(DIFFERENCES):.1e} · max(1, largest score) apart"
        )


def tuned(checkpoint: Checkpoint) -> Checkpoint:
    """Return what ten steps of training make of a checkpoint."""
    header = checkpoint.header
    sizes = (1, 64, 64) if header.ndim == 2 else (32, 64, 64)
    rng = np.random.default_rng(0)
    labels = np.zeros(sizes, np.int32)
    labels[..., 16:40, 20:50] = 1
    image = (labels + 0.2 * rng.standard_normal((header.in_channels, *sizes))).astype(np.float32)
    region = TrainingRegion(image, labels, np.ones(sizes, bool), None, "square", 0, (0, 0, 0))
    patch = (1, 64, 64) if header.ndim == 2 else (32, 32, 32)
    settings = TrainSettings(steps=10, threads=1, device="cpu", batch=1, patch=patch, rate=1e-2)
    trainer = Trainer(checkpoint, [region], settings=settings)
    assert list(trainer.run())[-1].step == 10
    return trainer.result.checkpoint


@pytest.fixture
def round_trip(tmp_path: Path) -> Callable[..., Checkpoint]:
    """Return a function that opens a file, compares, tunes, gives back, and compares again."""

    def run(source: Path, image: torch.Tensor, scores: Scores, again: Callable[[Path], Scores]) -> Checkpoint:
        checkpoint = load_checkpoint(source)
        assert_equal(activated(checkpoint, image), scores(image))
        child = tuned(checkpoint)
        assert not torch.equal(activated(child, image), activated(checkpoint, image))
        kept = load_checkpoint(child.save(tmp_path / "tuned"))
        target = tmp_path / "back" if source.is_dir() else tmp_path / f"back{source.suffix}"
        write_original(kept, target)
        assert_equal(again(target)(image), activated(kept, image))
        assert_equal(activated(load_checkpoint(target), image), activated(kept, image))
        return checkpoint

    return run
