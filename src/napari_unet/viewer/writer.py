"""npe2 writer: a Labels layer as a label TIFF with voxel size, axes and provenance."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from napari_unet.errors import AxesError
from napari_unet.image.axes import infer_axes, label_axes, parse_axes
from napari_unet.image.units import micrometres
from napari_unet.io.labels import write_labels
from napari_unet.viewer.reader import METADATA_KEY


def write_labels_layer(path: str | os.PathLike[str], data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer; a file of that name is replaced, for napari has asked already.

    Parameters
    ----------
    path : str or Path
        The file; ``.tif`` is added if it has no suffix.
    data : array-like
        The layer's data; of a multiscale layer the finest level is written.
    meta : dict
        The layer's attributes: scale, units, axis_labels, metadata.

    Returns
    -------
    list of str
        The file that was written.

    Raises
    ------
    OutputError
        If the labels do not fit or the file cannot be written.
    AxesError
        If it is unclear what the layer's dimensions mean.
    """
    path = os.fspath(path)
    if not os.path.splitext(path)[1]:
        path += ".tif"
    labels = np.asarray(data[0] if meta.get("multiscale") else data)
    provenance = _provenance(meta)
    axes = _axes(labels, meta, provenance)
    scale = _voxel_size(axes, meta)
    if "C" in axes:
        # Results of images with channels in the middle carry a channel axis of length 1.
        if labels.shape[axes.index("C")] != 1:
            raise AxesError(
                f"The labels have {labels.shape[axes.index('C')]} channels; expected one.",
                "Save each channel as a layer of its own.",
            )
        labels, axes = labels.squeeze(axes.index("C")), label_axes(axes)
    return [str(write_labels(path, labels, axes, scale, provenance=provenance, overwrite=True))]


def _axes(labels: np.ndarray[Any, Any], meta: dict[str, Any], provenance: dict[str, Any]) -> str:
    told = provenance.pop("axes", None)
    if isinstance(told, str) and len(told) == labels.ndim:
        return parse_axes(told, labels.shape)
    try:
        return infer_axes(labels.shape, [str(label) for label in meta.get("axis_labels") or ()])
    except AxesError as error:
        raise AxesError(
            error.message, "Name the layer's axes (axis_labels), for example z, y, x.", error.candidates
        ) from error


def _provenance(meta: dict[str, Any]) -> dict[str, Any]:
    """Return what the layer says about its origin, less what is no JSON."""
    known = (meta.get("metadata") or {}).get(METADATA_KEY) or {}
    return {str(key): value for key, value in dict(known).items() if _is_json(value)} | {
        "layer": str(meta.get("name", ""))
    }


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _voxel_size(axes: str, meta: dict[str, Any]) -> tuple[float, float, float] | None:
    """Return the voxel size (z, y, x) in µm; a scale other than 1 without a unit is taken as µm."""
    scale = meta.get("scale")
    if scale is None or len(scale) != len(axes):
        return None
    units = meta.get("units") or ("pixel",) * len(axes)
    sizes, told = {}, False
    for letter, size, unit in zip(axes, scale, units, strict=True):
        if letter in "ZYX":
            factor = micrometres(unit)
            told = told or factor is not None or size != 1
            sizes[letter] = abs(float(size)) * (1.0 if factor is None else factor)
    return (sizes.get("Z", 1.0), sizes["Y"], sizes["X"]) if told else None
