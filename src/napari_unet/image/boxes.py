"""Boxes: three slices (z, y, x) with explicit ends, and what can be done with two of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

Box = tuple[slice, slice, slice]
Triple = tuple[int, int, int]


def triple(values: Iterable[int]) -> Triple:
    """Return three integers."""
    z, y, x = (int(value) for value in values)
    return (z, y, x)


def as_box(start: Sequence[int], stop: Sequence[int]) -> Box:
    """Return the box from one corner to the other."""
    z, y, x = (slice(a, b) for a, b in zip(start, stop, strict=True))
    return (z, y, x)


def inside(box: Box, outer: Box) -> Box:
    """Return `box` in the coordinates of `outer`."""
    z, y, x = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, outer, strict=True))
    return (z, y, x)


def overlap(first: Box, second: Box) -> Box | None:
    """Return the part that two boxes share, or None."""
    spans = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(first, second, strict=True)]
    return None if any(s.start >= s.stop for s in spans) else (spans[0], spans[1], spans[2])


def extent(box: Box) -> Triple:
    """Return the size of a box."""
    return triple(s.stop - s.start for s in box)


def volume(box: Box) -> int:
    """Return the number of voxels in a box."""
    return prod(extent(box))


def three_axes(values: Sequence[int], first: int) -> Triple:
    """Return three numbers, with `first` put before two."""
    return triple(values if len(values) == 3 else (first, *values))


def whole(shape: Sequence[int]) -> Box:
    """Return the box of a whole (Z, Y, X) array."""
    z, y, x = shape
    return slice(0, int(z)), slice(0, int(y)), slice(0, int(x))


def clip(box: Sequence[slice], shape: Sequence[int]) -> Box:
    """Return the part of `box` inside an array of `shape`; open ends are filled in, and empty stays empty."""
    z, y, x = (
        slice(start, max(start, stop))
        for start, stop in (
            (
                min(max(int(part.start or 0), 0), int(size)),
                min(max(int(size if part.stop is None else part.stop), 0), int(size)),
            )
            for part, size in zip(box, shape, strict=True)
        )
    )
    return z, y, x


def grow(box: Box, margin: Sequence[int], shape: Sequence[int]) -> Box:
    """Return `box` with (z, y, x) voxels of `margin` on every side, clipped to `shape`."""
    z, y, x = (slice(part.start - extra, part.stop + extra) for part, extra in zip(box, margin, strict=True))
    return clip((z, y, x), shape)


def union(first: Box, second: Box) -> Box:
    """Return the smallest box that holds both."""
    z, y, x = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first, second, strict=True))
    return z, y, x
