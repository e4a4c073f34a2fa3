"""The layers of a U-Net for rows that come slab by slab: what each keeps, and what waits between them.

Rows are a slab of one level, (1, C, rows, …), with the axis of the pass first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from napari_unet.inference.lowering import FastConvolution
from napari_unet.model.unet import ConvolutionBlock, Interpolation

Rows = torch.Tensor  # (1, C, rows, …): a slab of one level


def stacked(parts: Sequence[Rows]) -> Rows:
    """Put slabs of one level one after the other, in the channels-last layout."""
    if len(parts) == 1:
        return parts[0]
    rows = sum(part.shape[2] for part in parts)
    layout = torch.channels_last if parts[0].ndim == 4 else torch.channels_last_3d
    shape = (*parts[0].shape[:2], rows, *parts[0].shape[3:])
    whole = torch.empty(shape, dtype=parts[0].dtype, device=parts[0].device, memory_format=layout)
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
        parts = [] if self.kept is None else [self.kept]
        if self.next == 0:
            parts.append(_zeros(rows, reach))
        parts.append(rows)
        self.next += rows.shape[2]
        if self.next == self.length:
            parts.append(_zeros(rows, reach))
        seen = stacked(parts)
        self.kept = seen[:, :, -2 * reach :].clone(memory_format=torch.preserve_format)
        return self.module.along(seen) if seen.shape[2] > 2 * reach else None


def _zeros(rows: Rows, count: int) -> Rows:
    return rows.new_zeros((*rows.shape[:2], count, *rows.shape[3:]))


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
        y: Rows | None = rows
        for step in self.steps:
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
