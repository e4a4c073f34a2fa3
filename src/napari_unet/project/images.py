"""Images by reference: where they are, what they looked like, and how they are opened again."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_unet.errors import ImageError
from napari_unet.image.channels import stack_channels
from napari_unet.image.source import ImageSource
from napari_unet.project.fingerprint import Fingerprint

Part = dict[str, Any]


def describe(source: ImageSource, folder: Path, copy: str | None = None) -> list[Part]:
    """Return what is kept about an image: one part, or one for each image that is a channel of it.

    Parameters
    ----------
    source : ImageSource
        The image.
    folder : Path
        The project.
    copy : str, optional
        The file that the project made for it, where there was none.

    Returns
    -------
    list of dict
        JSON values; ``file`` is None while there is no file.
    """
    parts = parts_of(source)
    if copy is None and len(parts) > 1:
        return [_part(part, folder, part.path) for part in parts]
    return [_part(source, folder, copy or (source.path if len(parts) == 1 else None))]


def parts_of(source: ImageSource) -> tuple[ImageSource, ...]:
    """Return the images that are the channels of one; the image itself if it is not made of others."""
    return tuple(getattr(source.data, "sources", (source,)))


def open_again(parts: list[Part], folder: Path, name: str, *, check: bool = True) -> tuple[ImageSource, bool]:
    """Open an image that a project refers to.

    Parameters
    ----------
    parts : list of dict
        See `describe`.
    folder : Path
        The project as it lies now; files are looked for from there first.
    name : str
        Name of the image.
    check : bool
        Refuse a file that is not the one that was worked on.

    Returns
    -------
    ImageSource
        The image.
    bool
        A large file was written since, though what was sampled of it is the same.

    Raises
    ------
    ImageError
        If a file is gone, is another one now, or cannot be opened.
    """
    opened = [_open_part(part, folder, check) for part in parts]
    sources = [source for source, _ in opened]
    source = sources[0] if len(sources) == 1 else stack_channels(sources)
    return replace(source, name=name), any(touched for _, touched in opened)


def _part(source: ImageSource, folder: Path, path: str | None) -> Part:
    return {
        "file": None if path is None else reference(path, folder),
        "name": source.name,
        "axes": source.axes,
        "shape": [int(n) for n in source.data.shape],
        "dtype": str(source.data.dtype),
        "scale": None if source.scale is None else list(source.scale),
        "units": source.units,
        "scale_origin": source.scale_origin,
        "rgb": source.rgb,
        "channels": None if source.channels is None else list(source.channels),
        # A copy holds one level only.
        "level": source.level if path == source.path else 0,
        "levels": source.levels if path == source.path else 1,
    }


def reference(path: str, folder: Path) -> dict[str, Any]:
    """Return where a file is, absolute and as seen from a project folder.

    Parameters
    ----------
    path : str
        The file.
    folder : Path
        The project.
    """
    absolute = os.path.abspath(path)
    try:
        relative: str | None = Path(os.path.relpath(absolute, folder)).as_posix()
    except ValueError:  # another drive
        relative = None
    return {"relative": relative, "absolute": absolute}


def _open_part(part: Part, folder: Path, check: bool) -> tuple[ImageSource, bool]:
    from napari_unet.io.images import open_image  # slow to import, and the panel opens at once

    path, touched = _find(part, folder, check)
    levels, shape, level = open_image(path).levels, tuple(part["shape"]), int(part.get("level", 0))
    data = levels[min(level, len(levels) - 1)]
    if tuple(data.shape) != shape:
        raise ImageError(
            f"The file '{path}' has shape {tuple(data.shape)}; the image {part['name']!r} had {shape}.",
            "Point to the image that was worked on.",
        )
    source = ImageSource(
        data=data,
        axes=part["axes"],
        name=part["name"],
        scale=None if part["scale"] is None else tuple(part["scale"]),
        units=part["units"],
        scale_origin=part["scale_origin"],
        rgb=part["rgb"],
        channels=None if part["channels"] is None else tuple(part["channels"]),
        path=str(path),
        level=min(level, len(levels) - 1),
        levels=min(int(part.get("levels", 1)), len(levels)),
    )
    return source, touched


def _find(part: Part, folder: Path, check: bool) -> tuple[Path, bool]:
    """Return the file of a part, and whether it was written since."""
    file, name = part["file"], part["name"]
    if file is None:
        raise ImageError(
            f"The image {name!r} had no file, and its copy was not complete when the work ended.",
            "Save the image as a file, then point to it.",
        )
    places = [folder / file["relative"]] if file.get("relative") else []
    known = None if file.get("fingerprint") is None else Fingerprint.from_json(file["fingerprint"])
    changed = None
    for path in dict.fromkeys(Path(os.path.normpath(place)) for place in (*places, Path(file["absolute"]))):
        if not path.exists():
            continue
        verdict = "same" if known is None or not check else known.compare(Fingerprint.of(path))
        if verdict != "changed":
            return path, verdict == "touched"
        changed = changed or path
    if changed is not None:
        raise ImageError(
            f"The file '{changed}' is not the image {name!r} any more that was worked on: its content changed.",
            "Bring the old file back, or point to the image anew.",
        )
    raise ImageError(
        f"The image {name!r} is no longer at '{file['absolute']}'.", "Bring it back, or point to where it is now."
    )
