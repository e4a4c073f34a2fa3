"""Part of an image as an image of its own; nothing is read before it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box
from napari_unet.image.source import ImageSource


@dataclass(frozen=True, eq=False)
class CroppedArray:
    """A box of another array.

    ::

        array    |------------------------------|
        spans          |----------|                 one slice per axis
        cropped        |0  1  2 … |

    Parameters
    ----------
    array : array-like
        Anything with ``shape``, ``dtype`` and ``[ints and slices]``: numpy, dask, zarr.
    spans : tuple of slice
        One per axis, with explicit start and stop inside the array and no step.
    """

    array: Any
    spans: tuple[slice, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the box."""
        return tuple(span.stop - span.start for span in self.spans)

    @property
    def ndim(self) -> int:
        """Number of axes, as many as the array has."""
        return len(self.spans)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        """Read a region by ints and slices of step 1, one per axis; fewer, or an ellipsis, stand for the rest."""
        return np.asarray(self.array[tuple(map(_shifted, filled(key, self.ndim), self.spans))])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)


def crop_source(source: ImageSource, t: int, box: Box) -> ImageSource:
    """Return a box of one time point of an image, with the same axes, channels and voxel size.

    Parameters
    ----------
    source : ImageSource
        The image.
    t : int
        Time point; the T axis, where there is one, has the length 1 afterwards.
    box : tuple of slice
        (z, y, x) inside the image.

    Returns
    -------
    ImageSource
        It has no file of its own, and is one level of nothing.
    """
    spans: Mapping[str, slice] = {"T": slice(t, t + 1), **dict(zip("ZYX", box, strict=True))}
    lengths = zip(source.axes, source.data.shape, strict=True)
    cut = tuple(spans.get(letter, slice(0, int(length))) for letter, length in lengths)
    return replace(source, data=CroppedArray(source.data, cut), path=None, level=0, levels=1)


def filled(key: Any, ndim: int) -> tuple[Any, ...]:
    """Return an index with one entry per axis.

    Parameters
    ----------
    key : int, slice, ellipsis or tuple of them
        An index.
    ndim : int
        Number of axes.
    """
    entries = key if isinstance(key, tuple) else (key,)
    at = next((i for i, entry in enumerate(entries) if entry is Ellipsis), len(entries))
    before, after = entries[:at], entries[at + 1 :]
    return (*before, *(slice(None),) * (ndim - len(before) - len(after)), *after)


def _shifted(entry: Any, span: slice) -> Any:
    """Return an index into the whole for one into the span."""
    length = span.stop - span.start
    if isinstance(entry, slice):
        start, stop, step = entry.indices(length)
        return slice(span.start + start, span.start + max(start, stop), step)
    index = int(entry)
    if not -length <= index < length:
        raise IndexError(f"index {index} is out of bounds for an axis of length {length}")
    return span.start + (index % length)
