"""The layers of a U-Net for rows that come slab by slab: what each keeps, and what waits between them.

Rows are a slab of one level, (1, C, rows, …), with the axis of the pass first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from napari_unet.inference.network.lowering import FastConvolution
from napari_unet.model.unet import ConvolutionBlock, Interpolation

Rows = torch.Tensor  # (1, C, rows, …): a slab of one level


def fresh(like: Rows, channels: int, count: int) -> Rows:
    """Return rows that are yet to be written, in the channels-last layout."""
    layout = torch.channels_last if like.ndim == 4 else torch.channels_last_3d
    shape = (1, channels, count, *like.shape[3:])
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout)


def stacked(parts: Sequence[Rows]) -> Rows:
    """Put slabs of one level one after the other, in the channels-last layout."""
    if len(parts) == 1:
        return parts[0]
    whole = fresh(parts[0], parts[0].shape[1], sum(part.shape[2] for part in parts))
    start = 0
    for part in parts:
        whole[:, :, start : start + part.shape[2]].copy_(part)
        start += part.shape[2]
    return whole


class Waiting:
    """Rows of one level that wait to be used, first in, first out.

    Parameters
    ----------
    given : int
        The row that comes first.
    start : int
        The row from which on they are needed; earlier ones are dropped.
    """

    def __init__(self, given: int, start: int) -> None:
        self.stop = given
        self.start = start
        self._parts: list[Rows] = []

    def add(self, rows: Rows) -> None:
        """Append rows."""
        late = max(0, min(self.start - self.stop, rows.shape[2]))
        self.stop += rows.shape[2]
        if late < rows.shape[2]:
            self._parts.append(rows[:, :, late:])

    def take(self, stop: int) -> list[Rows]:
        """Remove and return the rows before `stop`."""
        taken = []
        while self.start < stop:
            first = self._parts[0]
            count = min(first.shape[2], stop - self.start)
            taken.append(first[:, :, :count])
            self.start += count
            if count == first.shape[2]:
                self._parts.pop(0)
            else:
                self._parts[0] = first[:, :, count:]
        return taken


class RowConvolution:
    """A convolution that keeps its last rows; outside the image they are zero."""

    def __init__(self, module: FastConvolution, start: int, length: int) -> None:
        self.module, self.length = module, length
        self.next = start
        self.kept: Rows | None = None

    def __call__(self, rows: Rows) -> Rows | None:
        """Take rows; return those of the result that can be had by now."""
        reach = self.module.reach
        if reach == 0:
            return self.module(rows)  # type: ignore[no-any-return]
        rows = rows if rows.dtype == self.module.dtype else rows.to(self.module.dtype)
        before, after = self.space(rows.shape[2])
        seen = fresh(rows, rows.shape[1], before + rows.shape[2] + after)
        seen[:, :, before : before + rows.shape[2]].copy_(rows)
        return self.filled(seen, before, after)

    def space(self, count: int) -> tuple[int, int]:
        """Return how many rows to leave free before and after the next `count` rows, for `filled`."""
        reach = self.module.reach
        before = reach if self.next == 0 else 0 if self.kept is None else self.kept.shape[2]
        return before, reach if self.next + count == self.length else 0

    def filled(self, seen: Rows, before: int, after: int) -> Rows | None:
        """Take rows with free ones around them, which are filled with what was kept, or with zeros."""
        reach = self.module.reach
        if self.kept is not None:
            seen[:, :, :before].copy_(self.kept)
        else:
            seen[:, :, :before].zero_()
        end = seen.shape[2] - after
        seen[:, :, end:].zero_()
        self.next += end - before
        self.kept = seen[:, :, -2 * reach :].clone(memory_format=torch.preserve_format)
        return self.module.along(seen) if seen.shape[2] > 2 * reach else None


class RowBlock:
    """A block of convolutions; where it is residual, its input waits for its output."""

    def __init__(self, block: ConvolutionBlock, start: int, length: int) -> None:
        self.steps: list[RowConvolution | nn.Module] = []
        given = start
        for layer in block.layers:
            if isinstance(layer, FastConvolution):
                self.steps.append(RowConvolution(layer, given, length))
                given = given + layer.reach if given else 0
            elif not isinstance(layer, nn.Identity):
                self.steps.append(layer)
        self.projection = block.projection
        self.beside = Waiting(start, given)
        self.given = given

    def __call__(self, rows: Rows | None) -> Rows | None:
        """Take rows; return those of the result that can be had by now."""
        if rows is None:
            return None
        if self.projection is not None:
            self.beside.add(self.projection(rows))
        return self._onwards(rows, 0)

    def join(self, skips: Sequence[Rows], risen: Sequence[Rows]) -> Rows | None:
        """Concatenate the features of both ways, whose slabs end at different rows, and take them.

        They are written to where the first convolution reads them, since copying is a good part of the work.
        """
        count = sum(part.shape[2] for part in skips)
        first = self.steps[0]
        direct = isinstance(first, RowConvolution) and self.projection is None and first.module.reach > 0
        before, after = first.space(count) if direct and isinstance(first, RowConvolution) else (0, 0)
        own = skips[0].shape[1]
        whole = fresh(skips[0], own + risen[0].shape[1], before + count + after)
        for channel, parts in ((0, skips), (own, risen)):
            row = before
            for part in parts:
                whole[:, channel : channel + part.shape[1], row : row + part.shape[2]].copy_(part)
                row += part.shape[2]
        if direct and isinstance(first, RowConvolution):
            return self._onwards(first.filled(whole, before, after), 1)
        return self(whole)

    def _onwards(self, y: Rows | None, done: int) -> Rows | None:
        for step in self.steps[done:]:
            if y is None:
                return None
            y = cast(Rows | None, step(y))
        if y is not None and self.projection is not None:
            y = y + stacked(self.beside.take(self.beside.start + y.shape[2]))
        return y


class Enlarging:
    """The way up: each row becomes `factor` rows; interpolation waits for the next row."""

    def __init__(self, module: nn.Module, factor: int, start: int, length: int) -> None:
        self.module, self.factor, self.length = module, factor, length
        self.interpolates = isinstance(module, Interpolation)
        self.given = (start + 1) * factor if self.interpolates and start else start * factor
        self.next = start
        self.kept: Rows | None = None

    def __call__(self, rows: Rows | None) -> Rows | None:
        """Take rows; return those of the result that can be had by now."""
        if rows is None:
            return None
        if not self.interpolates:
            return self.module(rows)  # type: ignore[no-any-return]
        before = self.kept is not None or self.next > 0
        seen = rows if self.kept is None else stacked([self.kept, rows])
        self.next += rows.shape[2]
        last = self.next == self.length
        self.kept = seen[:, :, -2:].clone(memory_format=torch.preserve_format)
        if seen.shape[2] < 2 and not last:
            # With one row known, the first rows of the image still need the second.
            self.kept = seen
            return None
        fine = self.module(seen)
        return fine[:, :, self.factor if before else 0 : None if last else -self.factor]  # type: ignore[no-any-return]
