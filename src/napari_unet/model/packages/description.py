"""What a bioimage.io description says, in one form for versions 0.4 and 0.5. Free of torch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

from napari_unet.errors import CheckpointError
from napari_unet.image.units import micrometres

ADVICE = "Ask the package's author for one that the bioimage.io collection accepts."
MAX_TEXT = 512
LETTERS = {"batch": "b", "channel": "c", "time": "t", "index": "i"}


@dataclass(frozen=True)
class Axis:
    """One axis of a tensor.

    Parameters
    ----------
    letter : str
        b, c, t, i, z, y or x.
    minimum, step : int
        Legal sizes; step 0 means that only the minimum is.
    names : tuple of str
        Of the channels.
    halo : int
        Voxels at each side of an output that do not count.
    change : float
        How much longer the output is than the input.
    factor : float
        By how many times it is longer.
    size_um : float or None
        Size of a voxel along it.
    """

    letter: str
    minimum: int = 1
    step: int = 1
    names: tuple[str, ...] = ()
    halo: int = 0
    change: float = 0.0
    factor: float = 1.0
    size_um: float | None = None


@dataclass(frozen=True)
class TensorInfo:
    """One input or output: its axes, what is done to it, and its test values."""

    name: str
    axes: tuple[Axis, ...]
    processing: tuple[tuple[str, dict[str, Any]], ...]
    test: str | None

    @property
    def letters(self) -> str:
        """The letters of the axes, in order."""
        return "".join(axis.letter for axis in self.axes)

    @property
    def space(self) -> tuple[Axis, ...]:
        """The spatial axes, in order."""
        return tuple(axis for axis in self.axes if axis.letter in "zyx")

    @property
    def channel(self) -> Axis:
        """The axis of the channels."""
        return next(axis for axis in self.axes if axis.letter == "c")


@dataclass(frozen=True)
class WeightsInfo:
    """One kind of weights: where they are, and for a state dict what builds the network."""

    source: str
    sha256: str | None
    function: str = ""
    code: str = ""
    code_sha256: str | None = None
    library: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Description:
    """A model as its package describes it."""

    version: str
    name: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    weights: Mapping[str, WeightsInfo]
    about: dict[str, Any]
    own: dict[str, Any]


def read_description(values: Any, file: str) -> Description:
    """Bring a description into one form.

    Parameters
    ----------
    values : object
        What the YAML held; not trusted.
    file : str
        For messages.

    Raises
    ------
    CheckpointError
        If it is no model, or of a version that is not known.
    """
    if not isinstance(values, dict):
        _refuse(file, "holds no description of a model")
    version = str(values.get("format_version", ""))
    if values.get("type", "model") != "model" or not re.match(r"0\.[345](\.|$)", version):
        kind = str(values.get("type", "model"))
        _refuse(file, f"describes a {kind:.40} in version {version or 'unknown':.20}, expected a model in 0.4 or 0.5")
    new = version.startswith("0.5")
    with understood(file):
        tests = [] if new else [values.get("test_inputs") or [], values.get("test_outputs") or []]
        inputs = tuple(_tensor(one, new, "pre", _nth(tests, 0, n)) for n, one in enumerate(values["inputs"]))
        outputs = tuple(_tensor(one, new, "post", _nth(tests, 1, n)) for n, one in enumerate(values["outputs"]))
        weights = {str(kind): _weights(one, new) for kind, one in values["weights"].items() if one is not None}
        config = values.get("config")
        own = config.get("napari-unet") if isinstance(config, dict) else None
    if not inputs or not outputs or not weights:
        _refuse(file, "describes no input, no output or no weights")
    about = {
        key: _plain(values[key]) for key in ("description", "authors", "license", "cite", "timestamp") if key in values
    }
    name = str(values.get("name") or file)[:MAX_TEXT]
    return Description(version, name, inputs, outputs, weights, about, own if isinstance(own, dict) else {})


@contextmanager
def understood(file: str) -> Iterator[None]:
    """Turn what a description of another shape than expected raises into a sentence that names it."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be understood: {type(error).__name__}: {error}.", ADVICE) from error


