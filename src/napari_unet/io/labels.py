"""Label images as TIFF: ImageJ where it can hold them, else OME; with voxel size and provenance."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_unet.errors import ImageError, OutputError
from napari_unet.image.axes import canonical_view, from_canonical, label_axes, parse_axes
from napari_unet.image.source import ImageSource
from napari_unet.io.atomic import PathLike, atomic_path, check_target
from napari_unet.io.images import open_image
from napari_unet.io.label_formats import imagej_options, micrometre_scale, ome_options, to_json

# Classic TIFF counts bytes with 32 bits; the margin is for tags and for data that compression swells.
CLASSIC_BYTES = 2**32 - 2**26
_VERIFIED_WHOLE = 256 * 2**20
_SUFFIXES = (".tif", ".tiff")


def write_labels(
    path: PathLike,
    labels: npt.NDArray[Any],
    axes: str,
    scale: Sequence[float] | None = None,
    units: str = "µm",
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    protected: Sequence[PathLike] = (),
) -> Path:
    """Write a label image as a compressed TIFF that napari, Fiji and OME readers understand.

    Labels up to 65535 in less than 4 GB become an ImageJ TIFF, everything else an OME-TIFF (a BigTIFF
    from 4 GB on). The axes are stored in the order T, Z, Y, X.

    Parameters
    ----------
    path : str or Path
        Ends in ``.tif`` or ``.tiff``.
    labels : ndarray of int or bool
        In the order of `axes`.
    axes : str
        Letters of T, Z, Y, X.
    scale : sequence of float, optional
        Voxel size (z, y, x) in `units`; None when unknown.
    units : str
        A unit of length; with another one (``"pixel"``) the size counts as unknown.
    provenance : mapping, optional
        JSON values to keep in the file: model hash, settings, image.
    overwrite : bool
        Replace a file of that name.
    protected : sequence of path
        Files that must not be replaced even so, such as the image.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    OutputError
        If the labels are no integers, negative or above 2³² - 1, or the file cannot be written.
    AxesError
        If the axes do not fit.
    """
    target = check_target(path, overwrite=overwrite, protected=protected)
    if target.suffix.lower() not in _SUFFIXES:
        raise OutputError(f"The name {target.name!r} does not end in .tif or .tiff.", "Add .tif to the name.")
    axes = parse_axes(axes, np.shape(labels))
    values = np.asarray(labels)
    ordered = "".join(letter for letter in "TZYX" if letter in axes)
    values = from_canonical(canonical_view(values, axes), ordered)
    dtype = label_dtype(values)
    voxel = micrometre_scale(scale, units)
    kept = to_json(provenance or {}, ordered, values.shape)
    # The ImageJ format confuses images one column wide with ones one row high.
    imagej = dtype.itemsize <= 2 and values.size * dtype.itemsize < CLASSIC_BYTES and values.shape[-1] > 1
    full = canonical_view(values, ordered)[:, :, np.newaxis]
    options = (imagej_options if imagej else ome_options)("TZCYX", voxel, kept, int(values.max()))
    if not imagej:
        options["bigtiff"] = values.size * dtype.itemsize >= CLASSIC_BYTES

    def verify(written: Path) -> None:
        _verify(written, values)

    with atomic_path(target, overwrite=overwrite, protected=protected, verify=verify) as temporary:
        # One plane after the other: no second copy of the whole.
        planes = (np.ascontiguousarray(full[index], dtype) for index in np.ndindex(full.shape[:3]))
        tifffile.imwrite(
            temporary, planes, shape=full.shape, dtype=dtype, compression="zlib", photometric="minisblack", **options
        )
    return target


def read_labels(
    path: PathLike, axes: str | None = None
) -> tuple[npt.NDArray[Any], str, tuple[float, float, float] | None, dict[str, Any]]:
    """Read a label image.

    Parameters
    ----------
    path : str or Path
        A file that `open_image` reads.
    axes : str, optional
        Its axes, where the file does not say.

    Returns
    -------
    labels : ndarray
        Unsigned integers in the order of `axes`.
    axes : str
        Letters of T, Z, Y, X.
    scale : tuple of float or None
        Voxel size (z, y, x) in µm.
    provenance : dict
        What `write_labels` was given; empty for files from elsewhere.

    Raises
    ------
    ImageError
        If it cannot be read, has channels, or holds values that are no labels.
    AxesError
        If the axes are unclear.
    """
    opened = open_image(path)
    letters = opened.axes(axes)
    labels = np.asarray(opened.data[...])
    if "C" in letters:
        channel = letters.index("C")
        if labels.shape[channel] != 1:
            raise ImageError(
                f"The label image {opened.path.name!r} has {labels.shape[channel]} channels; expected one.",
                "Save the labels as a single-channel image.",
            )
        labels, letters = labels.squeeze(channel), label_axes(letters)
    return _as_labels(labels, opened.path.name), letters, opened.full_scale(letters), opened.provenance


def labels_for_image(labels: PathLike | npt.NDArray[Any], source: ImageSource) -> npt.NDArray[Any]:
    """Return a label image from a file or an array if it fits an image.

    Parameters
    ----------
    labels : str, Path or ndarray
        The label image; axes of length 1 may be missing or added.
    source : ImageSource
        The image it should belong to.

    Returns
    -------
    ndarray
        Unsigned integers in the order of ``label_axes(source.axes)``; a copy if the array had another type.

    Raises
    ------
    ImageError
        If the values are no labels or the shape differs.
    """
    wanted = label_axes(source.axes)
    lengths = dict(zip("TZYX", source.shape, strict=True))
    shape = tuple(lengths[letter] for letter in wanted)
    if isinstance(labels, str | os.PathLike):
        opened = open_image(labels)
        array, name, letters = np.asarray(opened.data[...]), opened.path.name, "".join(opened.letters)
    else:
        array, name, letters = np.asarray(labels), "labels", ""
    values = _as_labels(array, name)
    known = len(letters) == values.ndim and set(letters) <= set("TZYX") and {"Y", "X"} <= set(letters)
    if known and canonical_view(values, letters).shape == source.shape:
        return from_canonical(canonical_view(values, letters), wanted)
    if values.shape == shape:
        return values
    if [n for n in values.shape if n != 1] == [n for n in shape if n != 1]:
        return values.reshape(shape)
    raise ImageError(
        f"The label image {name!r} has shape {values.shape}, but the image {source.name!r} needs {shape} "
        f"(axes {wanted}).",
        "Choose the labels of this image, or crop and resample them to its size.",
    )


def label_dtype(labels: npt.NDArray[Any]) -> np.dtype[Any]:
    """Return the smallest type that holds every label: uint8, uint16 or uint32.

    Raises
    ------
    OutputError
        If the labels are no integers, negative or above 2³² - 1.
    """
    if labels.dtype.kind not in "uib":
        raise OutputError(
            f"The labels have the type {labels.dtype}; expected whole numbers.", "Convert them to integers first."
        )
    if 0 in labels.shape:
        raise OutputError(f"The labels are empty: shape {labels.shape}.", "Choose labels with pixels.")
    lowest, largest = int(labels.min()), int(labels.max())
    if lowest < 0:
        raise OutputError(f"The smallest label is {lowest}; expected 0 or more.", "Renumber the labels.")
    for dtype in (np.uint8, np.uint16, np.uint32):
        if largest <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    raise OutputError(
        f"The largest label is {largest}; a label TIFF holds up to {2**32 - 1}.", "Renumber the labels from 1."
    )


def _as_labels(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return an array as unsigned labels in native byte order, or refuse it."""
    if array.dtype.kind not in "uib":
        raise ImageError(
            f"The label image {name!r} holds values of type {array.dtype}; expected whole numbers, one per object.",
            "Save it as 8, 16 or 32-bit integers.",
        )
    try:
        dtype = label_dtype(array)
    except OutputError as error:
        raise ImageError(f"The label image {name!r} cannot be used. {error.message}", error.hint) from error
    native = array.dtype.newbyteorder("=")
    kept = native if native.kind == "u" and native.itemsize <= 4 else dtype
    return array.astype(kept, copy=False)


def _verify(written: Path, values: npt.NDArray[Any]) -> None:
    """Read the file back: all of a small one, the first, middle and last plane of a large one."""
    planes = [values[index] for index in np.ndindex(values.shape[:-2])]
    few = (0, len(planes) // 2, len(planes) - 1)
    chosen = range(len(planes)) if values.nbytes <= _VERIFIED_WHOLE else sorted(set(few))
    try:
        with tifffile.TiffFile(written) as file:
            same = len(file.pages) == len(planes) and all(
                np.array_equal(file.pages[index].asarray(), planes[index]) for index in chosen
            )
    # Whatever the decoder stumbles over, the file is not what was meant.
    except Exception as error:
        raise OutputError(f"The labels could not be read back: {error}.", "Check the disk and try again.") from error
    if not same:
        raise OutputError("The labels that were read back differ from those written.", "Check the disk and try again.")
