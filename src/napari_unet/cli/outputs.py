"""Where results go: checked before any work, recognized when they are there already."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_unet.cli.inputs import stem
from napari_unet.errors import OutputError, UserError
from napari_unet.io.images import open_image

COMPARED = {"image_sha256": "image", "model_hash": "model", "settings": "settings"}


def ready_folder(path: str | Path) -> Path:
    """Make a folder if need be, and check that files can be written there.

    Raises
    ------
    OutputError
        If not, with the reason.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = "it is a file" if isinstance(error, FileExistsError) else str(error.strerror).lower()
        raise OutputError(
            f"The folder {str(folder)!r} cannot be written: {reason}.", "Choose another folder for --output."
        ) from error
    return folder


def plan_outputs(
    images: Mapping[Path, Path], folder: Path, ending: str, others: Sequence[str] = ()
) -> list[tuple[Path, Path]]:
    """Return each image with its output; outputs of earlier runs among the images are left out.

    Parameters
    ----------
    images : mapping of Path to Path
        Images and their subfolders, from `napari_unet.cli.inputs.find_images`.
    folder : Path
        Where the outputs go, in the same subfolders.
    ending : str
        Replaces the images' suffix, such as ``"_labels.tif"``.
    others : sequence of str
        Endings that outputs may have instead.

    Raises
    ------
    OutputError
        If two images would have the same output.
    """
    targets = {path: folder / below / f"{stem(path)}{ending}" for path, below in images.items()}
    endings = (ending, *others)
    earlier = {target.with_name(stem(path) + one).resolve() for path, target in targets.items() for one in endings}
    plan = [(path, target) for path, target in targets.items() if path.resolve() not in earlier]
    first: dict[Path, Path] = {}
    for path, target in plan:
        other = first.setdefault(target, path)
        if other is not path:
            raise OutputError(
                f"The images {str(other)!r} and {str(path)!r} would both be written to {str(target)!r}.",
                "Give a pattern in quotes, which keeps subfolders, or segment them into different folders.",
            )
    return plan


def is_finished(target: Path, provenance: Mapping[str, Any]) -> bool:
    """Whether an output is there that came from the same image, model and settings.

    Raises
    ------
    OutputError
        If there is a file that came from something else.
    """
    if not target.exists():
        return False
    try:
        found = open_image(target).provenance
    except UserError as error:
        raise OutputError(
            f"The file {str(target)!r} is in the way: it is no finished label image ({error.message}).",
            "Add --overwrite to replace it.",
        ) from error
    wanted = json.loads(json.dumps(provenance))
    different = [word for key, word in COMPARED.items() if found.get(key) != wanted[key]]
    if different:
        raise OutputError(
            f"The file {str(target)!r} is in the way: it was made with another {' and other '.join(different)}.",
            "Add --overwrite to replace it, or choose another folder.",
        )
    return True


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file; of a folder, that of all names and contents in it."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for part in _files(path):
        digest.update(f"{part.relative_to(path).as_posix()}\0{fingerprint(part)}\n".encode())
    return digest.hexdigest()


def stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Return names, sizes and times of a file or of all files in a folder, to notice a change."""
    parts = [path] if path.is_file() else list(_files(path))
    found = [(part, part.stat()) for part in parts]
    return tuple((str(part), status.st_size, status.st_mtime_ns) for part, status in found)


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(part for part in folder.rglob("*") if part.is_file())
