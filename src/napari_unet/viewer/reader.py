"""npe2 reader for TIFF and OME-Zarr: keeps axes, voxel size and units, which napari's own drops."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from napari_unet.errors import AxesError, ImageError
from napari_unet.io.images import open_image
from napari_unet.io.lazy import remember_file
from napari_unet.io.opened import OpenedImage

PathLike = str | os.PathLike[str]
Paths = PathLike | Sequence[PathLike]
LayerData = tuple[Any, dict[str, Any], str]

METADATA_KEY = "napari_unet"
SUFFIXES = (".tif", ".tiff", ".zarr")
WHOLE_PLANE = 4096**2  # pixels of a plane up to which an OME-Zarr is shown, and corrected, as a whole


def get_reader(path: Paths) -> Callable[[Paths], list[LayerData]] | None:
    """Return the reader for a path if its name is one of ours.

    Parameters
    ----------
    path : str, Path or sequence of them
        Several paths are read as one stack.

    Returns
    -------
    callable or None
        `read`, or None to leave the file to others.
    """
    paths = _as_list(path)
    ours = bool(paths) and all(os.fspath(one).rstrip("/\\").lower().endswith(SUFFIXES) for one in paths)
    return read if ours else None


def read(path: Paths) -> list[LayerData]:
    """Read an image file, or several of one shape as a stack, as layers.

    Channels become separate layers, as in napari's own readers; colour stays one RGB layer; label
    images that this plugin wrote become Labels layers with their provenance.

    Parameters
    ----------
    path : str, Path or sequence of them
        The file or files.

    Returns
    -------
    list of tuple
        (data, layer arguments, layer type).

    Raises
    ------
    ImageError
        If a file cannot be read, or the files of a stack differ.
    """
    paths = _as_list(path)
    if len(paths) == 1:
        return [_layer(open_image(paths[0]))]
    return [_layer(_stack([open_image(one) for one in paths]))]


def _as_list(path: Paths) -> list[PathLike]:
    return [path] if isinstance(path, str | os.PathLike) else list(path)


def _stack(images: Sequence[OpenedImage]) -> OpenedImage:
    """Put images of one shape one after the other along a new, unnamed first axis."""
    first = images[0]
    for other in images[1:]:
        if other.data.shape != first.data.shape or other.letters != first.letters:
            raise ImageError(
                f"The files {first.path.name!r} and {other.path.name!r} do not make a stack: their shapes are "
                f"{tuple(first.data.shape)} and {tuple(other.data.shape)}.",
                "Open them one by one.",
            )
    data = np.stack([np.asarray(image.data[...]) for image in images])
    labels = all(image.is_labels for image in images)
    return OpenedImage(data, ("", *first.letters), first.path, first.scale, first.rgb, is_labels=labels)


def _layer(image: OpenedImage) -> LayerData:
    try:
        letters = list(image.axes())
    except AxesError:
        # The panel asks; until then the names that are known are kept.
        letters = list(image.letters)
    data: Any = for_napari(image.data)
    if image.rgb and "C" in letters and letters[-1] != "C":
        data = np.moveaxis(np.asarray(data), letters.index("C"), -1)
        letters.remove("C")
        letters.append("C")
    arguments: dict[str, Any] = {"name": image.name}
    if image.rgb:
        arguments["rgb"] = True
    elif "C" in letters:
        arguments["channel_axis"] = letters.index("C")
        channels = data.shape[letters.index("C")]
        arguments["name"] = [f"{image.name} [{number}]" for number in range(channels)]
    shown = [letter for letter in letters if letter != "C"]
    ndim = len(shown)
    arguments["axis_labels"] = tuple(letter.lower() or str(place - ndim) for place, letter in enumerate(shown))
    if image.scale is not None:
        sizes = dict(zip("ZYX", image.scale, strict=True))
        arguments["scale"] = tuple(sizes.get(letter) or 1.0 for letter in shown)
        arguments["units"] = tuple("µm" if sizes.get(letter) else "pixel" for letter in shown)
    plane = [n for n, letter in zip(image.data.shape, letters, strict=False) if letter in ("Y", "X")]
    if image.coarser and not image.rgb and math.prod(plane) > WHOLE_PLANE:
        data, arguments["multiscale"] = [for_napari(level) for level in image.levels], True
    if image.is_labels and np.dtype(image.data.dtype).kind == "u":
        arguments["metadata"] = {METADATA_KEY: image.provenance}
        # In 8 bits the 256th object could not be painted.
        narrow = image.data.dtype == np.uint8 and not isinstance(data, list)
        return data.astype(np.uint16) if narrow else data, arguments, "labels"
    return data, arguments, "image"


def for_napari(data: Any) -> Any:
    """Return what napari can show: arrays as they are, files through dask."""
    if isinstance(data, np.ndarray):
        return data
    import dask.array

    shown = dask.array.from_array(data, chunks=data.chunks, name=False)  # type: ignore[no-untyped-call]
    remember_file(shown, data)
    return shown
