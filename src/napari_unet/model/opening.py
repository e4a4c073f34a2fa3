"""From a name to a file, and from one of our own files to its header. Free of torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_unet.errors import CheckpointError
from napari_unet.model.builtin import builtin_names, builtin_path
from napari_unet.model.header import CheckpointHeader
from napari_unet.model.tensorfile import header_of, read_table


def find_checkpoint(source: str | Path) -> Path:
    """Return the file of a built-in name or of a path that exists.

    Raises
    ------
    CheckpointError
        If there is neither.
    """
    if isinstance(source, str) and source in builtin_names():
        return builtin_path(source)
    path = Path(source)
    if not os.path.exists(path):
        built_in = ", ".join(builtin_names()) or "none"
        raise CheckpointError(f"There is no file {path}, nor a built-in model of that name.", f"Built in: {built_in}.")
    return path


def own_header(path: Path) -> CheckpointHeader | None:
    """Return the header of one of our own files, without torch; None for anything else.

    Raises
    ------
    CheckpointError
        If the file is ours but damaged or out of bounds.
    """
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise CheckpointError(
            f"{path.name} cannot be read: {error.strerror}.", "Check the path and its rights."
        ) from error
    if start[8:] != b"{":
        return None
    values = header_of(path, read_table(path))
    return None if values is None else CheckpointHeader.from_dict(values)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Within this context, a refusal says which file it is about, also where it was found deep inside of it."""
    try:
        yield
    except CheckpointError as error:
        if path.name not in str(error):
            error.message = f"{path.name}: {error.message}"
        raise
