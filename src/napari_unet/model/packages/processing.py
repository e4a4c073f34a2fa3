"""What a package does to values before and after its network, in the terms of our checkpoints. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.packages.description import TensorInfo
from napari_unet.model.program import Pointwise

LARGEST = 3.0e38  # what a missing bound of a clip stands for: float32 ends a little above
FLOATS = ("float32", "float64")


@dataclass(frozen=True)
class Before:
    """How an image becomes the network's input: measured per image, then fixed steps."""

    normalization: Normalization
    steps: tuple[Pointwise, ...]


@dataclass(frozen=True)
class After:
    """How the network's output becomes scores: fixed steps, then an activation, which may be none."""

    steps: tuple[Pointwise, ...]
    activation: str
    notes: tuple[str, ...]


def preprocessing(tensor: TensorInfo, file: str) -> Before:
    """Bring the preprocessing of an input into our terms.

    Parameters
    ----------
    tensor : TensorInfo
        The input.
    file : str
        For messages.

    Raises
    ------
    CheckpointError
        If a step is not known, or cannot be expressed in this order.
    """
    found: Normalization | None = None
    steps: list[Pointwise] = []
    for name, given in tensor.processing:
        if name == "ensure_dtype" and given.get("dtype") in FLOATS:
            continue
        normalization = _normalization(name, given, tensor, file)
        if normalization is not None and found is None and not steps:
            found = normalization
        elif name == "clip" and found is not None and found.clip is None and not steps and _bounded(given):
            found = _with_clip(found, given)
        else:
            steps.append(_pointwise(name, given, file, "before"))
    return Before(found or Normalization("none"), tuple(steps))


def postprocessing(tensor: TensorInfo, file: str) -> After:
    """Bring the postprocessing of an output into our terms.

    Raises
    ------
    CheckpointError
        If a step is not known or measures each image.
    """
    steps: list[Pointwise] = []
    notes: list[str] = []
    for name, given in tensor.processing:
        if name == "ensure_dtype" and given.get("dtype") in FLOATS:
            continue
        if name == "binarize":
            notes.append(f"The package takes scores above {given.get('threshold', '?')} for foreground.")
            break
        steps.append(_pointwise(name, given, file, "after"))
    last = str(steps[-1][0]) if steps else ""
    if last in ("sigmoid", "softmax"):
        return After(tuple(steps[:-1]), last, tuple(notes))
    return After(tuple(steps), "none", tuple(notes))


def _normalization(name: str, given: dict[str, Any], tensor: TensorInfo, file: str) -> Normalization | None:
    """Return what a step does as a normalization, if it is one."""
    if name == "zero_mean_unit_variance" and given.get("mode") != "fixed":
        return Normalization("zscore", per_channel=_per_channel(given, tensor, file))
    if name in ("fixed_zero_mean_unit_variance", "zero_mean_unit_variance"):
        return _fixed(_numbers(given["mean"]), _numbers(given["std"]), file)
    if name == "scale_linear":
        gains, offsets = _numbers(given.get("gain", 1.0)), _numbers(given.get("offset", 0.0))
        if not all(gains):
            _refuse(file, "scales by 0")
        gains = gains * len(offsets) if len(gains) == 1 else gains
        offsets = offsets * len(gains) if len(offsets) == 1 else offsets
        shifted = tuple(-b / g for b, g in zip(offsets, gains, strict=True))
        return _fixed(shifted, tuple(1 / g for g in gains), file)
    if name == "scale_range":
        if given.get("reference_tensor") not in (None, tensor.name):
            _refuse(file, "measures percentiles of another tensor")
        low, high = float(given.get("min_percentile", 0.0)), float(given.get("max_percentile", 100.0))
        return Normalization("percentile", low, high, per_channel=_per_channel(given, tensor, file))
    return None


def _fixed(offset: tuple[float, ...], scale: tuple[float, ...], file: str) -> Normalization:
    if len(offset) != len(scale) and 1 not in (len(offset), len(scale)):
        _refuse(file, "gives unequal numbers of means and deviations")
    count = max(len(offset), len(scale))
    offset = offset * count if len(offset) == 1 else offset
    scale = scale * count if len(scale) == 1 else scale
    values = {"method": "fixed", "offset": offset, "scale": scale, "per_channel": count > 1}
    return Normalization.from_dict(values)


def _per_channel(given: dict[str, Any], tensor: TensorInfo, file: str) -> bool:
    """Return whether channels are measured apart; all spatial axes must be measured together."""
    axes = given.get("axes")
    if axes is None:
        return False
    letters = {"channel": "c", "batch": "b", "time": "t", "index": "i"}
    named = {letters.get(str(axis), str(axis)) for axis in axes}
    missing = {axis.letter for axis in tensor.space if axis.minimum > 1 or axis.step} - named
    if missing:
        _refuse(file, f"normalizes each position along {', '.join(sorted(missing))} on its own")
    return "c" not in named


def _pointwise(name: str, given: dict[str, Any], file: str, when: str) -> Pointwise:
    if name == "sigmoid":
        return ("sigmoid",)
    if name == "softmax" and str(given.get("axis", "channel")) in ("channel", "c"):
        return ("softmax",)
    if name == "clip":
        low, high = given.get("min"), given.get("max")
        return ("clip", -LARGEST if low is None else float(low), LARGEST if high is None else float(high))
    if name == "scale_linear":
        gain, offset = _numbers(given.get("gain", 1.0)), _numbers(given.get("offset", 0.0))
        if len(set(gain)) == len(set(offset)) == 1:
            return ("scale", gain[0], offset[0])
    _refuse(file, f"does {name!r:.60} {when} its network, which cannot be expressed there")


def _bounded(given: dict[str, Any]) -> bool:
    return given.get("min") is not None and given.get("max") is not None


def _with_clip(normalization: Normalization, given: dict[str, Any]) -> Normalization:
    return Normalization.from_dict({**normalization.to_dict(), "clip": (float(given["min"]), float(given["max"]))})


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(float(one) for one in value) if isinstance(value, list | tuple) else (float(value),)


def _refuse(file: str, problem: str) -> NoReturn:
    raise CheckpointError(f"{file} {problem}.", "Open the network's weights themselves and choose the normalization.")
