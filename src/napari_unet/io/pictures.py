"""PNG and JPEG through Pillow."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from napari_unet.errors import ImageError
from napari_unet.io.budget import check_budget
from napari_unet.io.opened import OpenedImage

_BYTES = {"1": 1, "L": 1, "P": 4, "LA": 2, "PA": 4, "RGB": 3, "RGBA": 4, "CMYK": 4, "YCbCr": 3, "I;16": 2}


def open_picture(path: Path, lazy: bool = False) -> OpenedImage:
    """Open a PNG or JPEG: gray as YX, colour as YXC; transparency of gray images is dropped.

    Resolutions in such files are settings for printing, so the voxel size stays unknown.

    Parameters
    ----------
    path : Path
        The file.
    lazy : bool
        Has no effect: such pictures cannot be read piece by piece.

    Returns
    -------
    OpenedImage

    Raises
    ------
    ImageError
        If it is damaged, too large, or would lose bits on reading.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures; the budget below decides instead.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as picture:
                check_budget(picture.width * picture.height * _BYTES.get(picture.mode, 8), path.name)
                _refuse_lossy(path, picture)
                data = _values(picture)
    except ImageError:
        raise
    # Damaged files make the decoders raise many kinds of error.
    except Exception as error:
        raise ImageError(
            f"The picture {path.name!r} cannot be read: {error}.",
            "It is damaged, cut short or too large; copy or save it again.",
        ) from error
    colour = data.ndim == 3
    return OpenedImage(data, tuple("YXC") if colour else tuple("YX"), path, rgb=colour)


def _refuse_lossy(path: Path, picture: Image.Image) -> None:
    """Pillow silently halves 16-bit colour: the PNG header says what is really in the file."""
    if picture.format != "PNG" or picture.mode not in ("RGB", "RGBA", "LA"):
        return
    with open(path, "rb") as file:
        depth = file.read(26)[24]
    if depth == 16:
        raise ImageError(
            f"The picture {path.name!r} has 16 bits per colour, of which only 8 can be read.", "Save it as a TIFF."
        )


def _values(picture: Image.Image) -> np.ndarray:
    """Return gray or RGB(A) values."""
    mode = picture.mode
    if mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    elif mode in ("LA", "La"):
        picture = picture.getchannel(0)
    elif mode in ("CMYK", "YCbCr", "LAB", "HSV", "PA", "RGBa"):
        picture = picture.convert("RGB")
    return np.array(picture)
