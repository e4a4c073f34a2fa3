"""The job function that makes sure that an image can be opened again from a file."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.errors import ImageError, OutputError
from napari_unet.jobs import JobContext

_EDGE = 512  # of the pieces of a copy
_SAMPLES = 5  # planes in which a file is compared with the image


@dataclass(frozen=True)
class KeepRequest:
    """An image, the file that it is said to come from, and where a copy may go.

    Parameters
    ----------
    path : str or None
        The file.
    data : array-like
        The values.
    axes : str
        Their axes.
    target : str
        The folder of the copy, an OME-Zarr; it does not exist.
    level : int
        Which level of resolution of the file it is.
    """

    path: str | None
    data: Any
    axes: str
    target: str
    level: int = 0


def keep_image(context: JobContext, request: KeepRequest) -> str | None:
    """Copy an image that no file holds; return the copy, or None where the file holds it."""
    if request.path is not None and _same_as_file(request):
        return None
    target = Path(request.target)
    partial = target.with_name(f".{target.name}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        _write(context, request, partial)
        os.replace(partial, target)
    except OSError as error:
        raise OutputError(
            f"The image could not be copied into the project: {error.strerror}.",
            "Save it as a file and open that, so that the work can be opened again.",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return str(target)


def _same_as_file(request: KeepRequest) -> bool:
    """Tell whether our own readers find the same values in the file: others may read it in another way."""
    from napari_unet.io.images import open_image  # slow to import, and the panel opens at once

    try:
        levels = open_image(str(request.path)).levels
    except ImageError:
        return False
    found = levels[min(request.level, len(levels) - 1)]
    shape = tuple(request.data.shape)
    if tuple(found.shape) != shape or np.dtype(found.dtype) != np.dtype(request.data.dtype):
        return False
    planes = [n for n, letter in zip(shape, request.axes, strict=True) if letter not in "YX"]
    count = int(np.prod(planes, dtype=int))
    for number in np.unique(np.linspace(0, count - 1, _SAMPLES).astype(int)):
        at = iter(np.unravel_index(number, planes) if planes else ())
        key = tuple(
            slice(n // 3, n // 3 + 64) if letter in "YX" else int(next(at))
            for n, letter in zip(shape, request.axes, strict=True)
        )
        if not np.array_equal(np.asarray(found[key]), np.asarray(request.data[key])):
            return False
    return True


def _write(context: JobContext, request: KeepRequest, folder: Path) -> None:
    """Write the values as an OME-Zarr of one level, plane by plane."""
    import zarr

    shape, axes = tuple(request.data.shape), request.axes
    kinds = {"T": "time", "C": "channel"}
    ome: Any = {
        "version": "0.5",
        "multiscales": [
            {
                "axes": [{"name": letter.lower(), "type": kinds.get(letter, "space")} for letter in axes],
                "datasets": [
                    {
                        "path": "0",
                        "coordinateTransformations": [{"type": "scale", "scale": [1.0] * len(axes)}],
                    }
                ],
            }
        ],
    }
    group = zarr.open_group(str(folder), mode="w", zarr_format=3, attributes={"ome": ome})
    chunks = tuple(
        min(n, _EDGE) if letter in "YX" else (n if letter == "C" else 1) for n, letter in zip(shape, axes, strict=True)
    )
    dtype = np.dtype(request.data.dtype).newbyteorder("=")
    array = group.create_array("0", shape=shape, dtype=dtype, chunks=chunks, dimension_names=list(axes.lower()))
    steps = [_EDGE if letter == "Y" else n if letter in "XC" else 1 for n, letter in zip(shape, axes, strict=True)]
    starts = [range(0, n, step) for n, step in zip(shape, steps, strict=True)]
    total = int(np.prod([len(s) for s in starts]))
    for done, index in enumerate(np.ndindex(*(len(s) for s in starts))):
        context.check()
        key = tuple(slice(s[i], min(s[i] + s.step, n)) for s, i, n in zip(starts, index, shape, strict=True))
        array[key] = np.asarray(request.data[key])
        context.progress(done + 1, total, "copying the image into the project")
