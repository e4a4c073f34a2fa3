"""What a header says about a network that comes as a program: TorchScript, ONNX, Python. Free of torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_unet.errors import CheckpointError

Kind = Literal["torchscript", "onnx", "python", "library"]

KINDS = ("torchscript", "onnx", "python", "library")
POINTWISE = {"scale": 2, "clip": 2, "sigmoid": 0, "softmax": 0}  # name → how many numbers follow
MAX_SIDE = 16384
MAX_HALO = 4096

# name, then numbers: scale (gain, offset), clip (low, high), sigmoid, softmax over the channels.
Pointwise = tuple[str | float, ...]


@dataclass(frozen=True)
class Sizes:
    """Which sizes of input a network takes, and what it returns, per spatial axis.

    ::

        legal input sizes   minimum, minimum + step, minimum + 2·step, …     (step 0: only minimum)
        output              input − 2·crop

    Parameters
    ----------
    minimum, step, crop : tuple of int
        One number per axis, ([Z], Y, X).
    halo : tuple of int
        How far at each side of an output voxel the input matters.
    """

    minimum: tuple[int, ...]
    step: tuple[int, ...]
    crop: tuple[int, ...]
    halo: tuple[int, ...]

    def __post_init__(self) -> None:
        parts = (self.minimum, self.step, self.crop, self.halo)
        numbers = [number for part in parts for number in part]
        if len({len(part) for part in parts}) != 1 or not all(
            isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= MAX_SIDE for n in numbers
        ):
            raise CheckpointError(f"The network's sizes are {parts!r:.200}.", "Expected whole numbers per axis.")
        if any(n < 1 or n <= 2 * c or h > MAX_HALO for n, c, h in zip(self.minimum, self.crop, self.halo, strict=True)):
            raise CheckpointError(
                f"The network takes inputs of {self.minimum} and crops {self.crop}: nothing is left.",
                "The description is wrong; ask its author.",
            )

    def legal(self, length: int, axis: int) -> int:
        """Return the smallest input whose output covers `length`; the only one where the size is fixed.

        Examples
        --------
        >>> Sizes((64,), (16,), (0,), (32,)).legal(70, 0)
        80
        """
        least, step, crop = self.minimum[axis], self.step[axis], self.crop[axis]
        if step == 0:
            return least
        return least + step * max(0, -(-(length + 2 * crop - least) // step))


@dataclass(frozen=True)
class Program:
    """A network that comes as a program instead of a configuration.

    Parameters
    ----------
    kind : {"torchscript", "onnx", "python", "library"}
        ``python``: source code; ``library``: a JSON text that names a function of an installed library.
    sha256 : str
        Of the program, as it is stored under the tensor name `TENSOR`.
    name : str
        Of the file that it came in.
    sizes : Sizes
        Which inputs it takes.
    function : str
        For Python: the class or function in the source that builds the network.
    arguments : dict
        For Python: its keyword arguments.
    before, after : tuple
        Fixed steps on each value before and after the network, see `Pointwise`.
    """

    kind: Kind
    sha256: str
    name: str
    sizes: Sizes
    function: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    before: tuple[Pointwise, ...] = ()
    after: tuple[Pointwise, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS or not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise CheckpointError(f"A program of kind {self.kind!r:.40} is not known.", "Update napari-unet.")
        if self.function and not re.fullmatch(r"[A-Za-z_]\w{0,99}", self.function):
            raise CheckpointError(
                f"The network is built by {self.function!r:.80}, which is no name.", "Ask its author."
            )
        for step in (*self.before, *self.after):
            numbers = step[1:]
            known = step and POINTWISE.get(str(step[0])) == len(numbers)
            if not known or not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
                raise CheckpointError(f"The step {step!r:.80} is not known.", "Update napari-unet.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Program:
        """Build a program from JSON types, as `dataclasses.asdict` returns them."""
        known = dict(values)
        known["sizes"] = Sizes(**{name: tuple(numbers) for name, numbers in known["sizes"].items()})
        for name in ("before", "after"):
            known[name] = tuple(tuple(step) for step in known.get(name, ()))
        return cls(**known)

    @property
    def trainable(self) -> bool:
        """Whether it can be trained further."""
        return self.kind != "onnx"

    @property
    def sentence(self) -> str:
        """What the user should know about training it."""
        if self.kind == "onnx":
            return "ONNX: it segments, but cannot be trained."
        if self.kind == "torchscript":
            return "TorchScript: it trains with its normalization layers frozen."
        return "A network from a package's own code: it trains like any other."


TENSOR = "program"  # under this name the program lies beside the weights, as bytes


def is_torchscript(members: list[str]) -> bool:
    """Return whether an archive with these members is a TorchScript program."""
    inner = {name.partition("/")[2] or name for name in members}
    return "constants.pkl" in inner or any(name.startswith("code/") for name in inner)


def is_onnx(start: bytes) -> bool:
    r"""Return whether a file that begins so may be an ONNX graph: its version, then one of the next fields.

    Examples
    --------
    >>> is_onnx(b"\x08\x08\x12\x07pytorch"), is_onnx(b"<html>")
    (True, False)
    """
    return len(start) > 4 and start[0] == 0x08 and 2 < start[1] < 64 and start[2] in b"\x12\x1a\x22\x28\x32\x3a\x42"
