"""The job function that copies the labels of a large image."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unet.errors import OutputError
from napari_unet.io.folders import need_free, put_in_place
from napari_unet.io.omezarr import note_provenance
from napari_unet.jobs import JobContext


@dataclass(frozen=True)
class CopyRequest:
    """A pyramid of labels, and where a copy of it goes.

    Parameters
    ----------
    folder : str
        The pyramid.
    target : str
        The copy, a folder; its name ends with ``.zarr``.
    provenance : str
        Where the labels come from, as JSON.
    overwrite : bool
        Replace what is there.
    """

    folder: str
    target: str
    provenance: str
    overwrite: bool


def copy_pyramid(context: JobContext, request: CopyRequest) -> str:
    """Copy a pyramid, all of it or nothing; return where it is."""
    target = Path(request.target)
    partial = target.with_name(f".{target.name}.partial")
    need_free(target, request.overwrite)
    files = [path for path in Path(request.folder).rglob("*") if path.is_file()]
    provenance: Mapping[str, Any] = json.loads(request.provenance)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        for done, path in enumerate(files):
            context.check()
            copy = partial / path.relative_to(request.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            context.progress(done + 1, len(files), "copying the labels")
        note_provenance(partial, provenance)
        put_in_place(partial, target, request.overwrite)
    except OSError as error:
        raise OutputError(
            f"The labels cannot be written to '{target}': {error.strerror or error}.", "Choose another folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return str(target)
