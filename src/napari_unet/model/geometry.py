"""What the weights imply for tiling: divisor, receptive field, halo. Free of torch.

::

            outer box (what the network sees)
      ┌──────────────────────────────────────┐
      │ halo ┌────────────────────────┐ halo │   Outer boxes begin on the divisor grid, else
      │      │ inner box (what counts)│      │   pooling windows fall differently than in the
      │      └────────────────────────┘      │   whole image.
      └──────────────────────────────────────┘
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_unet.errors import CheckpointError
from napari_unet.model.config import UNetConfig
from napari_unet.model.header import CheckpointHeader
from napari_unet.model.program import Program

Interval = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """How a network sees its input, per spatial axis in ([Z], Y, X) order.

    Parameters
    ----------
    divisor : tuple of int
        The input's sizes, and the origins of tiles, are multiples of it.
    receptive_field : tuple of int
        Radius: an output voxel depends on no input voxel farther away.
    exact : bool
        Whether a tile with its halo gives the same scores as the whole image. False where
        a layer looks at the whole input: group and instance normalization, interpolation
        with ``align_corners``, and modules that are not known.
    """

    divisor: tuple[int, ...]
    receptive_field: tuple[int, ...]
    exact: bool

    @property
    def halo(self) -> tuple[int, ...]:
        """The smallest multiple of the divisor that covers the receptive field."""
        return tuple(-(-radius // step) * step for radius, step in zip(self.receptive_field, self.divisor, strict=True))


def geometry_of(model: UNetConfig | CheckpointHeader) -> Geometry:
    """Derive the geometry of a U-Net from its configuration.

    Parameters
    ----------
    model : UNetConfig or CheckpointHeader
        Architecture.

    Returns
    -------
    Geometry
        Divisor, dependency radius and whether tiles are exact.

    Raises
    ------
    CheckpointError
        If the header belongs to a module without a configuration.

    Examples
    --------
    >>> geometry_of(UNetConfig(features=(8, 16))).halo
    (10, 10)
    """
    config = model.config if isinstance(model, CheckpointHeader) else model
    if isinstance(model, CheckpointHeader) and model.blueprint is not None:
        return Geometry(model.blueprint.divisor, model.blueprint.reach, exact=False)
    if config is None:
        raise CheckpointError(
            "The geometry of a foreign network cannot be derived from its header.",
            "Use Checkpoint.geometry, which measures it.",
        )
    stretched = config.upsampling == "interpolate" and config.align_corners and len(config.features) > 1
    exact = config.norm in ("batch", "none") and not stretched
    radius = tuple(_radius(config, axis) for axis in range(config.ndim))
    return Geometry(level_steps(config)[-1], radius, exact)


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


def _radius(config: UNetConfig, axis: int) -> int:
    """Largest distance between an output voxel and an input voxel that it depends on, along one axis.

    All layers act axis by axis, so one axis can be followed at a time. The reach differs with
    the position on the pooling grid; one period of the divisor covers all positions.
    """
    factors = [level[axis] for level in config.poolings]
    period = level_steps(config)[-1][axis]
    reach = 0
    for position in range(period):
        low, high = _needed(config, factors, config.margins(axis), 0, (position, position))
        reach = max(reach, position - low, high - position)
    return reach


def _needed(config: UNetConfig, factors: list[int], margins: tuple[int, ...], level: int, wanted: Interval) -> Interval:
    """Input interval of a level (what its first convolution reads) that an output interval needs."""
    if level == len(factors):
        return _grow(wanted, margins[level])
    joined = _grow(wanted, margins[level])  # what the decoder reads of the concatenation
    below = _enlarged_from(joined, factors[level], config.upsampling == "interpolate")
    low, high = _needed(config, factors, margins, level + 1, below)
    pooled = (low * factors[level], high * factors[level] + factors[level] - 1)
    skip = (min(joined[0], pooled[0]), max(joined[1], pooled[1]))
    return _grow(skip, margins[level])


def _grow(interval: Interval, margin: int) -> Interval:
    return interval[0] - margin, interval[1] + margin


def _enlarged_from(interval: Interval, factor: int, interpolated: bool) -> Interval:
    """Coarse interval from which a fine one is made.

    A transposed convolution with kernel = stride copies one coarse voxel into each cell, as repetition does; linear
    interpolation reads the nearest two, whose positions lie within half a coarse voxel of the
    cell's for either setting of ``align_corners``.
    """
    low, high = interval
    if factor == 1:
        return interval
    if interpolated:
        return (low - 1) // factor, (high + 1) // factor
    return low // factor, high // factor


def program_geometry(program: Program) -> Geometry:
    """Return grid and halo of a network that comes as a program; its tiles are never exact."""
    return Geometry(tuple(max(1, step) for step in program.sizes.step), program.sizes.halo, exact=False)
