"""Voxel size and provenance in the tags and texts of a TIFF."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any
from xml.etree import ElementTree as ET

import tifffile

from napari_unet.image.units import micrometres

PROVENANCE_KEY = "napari_unet"
# 72 to 600 dots per inch are settings for printing and say nothing about the specimen.
_PRINTED_UM = 40.0


def read_metadata(
    file: tifffile.TiffFile,
) -> tuple[tuple[float | None, float, float] | None, dict[str, Any]]:
    """Read the voxel size and what our own files keep.

    Parameters
    ----------
    file : tifffile.TiffFile
        An open file: OME, ImageJ, tifffile's own or plain.

    Returns
    -------
    tuple or None
        Voxel size (z, y, x) in µm; z is None when the file gives none. None when unknown.
    dict
        What `label_formats.to_json` wrote; empty for files from elsewhere.
    """
    if file.is_ome and file.ome_metadata:
        return _from_ome(file.ome_metadata)
    meta: dict[str, Any] = dict(file.imagej_metadata or (file.shaped_metadata or ({},))[0] or {})
    tags = file.pages.first.tags
    unit = str(meta.get("unit", "")).strip()
    factors = [micrometres(meta.get(key) or unit) for key in ("zunit", "yunit", "xunit")]
    if not unit:
        resolution_unit = tags["ResolutionUnit"].value if "ResolutionUnit" in tags else 1
        factors = [{2: 25400.0, 3: 10000.0}.get(int(resolution_unit))] * 3
    y, x = _pixel(tags, "YResolution", factors[1]), _pixel(tags, "XResolution", factors[2])
    if y is None or x is None or (not unit and max(y, x) > _PRINTED_UM):
        return None, _own(meta.get("Info"))
    depth = meta.get("spacing", 1.0 if file.is_imagej and unit else None)
    z = _positive(depth, factors[0])
    return (z, y, x), _own(meta.get("Info"))


def _pixel(tags: tifffile.TiffTags, name: str, factor: float | None) -> float | None:
    """Return a pixel size in µm from a resolution in pixels per unit."""
    if name not in tags:
        return None
    numerator, denominator = tags[name].value
    return _positive(denominator / numerator, factor) if numerator else None


def _positive(value: Any, factor: float | None) -> float | None:
    try:
        number = abs(float(value))
    except (TypeError, ValueError):
        return None
    return number * factor if factor is not None and isfinite(number) and number > 0 else None


def _from_ome(xml: str) -> tuple[tuple[float | None, float, float] | None, dict[str, Any]]:
    """Read PhysicalSize and our annotation from OME-XML."""
    root = ET.fromstring(xml)
    pixels = next((node for node in root.iter() if node.tag.rpartition("}")[2] == "Pixels"), None)
    sizes: list[float | None] = [None, None, None]
    if pixels is not None:
        sizes = [
            _positive(pixels.get(f"PhysicalSize{a}"), micrometres(pixels.get(f"PhysicalSize{a}Unit", "µm")))
            for a in "ZYX"
        ]
    keyed = (node.text for node in root.iter() if node.tag.endswith("}M") and node.get("K") == PROVENANCE_KEY)
    z, y, x = sizes
    return None if y is None or x is None else (z, y, x), _own(next(keyed, None), wrapped=False)


def _own(text: Any, wrapped: bool = True) -> dict[str, Any]:
    """Return what `label_formats.to_json` wrote, or nothing: other programs keep other things there."""
    try:
        found = json.loads(text)
        found = found[PROVENANCE_KEY] if wrapped else found
    except (TypeError, ValueError, KeyError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
