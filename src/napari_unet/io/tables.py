"""Measurements of objects, and tables as CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import ImageError, OutputError
from napari_unet.image.axes import canonical_view
from napari_unet.image.source import ImageSource
from napari_unet.io.atomic import PathLike, atomic_path

Columns = dict[str, npt.NDArray[Any]]


def measure_objects(
    labels: npt.NDArray[Any],
    axes: str,
    source: ImageSource,
    *,
    model_hash: str = "",
    settings: str = "",
    in_training: bool = False,
    edited: npt.NDArray[np.bool_] | None = None,
) -> Columns:
    """Measure every object, each time point on its own.

    Parameters
    ----------
    labels : ndarray of int
        In the order of `axes`; 0 is background.
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
    view = canonical_view(labels, axes)
    if view.shape != source.shape:
        raise ImageError(
            f"The labels are (T, Z, Y, X) = {view.shape}, but the image {source.name!r} is {source.shape}.",
            "Choose the image that the labels belong to.",
        )
    by_hand = None if edited is None else canonical_view(edited, axes)
    frames = [
        _measure_frame(view[t], source, t, None if by_hand is None else by_hand[t]) for t in range(source.n_times)
    ]
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


def _measure_frame(
    labels: npt.NDArray[Any], source: ImageSource, t: int, edited: npt.NDArray[np.bool_] | None
) -> Columns:
    """Measure the objects of one time point by counting, which does not care how large a label is."""
    inside = labels > 0
    values, place = np.unique(labels[inside], return_inverse=True)
    count = np.bincount(place, minlength=values.size)

    def mean(weights: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(np.bincount(place, weights, minlength=values.size) / count)

    solid = source.shape[1] > 1
    voxel = source.scale_um
    unit, (dz, dy, dx) = ("px", (1.0, 1.0, 1.0)) if voxel is None else ("um", voxel)
    size = dz * dy * dx if solid else dy * dx
    power = "" if voxel is None else "3" if solid else "2"
    columns: Columns = {"label": values, f"{'volume' if solid else 'area'}_{unit}{power}": count * size}
    for letter, step, position in zip("zyx", (dz, dy, dx), np.nonzero(inside), strict=True):
        if solid or letter != "z":
            columns[f"centroid_{letter}_{unit}"] = mean(position) * step
    if values.size:
        image = source.read(t)
        for channel in range(source.n_channels):
            columns[f"mean_{channel}"] = mean(image[channel][inside])
    else:
        columns |= {f"mean_{channel}": np.empty(0) for channel in range(source.n_channels)}
    columns["edited_fraction"] = np.full(values.size, np.nan) if edited is None else mean(edited[inside])
    return columns


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
