"""Parts of a session as JSON values, and back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from napari_unet.errors import CheckpointError
from napari_unet.image.boxes import Box, as_box
from napari_unet.model.checkpoint import find_checkpoint, own_header, read_header
from napari_unet.model.header import CheckpointHeader
from napari_unet.project.images import describe
from napari_unet.session.settings import SessionSettings
from napari_unet.session.state import Area, ImageState, ModelVersion, Origin, TruthKey
from napari_unet.session.tracking import TruthTracker

LastView = tuple[str, tuple[int, Box] | None, bool, tuple[int, ...]]


def image_folder(image_id: str) -> str:
    """Return the name of an image's folder in the project; ids end with a number of their own."""
    name, _, number = image_id.rpartition("-")
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name)[:40]
    return f"{safe}-{number}"


def truth_name(key: TruthKey) -> str:
    """Return the name of the files of a truth; class names may be anything, so they are hashed."""
    if len(key) == 1:
        return key[0]
    return f"{key[0]}-{hashlib.sha256(repr(key).encode()).hexdigest()[:8]}"


def image_to_json(
    image: ImageState, trackers: Iterable[TruthTracker], folder: Path, copy: str | None
) -> dict[str, Any]:
    """Return an image by reference, with the truths that it has."""
    truths = [
        {
            "key": list(tracker.key),
            "name": tracker.name,
            "instances": tracker.truth.instances,
            "dtype": str(tracker.truth.labels.dtype),
            "rim_z": tracker.truth.rim_z,
            "known": tracker.truth.n_known > 0,
        }
        for tracker in trackers
    ]
    return {
        "id": image.image_id,
        "name": image.source.name,
        "folder": image_folder(image.image_id),
        "axes": image.source.axes,
        "shape": list(image.source.shape),
        "copied": copy is not None,
        "parts": describe(image.source, folder, copy),
        "truths": truths,
        "large": image.large,
        "area": None if image.area is None else area_to_json(image.area),
    }


def area_to_json(area: Area) -> dict[str, Any]:
    """Return a work area as JSON values."""
    return {"parent": area.parent, "t": area.t, "box": [[int(s.start), int(s.stop)] for s in area.box]}


def area_from_json(value: Mapping[str, Any]) -> Area:
    """Return a work area from JSON values."""
    ends = value["box"]
    return Area(str(value["parent"]), int(value["t"]), as_box([int(a) for a, _ in ends], [int(b) for _, b in ends]))


def says_something(entry: Mapping[str, Any]) -> bool:
    """Whether the user said anything in an image of the project, or in one of its work areas."""
    return bool(entry.get("areas_known")) or any(truth["known"] for truth in entry["truths"])


def settings_to_json(settings: SessionSettings) -> dict[str, Any]:
    """Return settings as JSON values."""
    return asdict(settings)


def settings_from_json(values: Mapping[str, Any]) -> SessionSettings:
    """Return settings from JSON values; what this version does not know is left out."""
    settings: SessionSettings = _filled(SessionSettings(), values)
    return settings


def _filled(default: Any, values: Mapping[str, Any]) -> Any:
    changes = {}
    for field in fields(default):
        if field.name in values:
            old, new = getattr(default, field.name), values[field.name]
            if is_dataclass(old) and isinstance(new, Mapping):
                new = _filled(old, new)
            elif isinstance(old, tuple) and isinstance(new, list):
                new = tuple(new)
            changes[field.name] = new
    return replace(default, **changes)


def models_to_json(
    versions: Iterable[ModelVersion],
    current: ModelVersion | None,
    folder: Path,
    taught: Mapping[str, frozenset[str]],
    decisions: Mapping[str, dict[str, Any]],
    used: frozenset[str],
) -> dict[str, Any]:
    """Return the models of a session: where they are, where they came from and how they did."""
    entries = []
    for version in versions:
        header = version.header
        name = Path(version.path).name
        entries.append(
            {
                "path": _seen_from(version.path, folder),
                "name": header.name,
                "weights_hash": header.weights_hash,
                "parent": header.parent,
                "summary": version.summary,
                "untrained": version.untrained,
                "current": version is current,
                "decision": decisions.get(name),
                # Whether it ever was the current model, also one that the decision had kept out.
                "used": name in used,
                "taught_by": sorted(taught.get(header.weights_hash, ())),
            }
        )
    return {"models": entries}


def _seen_from(path: str, folder: Path) -> str:
    """Return a path as seen from the project where it lies inside; built-in names and others as they are."""
    inside = os.path.isabs(path) and Path(path).is_relative_to(folder)
    return Path(path).relative_to(folder).as_posix() if inside else path


def model_from_json(entry: Mapping[str, Any], folder: Path) -> ModelVersion:
    """Return a model that a project refers to.

    Raises
    ------
    CheckpointError
        If it is gone or damaged, or another model now.
    """
    stored = str(entry["path"])
    path = str(folder / stored) if stored.startswith("models/") else stored
    header = own_header(find_checkpoint(path))
    if header is None or header.weights_hash != entry["weights_hash"]:
        raise CheckpointError(
            f"The model '{path}' is not the one that the project used.", "Choose another model, or bring it back."
        )
    return ModelVersion(path, header, str(entry["summary"]), bool(entry["untrained"]))


def unlisted_model(path: Path) -> ModelVersion:
    """Return a model that was written just before its process ended.

    Raises
    ------
    CheckpointError
        If it is damaged.
    """
    return ModelVersion(str(path), read_header(path), "Made just before the work was interrupted.")


def view_to_json(view: LastView | None) -> Any:
    """Return what was segmented last as JSON values."""
    if view is None:
        return None
    image_id, shown, only_view, times = view
    place = None if shown is None else [int(shown[0]), [[int(s.start), int(s.stop)] for s in shown[1]]]
    return [image_id, place, only_view, [int(t) for t in times]]


def view_from_json(value: Any) -> LastView | None:
    """Return what was segmented last from JSON values."""
    if value is None:
        return None
    image_id, place, only_view, times = value
    shown = None
    if place is not None:
        ends = place[1]
        shown = (int(place[0]), as_box([a for a, _ in ends], [b for _, b in ends]))
    return str(image_id), shown, bool(only_view), tuple(times)


def origin_from_json(value: Any) -> Origin:
    """Return what a prediction came from; the scores themselves are gone."""
    if not value:
        return Origin()
    model = value.get("model")
    return Origin(None if model is None else CheckpointHeader.from_dict(model), dict(value.get("settings") or {}))
