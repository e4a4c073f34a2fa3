"""A network made ready: batch norms folded, convolutions replaced by faster ones, each only if a probe agrees."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from napari_unet.inference.network.devices import is_out_of_memory
from napari_unet.inference.network.folding import Cost, fold_batch_norm, measure_cost
from napari_unet.inference.network.lowering import has_packed_convolutions, lower


@dataclass(frozen=True)
class Prepared:
    """What was made of a network.

    Parameters
    ----------
    folded : torch.nn.Module
        In float32, its batch norms folded where possible.
    network : torch.nn.Module
        The same with fast convolutions, to be run as a whole.
    packed : bool
        Whether its convolutions have packed weights.
    cost : Cost or None
        None if it would not run on a small probe.
    """

    folded: nn.Module
    network: nn.Module
    packed: bool
    cost: Cost | None


def prepared(network: nn.Module, channels: int, divisor: tuple[int, ...], dtype: torch.dtype, kind: str) -> Prepared:
    """Make a network ready to run.

    Parameters
    ----------
    network : torch.nn.Module
        On the CPU, in float32 and evaluation mode. Pass a copy.
    channels : int
        Of its input.
    divisor : tuple of int
        Its grid.
    dtype : torch.dtype
        What to compute in.
    kind : str
        Of the device: ``"cpu"``, ``"cuda"``, ``"mps"``.
    """
    size = [max(2 * step, 8) for step in divisor]
    size = [-(-length // step) * step for length, step in zip(size, divisor, strict=True)]
    probe = torch.randn((1, channels, *size), generator=torch.Generator().manual_seed(0))
    try:
        cost, before = measure_cost(network, probe.clone())
    # A foreign module may want larger inputs; then nothing is known of it, and the first tile tells.
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return Prepared(network, network, False, None)
    if not cost.operations:
        return Prepared(network, network, False, None)  # a program, whose layers cannot be seen
    if not isinstance(before, torch.Tensor):
        return Prepared(network, network, False, cost)
    folded = deepcopy(network)
    if not fold_batch_norm(folded) or not _agree(folded, probe, before):
        folded = network
    packed = has_packed_convolutions(kind)
    if _agree(lower(deepcopy(folded), torch.float32, packed), probe, before):
        return Prepared(folded, lower(deepcopy(folded), dtype, packed), packed, cost)
    return Prepared(folded, folded, False, cost)


def _agree(network: nn.Module, probe: torch.Tensor, expected: torch.Tensor) -> bool:
    with torch.inference_mode():
        try:
            result = network(probe.clone())
        # Some module looks into its convolutions; it keeps them as they are.
        except (AttributeError, TypeError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            return False
    return torch.allclose(expected, result, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
