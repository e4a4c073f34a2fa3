"""What was measured once on this machine, in a small file of the user's cache folder. Free of torch.

The file holds nothing that could not be measured again: it may be deleted at any time, and one that cannot be read
counts as empty.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import platformdirs

VERSION = 1
MOST_ENTRIES = 500


def cache_folder() -> Path:
    """Return the folder of what can be had again; NAPARI_UNET_CACHE overrides the system's."""
    home = os.environ.get("NAPARI_UNET_CACHE")
    return Path(home) if home else Path(platformdirs.user_cache_dir("napari-unet", appauthor=False))


class Remembered:
    """Measured values by key, the newest last.

    Parameters
    ----------
    path : Path, optional
        The file; one in the user's cache folder by default.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> remembered = Remembered(Path(mkdtemp()) / "measured.json")
    >>> remembered.put("a machine and a model", {"differs": 0.0})
    >>> remembered.get("a machine and a model")
    {'differs': 0.0}
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_folder() / "measured.json"

    def get(self, key: str) -> dict[str, Any]:
        """Return what is known, empty if nothing."""
        found = self._read().get(key)
        return dict(found) if isinstance(found, dict) else {}

    def put(self, key: str, values: dict[str, Any]) -> None:
        """Add values to what is known under a key. Where the folder cannot be written, nothing is remembered."""
        entries = self._read()
        known = entries.pop(key, None)
        entries[key] = {**(known if isinstance(known, dict) else {}), **values}
        kept = dict(list(entries.items())[-MOST_ENTRIES:])
        text = json.dumps({"version": VERSION, "measured": kept}, indent=1)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).replace(self.path)
        except OSError:
            # A read-only home costs a second measurement, which is no reason to stop.
            return

    def _read(self) -> dict[str, Any]:
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(document, dict) or document.get("version") != VERSION:
            return {}
        measured = document.get("measured")
        return dict(measured) if isinstance(measured, dict) else {}
