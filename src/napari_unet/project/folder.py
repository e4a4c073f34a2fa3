"""The folder of one piece of work: images by reference, what is known, models, scores."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
import uuid
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from napari_unet import __version__
from napari_unet.errors import OutputError, UserError
from napari_unet.io.atomic import atomic_path
from napari_unet.project.lock import FolderLock

SCHEMA = 1
_FOLDERS = ("models", "scores", "truths", "images", "pyramids")


class WorkFolder:
    """A project on the disk; open in one process at a time.

    ::

        2026-01-31_101500_4711/
          project.json              schema, identity, versions
          images.json               images by reference, and which truths they have
          models.json               where models came from, how they did, which one is current
          <name>.json               further documents: settings, …
          truths/<image>/           journals: what the user said, what was predicted
          models/001.safetensors    each candidate and each imported checkpoint
          images/                   copies of images that had no file
          pyramids/<image>/         labels of large images, as OME-Zarr
          scores/                   memory-mapped scores, removed when the work is closed
          lock                      held while a process has the project open

    Parameters
    ----------
    path : Path
        The folder; it exists and holds a ``project.json``.
    keep_scores : bool
        Leave the scores: they are those of this process.

    Raises
    ------
    UserError
        If it is no project, of a newer version, or open elsewhere.
    """

    def __init__(self, path: Path, keep_scores: bool = False) -> None:
        self.path = path
        self.header = read_project(path)
        self._given = 0  # the largest number of a model that was given to a job, which may still run
        self._scores_given = 0
        try:
            self._lock = FolderLock(path / "lock")
            for name in _FOLDERS:
                (path / name).mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"The project '{path}' cannot be written: {error.strerror}.", "Move it to a folder that you may write."
            ) from error
        self._sweep(keep_scores)

    @classmethod
    def create(cls, parent: str | Path | None = None) -> WorkFolder:
        """Make a new project.

        Parameters
        ----------
        parent : path, optional
            Where to make it; in the user's data folder when omitted.

        Raises
        ------
        OutputError
            If the folder cannot be made.
        """
        root = Path(parent) if parent is not None else default_root()
        stem = f"{time.strftime('%Y-%m-%d_%H%M%S')}_{os.getpid()}"
        path, number = root / stem, 1
        try:
            root.mkdir(parents=True, exist_ok=True)
            while not _make(path):
                number += 1
                path = root / f"{stem}.{number}"
            header = {
                "schema": SCHEMA,
                "uuid": str(uuid.uuid4()),
                "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "versions": {
                    "napari-unet": __version__,
                    "numpy": np.__version__,
                    "python": platform.python_version(),
                },
            }
            write_json(path / "project.json", header)
        except OSError as error:
            raise OutputError(
                f"The project folder '{path}' cannot be made: {error.strerror}.",
                "Free some space or set NAPARI_UNET_HOME to a folder that you may write to.",
            ) from error
        return cls(path)

    # ---- models and scores ---------------------------------------------------------------------

    def next_model(self) -> Path:
        """Return the path for the next model; each is given once."""
        self._given = 1 + max([self._given, *(int(path.stem) for path in self.models())])
        return self.path / "models" / f"{self._given:03d}.safetensors"

    def remove_model(self, path: Path) -> None:
        """Remove a model that nobody adopted; one that cannot be removed stays, and does no harm."""
        with suppress(OSError):  # Windows keeps a file that is open
            path.unlink(missing_ok=True)

    def models(self) -> list[Path]:
        """Return the models made so far, the oldest first."""
        files = (self.path / "models").glob("*.safetensors")
        return sorted((path for path in files if path.stem.isdigit()), key=lambda path: int(path.stem))

    def new_scores(self, needed: Collection[str] = ()) -> Path:
        """Return a path for the scores of one run; of the earlier ones only the newest two and those `needed` stay."""
        names = {part.name.partition(".")[0].partition("-")[0] for part in (self.path / "scores").iterdir()}
        stems = sorted({int(name) for name in names if name.isdecimal()})  # others put files there too: .DS_Store
        files = [self.path / "scores" / f"{stem}.npy" for stem in stems]
        for old in files[:-2]:
            if str(old) not in needed:
                self.remove_scores(old)
        self._scores_given = 1 + max([self._scores_given, *(int(path.stem) for path in files)])
        return self.path / "scores" / f"{self._scores_given}.npy"

    def remove_scores(self, path: Path) -> None:
        """Remove scores that nothing shows any more; those that cannot be removed stay, and do no harm."""
        for name in (path.stem, f"{path.stem}-classes"):  # as `ScoreStore` and `ScoreFrames` name them
            shutil.rmtree(path.with_name(f"{name}.zarr"), ignore_errors=True)
            for suffix in (".npy", ".tiles"):
                with suppress(OSError):  # Windows keeps a file that is open
                    path.with_name(name + suffix).unlink(missing_ok=True)

    # ---- documents -----------------------------------------------------------------------------

    def documents(self) -> dict[str, Any]:
        """Return every document, by name.

        Raises
        ------
        UserError
            If one is damaged.
        """
        return {path.stem: read_json(path) for path in sorted(self.path.glob("[!.]*.json"))}

    # ---- life ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Remove the scores, and the folder itself if nothing in it is worth keeping; let others open it."""
        shutil.rmtree(self.path / "scores", ignore_errors=True)
        worth = self.path.is_dir() and is_worth_keeping(self.path)
        self._lock.release()
        if not worth:
            shutil.rmtree(self.path, ignore_errors=True)

    def move(self, target: Path) -> WorkFolder:
        """Move the project and return it at its new place; this one is then closed.

        Nothing is removed before the copy is complete.

        Raises
        ------
        OutputError
            If it cannot be moved; it then stays where it was.
        """
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._lock.release()
            try:
                os.rename(self.path, target)
            except OSError:  # another disk
                partial = target.with_name(f".{target.name}.moving")
                shutil.rmtree(partial, ignore_errors=True)
                shutil.copytree(self.path, partial)
                os.rename(partial, target)
                shutil.rmtree(self.path, ignore_errors=True)
        except OSError as error:
            self._lock.release()
            self._lock = FolderLock(self.path / "lock")
            raise OutputError(
                f"The project cannot be moved to '{target}': {error.strerror or error}.",
                "Choose another folder; the project stays where it is.",
            ) from error
        return WorkFolder(target, keep_scores=True)

    def _sweep(self, keep_scores: bool) -> None:
        """Remove what a killed process left half-written, and its scores."""
        for folder in (self.path, self.path / "models", *(self.path / "truths").iterdir()):
            for path in folder.glob(".*.*") if folder.is_dir() else ():
                if path.is_file():
                    path.unlink(missing_ok=True)
        for path in () if keep_scores else (self.path / "scores").iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for path in (self.path / "images").glob(".*"):
            shutil.rmtree(path, ignore_errors=True)


