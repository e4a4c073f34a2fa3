"""The folder in which a piece of work keeps its models and scores."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from napari_unet.errors import OutputError


@dataclass(frozen=True)
class WorkFolder:
    """A folder of models, numbered in the order in which they were made, and of temporary scores.

    ::

        2026-01-31_101500_4711/
          models/001.safetensors    each candidate and each imported checkpoint
          scores/                   memory-mapped scores, removed when the work is closed

    Parameters
    ----------
    path : Path
        The folder; it exists.
    """

    path: Path

    @classmethod
    def create(cls, parent: str | Path | None = None) -> WorkFolder:
        """Make a new folder.

        Parameters
        ----------
        parent : path, optional
            Where to make it; in the user's data folder when omitted.

        Raises
        ------
        OutputError
            If the folder cannot be made.
        """
        root = Path(parent) if parent is not None else _default_root()
        path = root / f"{time.strftime('%Y-%m-%d_%H%M%S')}_{os.getpid()}"
        number = 1
        while path.exists():
            number += 1
            path = path.with_name(f"{path.name.split('.')[0]}.{number}")
        try:
            for name in ("models", "scores"):
                (path / name).mkdir(parents=True)
        except OSError as error:
            raise OutputError(
                f"The folder for models, '{path}', cannot be made: {error.strerror}.",
                "Free some space or set NAPARI_UNET_HOME to a folder that you may write to.",
            ) from error
        return cls(path)

    def next_model(self) -> Path:
        """Return the path for the next model."""
        numbers = [int(p.stem) for p in (self.path / "models").glob("*.safetensors") if p.stem.isdigit()]
        return self.path / "models" / f"{max(numbers, default=0) + 1:03d}.safetensors"

    def new_scores(self) -> Path:
        """Return a path for the scores of one run; of the earlier ones only the newest two stay."""
        folder = self.path / "scores"
        files = sorted(folder.glob("*.npy"), key=lambda path: int(path.stem))
        for old in files[:-2]:
            old.unlink(missing_ok=True)
        return folder / f"{int(files[-1].stem) + 1 if files else 1}.npy"

    def close(self) -> None:
        """Remove the scores, and the folder itself if no model was made."""
        shutil.rmtree(self.path / "scores", ignore_errors=True)
        models = self.path / "models"
        if models.is_dir() and not any(models.iterdir()):
            shutil.rmtree(self.path, ignore_errors=True)


def _default_root() -> Path:
    home = os.environ.get("NAPARI_UNET_HOME")
    return Path(home) if home else Path(platformdirs.user_data_dir("napari-unet", appauthor=False)) / "work"
