"""Which part of each level a part of the result needs, along one axis. Free of torch.

::

    result            wanted                 level 0    |········wwwwww···········|
    decoder reads     wanted ± convolutions             |·······jjjjjjjj··········|
    from below        the cells that cover it  level 1    |···bbbbbbb····|
    encoder gives     what is pooled and joined         |···xxxxxxxxxxxxxxxx······|
    encoder reads     that ± convolutions               |··eeeeeeeeeeeeeeeeee·····|

Only the encoder has to see the whole halo; the decoder, where most of the work is, computes hardly more
than what is wanted. Everything is clipped to the image, whose border is zero-padded as in the untiled pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unet.model.config import UNetConfig

Span = tuple[int, int]  # start and stop, in voxels of a level


@dataclass(frozen=True)
class Level:
    """What one level computes, along one axis.

    Parameters
    ----------
    entry, exit : (int, int)
        What the encoder's block (on the last level the bottleneck) reads and gives.
    joined : (int, int)
        What the decoder's block reads of the concatenation; on the last level what is wanted of it.
    wanted : (int, int)
        What the decoder's block gives.
    """

    entry: Span
    exit: Span
    joined: Span
    wanted: Span


def footprint(config: UNetConfig, axis: int, wanted: Span, length: int) -> tuple[Level, ...]:
    """Return what each level has to compute for a part of the result, along one axis.

    Parameters
    ----------
    config : UNetConfig
        Architecture.
    axis : int
        Which of its axes.
    wanted : (int, int)
        Start and stop of the part, in voxels of the image.
    length : int
        Of the padded image: a multiple of the divisor.

    Returns
    -------
    tuple of Level
        From the input to the bottleneck.

    Examples
    --------
    >>> from napari_unet.model.config import UNetConfig
    >>> [level.entry for level in footprint(UNetConfig(features=(4, 8)), 0, (20, 30), 80)]
    [(12, 38), (7, 18)]
    """
    factors = [factor[axis] for factor in config.poolings]
    return tuple(_levels(config, factors, config.margins(axis), wanted, length))


def _levels(config: UNetConfig, factors: list[int], margins: tuple[int, ...], wanted: Span, length: int) -> list[Level]:
    margin = margins[0]
    if not factors:
        return [Level(_grown(wanted, margin, length), wanted, wanted, wanted)]
    factor, *others = factors
    joined = _grown(wanted, margin, length)
    deeper = _levels(config, others, margins[1:], _below(config, joined, factor, length // factor), length // factor)
    pooled = deeper[0].entry[0] * factor, deeper[0].entry[1] * factor
    given = min(joined[0], pooled[0]), max(joined[1], pooled[1])
    return [Level(_grown(given, margin, length), given, joined, wanted), *deeper]


def _grown(span: Span, margin: int, length: int) -> Span:
    return max(0, span[0] - margin), min(length, span[1] + margin)


def _below(config: UNetConfig, span: Span, factor: int, length: int) -> Span:
    """Return the coarse voxels from which fine ones are made; interpolation looks one further."""
    reach = 1 if config.upsampling == "interpolate" else 0
    return _grown((span[0] // factor, -(-span[1] // factor)), reach, length)
