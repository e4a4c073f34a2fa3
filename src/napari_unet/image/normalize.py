"""Normalization of intensities: the method belongs to the model, the statistics to the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_unet.errors import CheckpointError, ImageError
from napari_unet.image.estimators import Moments, Percentiles
from napari_unet.image.polarity import Polarity
from napari_unet.image.sampling import blocks_to_measure
from napari_unet.image.source import ImageSource


@dataclass(frozen=True)
class Normalization:
    """How intensities become network inputs: ``(value - offset) / scale``.

    Parameters
    ----------
    method : {"percentile", "zscore", "fixed", "none"}
        ``percentile``: offset and scale from two percentiles, which map to 0 and 1.
        ``zscore``: mean and standard deviation. ``fixed``: `offset` and `scale` as given.
    low, high : float
        The percentiles, 0 to 100.
    offset, scale : tuple of float
        For ``fixed``: one value, or one per channel.
    per_channel : bool
        Measure each channel on its own; False keeps the colours of RGB images.
    clip : tuple of float or None
        Range to which normalized values are clipped.
    polarity : {"any", "bright", "dark"}
        What the objects are that the model knows: brighter than their ground, darker, or both. An image that is
        clearly of the other kind is inverted; not with ``fixed`` and ``none``, which measure nothing.
    """

    method: Literal["percentile", "zscore", "fixed", "none"] = "percentile"
    low: float = 1.0
    high: float = 99.8
    offset: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    per_channel: bool = True
    clip: tuple[float, float] | None = None
    polarity: Literal["any", "bright", "dark"] = "any"

    def to_dict(self) -> dict[str, Any]:
        """Return the normalization as JSON types."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """What is done to an image, in words.

        Examples
        --------
        >>> Normalization("fixed", scale=(255.0,)).sentence
        'each value less 0, divided by 255'
        """
        if self.method == "percentile":
            text = f"percentiles {self.low:g} to {self.high:g} map to 0 and 1"
        elif self.method == "zscore":
            text = "mean 0, standard deviation 1"
        elif self.method == "fixed":
            less, by = (", ".join(f"{value:g}" for value in values) for values in (self.offset, self.scale))
            text = f"each value less {less}, divided by {by}"
        else:
            text = "none: values as they are"
        together = self.method in ("percentile", "zscore") and not self.per_channel
        clipped = f", clipped to {self.clip[0]:g} … {self.clip[1]:g}" if self.clip else ""
        return text + (", channels together" if together else "") + clipped

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Normalization:
        """Build a normalization from JSON types.

        Raises
        ------
        CheckpointError
            If a field is unknown, of the wrong type or out of range.
        """
        known = dict(values)
        try:
            for name in ("offset", "scale", "clip"):
                if known.get(name) is not None:
                    known[name] = tuple(float(value) for value in known[name])
            normalization = cls(**known)
            problem = _problem(normalization)
        except (TypeError, ValueError) as error:
            problem = str(error)
        if problem:
            raise CheckpointError(
                f"The normalization in the file cannot be used: {problem}.",
                f"Expected the fields {', '.join(field.name for field in fields(cls))}.",
            )
        return normalization


def _problem(normalization: Normalization) -> str:
    """Return what is wrong with a normalization, or nothing."""
    if normalization.method not in ("percentile", "zscore", "fixed", "none"):
        return f"its method is {normalization.method!r}"
    if not 0 <= normalization.low < normalization.high <= 100:
        return f"its percentiles are {normalization.low} and {normalization.high}"
    numbers = (*normalization.offset, *normalization.scale, *(normalization.clip or ()))
    if not all(np.isfinite(numbers)) or not all(normalization.scale) or not normalization.offset:
        return "its offset, scale or clip is empty, zero or not finite"
    clip = normalization.clip
    if clip is not None and (len(clip) != 2 or clip[0] >= clip[1]):
        return f"its clip range is {clip}"
    if normalization.polarity not in ("any", "bright", "dark"):
        return f"its polarity is {normalization.polarity!r}"
    if not isinstance(normalization.per_channel, bool):
        return f"per_channel is {normalization.per_channel!r}"
    return ""


@dataclass(frozen=True)
class Statistics:
    """What was measured of one image.

    Parameters
    ----------
    offset, scale : tuple of float
        One value per channel; the scale is negative where the image is inverted.
    sample : str
        Which values were looked at, in words.
    """

    offset: tuple[float, ...]
    scale: tuple[float, ...]
    sample: str

    @property
    def note(self) -> str:
        """What was done to the image that the user should know, as a sentence; empty if nothing."""
        inverted = [scale < 0 for scale in self.scale]
        what = "The image is" if all(inverted) else "Some of the image's channels are"
        return f"{what} inverted: the model knows objects of the other brightness." if any(inverted) else ""


def measure(
    source: ImageSource, normalization: Normalization, between: Callable[[], object] | None = None
) -> Statistics:
    """Measure the statistics of a whole image, all time points and planes together.

    All values count when the image has at most `sampling.EXACT_VALUES`; otherwise those of evenly spread
    blocks, the same ones each time. NaN and infinities are left out.

    Parameters
    ----------
    source : ImageSource
        The image.
    normalization : Normalization
        The method. Where both percentiles coincide (a nearly empty image), the range up to the
        maximum is taken; a constant image has scale 1.
    between : callable, optional
        Called before each block is read; it may raise to stop.

    Returns
    -------
    Statistics

    Raises
    ------
    ImageError
        If no value is finite, a fixed normalization has another number of channels, or reading fails.
    """
    channels = source.n_channels
    if normalization.method in ("fixed", "none"):
        plain = normalization.method == "none"
        offset = _broadcast((0.0,) if plain else normalization.offset, channels, source.name)
        scale = _broadcast((1.0,) if plain else normalization.scale, channels, source.name)
        return Statistics(offset, scale, "none: the model fixes the normalization")
    blocks, sample = blocks_to_measure(source)
    groups = channels if normalization.per_channel else 1
    found = (
        Percentiles(source.dtype, groups, normalization.low, normalization.high)
        if normalization.method == "percentile"
        else Moments(groups)
    )
    polarity = Polarity(groups)
    for t, box in blocks:
        if between is not None:
            between()
        values = source.read(t, box)
        for group in range(groups):
            part = values[group] if normalization.per_channel else values
            if part.dtype.kind == "f":
                part = part[np.isfinite(part)]
            if part.size:
                found.add(group, part.reshape(-1))
                if normalization.polarity != "any":
                    polarity.add(group, part.reshape(-1))
    pairs = [found.result(group) for group in range(groups)]
    if None in pairs:
        which = f"channel {pairs.index(None)} of " if groups > 1 else ""
        raise ImageError(
            f"The {which}image {source.name!r} has no finite value: all are NaN or infinite.",
            "Choose another image or channel.",
        )
    other = {"bright": "dark", "dark": "bright"}.get(normalization.polarity)
    measured = [
        pair if polarity.result(group) != other else _inverted(pair, normalization.method)
        for group, pair in enumerate(pairs)
        if pair is not None
    ]
    return Statistics(
        _broadcast(tuple(pair[0] for pair in measured), channels, source.name),
        _broadcast(tuple(pair[1] for pair in measured), channels, source.name),
        sample,
    )


def apply(array: npt.NDArray[Any], statistics: Statistics, normalization: Normalization) -> npt.NDArray[np.float32]:
    """Normalize a block.

    Parameters
    ----------
    array : ndarray
        Shape (C, ...).
    statistics : Statistics
        Of the whole image.
    normalization : Normalization
        Whether to clip.

    Returns
    -------
    ndarray of float32
        ``(array - offset) / scale``, clipped if asked; 0 where the value was not finite.

    Raises
    ------
    ImageError
        If the number of channels differs from that of the statistics.
    """
    if array.shape[0] != len(statistics.offset):
        raise ImageError(
            f"The block has {array.shape[0]} channels, but {len(statistics.offset)} were measured.",
            "Measure the statistics of the same channels.",
        )
    # 8 and 16 bits and float32 are exact in float32; wider types lose digits before the offset is gone.
    work: type[np.floating[Any]] = np.float32 if array.dtype.itemsize <= 2 or array.dtype == np.float32 else np.float64
    column = (-1,) + (1,) * (array.ndim - 1)
    offset = np.asarray(statistics.offset, work).reshape(column)
    scale = np.asarray(statistics.scale, work).reshape(column)
    with np.errstate(over="ignore", invalid="ignore"):
        result = np.subtract(array, offset, dtype=work)
        np.divide(result, scale, out=result)
        normalized: npt.NDArray[np.float32] = result.astype(np.float32, copy=False)
    if array.dtype.kind == "f":
        np.nan_to_num(normalized, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    if normalization.clip is not None:
        np.clip(normalized, *normalization.clip, out=normalized)
    return normalized


def _inverted(pair: tuple[float, float], method: str) -> tuple[float, float]:
    """Return offset and scale that turn an image over: what was 0 becomes 1, or the sign of a z-score changes."""
    offset, scale = pair
    return (offset + scale if method == "percentile" else offset), -scale


def _broadcast(values: tuple[float, ...], channels: int, name: str) -> tuple[float, ...]:
    if len(values) not in (1, channels):
        raise ImageError(
            f"The model normalizes {len(values)} channels, but {channels} of the image {name!r} are chosen.",
            f"Choose {len(values)} channels.",
        )
    return values * channels if len(values) == 1 else values
