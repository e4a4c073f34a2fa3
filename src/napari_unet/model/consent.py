"""Code in model files runs only after a yes for exactly this code, by its SHA-256. Free of torch.

A yes comes from the window, where it is remembered for this user, or from whoever starts a command or a script and
names the hash. There is no switch that allows everything.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import platformdirs

from napari_unet.errors import ConsentNeeded, OutputError, UserError, disk_advice

VERSION = 1

MEANS = {
    "torchscript": (
        "The file contains a program in TorchScript. Running it means to trust its author: it can read and write files "
        "and stop the computer from responding."
    ),
    "python": (
        "The package contains a network in Python. Running it means to trust its author as with any program: "
        "it can do everything that you can do on this computer."
    ),
    "library": (
        "The package names a function of an installed library that builds its network. Calling it means to trust the "
        "package's author: it runs with the arguments that the package gives."
    ),
}

NEVER = "never"

_named: set[str] = set()  # allowed for this process by whoever started it
_remembers: ContextVar[bool] = ContextVar("remembers", default=True)
_never: ContextVar[bool] = ContextVar("never", default=False)


def allow(sha256: str) -> None:
    """Allow code with this hash to run in this process.

    Raises
    ------
    UserError
        If it is no SHA-256.
    """
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise UserError(
            f"The code to run is named {sha256!r:.80}, expected the 64 hexadecimal digits of its SHA-256.",
            "Try to open the file: the refusal names them.",
        )
    _named.add(sha256.lower())


@contextmanager
def only_named() -> Iterator[None]:
    """Within this context, look at no remembered answer: a command runs what its own arguments name."""
    token = _remembers.set(False)
    try:
        yield
    finally:
        _remembers.reset(token)


@contextmanager
def given(run_code: str | None) -> Iterator[None]:
    """Within this context, allow code by its hash, or with "never" none at all; None changes nothing."""
    if run_code is not None and run_code != NEVER:
        allow(run_code)
    token = _never.set(run_code == NEVER)
    try:
        yield
    finally:
        _never.reset(token)


def refused() -> bool:
    """Return whether somebody said that no code may run, so that nobody is to be asked."""
    return _never.get()


def need_consent(sha256: str, kind: str, name: str) -> None:
    """Return if this code may run.

    Parameters
    ----------
    sha256 : str
        Of the code.
    kind : {"torchscript", "python", "library"}
        What it is, see `MEANS`.
    name : str
        Of the file, for the message.

    Raises
    ------
    ConsentNeeded
        If nobody said yes.
    """
    if not refused() and (sha256 in _named or (_remembers.get() and sha256 in remembered())):
        return
    raise ConsentNeeded(
        f"{name} was not opened. {MEANS[kind]}",
        "If you trust where it comes from, allow this code: choose the model in the window, which asks; "
        f"napari-unet … --run-code {sha256}; "
        f'from Python load_checkpoint(file, run_code="{sha256}").',
        sha256,
    )


def remember(sha256: str, name: str) -> None:
    """Remember a yes for this user.

    Parameters
    ----------
    sha256 : str
        Of the code.
    name : str
        Of the file that it came in, for whoever reads the list.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    path = _path()
    said = {**remembered(), sha256.lower(): {"name": name, "date": time.strftime("%Y-%m-%d")}}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"version": VERSION, "allowed": said}, file, indent=1)
        Path(temporary).replace(path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}.", disk_advice(error, "Free some space on the disk.")
        ) from error


def remembered() -> dict[str, dict[str, str]]:
    """Return what this user allowed: hash → name and date. A list that cannot be read allows nothing."""
    try:
        document = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    allowed = document.get("allowed") if isinstance(document, dict) and document.get("version") == VERSION else None
    return dict(allowed) if isinstance(allowed, dict) else {}


def _path() -> Path:
    folder = os.environ.get("NAPARI_UNET_CONFIG") or platformdirs.user_config_dir("napari-unet", appauthor=False)
    return Path(folder) / "code.json"
