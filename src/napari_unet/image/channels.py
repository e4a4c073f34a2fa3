"""Separate images (layers, files) as the channels of one, read only when needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import ImageError
from napari_unet.image.axes import from_canonical, label_axes
from napari_unet.image.source import ImageSource


class _ChannelStack:
    """Several sources as one lazy array with a leading channel axis."""

    def __init__(self, sources: tuple[ImageSource, ...], axes: str) -> None:
        self.sources = sources
        self.axes = axes
        self.counts = tuple(source.n_channels for source in sources)
        lengths = dict(zip("TZYX", sources[0].shape, strict=True))
        self.shape = (sum(self.counts), *(lengths[letter] for letter in axes))
        self.ndim = len(self.shape)
        self.dtype = np.result_type(*(source.dtype for source in sources))

    def __getitem__(self, key: tuple[slice | int, ...]) -> npt.NDArray[Any]:
        """Read only the sources whose channels are asked for."""
        spans = {
            letter: range(*_as_slice(k).indices(n))
            for letter, k, n in zip("C" + self.axes, key, self.shape, strict=True)
        }
        z, y, x = (spans.get(letter, range(1)) for letter in "ZYX")
        box = (slice(z.start, z.stop), slice(y.start, y.stop), slice(x.start, x.stop))
        parts = []
        start = 0
        for source, count in zip(self.sources, self.counts, strict=True):
            inside = [c - start for c in spans["C"] if start <= c < start + count]
            start += count
            if inside:
                times = [source.read(t, box)[inside] for t in spans.get("T", range(1))]
                parts.append(np.stack(times, axis=1).astype(self.dtype, copy=False))
        stacked = np.concatenate(parts)  # (C, T, Z, Y, X)
        ordered = np.stack([from_canonical(channel, self.axes) for channel in stacked])
        return ordered[tuple(0 if isinstance(k, int | np.integer) else slice(None) for k in key)]


def stack_channels(sources: Sequence[ImageSource]) -> ImageSource:
    """Join separate images into the channels of one, without reading them.

    Parameters
    ----------
    sources : sequence of ImageSource
        Images of one shape; each contributes its (chosen) channels in order.

    Returns
    -------
    ImageSource
        Axes, voxel size and path are those of the first.

    Raises
    ------
    ImageError
        If none is given or their shapes or voxel sizes differ.
    """
    if not sources:
        raise ImageError("No channels were given.", "Choose at least one image.")
    first = sources[0]
    if len(sources) == 1:
        return first
    for other in sources[1:]:
        if other.shape != first.shape:
            raise ImageError(
                f"The images {first.name!r} and {other.name!r} cannot be channels of one image: their "
                f"(T, Z, Y, X) are {first.shape} and {other.shape}.",
                "Choose images of one shape.",
            )
        if None not in (first.scale_um, other.scale_um) and not np.allclose(first.scale_um, other.scale_um, rtol=1e-3):  # type: ignore[arg-type]
            raise ImageError(
                f"The images {first.name!r} and {other.name!r} have different voxel sizes: "
                f"{first.scale_um} and {other.scale_um} µm.",
                "Resample one of them, or correct its voxel size.",
            )
    axes = label_axes(first.axes)
    stack = _ChannelStack(tuple(sources), axes)
    name = " + ".join(source.name for source in sources)
    return replace(first, data=stack, axes="C" + axes, name=name, rgb=False, channels=None)


def _as_slice(key: slice | int) -> slice:
    return key if isinstance(key, slice) else slice(int(key), int(key) + 1)
