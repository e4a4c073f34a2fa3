"""Image files of any supported format, recognized by their content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_unet.errors import ImageError
from napari_unet.image.source import ImageSource
from napari_unet.io.atomic import PathLike
from napari_unet.io.omezarr import open_zarr
from napari_unet.io.opened import OpenedImage
from napari_unet.io.pictures import open_picture
from napari_unet.io.tiff import open_tiff

_MAGIC: dict[bytes, Callable[[Path, bool], OpenedImage]] = {
    b"II*\0": open_tiff,
    b"MM\0*": open_tiff,
    b"II+\0": open_tiff,
    b"MM\0+": open_tiff,
    b"\x89PNG": open_picture,
    b"\xff\xd8\xff": open_picture,
}


def read_image(path: PathLike, axes: str | None = None) -> ImageSource:
    """Read an image file; large ones lazily.

    Parameters
    ----------
    path : str or Path
        A TIFF (plain, ImageJ, OME), PNG or JPEG, or the folder of an OME-Zarr.
    axes : str, optional
        Its axes, where the file does not say or is wrong.

    Returns
    -------
    ImageSource
        With the file's voxel size in µm, where it states one.

    Raises
    ------
    ImageError
        If the file is missing, damaged, of another format, or too large for the memory.
    AxesError
        If the axes are unclear.
    """
    return open_image(path).source(axes)


def read_scale(path: PathLike) -> tuple[float, float, float] | None:
    """Read only the voxel size of an image file.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    tuple of float or None
        (z, y, x) in µm; None when the file states none, or is no image that can be read.
    """
    try:
        opened = open_image(path, lazy=True)
    except ImageError:
        return None
    # A dimension without a name may be z.
    stack = any(n > 1 for n, letter in zip(opened.data.shape, opened.letters, strict=True) if letter in ("", "Z"))
    if opened.scale is None or (stack and opened.scale[0] is None):
        return None
    z, y, x = opened.scale
    return (1.0 if z is None else z, y, x)


def open_image(path: PathLike, lazy: bool = False) -> OpenedImage:
    """Open an image file without settling its axes.

    Parameters
    ----------
    path : str or Path
        As in `read_image`.
    lazy : bool
        Leave the values on the disk where the format allows it, also those of a small image.

    Returns
    -------
    OpenedImage

    Raises
    ------
    ImageError
        As in `read_image`.
    """
    path = Path(path)
    if path.is_dir():
        return open_zarr(path)
    if not path.is_file():
        raise ImageError(
            f"The image {str(path)!r} is no file." if path.exists() else f"The image {str(path)!r} does not exist.",
            "Check the path.",
        )
    try:
        with open(path, "rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ImageError(
            f"The image {str(path)!r} cannot be opened: {error.strerror}.", "Check its permissions."
        ) from error
    for magic, opener in _MAGIC.items():
        if start.startswith(magic):
            return opener(path, lazy)
    raise ImageError(
        f"The file {path.name!r} is empty."
        if not start
        else f"The file {path.name!r} is no TIFF, PNG, JPEG or OME-Zarr, whatever its name says.",
        "Save the image as TIFF, PNG, JPEG or OME-Zarr.",
    )
