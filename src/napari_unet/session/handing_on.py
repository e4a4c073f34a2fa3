"""The job that writes a model in a format of others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_unet.image.source import ImageSource
from napari_unet.jobs import JobContext
from napari_unet.model.exporting.about import About


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A model to write.

    Parameters
    ----------
    checkpoint : str
        File or built-in name.
    path, format : str
        Where, and one of `napari_unet.model.exporting.FORMATS`.
    overwrite : bool
        Replace an existing file.
    example : ImageSource or None
        For a package, by reference: its test values are taken from it.
    about : About or None
        For a package: authors and licence.
    fixed : bool
        For a package: normalize every tile by the intensities of the example.
    """

    checkpoint: str
    path: str
    format: str
    overwrite: bool
    example: ImageSource | None = None
    about: About | None = None
    fixed: bool = True


def hand_on(context: JobContext, request: ModelFile) -> tuple[str, tuple[str, ...]]:
    """Write the model; return the path and what the user should know."""
    from napari_unet.io.atomic import check_target
    from napari_unet.model.checkpoint import load_checkpoint
    from napari_unet.model.exporting.writing import export_checkpoint

    context.progress(0, 1, "opening")
    check_target(Path(request.path), overwrite=request.overwrite, protected=[request.checkpoint])

    def progressed(step: str) -> None:
        context.check()
        context.progress(0, 1, step)

    notes = export_checkpoint(
        load_checkpoint(request.checkpoint),
        request.path,
        format=request.format,
        example=request.example,
        about=request.about,
        fixed=request.fixed,
        progress=progressed,
    )
    return request.path, notes
