"""Held-back images, and the same images disturbed."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from imageio.v3 import imread as read_png
from scipy import ndimage
from tifffile import imread as read_tiff

Array = npt.NDArray[np.generic]

SPLIT = Path(__file__).parents[2] / "recipes" / "nuclei-2d.csv"
FLUORESCENCE = "fluorescence, all"
GROUPS = ("fluo-small", "fluo-large", FLUORESCENCE, "he_color", "gray_bright")
SMALL = 400  # pixels of height below which an image is "fluo-small"
SNR = 3.0


@dataclass(frozen=True, eq=False)
class Case:
    """One image (Y, X) or (Y, X, 3) with the truth (Y, X), and the groups that it counts in."""

    name: str
    groups: tuple[str, ...]
    image: Array
    truth: npt.NDArray[np.int32]

    @property
    def axes(self) -> str:
        """Letters of the image's dimensions."""
        return "YX" if self.image.ndim == 2 else "YXC"


def held_back(folder: Path, part: str = "test", split: Path = SPLIT, limit: int | None = None) -> Iterator[Case]:
    """Yield images of the Data Science Bowl 2018 that the built-in model was neither trained nor chosen on.

    Parameters
    ----------
    folder : Path
        With ``manifest.csv``, ``images`` and ``labels``.
    part : str
        Of the split.
    split : Path
        A CSV with the columns id and part.
    limit : int, optional
        At most so many per category.
    """
    with split.open(newline="") as stream:
        chosen = {row["id"] for row in csv.DictReader(stream) if row["part"] == part}
    taken: dict[str, int] = {}
    with (folder / "manifest.csv").open(newline="") as stream:
        rows = sorted(csv.DictReader(stream), key=lambda row: row["id"])
    for row in rows:
        category = row["category"]
        if row["id"] not in chosen or (limit is not None and taken.get(category, 0) >= limit):
            continue
        taken[category] = taken.get(category, 0) + 1
        groups: tuple[str, ...] = (category,)
        if category == "fluo":
            groups = ("fluo-small" if int(row["h"]) < SMALL else "fluo-large", FLUORESCENCE)
        image = np.asarray(read_png(folder / "images" / f"{row['id']}.png"))
        labels = np.asarray(read_tiff(folder / "labels" / f"{row['id']}.tif")).astype(np.int32)
        yield Case(row["id"], groups, image[..., :3] if image.ndim == 3 else image, labels)


def magnified(case: Case, factor: float) -> Case:
    """Return an image as another objective would show it; where it shrinks, neighbours are averaged first."""
    blur = (max(0.0, 0.5 / factor - 0.5),) * 2 + (0.0,) * (case.image.ndim - 2)
    zoom = (factor, factor) + (1,) * (case.image.ndim - 2)
    smooth = ndimage.gaussian_filter(case.image.astype(np.float32), blur)
    image = ndimage.zoom(smooth, zoom, order=1, grid_mode=True, mode="nearest")
    truth = ndimage.zoom(case.truth, factor, order=0, grid_mode=True, mode="nearest")
    return replace(case, image=image.astype(np.float32), truth=truth)


def inverted(case: Case) -> Case:
    """Return the negative."""
    return replace(case, image=case.image.max() - case.image)


def offset(case: Case) -> Case:
    """Return the image as a 16-bit camera with a large offset would give it."""
    return replace(case, image=(20_000 + 60 * case.image.astype(np.uint16)).astype(np.uint16))


def gamma(case: Case, exponent: float) -> Case:
    """Return the image with a non-linear brightness."""
    low, high = float(case.image.min()), float(case.image.max())
    unit = (case.image.astype(np.float32) - low) / max(high - low, 1e-9)
    return replace(case, image=(255 * unit**exponent).astype(np.float32))


def noisy(case: Case) -> Case:
    """Return the image with Gaussian noise: the objects' contrast is `SNR` times its standard deviation."""
    image = case.image.astype(np.float32)
    inside = case.truth > 0
    contrast = abs(float(image[inside].mean() - image[~inside].mean())) if inside.any() and not inside.all() else 1.0
    seed = int(case.name, 16) % 2**32 if all(c in "0123456789abcdef" for c in case.name) else 0
    noise = np.random.default_rng(seed).standard_normal(image.shape, dtype=np.float32)
    return replace(case, image=image + noise * np.float32(contrast / SNR))


DISTURBANCES: dict[str, Callable[[Case], Case]] = {
    "as they are": lambda case: case,
    "0.5× magnification": lambda case: magnified(case, 0.5),
    "2× magnification": lambda case: magnified(case, 2.0),
    "inverted contrast": inverted,
    "16 bits with an offset": offset,
    "gamma 0.5": lambda case: gamma(case, 0.5),
    "gamma 2": lambda case: gamma(case, 2.0),
    f"Gaussian noise, SNR {SNR:g}": noisy,
}
