"""Which channels of an image feed the network. Free of torch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_unet.errors import ImageError
from napari_unet.image.source import ImageSource

if TYPE_CHECKING:
    from napari_unet.model.header import CheckpointHeader

LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601


def match_channels(
    source_channels: int, in_channels: int, repeat_gray: bool = False, rgb: bool = False
) -> Literal["same", "repeat", "luminance"]:
    """Decide how an image's channels become the network's.

    Parameters
    ----------
    source_channels, in_channels : int
        Channels of the image and of the network.
    repeat_gray : bool
        The network was trained on gray images repeated over its channels.
    rgb : bool
        The image's channels are colours.

    Returns
    -------
    {"same", "repeat", "luminance"}

    Raises
    ------
    ImageError
        If they do not fit.

    Examples
    --------
    >>> match_channels(1, 3, repeat_gray=True)
    'repeat'
    >>> match_channels(3, 1, rgb=True)
    'luminance'
    """
    if source_channels == in_channels:
        return "same"
    if source_channels == 1 and repeat_gray:
        return "repeat"
    if source_channels == 3 and in_channels == 1 and rgb:
        return "luminance"
    plural = "" if source_channels == 1 else "s"
    raise ImageError(
        f"The image has {source_channels} channel{plural}, but the model takes {in_channels}.",
        f"Choose which {in_channels} of the channels feed the model."
        if source_channels > in_channels
        else "Add the missing channels, or choose a model for this kind of image.",
    )


def matched_source(source: ImageSource, header: CheckpointHeader) -> tuple[ImageSource, str]:
    """Return the image with exactly the network's channels, still unread, and what was done to it.

    Statistics, training regions and predictions of one model must all come from this same source.

    Parameters
    ----------
    source : ImageSource
        The image as the user chose it.
    header : CheckpointHeader
        Of the model.

    Returns
    -------
    ImageSource
        With ``n_channels == header.in_channels``.
    str
        A sentence for the user; empty when the channels fit as they are.

    Raises
    ------
    ImageError
        If the channels do not fit.
    """
    how = match_channels(source.n_channels, header.in_channels, header.repeat_gray, source.rgb)
    if how == "repeat":
        chosen = 0 if source.channels is None else source.channels[0]
        repeated = replace(source, channels=(chosen,) * header.in_channels)
        return repeated, f"One channel feeds each of the model's {header.in_channels} channels."
    if how == "luminance":
        gray = replace(source, data=_Luminance(source), axes="TZYX", rgb=False, channels=None)
        return gray, "The image is RGB and the model takes one channel: its luminance is used (ITU-R BT.601)."
    if header.repeat_gray and header.in_channels > 1 and not source.rgb:
        return source, (
            f"The image's {source.n_channels} channels are taken for red, green and blue; choose one channel if they "
            "are stains."
        )
    return source, ""


class _Luminance:
    """An RGB source as a lazy gray array (T, Z, Y, X)."""

    def __init__(self, source: ImageSource) -> None:
        self.source = source
        self.shape = source.shape
        self.ndim = 4
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: tuple[slice | int, ...]) -> npt.NDArray[Any]:
        """Read the region and weigh its colours."""
        spans = [k if isinstance(k, slice) else slice(int(k), int(k) + 1) for k in key]
        times, z, y, x = (slice(*s.indices(n)[:2]) for s, n in zip(spans, self.shape, strict=True))
        weights = np.asarray(LUMINANCE, np.float32)
        frames = [np.tensordot(weights, self.source.read(t, (z, y, x)), 1) for t in range(times.start, times.stop)]
        block = np.stack(frames).astype(np.float32, copy=False)
        return block[tuple(slice(None) if isinstance(k, slice) else 0 for k in key)]
