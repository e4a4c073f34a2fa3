"""What a checkpoint may contain besides tensors: numbers of numpy, and settings, which become inert stand-ins.

`torch.load(weights_only=True)` looks names up in a table and never imports them. Names entered here stand for
the classes below, so that nothing of the file's own is ever run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

NUMBERS = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")
PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
SETTINGS = (
    "argparse.Namespace",
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in PATHS),
)
MAPPINGS = (
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)
# Checkpoints of torch-em name classes beside the weights. A name is harmless; an object of them is refused.
PACKAGES = ("torch_em.", "torch.nn.modules.")


class Inert:
    """Stands for an object that is not needed; keeps the plain values it was made of."""

    values: tuple[Any, ...] = ()

    def __init__(self, *values: Any) -> None:
        self.values = values

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.__dict__.update({str(key): value for key, value in state.items()})


class Named:
    """Stands for a class that a file names without making an object of it."""

    def __new__(cls, *values: Any) -> Named:
        """Refuse to be made."""
        raise UnpicklingError(f"an object of {cls.__name__}, which is code")


def allowed_globals(named: list[str]) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Return what `torch.serialization.safe_globals` takes.

    Parameters
    ----------
    named : list of str
        Names in the file that torch does not know.
    """
    scalar: Any = np.float64(0).__reduce__()[0]
    numpy: list[Any] = [
        (scalar, "numpy._core.multiarray.scalar"),
        (scalar, "numpy.core.multiarray.scalar"),
        np.dtype,
        *(type(np.dtype(kind)) for kind in NUMBERS),
    ]
    ordered: list[Any] = [(OrderedDict, name) for name in MAPPINGS]
    inert: list[Any] = [(type(name, (Inert,), {}), name) for name in named if name in SETTINGS]
    classes: list[Any] = [(type(name, (Named,), {}), name) for name in named if name.startswith(PACKAGES)]
    return numpy + ordered + inert + classes


def plain(value: object, depth: int = 16, budget: list[int] | None = None) -> Any:
    """Return the part of a value that is JSON: numbers, texts, lists and mappings of them; None for the rest.

    Parameters
    ----------
    value : object
        What a file contained; not trusted.
    depth : int
        How deep to look.
    budget : list of int, optional
        How many values to look at, counted down in place.

    Examples
    --------
    >>> plain({"epoch": np.float64(3), "sizes": (1, 2), "other": object()})
    {'epoch': 3.0, 'sizes': [1, 2], 'other': None}
    """
    budget = [50_000] if budget is None else budget
    budget[0] -= 1
    if depth == 0 or budget[0] < 0:
        return None
    if value is None or isinstance(value, bool | str):
        return value if not isinstance(value, str) or len(value) <= 100_000 else None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, torch.Tensor) and value.ndim == 0:
        value = value.item()
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, Inert):
        inner = {key: item for key, item in vars(value).items() if key != "values"}
        return plain(inner or list(value.values), depth, budget)
    if isinstance(value, type) and issubclass(value, Named):
        return value.__name__
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else str(key): plain(item, depth - 1, budget)
            for key, item in value.items()
            if isinstance(key, str | int)
        }
    if isinstance(value, list | tuple):
        return [plain(item, depth - 1, budget) for item in value]
    return None
