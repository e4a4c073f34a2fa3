"""Which key does what: defaults, the user's own choice in a file, and what a key would collide with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from napari.layers import Image, Labels
from napari.utils.key_bindings import coerce_keybinding

from napari_unet.errors import OutputError, UserError
from napari_unet.io.atomic import atomic_path

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Action:
    """Something that a key does on the canvas.

    Parameters
    ----------
    name : str
        In the file.
    key : str
        Default, as napari writes keys: modifiers and key joined by hyphens.
    what : str
        For the list in the panel.
    fixed : bool
        The key cannot be changed: it is the same in every program.
    """

    name: str
    key: str
    what: str
    fixed: bool = False


ACTIONS = (
    Action("accept", "A", "Accept the object under the pointer"),
    Action("accept_view", "Shift-A", "Accept the view"),
    Action("accept_region", "R", "Accept a region: then drag a rectangle"),
    Action("delete", "D", "Delete the object under the pointer"),
    Action("join", "J", "Join: at one object, then at another"),
    Action("split", "S", "Split: then drag a line across, or click both halves"),
    Action("new_object", "M", "New object: a fresh label and the brush"),
    Action("next", "N", "Go to the region worth correcting next"),
    Action("known", "K", "Show what is known"),
    Action("undo", "Control-Z", "Undo", fixed=True),
    Action("redo", "Control-Shift-Z", "Redo", fixed=True),
)
BY_NAME = {action.name: action for action in ACTIONS}


def normal(key: str) -> str:
    """Return a key as napari writes it.

    Parameters
    ----------
    key : str
        Such as ``"shift+a"``, ``"Ctrl+Alt+K"`` or ``"Shift-A"``.

    Raises
    ------
    UserError
        If it is no key.

    Examples
    --------
    >>> normal("shift+a"), normal("Ctrl+Alt+k")
    ('Shift-A', 'Control-Alt-K')
    """
    # "+" joins keys for napari: the plus key itself cannot be told from it.
    text = str(coerce_keybinding(key)) if key else ""
    parts = text.split("+")
    if not all(parts) or " " in text or parts[-1] in ("Ctrl", "Shift", "Alt", "Meta", "Escape"):
        raise UserError(f"{key!r} is no key that can be used.", "Press one key, with or without Shift, Ctrl or Alt.")
    return "-".join("Control" if part == "Ctrl" else part for part in parts)


def shown(key: str) -> str:
    """Return a key as the panel writes it.

    Examples
    --------
    >>> shown("Control-Shift-Z")
    'Ctrl-Shift-Z'
    """
    return key.replace("Control", "Ctrl")


def keys_file() -> Path:
    """Return where the user's choice is kept; the folder need not exist."""
    folder = os.environ.get("NAPARI_UNET_CONFIG") or platformdirs.user_config_dir("napari-unet", appauthor=False)
    return Path(folder) / "keys.json"


def default_keys() -> dict[str, str]:
    """Return the key of every action as it comes."""
    return {action.name: action.key for action in ACTIONS}


def load_keys() -> dict[str, str]:
    """Return the key of every action, the user's choice first.

    Raises
    ------
    UserError
        If the file cannot be understood; the defaults hold then.
    """
    path = keys_file()
    try:
        values = json.loads(path.read_text("utf-8"))
        chosen = {str(name): normal(str(key)) for name, key in values["keys"].items()}
    except FileNotFoundError:
        return default_keys()
    except (OSError, ValueError, KeyError, AttributeError, TypeError, UserError) as error:
        raise UserError(
            f"The keys in '{path}' cannot be read ({error}), so the usual ones hold.", "Choose your keys again."
        ) from error
    keys = default_keys() | {name: key for name, key in chosen.items() if name in BY_NAME and not BY_NAME[name].fixed}
    return keys if not twice(keys) else default_keys()


def save_keys(keys: Mapping[str, str]) -> None:
    """Keep the user's choice; the file is complete or as it was.

    Parameters
    ----------
    keys : mapping of str to str
        Name of an action to its key; those at their default are left out.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    path = keys_file()
    own = {name: key for name, key in keys.items() if key != BY_NAME[name].key}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder '{path.parent}' for your keys cannot be made: {error.strerror}.",
            "Set NAPARI_UNET_CONFIG to a folder that you may write to.",
        ) from error
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps({"schema": SCHEMA_VERSION, "keys": own}, indent=1), "utf-8")


def twice(keys: Mapping[str, str]) -> tuple[str, str, str] | None:
    """Return a key that two actions have, with what they do, or None."""
    taken: dict[str, str] = {}
    for name, key in keys.items():
        if key in taken:
            return key, BY_NAME[taken[key]].what, BY_NAME[name].what
        taken[key] = name
    return None


def napari_use(key: str, viewer_class: type) -> str:
    """Return what napari itself does on a key, in words; empty if nothing.

    Parameters
    ----------
    key : str
        A key.
    viewer_class : type
        Class of the viewer.
    """
    wanted = coerce_keybinding(key)
    for keymap in _keymaps(viewer_class):
        for binding, function in keymap.items():
            if binding == wanted:
                return str(getattr(function, "__name__", "something else")).replace("_", " ")
    return ""


def _keymaps(viewer_class: type) -> Iterator[Mapping[object, object]]:
    for kind in (Labels, Image, *viewer_class.__mro__):
        keymap = getattr(kind, "class_keymap", None)
        if keymap:
            yield keymap
