"""Networks that take only certain sizes, behind one that takes any.

A size that does not fit is padded with the border's values::

    input    |··········|                 a fixed size is met by windows, each with a halo,
    padded   |··········####|             of which the middle counts:
    output   |··········|                 |oooooo··|
                                              |··oooo··|
                                                   |··oooo|
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from napari_unet.errors import CheckpointError
from napari_unet.model.program import TENSOR, Pointwise, Program, Sizes


class Fitted(nn.Module):
    """A network for inputs of any size, with what a package does to each value before and after it.

    Parameters
    ----------
    network : torch.nn.Module
        What the program makes.
    program : Program
        Its sizes and steps.
    content : bytes
        The program itself, so that the checkpoint can be saved again.
    """

    def __init__(self, network: nn.Module, program: Program, content: bytes) -> None:
        super().__init__()
        self.network = network
        self.program = program
        self.content = content

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, [Z], Y, X) of any size to scores or logits of the same size."""
        sizes = self.program.sizes
        for step in self.program.before:
            x = pointwise(x, step)
        windows = [list(_windows(length, axis, sizes)) for axis, length in enumerate(x.shape[2:])]
        y = self._run(x) if all(len(of_axis) == 1 for of_axis in windows) else self._assembled(x, windows)
        for step in self.program.after:
            y = pointwise(y, step)
        return y

    def _assembled(self, x: torch.Tensor, windows: list[list[tuple[slice, slice]]]) -> torch.Tensor:
        result: torch.Tensor | None = None
        for place in product(*windows):
            seen = tuple(window for window, _ in place)
            y = self._run(x[(slice(None), slice(None), *seen)])
            if result is None:
                result = y.new_zeros((*y.shape[:2], *x.shape[2:]))
            inner = tuple(slice(k.start - s.start, k.stop - s.start) for s, k in place)
            result[(slice(None), slice(None), *(kept for _, kept in place))] = y[(slice(None), slice(None), *inner)]
        return cast(torch.Tensor, result)

    def _run(self, x: torch.Tensor) -> torch.Tensor:
        """Run on an input that is at most one legal size, padded to it."""
        sizes, lengths = self.program.sizes, x.shape[2:]
        legal = [sizes.legal(length, axis) for axis, length in enumerate(lengths)]
        margins: list[int] = []
        for length, wanted, crop in zip(reversed(lengths), reversed(legal), reversed(sizes.crop), strict=True):
            margins += [crop, wanted - length - crop]
        y = self.network(functional.pad(x, margins, mode="replicate") if any(margins) else x)
        expected = tuple(wanted - 2 * crop for wanted, crop in zip(legal, sizes.crop, strict=True))
        if not isinstance(y, torch.Tensor) or tuple(y.shape[2:]) != expected:
            got = f"an output of shape {tuple(y.shape)}" if isinstance(y, torch.Tensor) else f"a {type(y).__name__}"
            raise CheckpointError(
                f"{self.program.name} returned {got} for an input of {tuple(legal)}; expected the size {expected}.",
                "Its description does not fit the network; ask its author.",
            )
        return y[(slice(None), slice(None), *(slice(0, length) for length in lengths))]


def program_tensors(network: Fitted) -> dict[str, torch.Tensor]:
    """Return the weights and, as bytes, the program."""
    content = torch.frombuffer(bytearray(network.content), dtype=torch.uint8)
    return {**network.network.state_dict(), TENSOR: content}


def pointwise(x: torch.Tensor, step: Pointwise) -> torch.Tensor:
    """Apply one fixed step to each value (N, C, …)."""
    name, numbers = step[0], [float(number) for number in step[1:]]
    if name == "scale":
        return x * numbers[0] + numbers[1]
    if name == "clip":
        return x.clamp(numbers[0], numbers[1])
    return torch.sigmoid(x) if name == "sigmoid" else torch.softmax(x, dim=1)


def _windows(length: int, axis: int, sizes: Sizes) -> Iterator[tuple[slice, slice]]:
    """Yield what a window sees and what of it counts; one window unless the size is fixed and too small."""
    width = sizes.minimum[axis] - 2 * sizes.crop[axis]
    if sizes.step[axis] or length <= width:
        yield slice(0, length), slice(0, length)
        return
    halo = min(sizes.halo[axis], width // 4)
    start, kept = 0, 0
    while kept < length:
        stop = min(start + width, length)
        start = stop - width
        end = length if stop == length else stop - halo
        yield slice(start, stop), slice(kept, end)
        kept, start = end, end - halo