def default_root() -> Path:
    """Return the folder of all projects that were not moved elsewhere."""
    home = os.environ.get("NAPARI_UNET_HOME")
    return Path(home) if home else Path(platformdirs.user_data_dir("napari-unet", appauthor=False)) / "work"


def is_worth_keeping(path: Path) -> bool:
    """Tell whether a project holds anything that the user said, or a model."""
    said = any((path / "truths").glob("*/*.journal"))
    return said or any(model.stem.isdigit() for model in (path / "models").glob("*.safetensors"))


def read_project(path: Path) -> dict[str, Any]:
    """Return what a project says about itself.

    Raises
    ------
    UserError
        If it is no project, or a newer version made it.
    """
    if not (path / "project.json").is_file():
        raise UserError(f"The folder '{path}' is no project.", "Choose a folder that holds a project.json.")
    header = read_json(path / "project.json")
    schema = header.get("schema") if isinstance(header, dict) else None
    if not isinstance(schema, int) or schema > SCHEMA:
        raise UserError(
            f"The project '{path.name}' has schema {schema!r}; this version reads up to {SCHEMA}.",
            "Update napari-unet, then open it again.",
        )
    return dict(header)


def read_json(path: Path) -> Any:
    """Return the value in a JSON file.

    Raises
    ------
    UserError
        If it cannot be read or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"The file {path.name!r} of the project cannot be read: {error}.",
            "Restore it from a backup, if there is one.",
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file, all at once."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _make(path: Path) -> bool:
    """Make a folder; return whether it is new."""
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True
