"""How far a library's network sees, measured with its weights; and the proof that it runs.

A network that normalizes by the statistics of its input depends on all of it, but weakly. What counts for tiles is how
far the *values* reach, so the statistics are held fixed, and the distance within which nearly all of the gradient of
an output lies is taken (the effective receptive field of Luo et al., "Understanding the Effective Receptive Field in
Deep Convolutional Neural Networks", NeurIPS 2016). Tiles are never called exact for such a network.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.instancenorm import _InstanceNorm

from napari_unet.errors import CheckpointError

SHARE = 0.999  # of the gradient that lies within the reach
# The input that is looked at: so many cells of the network's grid, up to a size, but never fewer than two.
CELLS = 12
LARGEST = {2: 128, 3: 48}
RUN_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
ADVICE = "The file may come from another version of its package."


def measure_reach(
    network: nn.Module, in_channels: int, out_channels: int, divisor: tuple[int, ...], name: str
) -> tuple[int, ...]:
    """Check that a network runs, and measure how far it sees.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode, on the CPU.
    in_channels, out_channels : int
        What it takes and returns.
    divisor : tuple of int
        Its grid, ([Z], Y, X).
    name : str
        Of the file, for the message.

    Returns
    -------
    tuple of int
        Per axis, the distance within which 99.9 % of the gradient of the centre lies.

    Raises
    ------
    CheckpointError
        If it fails, or returns another number of channels, another size, or values that are no numbers.
    """
    check_run(network, in_channels, out_channels, divisor, name)
    generator = torch.Generator().manual_seed(0)
    sides = [max(2, min(CELLS, LARGEST[len(divisor)] // step)) * step for step in divisor]
    try:
        image = torch.rand((1, in_channels, *sides), generator=generator).requires_grad_()
        handles = [part.register_forward_hook(_fixed) for part in network.modules() if _measures(part)]
        try:
            with torch.enable_grad():
                output = network(image)
                centre = output[(0, slice(None), *(side // 2 for side in sides))]
                # Unequal shares, because scores that sum to 1 would cancel.
                (gradient,) = torch.autograd.grad((centre * torch.arange(1.0, len(centre) + 1)).sum(), image)
        finally:
            for handle in handles:
                handle.remove()
    except RUN_ERRORS as error:
        raise CheckpointError(f"The network of {name} does not run: {str(error)[:200]}.", ADVICE) from error
    amount = gradient[0].abs().sum(0)
    return tuple(_distance(amount, axis) for axis in range(len(sides)))


def check_run(network: nn.Module, in_channels: int, out_channels: int, divisor: tuple[int, ...], name: str) -> None:
    """Run a network on a small legal input: two cells of its grid along each axis.

    Raises
    ------
    CheckpointError
        If it fails, or returns another number of channels, another size, or values that are no numbers.
    """
    image = torch.rand((1, in_channels, *(2 * step for step in divisor)), generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode():
            output = network(image)
    except RUN_ERRORS as error:
        raise CheckpointError(f"The network of {name} does not run: {str(error)[:200]}.", ADVICE) from error
    shape = (1, out_channels, *image.shape[2:])
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != shape:
        found = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise CheckpointError(f"The network of {name} returns {found}, expected a tensor of shape {shape}.", ADVICE)
    if not bool(torch.isfinite(output).all()):
        raise CheckpointError(f"The network of {name} returns values that are no numbers.", "It is damaged.")


def _distance(amount: torch.Tensor, axis: int) -> int:
    """Return within which distance of the centre nearly all of it lies, along one axis."""
    along = amount.sum([other for other in range(amount.ndim) if other != axis])
    positions = (torch.arange(len(along)) - len(along) // 2).abs()
    by_distance = torch.zeros(int(positions.max()) + 1).index_add_(0, positions, along)
    reached = by_distance.cumsum(0) >= SHARE * float(by_distance.sum())
    return int(reached.int().argmax())


def _measures(part: nn.Module) -> bool:
    """Whether a layer normalizes by the statistics of its input."""
    return isinstance(part, nn.GroupNorm) or (isinstance(part, _InstanceNorm) and not part.track_running_stats)


def looks_at_all(network: nn.Module) -> bool:
    """Return whether a layer normalizes by the statistics of its input, so that each score depends on all of it."""
    return any(_measures(part) for part in network.modules())


def _fixed(part: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
    """Return the same values, of which the gradient takes the statistics for constants."""
    x = inputs[0]
    groups = part.num_groups if isinstance(part, nn.GroupNorm) else x.shape[1]
    spread = x.detach().reshape(x.shape[0], groups, -1).var(2, unbiased=False)
    scale = (spread + part.eps).rsqrt().repeat_interleave(x.shape[1] // groups, 1)  # type: ignore[operator]
    if part.weight is not None:
        scale = scale * part.weight.detach()  # type: ignore[operator]
    linear = x * scale.reshape(*scale.shape, *(1,) * (x.ndim - 2))
    return linear + (output - linear).detach()
