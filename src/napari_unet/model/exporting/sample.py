"""The test values of a package: a real patch, what the network makes of it, and a picture of both."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from napari_unet.errors import OutputError
from napari_unet.image.normalize import Normalization, apply, measure
from napari_unet.image.source import ImageSource
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.exporting.programs import legal_near, legal_of, scores_of
from napari_unet.model.header import CheckpointHeader

SIDE = {2: 256, 3: 64}  # wanted of a patch, in y and x
DEPTH = 32
COVER = 256  # pixels of each of the two halves

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """A patch as the package stores it.

    Parameters
    ----------
    given, expected : ndarray of float32
        Raw intensities and scores, (1, C, [Z], Y, X).
    normalization : Normalization
        What the package does to an image; fixed if it is to be the same in every tile.
    minimum, halo : tuple of int
        Smallest input, and the margin of a tile that does not count, per spatial axis.
    cover : bytes
        A PNG: the patch, and beside it what was found.
    """

    given: Values
    expected: Values
    normalization: Normalization
    minimum: tuple[int, ...]
    halo: tuple[int, ...]
    cover: bytes


def make_sample(checkpoint: Checkpoint, example: ImageSource, fixed: bool) -> Sample:
    """Cut a patch out of the middle of an image, and compute what the package must give for it.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    example : ImageSource
        An image of the kind that the model is for, with the model's channels.
    fixed : bool
        Take the intensities of this image for those of every image, so that each tile is normalized alike.

    Raises
    ------
    OutputError
        If the image has other channels, or no Z for a 3D model.
    """
    header = checkpoint.header
    source = _matched(example, header)
    patch = _patch(source, checkpoint)
    least, steps = legal_of(checkpoint)
    known = zip(checkpoint.geometry.halo, patch.shape[1:], steps, strict=True)
    halo = tuple(min(reach, max(0, length - max(step, 1)) // 2) for reach, length, step in known)
    normalization = header.normalization
    statistics = measure(source, normalization)
    if fixed and normalization.method in ("percentile", "zscore"):
        normalization = replace(
            normalization, method="fixed", offset=statistics.offset, scale=statistics.scale, per_channel=True
        )
    axes = header.axes
    ready = apply(patch, measure(ImageSource(patch, axes, "patch"), normalization), normalization)
    with torch.inference_mode():
        expected = scores_of(checkpoint)(torch.from_numpy(ready[np.newaxis])).numpy()
    grown = zip(least, steps, halo, strict=True)
    minimum = tuple(low + (step * max(0, -(-(2 * h + 1 - low) // step)) if step else 0) for low, step, h in grown)
    cover = _cover(patch, expected[0], header)
    return Sample(patch[np.newaxis], np.ascontiguousarray(expected), normalization, minimum, halo, cover)


def _matched(example: ImageSource, header: CheckpointHeader) -> ImageSource:
    if example.n_channels != header.in_channels and header.repeat_gray and example.n_channels == 1:
        example = replace(example, channels=(0,) * header.in_channels)
    if example.n_channels != header.in_channels:
        raise OutputError(
            f"The example {example.name!r} has {example.n_channels} channels, the model takes {header.in_channels}.",
            "Choose the channels that feed the model.",
        )
    if header.ndim == 3 and example.shape[1] < 2:
        raise OutputError(f"The example {example.name!r} is no stack, but the model is 3D.", "Choose a stack.")
    return example


def _patch(source: ImageSource, checkpoint: Checkpoint) -> Values:
    """Return a legal patch (C, [Z], Y, X) from the middle of an image, mirrored where the image is small."""
    flat, shape = checkpoint.header.ndim == 2, source.shape[1:]
    most = (SIDE[2], SIDE[2]) if flat else (DEPTH, SIDE[3], SIDE[3])
    here = shape[1:] if flat else shape
    legal = legal_near(checkpoint, tuple(min(a, b) for a, b in zip(most, here, strict=True)))
    sizes = (1, *legal) if flat else legal
    start = [max(0, (length - size) // 2) for length, size in zip(shape, sizes, strict=True)]
    box = tuple(slice(a, min(a + size, n)) for a, size, n in zip(start, sizes, shape, strict=True))
    block = np.asarray(source.read(0, (box[0], box[1], box[2])), np.float32)
    missing = [(0, 0), *((0, size - n) for size, n in zip(sizes, block.shape[1:], strict=True))]
    block = np.nan_to_num(np.pad(block, missing, mode="symmetric"), posinf=0.0, neginf=0.0)
    return np.ascontiguousarray(block[:, 0] if flat else block)


def _cover(patch: Values, scores: Values, header: CheckpointHeader) -> bytes:
    """Return a PNG of the patch beside the highest-scoring classes."""
    gray, found = patch.mean(axis=0), scores
    if header.ndim == 3:
        middle = gray.shape[0] // 2
        gray, found = gray[middle], scores[:, middle]
    low, high = np.percentile(gray, (1, 99.8))
    shown = np.clip((gray - low) / max(float(high - low), 1e-6), 0, 1)
    left = np.repeat((shown * 255).astype(np.uint8)[..., np.newaxis], 3, axis=-1)
    classes = header.output.classes
    if header.output.kind == "classes":
        labels = found.argmax(axis=0)
    else:
        index = header.output.channels.index("interior") if "interior" in header.output.channels else 0
        labels = (found[index] >= 0.5).astype(int)
    right = left.copy()
    for value, info in list(enumerate(classes))[1:]:
        colour = np.array([int(info.color[n : n + 2], 16) for n in (1, 3, 5)])
        where = labels == value
        right[where] = (0.4 * right[where] + 0.6 * colour).astype(np.uint8)
    halves = [Image.fromarray(half).resize((COVER, COVER)) for half in (left, right)]
    cover = Image.new("RGB", (2 * COVER, COVER))
    cover.paste(halves[0], (0, 0))
    cover.paste(halves[1], (COVER, 0))
    stream = io.BytesIO()
    cover.save(stream, "PNG")
    return stream.getvalue()


def npy_bytes(values: Values) -> bytes:
    """Return an array as the bytes of an .npy file."""
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=False)
    return stream.getvalue()
