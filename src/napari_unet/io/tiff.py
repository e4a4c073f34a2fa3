"""TIFF as microscopes write it: plain, ImageJ and OME, with axes and voxel size."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_unet.errors import AxesError, ImageError
from napari_unet.image.axes import candidate_axes
from napari_unet.image.memory import memory_budget
from napari_unet.io.budget import EAGER_BYTES, check_budget, in_words
from napari_unet.io.lazy import LazyTiff
from napari_unet.io.opened import OpenedImage
from napari_unet.io.tiff_metadata import read_metadata

# Nothing compresses better than a constant image; this is more than any method reaches on one.
_DENSEST = 20000
_CUT_SIGNS = ("invalid page offset", "is missing", "raised TiffFileError")


def open_tiff(path: Path, lazy: bool = False) -> OpenedImage:
    """Open a TIFF: metadata first, then the values if they are small, else lazily.

    Parameters
    ----------
    path : Path
        The file.
    lazy : bool
        Leave the values on the disk in any case.

    Returns
    -------
    OpenedImage

    Raises
    ------
    ImageError
        If it is damaged, cut short, asks for more memory than there is, or holds several images.
    """
    with _readable(path), tifffile.TiffFile(path) as file:
        if not file.series:
            raise ImageError(f"The file {path.name!r} holds no image.", "Choose another file.")
        series = file.series[0]
        shape, dtype = tuple(int(n) for n in series.shape), np.dtype(series.dtype)
        _check_whole(file, series, shape, dtype, path)
        letters = _letters(series.axes, shape)
        scale, kept = read_metadata(file)
        if not lazy and prod(shape) * dtype.itemsize <= min(EAGER_BYTES, memory_budget()):
            data: Any = series.asarray()
            if data.shape != shape:
                raise ImageError(
                    f"The file {path.name!r} declares shape {shape} but holds {data.shape}.", "It is damaged."
                )
        else:
            data = LazyTiff(path, path, shape, dtype, (1,) * (len(shape) - 2) + shape[-2:])
    colour = series.keyframe.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
    samples = shape[series.axes.index("S")] if "S" in series.axes else 1
    if isinstance(data, np.ndarray):
        letters, data = _remembered(kept, letters, data)
    provenance = kept.get("provenance")
    return OpenedImage(
        data,
        letters,
        path,
        scale,
        rgb=colour and samples in (3, 4),
        provenance=provenance if isinstance(provenance, dict) else {},
        is_labels="provenance" in kept and "C" not in letters,
    )


def _remembered(
    kept: dict[str, Any], letters: tuple[str, ...], data: npt.NDArray[Any]
) -> tuple[tuple[str, ...], npt.NDArray[Any]]:
    """Give back the axes of length 1, which the formats forget and our own files write down."""
    axes, shape = kept.get("axes"), kept.get("shape")
    fits = (
        isinstance(axes, str)
        and isinstance(shape, list)
        and len(axes) == len(shape)
        and {"Y", "X"} <= set(axes) <= set("TCZYX")
        and [n for n in shape if n != 1] == [n for n in data.shape if n != 1]
    )
    return (tuple(axes), data.reshape(shape)) if fits else (letters, data)  # type: ignore[arg-type]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file provokes into one sentence."""
    complaints = _Complaints()
    logger = logging.getLogger("tifffile")
    propagated = logger.propagate
    logger.addHandler(complaints)
    logger.propagate = False
    try:
        yield
    except ImageError:
        raise
    # A damaged file makes the decoders raise zlib, struct, index, memory and other errors.
    except Exception as error:
        raise ImageError(
            f"The TIFF file {path.name!r} cannot be read: {error}.",
            "Install the package imagecodecs, or save the file without that compression."
            if isinstance(error, ImportError) or "imagecodecs" in str(error)
            else "It is damaged or cut short; copy or save it again.",
        ) from error
    finally:
        logger.removeHandler(complaints)
        logger.propagate = propagated
    for complaint in complaints.texts:
        if any(sign in complaint for sign in _CUT_SIGNS):
            raise ImageError(
                f"The TIFF file {path.name!r} is cut short: {complaint}.", "Copy it again from where it came from."
            )
    if complaints.texts:
        logging.getLogger(__name__).warning("%s: %s", path.name, complaints.texts[0])


class _Complaints(logging.Handler):
    """Collects what tifffile only logs, such as pages that lie beyond the end of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(re.sub(r"^<tifffile[^>]*> ", "", record.getMessage()))


def _check_whole(
    file: tifffile.TiffFile, series: tifffile.TiffPageSeries, shape: tuple[int, ...], dtype: np.dtype[Any], path: Path
) -> None:
    """Compare what is declared with the file's size and the machine's memory, before allocating."""
    declared, there = prod(shape) * dtype.itemsize, path.stat().st_size
    packed = declared * series.keyframe.bitspersample // (8 * dtype.itemsize)
    densest = 1 if series.keyframe.compression == tifffile.COMPRESSION.NONE else _DENSEST
    if packed > there * densest and not _several_files(series):
        raise ImageError(
            f"The file {path.name!r} declares an image of {in_words(declared)}, shape {shape}, but has only "
            f"{in_words(there)}.",
            "It is damaged or cut short; copy or save it again.",
        )
    if 0 in shape:
        raise ImageError(f"The image in {path.name!r} is empty: shape {shape}.", "Choose an image with pixels.")
    check_budget(prod(series.keyframe.chunks) * dtype.itemsize, path.name, "one piece")
    twins = [other for other in file.series[1:] if other.shape == series.shape and other.kind == series.kind]
    if twins:
        raise ImageError(
            f"The file {path.name!r} holds {len(twins) + 1} separate images of shape {shape}; expected one.",
            "Save each as a file of its own.",
        )
    if any(page is None for page in series.pages[:]):
        raise ImageError(f"Pages are missing from the file {path.name!r}.", "Copy it again from where it came from.")


def _several_files(series: tifffile.TiffPageSeries) -> bool:
    return len({page.parent for page in series.pages[:] if page is not None}) > 1


def _letters(axes: str, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Translate tifffile's axis codes; Q, I and others say nothing."""
    if "S" in axes and "C" in axes:
        raise AxesError(
            f"The image has channels and colours: axes {axes}, shape {shape}.",
            "Split the colours into channels.",
            candidate_axes(shape),
        )
    return tuple(letter if letter in "TCZYX" else "C" if letter == "S" else "" for letter in axes)
