"""The geometry of a network that is not ours, measured."""

from __future__ import annotations

import torch
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.model.geometry import Geometry

SIZES = {2: (64, 128, 256, 512), 3: (32, 64, 96)}
PROBES = 3


def probe_geometry(module: nn.Module, ndim: int, in_channels: int) -> Geometry:
    """Measure divisor and receptive field of a network on random inputs.

    The divisor is the input size over the smallest feature map that a submodule returns; the
    receptive field is where the gradient of the centre reaches. Both may miss what a network
    does outside its submodules, so the result is never called exact.

    Parameters
    ----------
    module : torch.nn.Module
        Any network that keeps the spatial size.
    ndim : {2, 3}
        Spatial dimensions.
    in_channels : int
        Channels of its input.

    Returns
    -------
    Geometry
        With ``exact=False``.

    Raises
    ------
    CheckpointError
        If the network does not run on an input of that many channels, or changes its size.
    """
    training = module.training
    module.eval()
    try:
        for size in SIZES[ndim]:
            divisor, radius = _probe(module, ndim, in_channels, size)
            if radius < size // 2 - 1 or size == SIZES[ndim][-1]:
                break
    finally:
        module.train(training)
    return Geometry((divisor,) * ndim, (radius,) * ndim, exact=False)


def _probe(module: nn.Module, ndim: int, in_channels: int, size: int) -> tuple[int, int]:
    smallest = size
    shape = (1, in_channels, *(size,) * ndim)
    centre = sum((size // 2) * size**axis for axis in range(ndim))

    def look(part: nn.Module, inputs: object, output: object) -> None:
        nonlocal smallest
        if isinstance(output, torch.Tensor) and output.ndim == ndim + 2:
            smallest = min(smallest, *output.shape[2:])

    handles = [part.register_forward_hook(look) for part in module.modules()]
    parameter = next(module.parameters(), None)
    reach = 0
    try:
        generator = torch.Generator().manual_seed(0)
        for _ in range(PROBES):
            image = torch.rand(shape, generator=generator)
            if parameter is not None:
                image = image.to(parameter.device, parameter.dtype)
            image.requires_grad_()
            with torch.enable_grad():
                output = module(image)
                if not isinstance(output, torch.Tensor) or output.shape[2:] != image.shape[2:]:
                    raise CheckpointError(
                        f"The network does not return one tensor of its input's size {tuple(image.shape[2:])}.",
                        "Wrap it in a module that does.",
                    )
                middle = output.flatten(2)[0, :, centre].abs().sum()
                (gradient,) = torch.autograd.grad(middle, image)
            positions = gradient[0].abs().sum(0).nonzero()
            if len(positions):
                reach = max(reach, int((positions - size // 2).abs().max()))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise CheckpointError(
            f"The network does not run on an input of shape {shape}: {error}.",
            "Check ndim and in_channels.",
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return max(1, size // max(1, smallest)), reach
