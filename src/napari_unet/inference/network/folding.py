"""What can be known of a network before it meets an image: its cost, and batch norms that fold away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

_Convolution = nn.Conv2d | nn.Conv3d
_Transposed = nn.ConvTranspose2d | nn.ConvTranspose3d


@dataclass(frozen=True)
class Cost:
    """What one voxel of input costs.

    Parameters
    ----------
    operations : float
        Multiplications and additions in the convolutions.
    values : float
        Numbers held at once, roughly.
    """

    operations: float
    values: float


def fold_batch_norm(network: nn.Module) -> int:
    """Fold each batch norm that follows a convolution in an `nn.Sequential` into its weights, in place.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode. Pass a copy: it can no longer be trained.

    Returns
    -------
    int
        How many were folded. A batch norm without stored statistics stays.
    """
    count = 0
    for module in list(network.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        for index in range(len(module) - 1):
            first, second = module[index], module[index + 1]
            if not isinstance(first, _Convolution) or not isinstance(second, _BatchNorm) or second.running_mean is None:
                continue
            module[index] = fuse_conv_bn_eval(first, second)
            module[index + 1] = nn.Identity()
            count += 1
    return count


def measure_cost(network: nn.Module, probe: torch.Tensor) -> tuple[Cost, torch.Tensor]:
    """Run a small input and count.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    probe : torch.Tensor
        Shape (1, C, [Z], Y, X).

    Returns
    -------
    Cost
        Per voxel of the input.
    torch.Tensor
        The network's output.
    """
    operations = 0.0
    largest = 0

    def count(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal operations, largest
        if not inputs or not isinstance(inputs[0], torch.Tensor) or not isinstance(output, torch.Tensor):
            return
        largest = max(largest, inputs[0].numel() + output.numel())
        if isinstance(module, _Convolution):
            operations += 2.0 * output.numel() * module.weight[0].numel()
        elif isinstance(module, _Transposed):
            operations += 2.0 * inputs[0].numel() * module.weight[0].numel()

    leaves = [module for module in network.modules() if not list(module.children())]
    handles = [module.register_forward_hook(count) for module in leaves]
    try:
        with torch.inference_mode():
            output = network(probe)
    finally:
        for handle in handles:
            handle.remove()
    voxels = probe[0, 0].numel()
    # Twice the largest layer: what comes in, what goes out, and the skip connections that wait.
    return Cost(operations / voxels, 2 * max(largest, probe.numel()) / voxels), output
