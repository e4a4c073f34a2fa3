"""Job functions that write files; what reads and writes formats is imported in the worker process only."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.source import ImageSource
from napari_unet.jobs import JobContext


@dataclass(frozen=True, eq=False)
class LabelFile:
    """Labels to write: a snapshot, with what the file says about them."""

    path: str
    labels: npt.NDArray[Any]
    axes: str
    scale: tuple[float, ...] | None
    units: str
    provenance: dict[str, Any]
    overwrite: bool
    protected: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TableFile:
    """Objects to measure and, with a path, to write as CSV.

    Parameters
    ----------
    path : str or None
        Where to write; None to measure only.
    labels, axes : ndarray of int, str
        A snapshot, and its letters of T, Z, Y, X.
    source : ImageSource
        The image, by reference.
    model_hash, settings : str
        Of the model that made the labels; the settings, as JSON.
    in_training : bool
        Whether the image taught that model.
    edited : ndarray of bool, of the labels' shape
        Voxels the user changed.
    overwrite : bool
        Replace an existing file.
    """

    path: str | None
    labels: npt.NDArray[Any]
    axes: str
    source: ImageSource
    model_hash: str
    settings: str
    in_training: bool
    edited: npt.NDArray[np.bool_]
    overwrite: bool


def export_labels(context: JobContext, request: LabelFile) -> str:
    """Write labels as TIFF and return the path."""
    from napari_unet.io.labels import write_labels

    write_labels(
        request.path,
        request.labels,
        request.axes,
        scale=request.scale,
        units=request.units,
        provenance=request.provenance,
        overwrite=request.overwrite,
        protected=request.protected,
    )
    return request.path


def export_table(context: JobContext, request: TableFile) -> dict[str, Any]:
    """Measure objects, write them as CSV if a path is given, and return the columns."""
    from napari_unet.io.tables import measure_objects, write_table

    columns = measure_objects(
        request.labels,
        request.axes,
        request.source,
        model_hash=request.model_hash,
        settings=request.settings,
        in_training=request.in_training,
        edited=request.edited,
    )
    if request.path is not None:
        write_table(request.path, columns, overwrite=request.overwrite)
    return columns


def export_model(context: JobContext, request: tuple[str, str, bool]) -> str:
    """Copy a checkpoint file to where the user wants it and return that path."""
    from napari_unet.io.atomic import atomic_path

    source, target, overwrite = request
    with atomic_path(Path(target), overwrite=overwrite) as temporary:
        shutil.copyfile(source, temporary)
    return target
