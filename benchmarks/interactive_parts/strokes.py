"""The way of a brush: where a person would paint a stroke, and which pixels it covers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]

RADII = (4, 3, 2, 1)  # brushes 9, 7, 5 and 3 px wide on screen
SKIP = 2.0  # px that people keep away from boundaries, as in RootPainter's sim_benchmark
ROOM = 12  # px in which a brush must find room to be chosen
MEDIAN_LENGTH, MOST_LENGTH = 50.0, 200.0
TURNS = np.deg2rad((0, 20, -20, 45, -45, 75, -75, 110, -110))


@dataclass(frozen=True, eq=False)
class Stroke:
    """A stroke in a plane: the pixels under the brush (Y, X), its length, and both its ends (y, x)."""

    mask: Mask
    length: float
    start: tuple[float, float]
    end: tuple[float, float]


def room_for_brush(region: Mask, generator: np.random.Generator) -> tuple[Mask, int] | None:
    """Return where the middle of a brush may go, and the brush's radius.

    The widest brush with room is taken, now and then the next one; thin structures, where nobody can keep 2 px
    away from the boundary, are followed along their middle with the finest brush.

    Parameters
    ----------
    region : ndarray of bool, (Y, X)
        Where the stroke's class is right.
    generator : numpy.random.Generator
        The only source of chance.
    """
    if not region.any():
        return None
    # Beyond the image's border there is nothing that a brush could spoil.
    depth = ndimage.distance_transform_edt(np.pad(region, 6, mode="edge"))[6:-6, 6:-6]
    fitting = [radius for radius in RADII if np.count_nonzero(depth > radius + SKIP) >= ROOM]
    if fitting:
        radius = fitting[min(len(fitting) - 1, int(generator.random() < 0.3))]
        return depth > radius + SKIP, radius
    for least, radius in ((1.5, 1), (0.5, 0)):
        if np.count_nonzero(depth >= least) >= ROOM:
            return depth >= least, radius
    return None


def draw_stroke(
    allowed: Mask, radius: int, generator: np.random.Generator, start: tuple[int, int] | None = None
) -> Stroke:
    """Walk from a random place (or `start`) through `allowed`, smoothly, until the way ends or the stroke is long.

    Parameters
    ----------
    allowed : ndarray of bool, (Y, X)
        Where the middle of the brush may go; at least one pixel.
    radius : int
        Of the brush, px.
    generator : numpy.random.Generator
        The only source of chance.
    start : tuple of int, optional
        Pixel of `allowed` to begin at.
    """
    if start is None:
        where = np.flatnonzero(allowed)
        y, x = np.unravel_index(int(generator.choice(where)), allowed.shape)
        start = int(y), int(x)
    wanted = min(MOST_LENGTH, MEDIAN_LENGTH * float(np.exp(generator.normal(0, 0.6))))
    angle = float(generator.uniform(0, 2 * np.pi))
    place = np.asarray(start, float)
    path = [start]
    while len(path) < wanted:
        angle += float(generator.normal(0, 0.12))
        for turn in TURNS:
            step = place + np.array((np.sin(angle + turn), np.cos(angle + turn)))
            y, x = round(float(step[0])), round(float(step[1]))
            if 0 <= y < allowed.shape[0] and 0 <= x < allowed.shape[1] and allowed[y, x]:
                break
        else:
            break
        place, angle = step, angle + turn
        path.append((y, x))
    mask = np.zeros(allowed.shape, bool)
    mask[tuple(np.transpose(path))] = True
    if radius:
        span = np.arange(-radius, radius + 1)
        disc = span[:, None] ** 2 + span**2 <= (radius + 0.3) ** 2
        mask = ndimage.binary_dilation(mask, disc)
    return Stroke(mask, float(len(path) - 1), start, (float(path[-1][0]), float(path[-1][1])))
