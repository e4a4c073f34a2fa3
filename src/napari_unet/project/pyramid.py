"""Labels of a large image on the disk: a pyramid of resolutions, written piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock, RLock
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import OutputError, UserError, disk_advice
from napari_unet.image.boxes import Box, as_box, clip, inside, overlap
from napari_unet.project.folder import read_json, write_json

CHUNK = 512  # edge of what is stored together
COARSEST = 512  # the last level is at most so long along y and x
_NOTES = "napari-unet.json"  # a file of its own: it can be written while the interpreter shuts down


class LabelPyramid:
    """Labels (T, Z, Y, X) as an OME-Zarr 0.5, each level half as long along y and x as the one before.

    ::

        level 0   1 1 2 2 0 3 3      a voxel of the next level is every second one of this one: labels have
        level 1   1   2   0   3      no mean, and an id that is not there must not come up

    Only what is written takes space. Reading and writing are safe from several threads.

    Parameters
    ----------
    path : Path
        The folder; made if it does not exist.
    shape : sequence of int
        (T, Z, Y, X).
    dtype : dtype
        Unsigned integers.
    scale : sequence of float, optional
        Voxel size (z, y, x) in µm, for other programs.
    chunk : sequence of int
        (z, y, x) of what is stored together.

    Raises
    ------
    OutputError
        If the folder cannot be made.
    UserError
        If it holds labels of another shape or type.
    """

    def __init__(
        self,
        path: Path,
        shape: Sequence[int],
        dtype: npt.DTypeLike,
        scale: Sequence[float] | None = None,
        chunk: Sequence[int] = (1, CHUNK, CHUNK),
    ) -> None:
        import zarr  # slow to import, and the panel opens at once

        self.path = path
        self._lock = RLock()  # held for one piece at a time: the window reads what it shows in between
        self._writing = Lock()  # held until all levels are written, so that they agree
        try:
            if not (path / "zarr.json").is_file():
                _make(path, tuple(int(n) for n in shape), np.dtype(dtype), scale, chunk)
            self._group = zarr.open_group(str(path), mode="r+")
            ome: Any = self._group.attrs["ome"]
            names = [str(one["path"]) for one in ome["multiscales"][0]["datasets"]]
            self.levels: tuple[Any, ...] = tuple(self._group[name] for name in names)
        except OSError as error:
            raise OutputError(
                f"The labels cannot be kept in '{path}': {error.strerror or error}.",
                disk_advice(error, "Free some space, or move the project."),
            ) from error
        if tuple(self.levels[0].shape) != tuple(shape) or self.levels[0].dtype != np.dtype(dtype):
            raise UserError(
                f"The labels in '{path}' have the shape {tuple(self.levels[0].shape)} and the type "
                f"{self.levels[0].dtype}; expected {tuple(shape)} and {np.dtype(dtype)}.",
                "The image is another one now; work on it in a new project.",
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, Z, Y, X) of the finest level."""
        return tuple(self.levels[0].shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""
        dtype: np.dtype[Any] = np.dtype(self.levels[0].dtype)
        return dtype

    @property
    def depth(self) -> int:
        """How many planes are stored together."""
        return int(self.levels[0].chunks[1])

    @property
    def notes(self) -> dict[str, Any]:
        """What was noted with the labels, as JSON values."""
        with self._lock:
            path = self.path / _NOTES
            return dict(read_json(path)) if path.is_file() else {}

    def note(self, values: Mapping[str, Any]) -> None:
        """Note JSON values with the labels, beside what was noted before."""
        with self._lock:
            write_json(self.path / _NOTES, {**self.notes, **values})

    def read(self, t: int, box: Box, level: int = 0) -> npt.NDArray[Any]:
        """Return a box of one time point, (z, y, x) in the voxels of its level.

        Parameters
        ----------
        t : int
            Time point.
        box : tuple of slice
            Inside the level.
        level : int
            0 is the finest.
        """
        with self._lock:
            return np.asarray(self.levels[level][(t, *box)])

    def write(self, t: int, box: Box, labels: npt.NDArray[Any]) -> None:
        """Write labels into the finest level, and what follows from them into the others.

        Parameters
        ----------
        t : int
            Time point.
        box : tuple of slice
            (z, y, x), inside the image.
        labels : ndarray of unsigned int, of the box's shape
            What to write.

        Raises
        ------
        OutputError
            If the disk is full or fails.
        """
        try:
            with self._writing:
                for level in self.levels:
                    if 0 in labels.shape:
                        return
                    for piece in pieces(box, self.depth):
                        with self._lock:
                            level[(t, *piece)] = labels[inside(piece, box)]
                    box, labels = _halved(box, labels)
        except OSError as error:
            raise OutputError(
                f"The labels cannot be written to '{self.path}': {error.strerror or error}.",
                disk_advice(error, "Free some space; what was written stays."),
            ) from error

    def level_box(self, box: Box, level: int) -> Box:
        """Return which voxels of a level come from a box of the finest one."""
        for _ in range(level):
            z, y, x = box
            box = (z, slice(-(-y.start // 2), -(-y.stop // 2)), slice(-(-x.start // 2), -(-x.stop // 2)))
        return clip(box, self.levels[level].shape[1:])


def pieces(box: Box, depth: int) -> Iterator[Box]:
    """Yield the parts of a box on a grid of whole chunks: about 1024 × 1024 labels, at least `depth` planes of them.

    Examples
    --------
    >>> len(list(pieces(as_box((0, 0, 1000), (1, 2048, 1100)), 1)))
    4
    """
    edge = 2 * CHUNK
    z, y, x = box
    deep = depth * max(1, edge**2 // max(1, depth * (y.stop - y.start) * (x.stop - x.start)))
    for first in range(z.start - z.start % deep, z.stop, deep):
        for top in range(y.start - y.start % edge, y.stop, edge):
            for left in range(x.start - x.start % edge, x.stop, edge):
                part = overlap(box, as_box((first, top, left), (first + deep, top + edge, left + edge)))
                if part is not None:
                    yield part


def _halved(box: Box, labels: npt.NDArray[Any]) -> tuple[Box, npt.NDArray[Any]]:
    """Return where every second voxel of a box lies on the next level, and its label."""
    z, y, x = box
    part = labels[:, y.start % 2 :: 2, x.start % 2 :: 2]
    corner = (z.start, -(-y.start // 2), -(-x.start // 2))
    return as_box(corner, [a + n for a, n in zip(corner, part.shape, strict=True)]), part


def _make(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], scale: Sequence[float] | None, chunk: Sequence[int]
) -> None:
    import zarr

    shapes: list[tuple[int, ...]] = [shape]
    while max(shapes[-1][2:]) > COARSEST or len(shapes) < 2:
        *rest, y, x = shapes[-1]
        shapes.append((*rest, -(-y // 2), -(-x // 2)))
    kinds = {"t": "time"}
    axes = [{"name": name, "type": kinds.get(name, "space")} for name in "tzyx"]
    if scale is not None:
        axes = [{**axis, "unit": "micrometer"} if axis["name"] != "t" else axis for axis in axes]
    datasets: list[Any] = []
    for level in range(len(shapes)):
        depth, height, width = scale or (1.0, 1.0, 1.0)
        numbers = [1.0, depth, height * 2.0**level, width * 2.0**level]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": numbers}]})
    ome: Any = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}], "image-label": {}}
    group = zarr.open_group(str(path), mode="w", zarr_format=3, attributes={"ome": ome})
    for level, lengths in enumerate(shapes):
        chunks = (1, *(min(n, c) for n, c in zip(lengths[1:], chunk, strict=True)))
        group.create_array(str(level), shape=lengths, dtype=dtype, chunks=chunks, dimension_names=list("tzyx"))
