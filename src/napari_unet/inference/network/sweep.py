"""A U-Net run through an image in one direction: what each level still needs is kept, nothing is computed twice.

::

    rows in ──► conv conv ──────── waits for the rows from below ────────► join conv conv ──► rows out
                  │ keeps 2 rows                                             ▲
                  └─ pool ──► conv conv ──► … ──► conv conv ──► enlarge ─────┘

A convolution that has seen rows up to 9 can give rows up to 8 and keeps rows 8 and 9 for the next ones. So an
image passes slab by slab, and along this axis there are no tiles, no halos and no seams: the result is that of
the untiled pass. Across, only what is needed is computed (`napari_unet.inference.network.footprint`), in
the encoder the whole halo, in the decoder hardly more than what is wanted.

Streaming a network row by row is known from hardware for video (line buffers); for tiled inference with halos see
`napari_unet.inference.tiles.tiling`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from napari_unet.inference.network.footprint import Span, footprint
from napari_unet.inference.network.rows import Enlarging, RowBlock, Rows, Waiting, stacked
from napari_unet.model.unet import ConvolutionBlock, UNet


class Sweep:
    """One pass along the first spatial axis, over a band of the image.

    Parameters
    ----------
    network : UNet
        Lowered (`napari_unet.inference.network.lowering`), in evaluation mode, with its axes in the order of the pass.
    start : int
        The first row of the result that is wanted.
    across : tuple of (int, int)
        Start and stop of the band along the other axes.
    lengths : tuple of int
        Of the padded image along all axes.
    """

    def __init__(
        self,
        network: UNet,
        start: int,
        across: Sequence[Span],
        lengths: Sequence[int],
    ) -> None:
        self.network = network
        self.config = config = network.config
        self.lengths = tuple(lengths)
        self.across = tuple(
            footprint(config, axis, span, length)
            for axis, span, length in zip(range(1, config.ndim), across, lengths[1:], strict=True)
        )
        along = footprint(config, 0, (start, start + 1), lengths[0])
        depth = len(along) - 1
        self.factors = [factors[0] for factors in config.poolings]
        sizes = [lengths[0]]
        for factor in self.factors:
            sizes.append(sizes[-1] // factor)
        self.encoder = [
            RowBlock(block, along[n].entry[0], sizes[n]) for n, block in enumerate(map(_block, network.encoder))
        ]
        self.bottleneck = RowBlock(_block(network.bottleneck), along[depth].entry[0], sizes[depth])
        self.skips: list[Waiting] = []
        self.pools: list[Waiting] = []
        self.ups: list[Enlarging] = []
        self.risen: list[Waiting] = []
        self.decoder: list[RowBlock] = []
        below = self.bottleneck.given
        for n in reversed(range(depth)):
            given = self.encoder[n].given
            up = Enlarging(network.upsampling[depth - 1 - n], self.factors[n], below, sizes[n + 1])
            decoder = RowBlock(_block(network.decoder[depth - 1 - n]), along[n].joined[0], sizes[n])
            self.skips.insert(0, Waiting(given, along[n].joined[0]))
            self.pools.insert(0, Waiting(given, along[n + 1].entry[0] * self.factors[n]))
            self.risen.insert(0, Waiting(up.given, along[n].joined[0]))
            self.ups.insert(0, up)
            self.decoder.insert(0, decoder)
            below = decoder.given
        self.next = along[0].entry[0]
        self.scores = Waiting(below, start)

    def needed(self, stop: int) -> int:
        """Return up to which row of the image the rows of the result before `stop` depend on it."""
        return footprint(self.config, 0, (stop - 1, stop), self.lengths[0])[0].entry[1]

    def push(self, rows: Rows) -> None:
        """Take the next rows of the image, over `entry` of the other axes; the result waits in `scores`."""
        self.next += rows.shape[2]
        x: Rows | None = rows
        for n, block in enumerate(self.encoder):
            x = block(x)
            if x is not None:
                joined = [levels[n].joined for levels in self.across]
                factors = self.config.poolings[n]
                pooled = [
                    (levels[n + 1].entry[0] * factor, levels[n + 1].entry[1] * factor)
                    for levels, factor in zip(self.across, factors[1:], strict=True)
                ]
                entry = [levels[n].entry for levels in self.across]
                self.skips[n].add(_cut(x, entry, joined))
                self.pools[n].add(_cut(x, entry, pooled))
                x = None
            waiting = self.pools[n]
            stop = waiting.stop // self.factors[n] * self.factors[n]
            if stop > waiting.start:
                x = _pooled(stacked(waiting.take(stop)), self.config.poolings[n])
        x = self.bottleneck(x)
        for n in reversed(range(len(self.encoder))):
            x = self._up(n, x)
        if x is not None:
            self.scores.add(self.network.head(_cut(x, self._held(0), [levels[0].wanted for levels in self.across])))

    def _held(self, n: int) -> list[Span]:
        """Return what comes up from a level, along the other axes: what its block read, of which the edge is wrong."""
        return [levels[n].joined if n < len(self.encoder) else levels[n].entry for levels in self.across]

    def _up(self, n: int, x: Rows | None) -> Rows | None:
        factors = self.config.poolings[n]
        x = self.ups[n](x)
        joined = [levels[n].joined for levels in self.across]
        if x is not None:
            risen = [(a * f, b * f) for (a, b), f in zip(self._held(n + 1), factors[1:], strict=True)]
            self.risen[n].add(_cut(x, risen, joined))
        stop = min(self.risen[n].stop, self.skips[n].stop)
        if stop <= self.risen[n].start:
            return None
        return self.decoder[n].join(self.skips[n].take(stop), self.risen[n].take(stop))


def _block(module: nn.Module) -> ConvolutionBlock:
    if not isinstance(module, ConvolutionBlock):
        raise TypeError(f"a block of a U-Net is a {type(module).__name__}")
    return module


def _cut(rows: Rows, held: Sequence[Span], wanted: Sequence[Span]) -> Rows:
    """Return the part of a slab that is wanted of the other axes."""
    cut = [slice(b[0] - a[0], b[1] - a[0]) for a, b in zip(held, wanted, strict=True)]
    return rows[(slice(None), slice(None), slice(None), *cut)]


def _pooled(rows: Rows, factors: Sequence[int]) -> Rows:
    """Take the maximum over cells; of strided slices, which is twice as fast as `max_pool` on the CPU."""
    for axis, factor in enumerate(factors, start=2):
        if factor == 2:
            even = (slice(None),) * axis
            rows = torch.maximum(rows[(*even, slice(0, None, 2))], rows[(*even, slice(1, None, 2))])
    return rows
