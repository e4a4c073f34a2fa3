"""Train the built-in ``nuclei-2d`` model on the DSB 2018 nuclei (BBBC038v1, CC0).

    python scripts/train_nuclei_2d.py DATA --state STATE.pt --minutes 75

The state is saved every two minutes, and a run that is started again continues. One core is enough.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed
from torch.nn import functional

from napari_unet.model.config import UNetConfig
from napari_unet.model.unet import UNet
from nuclei_2d_data import Sample, crop, draw_weights, load

CONFIG = UNetConfig(ndim=2, in_channels=3, out_channels=3, features=(16, 32, 64, 128, 256))
SIZE, BATCH, RATE, SEED = 192, 12, 2e-3, 7
SAVE_EVERY, SCORE_EVERY = 120.0, 420.0
CLASS_WEIGHTS = (1.0, 1.0, 2.0, 6.0)  # background, interior, boundary, boundary between touching objects


class Training:
    """Network, running average of its weights, optimizer and clock: all that a run needs to go on."""

    def __init__(self, state: Path) -> None:
        torch.manual_seed(SEED)
        self.path = state
        self.network = UNet(CONFIG).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=RATE, weight_decay=1e-3)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.step, self.elapsed = 0, 0.0
        if state.exists():
            saved = torch.load(state, weights_only=True)
            self.network.load_state_dict(saved["network"])
            self.average.load_state_dict(saved["average"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.step, self.elapsed = saved["step"], saved["elapsed"]

    def save(self) -> None:
        """Write the state beside the old one, then replace it."""
        temporary = self.path.with_suffix(".new")
        values = {"step": self.step, "elapsed": self.elapsed, "optimizer": self.optimizer.state_dict()}
        networks = {"network": self.network.state_dict(), "average": self.average.state_dict()}
        torch.save({**values, **networks}, temporary)
        os.replace(temporary, self.path)

    def update(self, images: NDArray[np.float32], target: NDArray[np.int64], progress: float) -> float:
        """Take one step; `progress` runs from 0 to 1 over the budget."""
        warm = min(1.0, (self.step + 1) / 50)
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))
        self.network.train()
        batch = torch.from_numpy(images).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(batch)
        value = loss(logits.float(), torch.from_numpy(target))
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self._follow(min(0.997, (1 + self.step) / (10 + self.step)))
        return float(value.detach())

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        """Average weights and batch statistics alike, so that they belong together."""
        current = self.network.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[name].float(), 1 - decay)
            else:
                value.copy_(current[name])


def loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Class-weighted cross entropy plus soft Dice over interior and boundary.

    Target 3, the boundary between touching objects, is a boundary that counts more.
    """
    weight = torch.tensor(CLASS_WEIGHTS)[target]
    classes = target.clamp(max=2)
    entropy = (functional.cross_entropy(logits, classes, reduction="none") * weight).sum() / weight.sum()
    scores = logits.softmax(1)[:, 1:]
    truth = functional.one_hot(classes, 3).permute(0, 3, 1, 2)[:, 1:].float()
    overlap = (scores * truth).sum((0, 2, 3))
    total = (scores + truth).sum((0, 2, 3))
    return entropy + 1 - ((2 * overlap + 1) / (total + 1)).mean()


@torch.no_grad()
def scores_of(network: torch.nn.Module, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores (3, Y, X) of a normalized image (C, Y, X), mirrored up to a multiple of 16."""
    height, width = image.shape[1:]
    padded = np.pad(image, ((0, 0), (16, 16 + -height % 16), (16, 16 + -width % 16)), mode="reflect")
    batch = torch.from_numpy(np.repeat(padded, 3 // len(padded), 0))[None]
    scores = network(batch.to(memory_format=torch.channels_last)).softmax(1)[0]
    return np.asarray(scores[:, 16 : 16 + height, 16 : 16 + width].numpy())


def objects_of(scores: NDArray[np.float32]) -> NDArray[np.int32]:
    """Seeds where the interior wins, grown over the foreground."""
    foreground = scores[0] < 0.5
    seeds, _ = ndimage.label(scores[1] > np.maximum(0.5, scores[2]))
    areas = np.bincount(seeds.ravel())
    seeds[areas[seeds] < 6] = 0
    return np.asarray(watershed(-scores[1], seeds, mask=foreground), dtype=np.int32)


def average_precision(truth: NDArray[np.int32], labels: NDArray[np.int32], threshold: float = 0.5) -> float:
    """TP / (TP + FP + FN) at an IoU threshold of at least 0.5; 1 for two empty images."""
    _, truth_index = np.unique(truth, return_inverse=True)
    _, label_index = np.unique(labels, return_inverse=True)
    n_truth, n_labels = len(np.unique(truth)), len(np.unique(labels))
    table = np.zeros((n_truth, n_labels))
    np.add.at(table, (truth_index.ravel(), label_index.ravel()), 1)
    union = table.sum(1, keepdims=True) + table.sum(0, keepdims=True) - table
    overlaps = (table / union)[int(truth.min() == 0) :, int(labels.min() == 0) :]
    hits = int((overlaps > threshold).sum())
    total = overlaps.shape[0] + overlaps.shape[1] - hits
    return hits / total if total else 1.0


def score(network: torch.nn.Module, samples: list[Sample]) -> dict[str, float]:
    """Mean AP at IoU 0.5 over the images of each category."""
    values: dict[str, list[float]] = {}
    for sample in samples:
        value = average_precision(sample.labels, objects_of(scores_of(network, sample.image)))
        values.setdefault(sample.group.split("-")[0], []).append(value)
    return {group: round(float(np.mean(numbers)), 4) for group, numbers in sorted(values.items())}


def train(training: Training, folder: Path, seconds: float, groups: str = "") -> None:
    """Run until the budget is spent, on the images whose group begins with `groups`."""
    samples, validation = (
        [sample for sample in load(folder, part) if sample.group.startswith(groups)] for part in ("train", "validation")
    )
    weights = draw_weights(samples)
    print(f"{len(samples)} training and {len(validation)} validation images", flush=True)
    last = time.monotonic()
    saved = scored = training.elapsed
    losses: list[float] = []
    while training.elapsed < seconds:
        generator = np.random.default_rng((SEED, training.step))
        chosen = generator.choice(len(samples), BATCH, p=weights)
        images, target = zip(*(crop(samples[index], SIZE, generator) for index in chosen), strict=True)
        losses.append(training.update(np.stack(images), np.stack(target), training.elapsed / seconds))
        training.elapsed, last = training.elapsed + time.monotonic() - last, time.monotonic()
        if training.step % 20 == 0:
            print(f"{training.elapsed:7.0f} s  step {training.step}  loss {np.mean(losses):.4f}", flush=True)
            losses.clear()
        if training.elapsed - saved > SAVE_EVERY:
            training.save()
            saved = training.elapsed
        if training.elapsed - scored > SCORE_EVERY:
            print(f"validation {score(training.average, validation)}", flush=True)
            scored = training.elapsed
    training.save()
    print(f"validation {score(training.average, validation)}", flush=True)


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the data set")
    parser.add_argument("--state", type=Path, required=True, help="where the run's state is kept")
    parser.add_argument("--minutes", type=float, default=75.0)
    parser.add_argument("--groups", default="", help="only images whose group begins so, such as fluo")
    options = parser.parse_args()
    torch.set_num_threads(1)
    train(Training(options.state), options.data, options.minutes * 60, options.groups)


if __name__ == "__main__":
    main()
