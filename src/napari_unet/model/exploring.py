"""A program that nobody describes: its dimensions, channels, legal sizes and reach, found by running it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.model.program import Sizes

BASE = {2: 128, 3: 32}  # a multiple of every usual divisor
WIDE = {2: 256, 3: 64}  # on which the reach is measured
STEPS = (1, 2, 4, 8, 16, 32, 64)
OTHER_INPUTS = ((2, 1), (2, 3), (3, 1), (2, 2), (3, 2), (2, 4), (3, 4))
SILENT = 1e-3  # of the largest change: what a distant voxel may contribute without counting


@dataclass(frozen=True)
class Explored:
    """What was found: the input's dimensions and channels, the output's channels, legal sizes and reach."""

    ndim: Literal[2, 3]
    in_channels: int
    out_channels: int
    sizes: Sizes
    activation: str  # "none" if the outputs are scores already, else what they lack


def explore(network: nn.Module, fixed: tuple[int | None, ...] = (), name: str = "the program") -> Explored:
    """Find out how a network is used by running it on noise.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (N, C, [Z], Y, X) to scores of the same or a smaller size.
    fixed : tuple of int or None, optional
        The sizes (N, C, [Z], Y, X) that the file states; None where any is allowed.
    name : str
        For messages.

    Raises
    ------
    CheckpointError
        If it does not run on any usual input, or changes the scale of the image.
    """
    for ndim, channels in _candidates(network, fixed):
        size = tuple(n or BASE[ndim] for n in fixed[2:]) if fixed else (BASE[ndim],) * ndim
        y = _run(network, channels, size)
        if y is not None and y.ndim == ndim + 2:
            break
    else:
        raise CheckpointError(
            f"{name} ran on none of the usual inputs: 2D and 3D, 1 to 4 channels, {BASE[2]} or {BASE[3]} voxels wide.",
            "From Python, wrap it: Checkpoint.from_module(network, ndim=…, in_channels=…, out_channels=…).",
        )
    lost = [n - m for n, m in zip(size, y.shape[2:], strict=True)]
    if any(n < 0 or n % 2 for n in lost):
        raise CheckpointError(
            f"{name} returns {tuple(y.shape[2:])} for an input of {size}; expected the same size, or a margin less.",
            "Networks that change the scale of an image cannot be used.",
        )
    crop = tuple(n // 2 for n in lost)
    static = [bool(fixed) and fixed[axis + 2] is not None for axis in range(ndim)]
    step = tuple(0 if static[axis] else _step(network, channels, size, axis, crop[axis]) for axis in range(ndim))
    minimum = tuple(n if s == 0 else max(s, 2 * c + s) for n, s, c in zip(size, step, crop, strict=True))
    minimum = tuple(m + (-m) % s if s else m for m, s in zip(minimum, step, strict=True))
    wide = tuple(n if s == 0 else WIDE[ndim] for n, s in zip(size, step, strict=True))
    halo = _halo(network, channels, wide, crop)
    sizes = Sizes(minimum, step, crop, halo)
    return Explored(cast(Literal[2, 3], ndim), channels, int(y.shape[1]), sizes, lacking(y))


def measured_halo(network: nn.Module, channels: int, sizes: Sizes) -> tuple[int, ...]:
    """Return how far a voxel's influence reaches, for a network whose legal sizes are known."""
    wide = WIDE[len(sizes.minimum)]
    size = tuple(sizes.legal(wide, axis) for axis in range(len(sizes.minimum)))
    return _halo(network, channels, size, sizes.crop)


def lacking(output: torch.Tensor) -> str:
    """Return the activation that an output on noise or on an image seems to lack.

    ``"none"``: all values lie between 0 and 1. Else sigmoid for one channel and softmax for several.
    """
    if bool((output >= 0).all()) and bool((output <= 1).all()):
        return "none"
    return "sigmoid" if output.shape[1] == 1 else "softmax"


def _candidates(network: nn.Module, fixed: tuple[int | None, ...]) -> Iterable[tuple[int, int]]:
    if fixed:
        ndim = len(fixed) - 2
        return [(ndim, fixed[1])] if fixed[1] else [(ndim, channels) for channels in (1, 3, 2, 4)]
    weights = (tensor for tensor in network.state_dict().values() if tensor.ndim in (4, 5))
    first = next(weights, None)
    guess = [] if first is None else [(first.ndim - 2, int(first.shape[1]))]
    return [*guess, *(one for one in OTHER_INPUTS if one not in guess)]


def _run(network: nn.Module, channels: int, size: tuple[int, ...]) -> torch.Tensor | None:
    """Return the output for noise; None if the network does not take this input."""
    noise = torch.rand((1, channels, *size), generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode():
            y = network(noise)
    # Somebody's program refuses an input in its own way; the caller tries another.
    except Exception:  # noqa: BLE001
        return None
    return y if isinstance(y, torch.Tensor) and y.is_floating_point() else None


def _step(network: nn.Module, channels: int, size: tuple[int, ...], axis: int, crop: int) -> int:
    """Return by what the size along an axis may grow; 0 if it may not."""
    for step in STEPS:
        longer = tuple(n + step * (n_axis == axis) for n_axis, n in enumerate(size))
        y = _run(network, channels, longer)
        if y is not None and y.shape[2 + axis] == longer[axis] - 2 * crop:
            return step
    return 0


def _halo(network: nn.Module, channels: int, size: tuple[int, ...], crop: tuple[int, ...]) -> tuple[int, ...]:
    """Return how far the change of one input voxel reaches in the output, per axis.

    Normalization over the whole image lets a change reach everywhere, though hardly; that does not count.
    """
    base = torch.rand((1, channels, *size), generator=torch.Generator().manual_seed(0))
    reach = [0] * len(size)
    for shift in (0, 1, 3):
        centre = [min(n // 2 + shift, n - 1) for n in size]
        changed = base.clone()
        place = (slice(None), slice(None), *(slice(n, n + 1) for n in centre))
        changed[place] += 10.0
        with torch.inference_mode():
            change = (network(changed) - network(base)).abs().amax(dim=(0, 1))
        places = (change > SILENT * change.max()).nonzero()
        for axis, margin in enumerate(crop):
            if len(places):
                reach[axis] = max(reach[axis], int((places[:, axis] + margin - centre[axis]).abs().max()))
    return tuple(reach)
