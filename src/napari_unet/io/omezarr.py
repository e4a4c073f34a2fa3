"""OME-Zarr 0.4 and 0.5, read lazily."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.errors import ImageError, OutputError
from napari_unet.image.units import micrometres
from napari_unet.io.budget import check_budget
from napari_unet.io.lazy import LazyZarr
from napari_unet.io.opened import OpenedImage

_METADATA_BYTES = 16 * 2**20
_METADATA_FILES = ("zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata")
_OURS = "napari_unet"  # attribute of labels that this package wrote
_TYPES = {"time": "T", "channel": "C"}


def open_zarr(path: Path) -> OpenedImage:
    """Open the finest level of an OME-Zarr image without reading its values.

    Parameters
    ----------
    path : Path
        The folder.

    Returns
    -------
    OpenedImage

    Raises
    ------
    ImageError
        If it is no OME-Zarr image, points outside its folder, is damaged, or has pieces that
        do not fit into memory.
    """
    import zarr

    try:
        _check_sizes(path)
        attributes = dict(zarr.open_group(str(path), mode="r").attrs)
        multiscale = _multiscale(attributes, path)
        dataset, *coarser = multiscale["datasets"]
        array, witness = _open_level(path, dataset)
        letters = _letters(multiscale, array.ndim)
        scale = _scale(multiscale, dataset, letters)
        others = _open_coarser(path, coarser)
    except ImageError:
        raise
    # The library raises whatever a damaged store provokes: key, type, JSON and codec errors.
    except Exception as error:
        raise ImageError(
            f"The OME-Zarr {path.name!r} cannot be read: {type(error).__name__}: {error}.",
            "Check that the folder is complete.",
        ) from error
    dtype = np.dtype(array.dtype)
    check_budget(prod(array.chunks) * dtype.itemsize, path.name, "one chunk")
    ours = attributes.get(_OURS, {})
    provenance = ours.get("provenance", {}) if isinstance(ours, dict) else {}
    ome = attributes.get("ome", attributes)
    return OpenedImage(
        LazyZarr(path, witness, array.shape, dtype, array.chunks),
        letters,
        path,
        scale,
        provenance=provenance if isinstance(provenance, dict) else {},
        is_labels=isinstance(ome, dict) and "image-label" in ome and "C" not in letters,
        coarser=tuple(
            LazyZarr(path, witness, other.shape, np.dtype(other.dtype), other.chunks) for other, witness in others
        ),
    )


def _open_level(path: Path, dataset: Mapping[str, Any]) -> tuple[Any, Path]:
    """Return the array of one level, and the file whose change stands for its own."""
    import zarr

    inside = _confined(path, dataset["path"])
    _check_sizes(inside)
    array = zarr.open_array(str(inside), mode="r")
    return array, next(inside / name for name in ("zarr.json", ".zarray") if (inside / name).is_file())


def _open_coarser(path: Path, datasets: Sequence[Mapping[str, Any]]) -> list[tuple[Any, Path]]:
    """Return the coarser levels, up to the first that is not there: the finest one is all that must be."""
    found = []
    for dataset in datasets:
        inside = _confined(path, dataset["path"])
        if not any((inside / name).is_file() for name in ("zarr.json", ".zarray")):
            break
        found.append(_open_level(path, dataset))
    return found


def note_provenance(path: Path, provenance: Mapping[str, Any]) -> None:
    """Keep JSON values with labels in an OME-Zarr, where `open_zarr` finds them.

    Raises
    ------
    OutputError
        If they are no JSON, or cannot be written.
    """
    import zarr

    try:
        json.dumps(dict(provenance), allow_nan=False)
        zarr.open_group(str(path), mode="r+").attrs[_OURS] = {"provenance": dict(provenance)}
    except (TypeError, ValueError, OSError) as error:
        raise OutputError(f"The provenance cannot be written to {path.name!r}: {error}.", "Try again.") from error


def _check_sizes(folder: Path) -> None:
    for name in _METADATA_FILES:
        file = folder / name
        if file.is_file() and file.stat().st_size > _METADATA_BYTES:
            raise ImageError(
                f"The metadata {str(file)!r} has {file.stat().st_size} bytes; expected up to {_METADATA_BYTES}.",
                "It is no OME-Zarr that can be used.",
            )


def _multiscale(attributes: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the first multiscales entry, of version 0.5 or before."""
    ome = attributes.get("ome", attributes)
    found = ome.get("multiscales")
    if found:
        return dict(found[0])
    kind = "a plate" if "plate" in ome else "a well" if "well" in ome else "a folder of images"
    inside = sorted(child.name for child in path.iterdir() if child.is_dir())[:5]
    raise ImageError(
        f"The Zarr folder {path.name!r} is {kind}, not one image.",
        f"Open a folder inside it, such as {inside[0]!r}." if inside else "Choose another folder.",
    )


def _confined(root: Path, relative: object) -> Path:
    """Return a path inside the root; links and ``..`` must not lead out."""
    inside = (root / str(relative)).resolve()
    if not inside.is_relative_to(root.resolve()) or "://" in str(relative):
        raise ImageError(
            f"The OME-Zarr {root.name!r} points outside its folder, to {str(relative)!r}.",
            "Copy the image into the folder; nothing outside is read.",
        )
    return inside


def _letters(multiscale: dict[str, Any], ndim: int) -> tuple[str, ...]:
    """Return the axes: named objects (0.4 on), names (0.3), or all five (before)."""
    axes = multiscale.get("axes") or list("tczyx")[-ndim:]
    letters = []
    for axis in axes:
        name, kind = (axis.get("name", ""), axis.get("type", "")) if isinstance(axis, dict) else (axis, "")
        letter = _TYPES.get(kind, str(name).upper()[:1])
        letters.append(letter if letter in "TCZYX" else "")
    if len(letters) != ndim:
        raise ImageError(
            f"The OME-Zarr names {len(letters)} axes, but its array has {ndim} dimensions.", "It is damaged."
        )
    return tuple(letters)


def _scale(
    multiscale: dict[str, Any], dataset: dict[str, Any], letters: tuple[str, ...]
) -> tuple[float | None, float, float] | None:
    """Return the voxel size (z, y, x) in µm: the level's scale times the common one."""
    numbers = [1.0] * len(letters)
    stated = False
    for transformation in [
        *dataset.get("coordinateTransformations", ()),
        *multiscale.get("coordinateTransformations", ()),
    ]:
        if transformation.get("type") == "scale" and "scale" in transformation:
            stated = True
            numbers = [a * float(b) for a, b in zip(numbers, transformation["scale"], strict=True)]
    axes = multiscale.get("axes") or [{}] * len(letters)
    sizes: dict[str, float | None] = {}
    for letter, number, axis in zip(letters, numbers, axes, strict=True):
        factor = micrometres(axis.get("unit")) if isinstance(axis, dict) else None
        usable = stated and factor is not None and isfinite(number) and number > 0
        sizes[letter] = number * factor if usable and factor is not None else None
    y, x = sizes.get("Y"), sizes.get("X")
    return None if y is None or x is None else (sizes.get("Z"), y, x)
