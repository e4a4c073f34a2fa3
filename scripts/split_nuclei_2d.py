"""Split the images of dsb2018 into training, validation and test, and write ``recipes/nuclei-2d.csv``.

    python scripts/split_nuclei_2d.py DATA

DATA is the folder that holds ``dsb2018``. Images of one slide or well must not be on two sides, but the data set does
not say which belong together: those whose intensity statistics nearly coincide are linked, and whole clusters go to one
part.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from imageio.v3 import imread
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

SPLIT = Path(__file__).parents[1] / "recipes" / "nuclei-2d.csv"
NEAR_DUPLICATE = 0.5  # distance between intensity statistics below which two images stay together
SHARES = {"test": 0.18, "validation": 0.10}  # of each category and image size; the rest trains
SMALL = 400  # px: fluorescence images below and above come from different microscopes

Floats = NDArray[np.float32]
Row = tuple[str, str, int, str]


def split(folder: Path, seed: int = 2018) -> list[Row]:
    """Return id, part, cluster and group of each image, sorted by id.

    Within a category and image size, images are linked (single linkage) when the intensity percentiles of their
    channels lie closer than `NEAR_DUPLICATE`.
    """
    with (folder / "manifest.csv").open(newline="") as stream:
        rows = sorted(csv.DictReader(stream), key=lambda row: row["id"])
    alike: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        alike.setdefault((row["category"], row["h"], row["w"]), []).append(row["id"])
    generator = np.random.default_rng(seed)
    found: list[Row] = []
    first = 0
    for (category, height, _), names in sorted(alike.items()):
        group = category if category != "fluo" else "fluo-small" if int(height) < SMALL else "fluo-large"
        points = np.array([_statistics(folder / "images" / f"{name}.png", category) for name in names])
        clusters = fcluster(linkage(points, "single"), NEAR_DUPLICATE, "distance")
        room = {part: int(np.ceil(share * len(names))) for part, share in SHARES.items()}
        for cluster in generator.permutation(np.unique(clusters)):
            members = [name for name, own in zip(names, clusters, strict=True) if own == cluster]
            part = next((part for part, free in room.items() if len(members) <= free), "train")
            if part in room:
                room[part] -= len(members)
            found += [(name, part, first + int(cluster), group) for name in members]
        first += int(clusters.max())
    return sorted(found)


def _statistics(path: Path, category: str) -> Floats:
    """Return seven percentiles of each of three channels; on a logarithmic scale for fluorescence."""
    image = np.asarray(imread(path), dtype=np.float32)
    channels = image[None] if image.ndim == 2 else np.moveaxis(image[..., :3], -1, 0)
    percentiles = np.percentile(channels, (1, 10, 25, 50, 75, 90, 99), axis=(1, 2)).T.ravel()
    if category == "fluo":
        return np.log1p(np.repeat(percentiles[None], 3, 0).ravel()).astype(np.float32)
    if len(channels) == 1:
        percentiles = np.repeat(percentiles[None], 3, 0).ravel()
    return (percentiles / 51.0).astype(np.float32)


def main() -> None:
    """Write the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, default=SPLIT)
    options = parser.parse_args()
    with options.output.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("id", "part", "cluster", "group"))
        writer.writerows(split(options.data / "dsb2018"))


if __name__ == "__main__":
    main()
