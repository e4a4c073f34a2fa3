"""Where weights came from, how that is known, and what it takes to write them back. Free of torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_unet.errors import CheckpointError

How = Literal["file", "weights", "assumed", "said"]

HOW = {
    "file": "stated in the file",
    "weights": "follows from the weights",
    "assumed": "assumed",
    "said": "said by the user",
}
MAX_JSON = 4_000_000  # characters
MAX_NUMBER = 4096
MAX_ITEMS = 256
NEWER = "The file may be damaged or come from a newer version of napari-unet; update and try again."


@dataclass(frozen=True)
class Finding:
    """One thing that is known of a model, and how.

    Parameters
    ----------
    what, value : str
        For example ``"normalization"`` and ``"mean 0, standard deviation 1"``.
    how : {"file", "weights", "assumed", "said"}
        Stated in the file or beside it; follows from names and shapes; a guess; or said by the user.
    argument : str
        The argument of the network's constructor that it is, if the user can say another value.
    """

    what: str
    value: str
    how: How
    argument: str = ""


@dataclass(frozen=True)
class Origin:
    """The foreign format in which weights came.

    Parameters
    ----------
    family : str
        Name of the family that recognized them.
    variant : str
        The network's class in its own package.
    file : str
        Where the weights lay in a folder that was opened; empty for a file.
    container : tuple of str
        Keys that led to the tensors in the file, outermost first.
    prefix : str
        What stood before every name.
    beside : dict
        Plain values that stood in the file beside the tensors.
    documents : dict
        JSON documents beside the file, by their path relative to the folder of the model.
    details : dict
        What the family itself needs to write its names again.
    findings : tuple of Finding
        What is known, and how.
    """

    family: str
    variant: str = ""
    file: str = ""
    container: tuple[str, ...] = ()
    prefix: str = ""
    beside: dict[str, Any] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        texts = (self.family, self.variant, self.file, self.prefix, *self.container)
        if not self.family or not all(isinstance(text, str) for text in texts):
            raise CheckpointError("The checkpoint's origin cannot be read: a name is no text.", NEWER)
        if not all(_stays_inside(name) for name in (self.file or "file", *self.documents)):
            raise CheckpointError("The checkpoint's origin names a file outside of its folder.", NEWER)
        size = len(_json((self.beside, self.documents, self.details), "origin"))
        if size > MAX_JSON:
            raise CheckpointError(f"The checkpoint's origin has {size} characters, more than {MAX_JSON}.", NEWER)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Origin:
        """Build from JSON types, as `dataclasses.asdict` gives them."""
        findings = tuple(Finding(**finding) for finding in values.get("findings", ()))
        return cls(**{**values, "container": tuple(values.get("container", ())), "findings": findings})


@dataclass(frozen=True)
class Blueprint:
    """How a network that is not a `UNet` is built.

    Parameters
    ----------
    family : str
        Which family builds it; its module says from which library.
    network : str
        The class, for example ``"DynUNet"``.
    arguments : dict
        Of its constructor, as JSON types.
    divisor : tuple of int
        Sizes of inputs are multiples of it, ([Z], Y, X).
    reach : tuple of int
        How far at each side of an output voxel the input matters; measured with the weights.
    """

    family: str
    network: str
    arguments: dict[str, Any]
    divisor: tuple[int, ...]
    reach: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        problem = bounds_problem(self.arguments)
        numbers = (*self.divisor, *self.reach)
        if not problem and not all(_is_count(number) for number in numbers):
            problem = f"its divisor and reach are {numbers!r:.80}"
        if problem:
            raise CheckpointError(f"The network {self.network!r:.80} cannot be built: {problem}.", NEWER)
        _json(self.arguments, "network")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Blueprint:
        """Build from JSON types, as `dataclasses.asdict` gives them."""
        return cls(**{**values, "divisor": tuple(values["divisor"]), "reach": tuple(values.get("reach", ()))})


def bounds_problem(value: object, depth: int = 8) -> str:
    """Return what is out of bounds in arguments that size a network, or nothing.

    Examples
    --------
    >>> bounds_problem({"channels": [16, 10**9]})
    'a number is 1000000000, more than 4096'
    """
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return ""
    if isinstance(value, int | float):
        if not math.isfinite(value) or abs(value) > MAX_NUMBER:
            return f"a number is {value!r:.40}, more than {MAX_NUMBER}"
        return ""
    if not isinstance(value, dict | list | tuple) or depth == 0:
        return f"a value is of type {type(value).__name__}, or nested too deeply"
    if len(value) > MAX_ITEMS:
        return f"a list has {len(value)} items, more than {MAX_ITEMS}"
    inner = value.values() if isinstance(value, dict) else value
    return next((problem for item in inner if (problem := bounds_problem(item, depth - 1))), "")


def _stays_inside(name: str) -> bool:
    """Whether a name is that of a file in a folder, and of none elsewhere."""
    return not {"", ".", ".."} & set(name.split("/")) and not set("\\:\0") & set(name)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_NUMBER


def _json(value: object, part: str) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"The checkpoint's {part} is no JSON ({error}).", NEWER) from error
