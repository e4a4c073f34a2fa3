"""What the two label formats, ImageJ and OME-TIFF, are told about axes, voxel size and origin."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from napari_unet.errors import OutputError
from napari_unet.image.units import micrometres
from napari_unet.io.tiff_metadata import PROVENANCE_KEY

Voxel = tuple[float, float, float]
_NAMESPACE = "napari-unet"


def micrometre_scale(scale: Sequence[float] | None, units: str) -> Voxel | None:
    """Return a voxel size (z, y, x) in µm, or None if it is unknown or not in a unit of length.

    Raises
    ------
    OutputError
        If it is not three positive numbers.
    """
    factor = micrometres(units)
    if scale is None or factor is None:
        return None
    numbers = tuple(float(value) * factor for value in scale)
    if len(numbers) != 3 or not all(np.isfinite(numbers)) or min(numbers) <= 0:
        raise OutputError(
            f"The voxel size is {tuple(scale)}; expected three positive numbers (z, y, x).", "Correct it."
        )
    return (numbers[0], numbers[1], numbers[2])


def to_json(provenance: Mapping[str, Any], axes: str, shape: Sequence[int]) -> str:
    """Return what our readers find again: the provenance, and the axes of length 1 that the formats forget.

    Raises
    ------
    OutputError
        If the provenance holds something that is no JSON.
    """
    kept = {"provenance": dict(provenance), "axes": axes, "shape": list(shape)}
    try:
        return json.dumps(kept, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise OutputError(f"The provenance cannot be written as JSON: {error}.", "Use plain values only.") from error


def imagej_options(axes: str, voxel: Voxel | None, kept: str, largest: int) -> dict[str, Any]:
    """Return tifffile's arguments for an ImageJ TIFF; `kept` goes to where Fiji shows *Info*."""
    # Fiji shows labels with min and max; "um" is what it turns into µm, and plain ASCII.
    metadata: dict[str, Any] = {"axes": axes, "Info": f'{{"{PROVENANCE_KEY}": {kept}}}'}
    metadata |= {"min": 0.0, "max": float(max(largest, 1))}
    options: dict[str, Any] = {"imagej": True, "metadata": metadata}
    if voxel is not None:
        metadata |= {"unit": "um", "spacing": voxel[0]}
        options["resolution"] = (1 / voxel[2], 1 / voxel[1])
    return options


def ome_options(axes: str, voxel: Voxel | None, kept: str, largest: int) -> dict[str, Any]:
    """Return tifffile's arguments for an OME-TIFF; `kept` becomes a map annotation."""
    metadata: dict[str, Any] = {
        "axes": axes,
        "MapAnnotation": {"Namespace": _NAMESPACE, PROVENANCE_KEY: kept},
    }
    if voxel is not None:
        for letter, size in zip("ZYX", voxel, strict=True):
            metadata |= {f"PhysicalSize{letter}": size, f"PhysicalSize{letter}Unit": "µm"}
    return {"ome": True, "metadata": metadata}
