"""Images, split and augmentation for the built-in ``nuclei-2d`` model."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from imageio.v3 import imread as read_png
from numpy.typing import NDArray
from scipy import ndimage
from scipy.cluster.hierarchy import fcluster, linkage
from tifffile import imread as read_tiff

SPLIT_FILE = Path(__file__).parent.parent / "recipes" / "nuclei-2d.csv"
NEAR_DUPLICATE = 0.5  # distance between intensity statistics below which two images stay together
TEST_SHARE, VALIDATION_SHARE = 0.18, 0.10
# Share of the training crops per group; bright-field and H&E come more often than they are.
SHARES = {"fluo-small": 0.42, "fluo-large": 0.28, "he_color": 0.20, "gray_bright": 0.10}

Floats = NDArray[np.float32]
Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Sample:
    """One image: ``image`` (C, Y, X) normalized, C = 1 for gray; ``labels`` (Y, X)."""

    name: str
    group: str
    cluster: int
    image: Floats
    labels: Labels


def normalize(image: Floats) -> Floats:
    """Map percentiles 1 and 99.8 over all channels to 0 and 1."""
    low, high = np.percentile(image, (1.0, 99.8))
    return ((image - low) / (high - low if high > low else 1.0)).astype(np.float32)


def read_image(folder: Path, name: str) -> Floats:
    """Return (C, Y, X), C = 1 or 3."""
    image = np.asarray(read_png(folder / "images" / f"{name}.png"), dtype=np.float32)
    return image[None] if image.ndim == 2 else np.moveaxis(image[..., :3], -1, 0)


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as stream:
        return sorted(csv.DictReader(stream), key=lambda row: row["id"])


def make_split(folder: Path, seed: int = 2018) -> dict[str, tuple[str, int]]:
    """Split by clusters of near duplicates, so that crops of one well or slide stay together.

    Within a category and image size, images are linked (single linkage) when the intensity
    percentiles of their channels lie closer than ``NEAR_DUPLICATE``; whole clusters go to one part.

    Returns
    -------
    dict
        Image id → (part, cluster).
    """
    rows = _rows(folder)
    generator = np.random.default_rng(seed)
    groups: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        groups.setdefault((row["category"], row["h"], row["w"]), []).append(row["id"])
    split: dict[str, tuple[str, int]] = {}
    first = 0
    for (category, _, _), names in sorted(groups.items()):
        points = np.array([_fingerprint(read_image(folder, name), category) for name in names])
        clusters = fcluster(linkage(points, "single"), NEAR_DUPLICATE, "distance")
        room = {
            "test": int(np.ceil(TEST_SHARE * len(names))),
            "validation": int(np.ceil(VALIDATION_SHARE * len(names))),
        }
        for cluster in generator.permutation(np.unique(clusters)):
            members = [name for name, own in zip(names, clusters, strict=True) if own == cluster]
            part = next((part for part, free in room.items() if len(members) <= free), "train")
            if part != "train":
                room[part] -= len(members)
            split.update({name: (part, first + int(cluster)) for name in members})
        first += int(clusters.max())
    return split


def _fingerprint(image: Floats, category: str) -> Floats:
    statistics = np.percentile(image, (1, 10, 25, 50, 75, 90, 99), axis=(1, 2)).T.ravel()
    if category == "fluo":
        return np.log1p(np.repeat(statistics[None], 3, 0).ravel()).astype(np.float32)
    if len(image) == 1:
        statistics = np.repeat(statistics[None], 3, 0).ravel()
    return (statistics / 51.0).astype(np.float32)


def load_split(folder: Path) -> dict[str, tuple[str, int]]:
    """Read the recorded split, which `make_split` made."""
    with SPLIT_FILE.open(newline="") as stream:
        return {row["id"]: (row["part"], int(row["cluster"])) for row in csv.DictReader(stream)}


def load(folder: Path, part: str) -> list[Sample]:
    """Read one part of the split into memory, normalized."""
    split = load_split(folder)
    samples = []
    for row in _rows(folder):
        name = row["id"]
        if split[name][0] != part:
            continue
        group = row["category"]
        if group == "fluo":
            group = "fluo-small" if int(row["h"]) < 400 else "fluo-large"
        labels = np.asarray(read_tiff(folder / "labels" / f"{name}.tif")).astype(np.int32)
        samples.append(Sample(name, group, split[name][1], normalize(read_image(folder, name)), labels))
    return samples


def targets(labels: Labels) -> NDArray[np.int64]:
    """Background 0, interior 1, boundary 2, boundary between touching objects 3.

    The boundary is one pixel inside each object, and two pixels where objects touch.
    """
    inside = labels > 0
    filled = np.where(inside, labels, np.iinfo(np.int32).max)
    outer = ndimage.minimum_filter(labels, 3) != labels
    # The largest label within two pixels is foreign, or the smallest one that is no background.
    touching = (ndimage.maximum_filter(labels, 5) != labels) | (ndimage.minimum_filter(filled, 5) != labels)
    return np.where(inside & touching, 3, np.where(inside & outer, 2, inside)).astype(np.int64)


def draw_weights(samples: list[Sample]) -> NDArray[np.float64]:
    """Probability of each image: `SHARES` per group, and large clusters count less than their size."""
    clusters, counts = np.unique([s.cluster for s in samples], return_counts=True)
    size = dict(zip(clusters.tolist(), counts.tolist(), strict=True))
    weights = np.array([1.0 / np.sqrt(size[s.cluster]) for s in samples])
    groups = np.array([s.group for s in samples])
    for group, share in SHARES.items():
        weights[groups == group] *= share / weights[groups == group].sum()
    return weights / weights.sum()


def crop(sample: Sample, size: int, generator: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
    """Draw one augmented crop.

    Returns
    -------
    image : ndarray
        (3, size, size).
    target : ndarray
        (size, size), derived after scaling.
    """
    scale = float(np.exp(generator.uniform(np.log(0.5), np.log(2.0)) * generator.choice((0.4, 1.0))))
    source = round(size / scale)
    image, labels = _cut(sample, source, generator)
    if np.count_nonzero(labels) < 0.03 * labels.size:  # mostly background: try once more
        image, labels = _cut(sample, source, generator)
    image, labels = _resize(image, labels, size)
    turns, flip = int(generator.integers(4)), bool(generator.integers(2))
    image, labels = np.rot90(image, turns, (1, 2)), np.rot90(labels, turns)
    if flip:
        image, labels = image[:, :, ::-1], labels[:, ::-1]
    return _intensities(np.ascontiguousarray(image), generator), targets(np.ascontiguousarray(labels))


def _cut(sample: Sample, size: int, generator: np.random.Generator) -> tuple[Floats, Labels]:
    image, labels = sample.image, sample.labels
    for axis in (0, 1):
        length = labels.shape[axis]
        if length > size:
            start = int(generator.integers(length - size + 1))
            part = slice(start, start + size)
            labels = labels[part] if axis == 0 else labels[:, part]
            image = image[:, part] if axis == 0 else image[:, :, part]
    missing = [max(0, size - length) for length in labels.shape]
    if any(missing):
        pads = [(gap // 2, gap - gap // 2) for gap in missing]
        image = np.pad(image, [(0, 0), *pads], mode="symmetric")
        labels = np.pad(labels, pads, mode="symmetric")
    return image, labels


def _resize(image: Floats, labels: Labels, size: int) -> tuple[Floats, Labels]:
    if labels.shape == (size, size):
        return image, labels
    import torch

    scaled = torch.nn.functional.interpolate(
        torch.from_numpy(np.ascontiguousarray(image))[None], size=(size, size), mode="bilinear", antialias=True
    )
    rows = (np.arange(size) + 0.5) * labels.shape[0] / size
    columns = (np.arange(size) + 0.5) * labels.shape[1] / size
    return scaled[0].numpy(), labels[rows.astype(int)[:, None], columns.astype(int)[None]]


def _intensities(image: Floats, generator: np.random.Generator) -> Floats:
    if len(image) == 3:
        chance = generator.random()
        if chance < 0.15:  # stained tissue seen by a gray camera
            image = image.mean(0, keepdims=True)
        elif chance < 0.75:
            mixing = np.eye(3) + generator.normal(0, 0.08, (3, 3))
            image = np.tensordot(mixing, image, 1).astype(np.float32)
            image += generator.normal(0, 0.08, (3, 1, 1)).astype(np.float32)
    if len(image) == 1 and generator.random() < 0.1:
        image = 1.0 - image
    if generator.random() < 0.5:
        gamma = float(np.exp(generator.uniform(-0.6, 0.6)))
        image = np.sign(image) * np.abs(image) ** np.float32(gamma)
    if generator.random() < 0.6:
        image = image * np.float32(np.exp(generator.uniform(-0.5, 0.5))) + np.float32(generator.normal(0, 0.08))
    if generator.random() < 0.25:
        image = ndimage.gaussian_filter(image, (0, *(float(generator.uniform(0.4, 1.6)),) * 2))
    if generator.random() < 0.4:
        noise = generator.standard_normal(image.shape, dtype=np.float32)
        image = image + noise * np.float32(generator.uniform(0.01, 0.12))
    return np.repeat(image, 3, 0) if len(image) == 1 else image
