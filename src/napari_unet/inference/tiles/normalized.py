"""Frames: the normalized image as the network sees it, read as far as needed. Free of torch."""

from __future__ import annotations

from concurrent.futures import Future
from math import prod

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, as_box, inside
from napari_unet.image.normalize import Normalization, Statistics, apply
from napari_unet.image.source import ImageSource
from napari_unet.jobs.ahead import Reader, at_once

KEPT_VALUES = 16 * 2**20
STRIPE = 256  # rows read at once from larger images, so that a chunk on the disk is unpacked once or twice
_KEPT_STRIPES = 2


class NormalizedFrames:
    """Normalized tiles of one image.

    A plane (for 2D networks) or time point (3D) of at most `KEPT_VALUES` values is read and
    normalized once and kept until another one is asked for; of larger ones the last stripes are kept.

    Parameters
    ----------
    source : ImageSource
        With the network's channels.
    statistics : Statistics
        Of the whole image.
    normalization : Normalization
        The model's.
    flat : bool
        The network is 2D.
    ahead : bool
        Read the next stripe in a thread meanwhile.
    """

    def __init__(
        self,
        source: ImageSource,
        statistics: Statistics,
        normalization: Normalization,
        flat: bool,
        ahead: bool = False,
    ) -> None:
        self.source = source
        self.statistics = statistics
        self.normalization = normalization
        self.flat = flat
        self._key: tuple[int, int | None] | None = None
        self._kept = np.zeros((0, 0, 0, 0), np.float32)
        self._stripes: dict[tuple[int, ...], Future[npt.NDArray[np.float32]]] = {}
        self._ahead = ahead
        self._ask = Reader().ask if ahead else at_once

    def tile(self, t: int, outer: Box) -> npt.NDArray[np.float32]:
        """Return a new array (1, C, [Z], Y, X) over a box that may reach beyond the image's far side.

        The border voxels are repeated there.
        """
        lengths = self.source.shape[1:]
        real = as_box(
            [min(s.start, n - 1) for s, n in zip(outer, lengths, strict=True)],
            [min(s.stop, n) for s, n in zip(outer, lengths, strict=True)],
        )
        block = self._block(t, real)
        beyond = [(0, max(0, s.stop - n)) for s, n in zip(outer, lengths, strict=True)]
        if not any(b for _, b in beyond):
            padded = block.copy()
        else:
            padded = np.pad(block, [(0, 0), *beyond], mode="edge")[(slice(None), *inside(outer, real))]
        return padded[np.newaxis, :, 0] if self.flat else padded[np.newaxis]

    def _block(self, t: int, box: Box) -> npt.NDArray[np.float32]:
        depth, height, width = self.source.shape[1:]
        frame = as_box((box[0].start if self.flat else 0, 0, 0), (box[0].stop if self.flat else depth, height, width))
        values = self.source.n_channels * prod(s.stop - s.start for s in frame)
        if values > KEPT_VALUES:
            return self._striped(t, box)
        key = (t, frame[0].start)
        if key != self._key:
            self._kept = self._read(t, frame)
            self._key = key
        return self._kept[(slice(None), *inside(box, frame))]

    def _striped(self, t: int, box: Box) -> npt.NDArray[np.float32]:
        """Return a slab of rows, cut out of stripes that the next slabs need as well; anything else as it is."""
        whole_rows = self.flat or box[1].stop - box[1].start < self.source.shape[2]
        axis = 1 if whole_rows else 0
        rows = box[axis].stop - box[axis].start
        across = self.source.n_channels * prod(s.stop - s.start for s in box) // rows
        edge = STRIPE
        while edge * across > KEPT_VALUES:
            edge //= 2
        if edge < 2 * rows:
            return self._read(t, box)
        first, last = box[axis].start // edge, (box[axis].stop - 1) // edge
        coming = [self._stripe(t, box, axis, n * edge, (n + 1) * edge) for n in range(first, last + 1)]
        if self._ahead and (last + 1) * edge < self.source.shape[1 + axis]:
            self._stripe(t, box, axis, (last + 1) * edge, (last + 2) * edge)
        parts = [stripe.result() for stripe in coming]
        joined = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1 + axis)
        cut = [slice(None)] * 4
        cut[1 + axis] = slice(box[axis].start - first * edge, box[axis].stop - first * edge)
        return joined[tuple(cut)]

    def _stripe(self, t: int, box: Box, axis: int, start: int, stop: int) -> Future[npt.NDArray[np.float32]]:
        spans = list(box)
        spans[axis] = slice(start, min(stop, self.source.shape[1 + axis]))
        key = (t, axis, *(bound for span in spans for bound in (span.start, span.stop)))
        if key not in self._stripes:
            while len(self._stripes) >= _KEPT_STRIPES + self._ahead:
                del self._stripes[next(iter(self._stripes))]
            self._stripes[key] = self._ask(self._read, t, (spans[0], spans[1], spans[2]))
        return self._stripes[key]

    def _read(self, t: int, box: Box) -> npt.NDArray[np.float32]:
        return apply(self.source.read(t, box), self.statistics, self.normalization)
