"""The tasks: real images with truth, split by image (one image: by half, with a gap).

All images come from the project's folder of shared data; each set's licence stands with its loader.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from imageio.v3 import imread as read_png
from scipy import ndimage
from tifffile import imread

from interactive_parts.task import Example, Task
from napari_unet.image.source import ImageSource

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
SPLIT = ROOT / "recipes" / "nuclei-2d.csv"
PARENTS = Path(__file__).parents[1] / "parents"
PARENT = "nuclei-fluo.safetensors"
GENERAL = "start-{}d-without.safetensors"  # the recipe start-2d or -3d, trained without the sets of all tasks
FORGET = 24  # fluorescence test images that the forgetting is measured on, evenly spread over the list

Array = npt.NDArray[Any]


def make_task(name: str, parents: Path = PARENTS, dev: bool = False, data: Path = DATA) -> Task:
    """Load a task.

    Parameters
    ----------
    name : str
        One of `TASKS`.
    parents : Path
        Folder that holds `PARENT` and `GENERAL`.
    dev : bool
        Split the *training* images once more and leave the test images unread, so that methods can be tuned.
    data : Path
        The shared data.
    """
    task = TASKS[name](data, str(parents / PARENT), dev)
    needed = Path(task.parent) if task.parent else parents / GENERAL.format(task.ndim)
    if not needed.exists():
        raise SystemExit(f"{needed} is missing, which the task {name!r} starts from; see {PARENTS.name}/README.md.")
    return task if task.parent else replace(task, general=str(needed))


def he(data: Path, parent: str, dev: bool) -> Task:
    """H&E nuclei from a parent that knows fluorescence alone; BBBC038v1 (DSB 2018 stage 1), CC0."""
    return _nuclei("he", "he_color", data, parent, dev)


def bf(data: Path, parent: str, dev: bool) -> Task:
    """Stained cells in bright-field, gray, from the same parent; the middle 512 × 512 px; BBBC038v1, CC0."""
    return _nuclei("bf", "gray_bright", data, parent, dev)


def sem(data: Path, parent: str, dev: bool) -> Task:
    """Myelinated axons in scanning electron microscopy, three classes, from nothing.

    axondeepseg/data-testing, MIT. The test images have other pixel sizes than the training images.
    """
    folder = data / "axondeepseg_sem"

    def load(name: str, size: int | None = None) -> Example:
        image, truth = read_png(folder / f"{name}_image.png"), imread(folder / f"{name}_classes.tif")
        return _example(name, _middle(image, size), _middle(truth, size))

    if dev:
        train, test = [load("demo_sem", 768)], [load("train0"), load("train1")]
    else:
        train = [load("demo_sem", 768), load("train0"), load("train1")]
        test = [load("val0"), load("val1"), load("data2")]
    return Task("sem", "classes", 2, ("background", "myelin", "axon"), None, tuple(train), tuple(test))


def maize(data: Path, parent: str, dev: bool) -> Task:
    """Cell walls of a maize stem, confocal; from nothing; the left half trains, the right half tests.

    D. Legland, MorphoLibJ sample, CC-BY 4.0. The truth is a watershed's result; walls are the boundaries of its
    cells, 3 px wide.
    """
    image = imread(data / "bian_2d" / "maize_clsm.tif")
    truth = boundaries(imread(data / "bian_2d" / "maize_clsm_labels.tif"))
    train, test = _halves("maize", image, truth, 1, 32)
    if dev:
        train, test = _halves("maize-dev", train.source.data, train.truth[0], 0, 32)
    return Task("maize", "classes", 2, ("background", "wall"), None, (train,), (test,))


def a549(data: Path, parent: str, dev: bool) -> Task:
    """Cells in bright-field / phase contrast, two classes, from nothing; the middle 640 × 640 px.

    Nelson-Gon/cytounet, MIT. The truth is weak: the authors thresholded a fluorescence channel.
    """
    folder = data / "a549_brightfield"
    examples = [
        _example(
            f"a549-{n}",
            _middle(imread(folder / f"train_{n}_image.tif"), 640),
            (_middle(imread(folder / f"train_{n}_mask.tif"), 640) > 127).astype(np.int32),
        )
        for n in ((1, 2, 3) if dev else (1, 2, 3, 4, 5))
    ]
    cut = 2 if dev else 3
    return Task("a549", "classes", 2, ("background", "cell"), None, tuple(examples[:cut]), tuple(examples[cut:]))


def nuclei3d(data: Path, parent: str, dev: bool) -> Task:
    """Nuclei of Arabidopsis ovules in 3D, two classes, from nothing.

    kreshuklab/plant-seg tests, MIT. A volume by halves with a gap of 8 voxels, and two small volumes of another
    specimen, one on either side.
    """
    folder = data / "plantseg_ovules3d"
    image, truth = imread(folder / "1135_mini_raw.tif"), imread(folder / "1135_mini_label.tif") > 0
    scale = (0.284, 0.127, 0.127)
    train, test = _halves("1135", image, truth.astype(np.int32), 2, 8, scale)
    small = [
        _example(
            f"rgb{n}",
            imread(folder / "rgb" / f"rgb_3D_{n}.tiff"),
            (imread(folder / "rgb" / f"rgb_3D_{n}_segm.tiff") > 0).astype(np.int32),
        )
        for n in ((0,) if dev else (0, 1))
    ]
    if dev:
        train, test = _halves("1135-dev", train.source.data, train.truth, 1, 8, scale)
        return Task("nuclei3d", "classes", 3, ("background", "nucleus"), None, (train, small[0]), (test,))
    return Task("nuclei3d", "classes", 3, ("background", "nucleus"), None, (train, small[0]), (test, small[1]))


def membranes3d(data: Path, parent: str, dev: bool) -> Task:
    """Cell membranes of an Arabidopsis ovule in 3D, two classes, from nothing; by halves with a gap of 16 voxels.

    kreshuklab/plant-seg tests, MIT. Membranes are the boundaries of the labelled cells, 3 voxels wide.
    """
    folder = data / "plantseg_ovules3d"
    image, cells = imread(folder / "sample_ovule_raw.tif"), imread(folder / "sample_ovule_label.tif")
    train, test = _halves("ovule", image, boundaries(cells), 2, 16)
    if dev:
        train, test = _halves("ovule-dev", train.source.data, train.truth, 1, 16)
    return Task("membranes3d", "classes", 3, ("background", "membrane"), None, (train,), (test,))


TASKS: dict[str, Callable[[Path, str, bool], Task]] = {
    task.__name__: task for task in (he, bf, sem, maize, a549, nuclei3d, membranes3d)
}


def boundaries(cells: Array) -> npt.NDArray[np.int32]:
    """Return 1 where two different cells are within one voxel of the line between them: 3 voxels wide."""
    line = np.zeros(cells.shape, bool)
    for axis in range(cells.ndim):
        here = [slice(None)] * cells.ndim
        there = [slice(None)] * cells.ndim
        here[axis], there[axis] = slice(None, -1), slice(1, None)
        line[tuple(here)] |= cells[tuple(here)] != cells[tuple(there)]
    return ndimage.binary_dilation(line, np.ones((3,) * cells.ndim)).astype(np.int32)


def fluorescence(data: Path = DATA, most: int = FORGET) -> tuple[Example, ...]:
    """Return fluorescence images that the parent never saw (the test part of its split)."""
    names = _names(data, "fluo", "test")
    return tuple(_nucleus_image(data, names[i * len(names) // most], None) for i in range(min(most, len(names))))


def _nuclei(name: str, category: str, data: Path, parent: str, dev: bool) -> Task:
    size = 512 if category == "gray_bright" else None
    names = _names(data, category, "train")
    inner = _inner_split(names) if dev else (_names(data, category, "test"), names)
    test, train = (tuple(_nucleus_image(data, n, size) for n in part) for part in inner)
    forget = () if dev else fluorescence(data)
    return Task(name, "instances", 2, ("background", "nucleus"), parent, train, test, forget)


def _names(data: Path, category: str, part: str) -> list[str]:
    with (data / "dsb2018" / "manifest.csv").open(newline="") as stream:
        kept = [row["id"] for row in csv.DictReader(stream) if row["category"] == category]
    with SPLIT.open(newline="") as stream:
        parts = {row["id"]: row["part"] for row in csv.DictReader(stream)}
    return sorted(name for name in kept if parts[name] == part)


def _inner_split(names: list[str]) -> tuple[list[str], list[str]]:
    """Split training images again: clusters of near duplicates stay together, every fourth goes to the first part."""
    with SPLIT.open(newline="") as stream:
        cluster = {row["id"]: int(row["cluster"]) for row in csv.DictReader(stream)}
    apart = sorted({cluster[name] for name in names})[::4]
    return [n for n in names if cluster[n] in apart], [n for n in names if cluster[n] not in apart]


def _nucleus_image(data: Path, name: str, size: int | None) -> Example:
    folder = data / "dsb2018"
    image, truth = read_png(folder / "images" / f"{name}.png"), imread(folder / "labels" / f"{name}.tif")
    return _example(name, _middle(image, size), _middle(truth, size))


def _middle(image: Array, size: int | None) -> Array:
    if size is None:
        return image
    y, x = ((n - min(n, size)) // 2 for n in image.shape[:2])
    return image[y : y + size, x : x + size]


def _halves(
    name: str, image: Array, truth: Array, axis: int, gap: int, scale: tuple[float, float, float] | None = None
) -> tuple[Example, Example]:
    """Cut an image in two along an axis and drop `gap` voxels between them."""
    middle = image.shape[axis] // 2
    ends = (slice(0, middle - gap // 2), slice(middle + gap // 2, None))
    first, second = (
        _example(f"{name}-{n}", image[(slice(None),) * axis + (end,)], truth[(slice(None),) * axis + (end,)], scale)
        for n, end in enumerate(ends)
    )
    return first, second


def _example(name: str, image: Array, truth: Array, scale: tuple[float, float, float] | None = None) -> Example:
    rgb = image.ndim == 3 and image.shape[-1] in (3, 4)
    axes = "YXC" if rgb else "ZYX"[3 - image.ndim :]
    data = np.ascontiguousarray(image[..., :3] if rgb else image)
    source = ImageSource.from_array(data, axes=axes, name=name, rgb=rgb)
    if scale is not None:
        source = replace(source, scale=scale, scale_origin="file")
    truth = np.ascontiguousarray(truth).astype(np.int32)
    return Example(source, truth if truth.ndim == 3 else truth[None])
