"""A checkpoint to a file of any format that others read, complete or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_unet.errors import OutputError
from napari_unet.image.source import ImageSource
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.exporting import format_of
from napari_unet.model.exporting.about import About
from napari_unet.model.exporting.package import package_bytes
from napari_unet.model.exporting.programs import onnx_bytes, torchscript_bytes
from napari_unet.model.returning import write_original
from napari_unet.model.writing import replace_file


def export_checkpoint(
    checkpoint: Checkpoint,
    path: str | Path,
    *,
    format: str | None = None,
    example: ImageSource | None = None,
    about: About | None = None,
    fixed: bool = True,
    progress: Callable[[str], None] = lambda step: None,
) -> tuple[str, ...]:
    """Write a model for others.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    path : str or Path
        Where; an existing file is replaced once the new one is complete.
    format : {"safetensors", "bioimageio", "torchscript", "onnx", "original"}, optional
        By the ending of `path` when omitted; see `napari_unet.model.returning` for ``"original"``.
    example : ImageSource, optional
        For a package: an image of the kind that the model is for.
    about : About, optional
        For a package: authors and licence.
    fixed : bool
        For a package: see `package_bytes`.
    progress : callable, optional
        Told what is being written.

    Returns
    -------
    tuple of str
        What the user should know, as sentences.

    Raises
    ------
    OutputError
        If the model cannot be written so, or not there.
    """
    path = Path(path)
    kind = format_of(path, format)
    if kind == "safetensors":
        checkpoint.save(path)
        return ()
    if kind == "original":
        return write_original(checkpoint, path)
    if kind == "bioimageio":
        if example is None or about is None:
            raise OutputError(
                "A bioimage.io package needs an example image, authors and a licence.",
                "Give them, or write another format.",
            )
        content, notes = package_bytes(checkpoint, example, about, fixed=fixed, progress=progress)
        replace_file(path, content)
        return notes
    replace_file(path, torchscript_bytes(checkpoint) if kind == "torchscript" else onnx_bytes(checkpoint))
    how = checkpoint.header.normalization
    return (
        f"The program takes normalized images (method {how.method!r}) and returns scores: "
        "the file does not say how to normalize, as a package does.",
    )
