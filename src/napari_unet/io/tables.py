"""Measurements of objects, and tables as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import ImageError, OutputError
from napari_unet.image.axes import canonical_view
from napari_unet.image.boxes import Box, as_box
from napari_unet.image.source import ImageSource
from napari_unet.io.atomic import PathLike, atomic_path

Columns = dict[str, npt.NDArray[Any]]
_EDGE = 2048  # of what is read at a time


def measure_objects(
    labels: Any,
    axes: str,
    source: ImageSource,
    *,
    model_hash: str = "",
    settings: str = "",
    in_training: bool = False,
    edited: npt.NDArray[np.bool_] | None = None,
) -> Columns:
    """Measure every object, each time point on its own; labels and image are read box by box.

    Parameters
    ----------
    labels : array-like of int
        In the order of `axes`; 0 is background. Lazy arrays have the axes TZYX.
    axes : str
        Letters of T, Z, Y, X.
    source : ImageSource
        The image, for intensities and voxel size.
    model_hash : str
        Which model made the labels; kept in every row, so that mixed tables show it.
    settings : str
        With which settings, as JSON; kept in every row, too.
    in_training : bool
        Whether the image was used to train that model.
    edited : ndarray of bool, optional
        Voxels changed or confirmed by hand, of the shape of `labels`.

    Returns
    -------
    dict of str to ndarray
        Columns ``label``; ``frame`` where there is time; ``area_um2`` or ``volume_um3``;
        ``centroid_z_um``… from the center of the first voxel; ``mean_0``… per channel; ``edited_fraction``
        (NaN when not given); ``in_training``; ``model_hash``; ``settings``. Where the voxel size is unknown, lengths
        are in ``px``: ``area_px``, ``volume_px``, ``centroid_y_px``.
        The quantities are those of ``skimage.measure.regionprops``.

    Raises
    ------
    ImageError
        If the shapes differ or the image cannot be read.
    """
    view = labels if axes == "TZYX" else canonical_view(labels, axes)
    if tuple(view.shape) != source.shape:
        raise ImageError(
            f"The labels are (T, Z, Y, X) = {tuple(view.shape)}, but the image {source.name!r} is {source.shape}.",
            "Choose the image that the labels belong to.",
        )
    by_hand = None if edited is None else canonical_view(edited, axes)
    frames = [_measure_frame(view, source, t, by_hand) for t in range(source.n_times)]
    table: Columns = {"label": np.concatenate([frame["label"] for frame in frames])}
    if source.has("T"):
        table["frame"] = np.concatenate([np.full(frame["label"].size, t) for t, frame in enumerate(frames)])
    for name in list(frames[0])[1:]:
        table[name] = np.concatenate([frame[name] for frame in frames])
    rows = table["label"].size
    table["in_training"] = np.full(rows, in_training)
    table["model_hash"] = np.full(rows, model_hash, dtype=object)
    table["settings"] = np.full(rows, settings, dtype=object)
    return table


def _measure_frame(labels: Any, source: ImageSource, t: int, edited: Any | None) -> Columns:
    """Measure the objects of one time point by counting, box by box; it does not care how large a label is."""
    values, count, sums = _sums(labels, source, t, edited)
    mean = sums / np.maximum(count, 1)[:, np.newaxis]
    solid = source.shape[1] > 1
    voxel = source.scale_um
    unit, (dz, dy, dx) = ("px", (1.0, 1.0, 1.0)) if voxel is None else ("um", voxel)
    size = dz * dy * dx if solid else dy * dx
    power = "" if voxel is None else "3" if solid else "2"
    columns: Columns = {"label": values, f"{'volume' if solid else 'area'}_{unit}{power}": count * size}
    for axis, (letter, step) in enumerate(zip("zyx", (dz, dy, dx), strict=True)):
        if solid or letter != "z":
            columns[f"centroid_{letter}_{unit}"] = mean[:, axis] * step
    for channel in range(source.n_channels):
        columns[f"mean_{channel}"] = mean[:, 3 + channel]
    columns["edited_fraction"] = np.full(values.size, np.nan) if edited is None else mean[:, -1]
    return columns


def _sums(
    labels: Any, source: ImageSource, t: int, edited: Any | None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the labels of a time point, their voxels, and sums over them: z, y, x, the channels, by hand."""
    width = 4 + source.n_channels
    parts: list[tuple[npt.NDArray[Any], npt.NDArray[np.int64], npt.NDArray[np.float64]]] = []
    for box in _boxes(source.shape[1:]):
        here = np.asarray(labels[(t, *box)])
        there = here > 0
        values, place = np.unique(here[there], return_inverse=True)
        if not values.size:
            continue
        image = source.read(t, box)
        weights = [position + span.start for position, span in zip(np.nonzero(there), box, strict=True)]
        weights += [image[channel][there] for channel in range(source.n_channels)]
        weights += [np.zeros(place.size) if edited is None else np.asarray(edited[(t, *box)])[there]]
        sums = [np.bincount(place, weight, minlength=values.size) for weight in weights]
        parts.append((values, np.bincount(place, minlength=values.size), np.stack(sums, axis=1)))
    if not parts:
        return np.empty(0, labels.dtype), np.empty(0, np.int64), np.empty((0, width))
    values, place = np.unique(np.concatenate([part[0] for part in parts]), return_inverse=True)
    count = np.zeros(values.size, np.int64)
    total = np.zeros((values.size, width))
    np.add.at(count, place, np.concatenate([part[1] for part in parts]))
    np.add.at(total, place, np.concatenate([part[2] for part in parts]))
    return values, count, total


def _boxes(shape: Sequence[int]) -> Iterator[Box]:
    """Yield the boxes in which a (Z, Y, X) array is read; they begin on the chunks of label pyramids."""
    depth, height, width = shape
    tall, wide = min(height, _EDGE), min(width, _EDGE)
    deep = max(1, _EDGE * _EDGE // (tall * wide))
    for z in range(0, depth, deep):
        for y in range(0, height, tall):
            for x in range(0, width, wide):
                yield as_box((z, y, x), (min(z + deep, depth), min(y + tall, height), min(x + wide, width)))


def write_table(
    path: PathLike, columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]], overwrite: bool = False
) -> Path:
    """Write columns as CSV (UTF-8, comma, a header line; empty where a value is NaN).

    Parameters
    ----------
    path : str or Path
        The file.
    columns : mapping
        Equally long columns by name.
    overwrite : bool
        Replace a file of that name.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    OutputError
        If the columns differ in length or the file cannot be written.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise OutputError(f"The columns differ in length: {lengths}.", "Give columns of one length.")
    plain = [np.asarray(column).tolist() for column in columns.values()]
    with (
        atomic_path(path, overwrite=overwrite) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in zip(*plain, strict=True):
            writer.writerow(["" if value != value else value for value in row])
    return Path(path)