def _tensor(values: Mapping[str, Any], new: bool, which: str, test: str | None) -> TensorInfo:
    steps = values.get("preprocessing" if which == "pre" else "postprocessing") or []
    processing = tuple((str(step["id" if new else "name"]), dict(step.get("kwargs") or {})) for step in steps)
    name = str(values["id" if new else "name"])[:MAX_TEXT]
    if new:
        tensor = values.get("test_tensor")
        test = str(tensor["source"]) if tensor else None
        axes = tuple(_axis_new(axis) for axis in values["axes"])
    else:
        axes = _axes_old(values)
    return TensorInfo(name, axes, processing, test)


def _axis_new(values: Mapping[str, Any]) -> Axis:
    kind = str(values["type"])
    letter = LETTERS.get(kind) or str(values.get("id", "x"))
    if letter not in ("b", "c", "t", "i", "z", "y", "x"):
        raise ValueError(f"the axis {letter!r:.40} is not known")
    if letter == "c":
        names = values.get("channel_names") or ()
        count = len(names) if isinstance(names, list) else 1
        return Axis("c", count, 0, tuple(str(name)[:MAX_TEXT] for name in names) if isinstance(names, list) else ())
    size = values.get("size")
    minimum, step, change = 1, 1, 0.0
    if isinstance(size, int):
        minimum, step = size, 0
    elif isinstance(size, dict) and "min" in size:
        minimum, step = int(size["min"]), int(size.get("step", 1))
    elif isinstance(size, dict):
        change = float(size.get("offset", 0))
    factor = float(values.get("scale", 1.0))
    unit = values.get("unit")
    known = micrometres(unit) if unit and letter in "zyx" else None
    size_um = None if known is None else factor * known
    return Axis(letter, minimum, step, (), int(values.get("halo") or 0), change, factor, size_um)


def _axes_old(values: Mapping[str, Any]) -> tuple[Axis, ...]:
    letters, shape = str(values["axes"]), values["shape"]
    halo = values.get("halo") or [0] * len(letters)
    axes = []
    for n, letter in enumerate(letters):
        minimum, step, change, factor = 1, 1, 0.0, 1.0
        if isinstance(shape, list):
            minimum, step = int(shape[n]), 0
        elif "min" in shape:
            minimum, step = int(shape["min"][n]), int(shape["step"][n])
        else:
            change, factor = 2 * float(shape["offset"][n]), float(shape["scale"][n])
            if letter == "c":  # a channel that the input does not have: 0 · input + 2 · offset
                minimum, step = max(1, round(change)) if factor == 0 else 1, 0
        axes.append(Axis(letter, minimum, step, (), int(halo[n]), change, factor))
    return tuple(axes)


def _weights(values: Mapping[str, Any], new: bool) -> WeightsInfo:
    source, digest = str(values["source"]), values.get("sha256")
    digest = None if digest is None else str(digest)
    how = values.get("architecture")
    if how is None:
        return WeightsInfo(source, digest)
    if new:
        arguments = dict(how.get("kwargs") or {})
        function = str(how["callable"])
        if "import_from" in how:
            return WeightsInfo(source, digest, function, library=str(how["import_from"]), arguments=arguments)
        code_digest = how.get("sha256")
        code = str(how["source"])
    else:
        arguments = dict(values.get("kwargs") or {})
        code, _, function = str(how).rpartition(":")
        if not code:
            library, _, function = str(how).rpartition(".")
            return WeightsInfo(source, digest, function, library=library, arguments=arguments)
        code_digest = values.get("architecture_sha256")
    return WeightsInfo(source, digest, function, code, None if code_digest is None else str(code_digest), "", arguments)


def _nth(tests: list[Any], which: int, n: int) -> str | None:
    return str(tests[which][n]) if which < len(tests) and n < len(tests[which]) else None


def _plain(value: Any) -> Any:
    """Return text, numbers, lists and mappings, shortened: for the provenance."""
    if isinstance(value, dict):
        return {str(key)[:MAX_TEXT]: _plain(one) for key, one in list(value.items())[:50]}
    if isinstance(value, list):
        return [_plain(one) for one in value[:50]]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, int | float | bool) or value is None else str(value)[: 4 * MAX_TEXT]


def _refuse(file: str, problem: str) -> NoReturn:
    raise CheckpointError(f"{file} {problem}.", ADVICE)
