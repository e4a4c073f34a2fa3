"""How much memory a file may ask for before anything is allocated."""

from __future__ import annotations

from napari_unet.errors import ImageError
from napari_unet.image.memory import memory_budget

EAGER_BYTES = 512 * 2**20  # smaller images are read at once, larger ones piece by piece


def check_budget(nbytes: int, name: str, piece: str = "an image") -> None:
    """Refuse what does not fit into memory.

    Parameters
    ----------
    nbytes : int
        Bytes that a file's metadata ask for.
    name : str
        The file.
    piece : str
        What would be read, in words.

    Raises
    ------
    ImageError
        If it is more than `memory_budget`.
    """
    budget = memory_budget()
    if nbytes > budget:
        raise ImageError(
            f"The file {name!r} declares {piece} of {in_words(nbytes)}; {in_words(budget)} of memory can be used.",
            "Save it as OME-Zarr or as a tiled TIFF, which are read piece by piece, or crop it.",
        )


def in_words(nbytes: int) -> str:
    """Return a number of bytes as a person writes it.

    Examples
    --------
    >>> in_words(126), in_words(40 * 2**30)
    ('126 bytes', '40.0 GiB')
    """
    if nbytes < 1024:
        return f"{nbytes} bytes"
    size = float(nbytes)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size /= 1024
        if size < 1024 or unit == "TiB":
            break
    return f"{size:.1f} {unit}"
