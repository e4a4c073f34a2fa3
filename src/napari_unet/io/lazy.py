"""Images that stay on the disk; what disappears or changes there is noticed, not read as zeros."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any
from weakref import ReferenceType, ref

import numpy as np
import numpy.typing as npt
import tifffile

from napari_unet.errors import ImageError


class LazyFile(ABC):
    """An array-like whose values are read from a file on each access; holds nothing open when pickled.

    Parameters
    ----------
    path : Path
        The file or folder, to name in messages.
    witness : Path
        The file whose size and time of change stand for the whole image.
    shape : tuple of int
    dtype : dtype
    chunks : tuple of int
        Shape of the pieces that are stored together.
    """

    def __init__(
        self, path: Path, witness: Path, shape: tuple[int, ...], dtype: np.dtype[Any], chunks: tuple[int, ...]
    ) -> None:
        self.path = path
        self.shape = shape
        self.dtype = dtype
        self.chunks = chunks
        self.ndim = len(shape)
        self._witness = witness
        self._stamp = _stamp(witness)
        self._array: Any = None

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        """Read a region.

        Raises
        ------
        ImageError
            If the file is gone or changed since it was opened.
        """
        self._check()
        if self._array is None:
            self._array = self._open()
        block = np.asarray(self._array[key])
        # Once more: chunks that vanish while they are read would count as empty.
        self._check()
        return block

    @abstractmethod
    def _open(self) -> Any:
        """Return the open array."""

    def _check(self) -> None:
        try:
            now = _stamp(self._witness)
        except OSError as error:
            raise ImageError(
                f"The image {self.path.name!r} is no longer there: {error.strerror}.",
                "Bring it back and open it again.",
            ) from error
        if now != self._stamp:
            raise ImageError(f"The file {self.path.name!r} changed while it was in use.", "Open it again.")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_array": None}


class LazyTiff(LazyFile):
    """The first image of a TIFF."""

    def _open(self) -> Any:
        import zarr

        return zarr.open_array(tifffile.TiffFile(self.path).series[0].aszarr(level=0), mode="r")


class LazyZarr(LazyFile):
    """An array in a Zarr folder; the witness is its metadata file."""

    def _open(self) -> Any:
        import zarr

        return zarr.open_array(str(self._witness.parent), mode="r")


_behind: dict[int, tuple[ReferenceType[Any], LazyFile]] = {}  # by identity: the arrays of dask cannot be keys


def remember_file(array: Any, file: LazyFile) -> None:
    """Note that an array, for example one of dask, holds what is in a file and nothing else.

    Parameters
    ----------
    array : array-like
        What is shown.
    file : LazyFile
        Of the same shape and type.
    """
    number = id(array)
    _behind[number] = ref(array, lambda gone: _behind.pop(number, None)), file


def file_behind(array: Any) -> LazyFile | None:
    """Return the file that an array holds, if it was noted: another process can read it by itself.

    Parameters
    ----------
    array : array-like
        Any array.
    """
    if isinstance(array, LazyFile):
        return array
    reference, file = _behind.get(id(array), (None, None))
    return file if reference is not None and reference() is array else None


def _stamp(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns
