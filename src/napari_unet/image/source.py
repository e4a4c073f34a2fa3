"""ImageSource: an array, its axes, voxel size and name; numpy, dask and zarr alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import ImageError
from napari_unet.image.axes import infer_axes, parse_axes
from napari_unet.image.boxes import Box
from napari_unet.image.units import micrometres


@dataclass(frozen=True)
class ImageSource:
    """An image by reference: nothing is read before `read`.

    Parameters
    ----------
    data : array-like
        Anything with ``shape``, ``dtype``, ``ndim`` and ``[ints and slices]``.
    axes : str
        One letter of T, C, Z, Y, X per dimension of `data`, in any order.
    name : str
        Name to show.
    scale : tuple of float or None
        Voxel size (z, y, x) in `units`, always three numbers; None when unknown.
    units : str
        Unit of `scale`.
    scale_origin : {"layer", "file", "user", "unknown"}
        Where the voxel size was read from.
    rgb : bool
        C is colour; a fourth channel is transparency and is dropped.
    channels : tuple of int or None
        Which channels are read, in order; None for all.
    path : str or None
        File it came from.
    level, levels : int
        Which level of how many this is, where the image is a pyramid of resolutions; 0 is the finest.

    Raises
    ------
    ImageError
        If the image is empty, of a type that is no image, or the channels or voxel size do not fit.
    AxesError
        If the axes do not fit the shape.
    """

    data: Any
    axes: str
    name: str = "image"
    scale: tuple[float, ...] | None = None
    units: str = "µm"
    scale_origin: str = "unknown"
    rgb: bool = False
    channels: tuple[int, ...] | None = None
    path: str | None = None
    level: int = 0
    levels: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", parse_axes(self.axes, self.data.shape))
        if any(n != n for n in self.data.shape):
            raise ImageError(
                f"The size of the image {self.name!r} is unknown: shape {tuple(self.data.shape)}.",
                "Find it out first: dask does by compute_chunk_sizes().",
            )
        if 0 in self.data.shape:
            raise ImageError(
                f"The image {self.name!r} is empty: shape {tuple(self.data.shape)}.", "Choose an image with pixels."
            )
        if self.rgb and self._raw_channels not in (3, 4):
            raise ImageError(
                f"The image {self.name!r} is said to be RGB but has {self._raw_channels} channels; expected 3 or 4.",
                "Open it as a multi-channel image.",
            )
        _readable_dtype(self.data.dtype, self.name)
        for channel in self.channels or ():
            if not 0 <= channel < self._usable_channels:
                raise ImageError(
                    f"Channel {channel} was asked for, but the image {self.name!r} has "
                    f"{self._usable_channels} (0 to {self._usable_channels - 1}).",
                    "Choose channels that exist.",
                )
        if self.channels == ():
            raise ImageError(f"No channel of the image {self.name!r} is chosen.", "Choose at least one.")
        if self.scale is not None:
            object.__setattr__(self, "scale", _checked_scale(self.scale))

    @classmethod
    def from_array(
        cls,
        array: Any,
        axes: str | None = None,
        scale: Sequence[float] | None = None,
        units: str = "µm",
        name: str = "image",
        rgb: bool | None = None,
    ) -> ImageSource:
        """Describe an array in memory or a lazy one.

        Parameters
        ----------
        array : array-like
            The image; a list of numbers is converted.
        axes : str, optional
            Its axes; inferred where they are clear.
        scale : sequence of float, optional
            Voxel size, either (z, y, x) or one number per Z, Y, X in `axes`, in that order.
        units : str
            Unit of `scale`.
        name : str
            Name to show.
        rgb : bool, optional
            The last axis is colour. By default True for uint8 arrays (Y, X, 3 or 4).

        Raises
        ------
        AxesError
            If the axes are unclear or do not fit.
        ImageError
            If the array is no image.
        """
        if not hasattr(array, "shape") or not hasattr(array, "dtype"):
            array = np.asarray(array)
        shape = tuple(array.shape)
        if rgb is None:
            looks_rgb = len(shape) == 3 and shape[-1] in (3, 4) and min(shape[:2]) > 4 and array.dtype == np.uint8
            rgb = looks_rgb if axes is None else looks_rgb and axes.upper().endswith("C")
        axes = infer_axes(shape, rgb=rgb) if axes is None else parse_axes(axes, shape)
        return cls(
            data=array,
            axes=axes,
            name=name,
            scale=None if scale is None else three_numbers(scale, axes),
            units=units,
            scale_origin="unknown" if scale is None else "user",
            rgb=rgb,
        )

    def has(self, letter: str) -> bool:
        """Whether the image has an axis, also one of length 1."""
        return letter in self.axes

    def _length(self, letter: str) -> int:
        return int(self.data.shape[self.axes.index(letter)]) if letter in self.axes else 1

    @property
    def _raw_channels(self) -> int:
        return self._length("C")

    @property
    def _usable_channels(self) -> int:
        return 3 if self.rgb else self._raw_channels

    @property
    def n_times(self) -> int:
        """Number of time points."""
        return self._length("T")

    @property
    def n_channels(self) -> int:
        """Number of channels that `read` returns."""
        return self._usable_channels if self.channels is None else len(self.channels)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Lengths of (T, Z, Y, X)."""
        return (self._length("T"), self._length("Z"), self._length("Y"), self._length("X"))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that `read` returns: native byte order, at least uint8, at most float64."""
        return _readable_dtype(self.data.dtype, self.name)

    @property
    def scale_um(self) -> tuple[float, float, float] | None:
        """Voxel size (z, y, x) in µm; None when unknown or not a length."""
        factor = micrometres(self.units)
        if self.scale is None or factor is None:
            return None
        z, y, x = self.scale
        return (z * factor, y * factor, x * factor)

    def read(self, t: int, box: Box | None = None) -> npt.NDArray[Any]:
        """Read a region of one time point.

        Parameters
        ----------
        t : int
            Time point.
        box : tuple of slice, optional
            (z, y, x) slices with explicit start and stop inside the image; everything by default.

        Returns
        -------
        ndarray
            Shape (C, Z, Y, X), type `dtype`.

        Raises
        ------
        ImageError
            If the region lies outside the image, cannot be read, or has changed its shape.
        """
        box = self._checked_box(t, box)
        wanted = self.channels if self.channels is not None else tuple(range(self._usable_channels))
        first = min(wanted)
        spans = {"C": slice(first, max(wanted) + 1), "Z": box[0], "Y": box[1], "X": box[2]}
        region = f"time {t}, z {_span(box[0])}, y {_span(box[1])}, x {_span(box[2])}"
        try:
            block = np.asarray(self.data[tuple(spans.get(letter, t) for letter in self.axes)])
        except ImageError:
            raise
        # Lazy arrays raise whatever their files or graphs raise; the reason goes to the user.
        except Exception as error:
            raise ImageError(
                f"The image {self.name!r} could not be read at {region}: {type(error).__name__}: {error}.",
                "Check that its file is still there and whole.",
            ) from error
        left = [letter for letter in self.axes if letter != "T"]
        expected = tuple(spans[letter].stop - spans[letter].start for letter in left)
        if block.shape != expected:
            raise ImageError(
                f"The image {self.name!r} gave shape {block.shape} at {region}; expected {expected}.",
                "It changed while it was being read; open it again.",
            )
        order = [left.index(letter) for letter in "CZYX" if letter in left]
        block = block.transpose(order)[tuple(slice(None) if a in left else np.newaxis for a in "CZYX")]
        if wanted != tuple(range(first, max(wanted) + 1)):
            block = block[[channel - first for channel in wanted]]
        return block.astype(self.dtype, copy=False)

    def _checked_box(self, t: int, box: Box | None) -> Box:
        times, *lengths = self.shape
        if box is None:
            box = (slice(0, lengths[0]), slice(0, lengths[1]), slice(0, lengths[2]))
        inside = all(0 <= s.start < s.stop <= n and s.step in (None, 1) for s, n in zip(box, lengths, strict=True))
        if not inside or not 0 <= t < times:
            asked = ", ".join(_span(s) for s in box)
            raise ImageError(
                f"Time {t} and region ({asked}) lie outside the image {self.name!r} with (T, Z, Y, X) = {self.shape}.",
                "Choose a region inside the image.",
            )
        return box


def three_numbers(scale: Sequence[float], axes: str) -> tuple[float, float, float]:
    """Return a voxel size as (z, y, x), given so or as one number per Z, Y, X in the order of `axes`.

    Examples
    --------
    >>> three_numbers((0.5, 0.5), "YX")
    (1.0, 0.5, 0.5)
    """
    numbers = tuple(float(value) for value in scale)
    spatial = [letter for letter in axes if letter in "ZYX"]
    if len(numbers) == 3 and len(spatial) != 3:
        return numbers
    if len(numbers) != len(spatial):
        raise ImageError(
            f"The voxel size {numbers} has {len(numbers)} numbers; expected 3 (z, y, x), "
            f"or {len(spatial)} for the axes {axes!r}.",
            "Give one number per spatial axis.",
        )
    given = dict(zip(spatial, numbers, strict=True))
    return (given.get("Z", 1.0), given["Y"], given["X"])


def _checked_scale(scale: Sequence[float]) -> tuple[float, float, float]:
    numbers = tuple(float(value) for value in scale)
    if len(numbers) != 3 or not all(isfinite(value) and value > 0 for value in numbers):
        raise ImageError(f"The voxel size is {tuple(scale)}; expected three positive numbers (z, y, x).", "Correct it.")
    return numbers


def _readable_dtype(data_type: Any, name: str) -> np.dtype[Any]:
    """Return the type an image is read as."""
    dtype: np.dtype[Any] = np.dtype(data_type)
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind not in "uif":
        kind = {"c": "complex numbers", "O": "Python objects"}.get(dtype.kind, f"values of type {dtype}")
        raise ImageError(
            f"The image {name!r} holds {kind}; expected integers, floats or booleans.",
            "Convert it first, for example to the magnitude." if dtype.kind == "c" else "Convert it to numbers first.",
        )
    if dtype.kind == "f":
        return np.dtype(np.float32) if dtype.itemsize <= 4 else np.dtype(np.float64)
    return dtype.newbyteorder("=")


def _span(span: slice) -> str:
    return f"{span.start}:{span.stop}"
