"""Which images are too large for labels in memory, and how much of one can be corrected at a time."""

from __future__ import annotations

from math import prod

from napari_unet.image.boxes import Box, Triple, as_box, clip, extent
from napari_unet.image.memory import memory_budget
from napari_unet.image.source import ImageSource

BYTES = 14  # per voxel of labels in memory: labels, shadow, prediction (4 each), known and changed (1 each)
AREA_VOXELS = 2**24  # of a work area: 4096 × 4096, or 64 planes of 512 × 512
AREA_EDGE = 4096


def is_large(source: ImageSource, memory_gb: float | None = None) -> bool:
    """Tell whether the labels of an image are kept on the disk instead of in memory.

    That is so for images with several levels of resolution, and for those whose labels would need more
    than the memory to work with.

    Parameters
    ----------
    source : ImageSource
        The image.
    memory_gb : float, optional
        Memory to work with in 10⁹ bytes; half of what is free when omitted.
    """
    return source.levels > 1 or prod(source.shape) * BYTES > memory_budget(memory_gb)


def area_box(view: Box, shape: Triple) -> Box:
    """Return the work area for a view: its middle if it is too large, and more planes if they fit.

    ::

        y, x   the view, or the 4096 voxels in its middle
        z      ··|·· view ··|··     as many planes around the one in view as fit

    Parameters
    ----------
    view : tuple of slice
        (z, y, x) inside the image.
    shape : tuple of int
        (Z, Y, X) of the image.
    """
    _, height, width = (min(n, AREA_EDGE) for n in extent(view))
    depth = min(shape[0], max(1, AREA_VOXELS // (height * width)))
    spans = [_around(s, n, length) for s, n, length in zip(view, (depth, height, width), shape, strict=True)]
    return clip(as_box([a for a, _ in spans], [b for _, b in spans]), shape)


def _around(span: slice, wanted: int, length: int) -> tuple[int, int]:
    """Return the ends of `wanted` voxels around the middle of a span, inside the image."""
    start = (span.start + span.stop - wanted) // 2
    start = min(max(start, 0), length - wanted)
    return start, start + wanted
