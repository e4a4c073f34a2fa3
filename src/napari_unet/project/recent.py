"""Which projects there are, the latest first."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from napari_unet.errors import UserError
from napari_unet.project.folder import default_root, is_worth_keeping, read_json, write_json
from napari_unet.project.lock import is_locked

_MOVED = "moved.json"  # projects outside the default folder


@dataclass(frozen=True)
class RecentProject:
    """A project that can be opened again.

    Parameters
    ----------
    path : Path
        Its folder.
    images : tuple of str
        Names of its images.
    modified : float
        When it was written last, seconds since the epoch.
    """

    path: Path
    images: tuple[str, ...]
    modified: float


def recent_projects(limit: int = 10) -> list[RecentProject]:
    """Return projects that are not open anywhere, the one written last first.

    Parameters
    ----------
    limit : int
        How many at most.
    """
    found = {os.path.realpath(path) for path in (*_children(default_root()), *_moved())}
    paths = (path for path in map(Path, found) if (path / "project.json").is_file() and is_worth_keeping(path))
    projects = [(_modified(path), path) for path in paths]
    recent: list[RecentProject] = []
    for modified, path in sorted(projects, reverse=True):
        if len(recent) == limit:
            break
        if not is_locked(path / "lock"):
            recent.append(RecentProject(path, _image_names(path), modified))
    return recent


def remember(path: Path) -> None:
    """Let a project outside the default folder be found again."""
    root = default_root()
    if path.parent == root:
        return
    known = [str(path), *(other for other in _moved() if other != str(path) and Path(other).is_dir())]
    with suppress(UserError, OSError):  # the list is a convenience; the project itself is safe
        root.mkdir(parents=True, exist_ok=True)
        write_json(root / _MOVED, known)


def _children(root: Path) -> list[str]:
    return [str(path) for path in root.iterdir() if path.is_dir()] if root.is_dir() else []


def _moved() -> list[str]:
    path = default_root() / _MOVED
    try:
        return [str(other) for other in read_json(path)] if path.is_file() else []
    except (UserError, TypeError):
        return []


def _modified(path: Path) -> float:
    files = [*path.glob("*.json"), *(path / "truths").glob("*/*.journal"), *(path / "models").glob("*.safetensors")]
    return max((file.stat().st_mtime for file in files), default=0.0)


def _image_names(path: Path) -> tuple[str, ...]:
    try:
        return tuple(str(entry["name"]) for entry in read_json(path / "images.json")["images"])
    except (UserError, KeyError, TypeError):
        return ()
