"""What the weights imply for tiling: divisor, receptive field, halo. Free of torch."""

from __future__ import annotations

from napari_unet.model.config import UNetConfig


def level_steps(config: UNetConfig) -> tuple[tuple[int, ...], ...]:
    """Distance, in input voxels, between neighbouring voxels of each level.

    Parameters
    ----------
    config : UNetConfig
        Architecture.

    Returns
    -------
    tuple of tuple of int
        Per level from the input to the bottleneck, a step per axis; the last is the divisor.
    """
    steps = [(1,) * config.ndim]
    for factors in config.poolings:
        steps.append(tuple(step * factor for step, factor in zip(steps[-1], factors, strict=True)))
    return tuple(steps)
