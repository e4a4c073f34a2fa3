"""Patches for the peers' rules: images normalized for a network, cut, flipped and disturbed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from interactive_parts.work import Known
from napari_unet.image.normalize import apply, measure
from napari_unet.inference.channels import matched_source
from napari_unet.learning.targets import targets

if TYPE_CHECKING:
    from napari_unet.model.header import CheckpointHeader

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Size = tuple[int, int, int]

PATCH: dict[int, Size] = {2: (1, 256, 256), 3: (16, 96, 96)}


@dataclass(frozen=True, eq=False)
class Ready:
    """An image ready to be cut: ``image`` (C, Z, Y, X); ``target`` channel index and ``known`` (Z, Y, X)."""

    index: int
    image: Floats
    target: npt.NDArray[np.int64]
    known: Mask


def ready(one: Known, header: CheckpointHeader, labels: npt.NDArray[Any], known: Mask) -> Ready:
    """Normalize an image as the checkpoint asks and turn labels into the network's classes."""
    source, _ = matched_source(one.source, header)
    image = apply(source.read(0), measure(source, header.normalization), header.normalization)
    if len(image) == 1 and header.in_channels > 1:
        image = np.repeat(image, header.in_channels, 0)
    if header.ndim == 2:  # targets of objects look at the neighbours, which lie in the plane alone
        planes = [targets(labels[z], known[z], header.output) for z in range(len(labels))]
        target, certain = (np.stack(a) for a in zip(*planes, strict=True))
    else:
        target, certain = targets(labels, known, header.output)
    return Ready(one.index, image, target, certain)


def size_for(image: Ready, size: Size, divisor: tuple[int, ...]) -> Size:
    """Return a patch no larger than the image needs, of a size that the network takes."""
    steps = (1,) * (3 - len(divisor)) + tuple(divisor)
    shape = image.target.shape
    z, y, x = (-(-min(n, length) // step) * step for n, length, step in zip(size, shape, steps, strict=True))
    return z, y, x


def cut(image: Ready, size: Size, corner: tuple[int, ...]) -> tuple[Floats, npt.NDArray[np.int64], Mask]:
    """Cut a patch; beyond the image it is mirrored and unknown."""
    index, inside = [], []
    for start, n, length in zip(corner, size, image.target.shape, strict=True):
        place = np.arange(start, start + n)
        inside.append((place >= 0) & (place < length))
        place = place % (2 * length)
        index.append(np.where(place < length, place, 2 * length - 1 - place))
    grid = np.ix_(*index)
    known = image.known[grid] & (inside[0][:, None, None] & inside[1][:, None] & inside[2])
    return image.image[np.ix_(np.arange(len(image.image)), *index)], image.target[grid], known


def random_corner(image: Ready, size: Size, generator: np.random.Generator) -> tuple[int, ...]:
    """Return where a patch begins, anywhere in the image."""
    return tuple(int(generator.integers(max(0, n - s) + 1)) for n, s in zip(image.target.shape, size, strict=True))


def flipped(patch: tuple[Any, ...], generator: np.random.Generator) -> tuple[Any, ...]:
    """Flip along each in-plane axis with a chance of a half."""
    for axis in (-1, -2):
        if generator.random() < 0.5:
            patch = tuple(np.flip(a, axis) for a in patch)
    return patch


def disturbed(patch: tuple[Any, ...], generator: np.random.Generator, chance: float = 0.8) -> tuple[Any, ...]:
    """Bend, and add noise, salt and pepper, and changes of colour, each with a chance, as RootPainter does."""
    image, target, known = patch
    if generator.random() < chance:
        image, target, known = _bent(image, target, known, generator)
    span = float(np.ptp(image)) or 1.0
    if generator.random() < chance:
        image = image + generator.normal(0, span * 0.05 * generator.random(), image.shape)
    if generator.random() < chance:
        speck = generator.random(image.shape[1:])
        share = 0.01 * generator.random()
        image = np.where(speck < share, image.min(), np.where(speck > 1 - share, image.max(), image))
    if generator.random() < chance:
        image = image * generator.uniform(0.8, 1.25) + span * generator.uniform(-0.1, 0.1)
    return image.astype(np.float32), target, known


def _bent(image: Floats, target: npt.NDArray[np.int64], known: Mask, generator: np.random.Generator) -> tuple[Any, ...]:
    """Move pixels in-plane along a smooth random field, a few pixels at most."""
    height, width = target.shape[1:]
    field = [
        ndimage.zoom(generator.normal(0, 3, (6, 6)), (height / 6, width / 6), order=1)[:height, :width]
        for _ in range(2)
    ]
    rows, columns = np.indices((height, width)).astype(float) + np.stack(field)

    def moved(plane: npt.NDArray[Any], order: int) -> npt.NDArray[Any]:
        return ndimage.map_coordinates(plane, (rows, columns), order=order, mode="mirror")

    image = np.stack([[moved(plane, 1) for plane in channel] for channel in image])
    target = np.stack([moved(plane, 0) for plane in target])
    return image, target, np.stack([moved(plane.astype(np.uint8), 0) for plane in known]) > 0
