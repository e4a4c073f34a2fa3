"""Draw what the built-in models find: for the docs, or the best, median and worst image kept for testing.

    python scripts/draw_models.py docs/images
    python scripts/draw_models.py FOLDER --recipe recipes/NAME.toml --data DATA

The pictures of the docs show generated images and scikit-image's stained tissue. With --recipe those of the test images
in DATA are drawn on which the built-in model of the recipe has its best, median and worst score.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage.data import immunohistochemistry
from skimage.segmentation import mark_boundaries

from napari_unet.cli.mistakes import write_mistakes
from napari_unet.image.foam import cells
from napari_unet.image.normalize import Statistics
from napari_unet.image.synthetic import nuclei_2d, nuclei_3d
from napari_unet.inference.labels.objects import decode
from napari_unet.inference.predictor import Predictor
from napari_unet.learning.pretraining.recipe import read_recipe
from napari_unet.model.checkpoint import load_checkpoint
from release_model import SHOWN, read_samples, scores_of

Floats = npt.NDArray[np.float32]
TIMES = 2  # how much larger than the image


def draw_docs(folder: Path) -> None:
    """Draw each model that segments on an image that anybody may use."""
    _outlined(folder / "nuclei-2d.png", "nuclei-2d", nuclei_2d((256, 256), seed=4)[0], "YX")
    tissue = np.ascontiguousarray(immunohistochemistry()[:256, :256])
    _outlined(folder / "nuclei-2d-tissue.png", "nuclei-2d", tissue, "YXC")
    _outlined(folder / "nuclei-3d.png", "nuclei-3d", nuclei_3d((40, 160, 160), seed=4, radius=9.0)[0], "ZYX")
    _outlined(folder / "membranes-3d.png", "membranes-3d", cells((40, 160, 160), seed=4)[0], "ZYX")


def _outlined(path: Path, name: str, image: npt.NDArray[Any], axes: str) -> None:
    """Write the image, or the plane in its middle, beside the same with the outlines of what was found."""
    labels = np.asarray(Predictor(load_checkpoint(name), device="cpu").segment(image, axes=axes))
    if axes[0] == "Z":
        image, labels = image[len(image) // 2], labels[len(labels) // 2]
    gray = image if axes[-1] == "C" else np.repeat(image[..., np.newaxis], 3, -1)
    low, high = np.percentile(gray, (0.5, 99.8))
    shown = np.clip((gray - low) / (high - low), 0, 1)
    large = shown.repeat(TIMES, 0).repeat(TIMES, 1)
    marked = mark_boundaries(large, labels.repeat(TIMES, 0).repeat(TIMES, 1), color=(1, 0.8, 0), mode="inner")
    Image.fromarray((255 * np.concatenate((large, marked), 1)).astype(np.uint8)).save(path, optimize=True)


def draw_tests(folder: Path, path: Path, data: Path) -> None:
    """Draw right and wrong on the test images with the best, the median and the worst score."""
    recipe = read_recipe(path)
    checkpoint = load_checkpoint(recipe.name)
    header = checkpoint.header
    predictor = Predictor(checkpoint, device="cpu")
    as_it_is = Statistics((0.0,) * header.in_channels, (1.0,) * header.in_channels, "given")
    found = []
    for one in recipe.data:
        for sample in read_samples(recipe, one, data, path.parent, ("test",)):
            axes = "CYX" if header.ndim == 2 else "CZYX"
            labels = decode(predictor.predict(sample.image, axes, statistics=as_it_is), header.output)
            value = scores_of(checkpoint, sample.labels, labels)[SHOWN[header.output.kind][0]]
            found.append((value, sample, labels))
    found.sort(key=lambda item: item[0])
    for title, index in (("worst", 0), ("median", len(found) // 2), ("best", -1)):
        value, sample, labels = found[index]
        target = folder / f"{recipe.name}-{title}.png"
        truth, labels = (a.reshape((1,) * (4 - a.ndim) + a.shape).astype(np.int64) for a in (sample.labels, labels))
        image = sample.image if header.ndim == 3 else sample.image[:, np.newaxis]
        write_mistakes(target, _plane(image), truth, labels, header.output.kind == "classes")
        print(f"{target}: {sample.name}, {SHOWN[header.output.kind][0]} {value:.3f}")


def _plane(image: Floats) -> Callable[[int, int], Floats]:
    """Return a function that gives the plane (Y, X), or in colour (Y, X, 3), of an image (C, Z, Y, X)."""
    return lambda t, z: np.moveaxis(image[:, z], 0, -1) if len(image) == 3 else image[0, z]


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", type=Path)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.recipe is None:
        draw_docs(options.folder)
    else:
        draw_tests(options.folder, options.recipe, options.data)


if __name__ == "__main__":
    main()
