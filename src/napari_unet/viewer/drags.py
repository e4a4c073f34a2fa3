"""One drag of a correction tool: its path, and what the tool covered along it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.viewer import sweep
from napari_unet.viewer.sweep import Sweep

if TYPE_CHECKING:
    from napari.layers import Labels

Point = tuple[float, ...]


class Drag:
    """The path of one drag, and what the tool covers along it.

    Parameters
    ----------
    layer : napari.layers.Labels
        The layer; its tool, label and brush are those of the press.
    axes : tuple of int
        The axes that the tool paints across.
    point : tuple of float
        Where it was pressed, data coordinates.
    """

    def __init__(self, layer: Labels, axes: tuple[int, ...], point: Point) -> None:
        self.layer, self.axes, self.mode = layer, axes, layer.mode
        self.label = int(layer.colormap.background_value if self.mode == "erase" else layer.selected_label)
        self.size = float(layer.brush_size)
        self.path: list[Point] = []
        self.points: list[Point] = []
        self.fills: list[Sweep | None] = []
        self._told = (0, 0)  # points and fills that `recent` has covered
        self.to(point)

    def to(self, point: Point) -> None:
        """Follow the pointer."""
        previous = self.path[-1] if self.path else point
        self.path.append(point)
        between = [tuple(p) for p in sweep.interpolate(previous, point, self.size)]
        self.points.extend(between)
        if self.mode == "fill":
            self._fill(between)

    def _fill(self, points: Sequence[Point]) -> None:
        data = self.layer.data
        for point in points:
            where = tuple(int(v) for v in np.round(point))
            inside = all(0 <= p < n for p, n in zip(where, data.shape, strict=True))
            if inside and data[where] != self.label and not self._filled(where):
                self.fills.append(sweep.filled(data, point, self.axes, self.layer.contiguous))

    def _filled(self, where: tuple[int, ...]) -> bool:
        """Tell whether a fill of this drag covers a voxel already."""
        return any(
            all(s.start <= p < s.stop for p, s in zip(where, fill.box, strict=True))
            and fill.mask[tuple(p - s.start for p, s in zip(where, fill.box, strict=True))]
            for fill in self.fills
            if fill is not None
        )

    def sweep(self, closed: bool = False) -> Sweep | None:
        """Return what carries the tool's label now, of all that it passed over."""
        if self.mode == "fill":
            reach = sweep.union(self.fills)
        else:
            parts = [self._trail()]
            if closed:
                parts.append(sweep.polygon([*self.path, self.path[0]], self.axes, self.layer.data.shape))
            reach = sweep.union(parts)
        return None if reach is None else where_label(self.layer, reach, self.label)

    def recent(self) -> Sweep | None:
        """Return what carries the tool's label of all that it passed over since this was asked last."""
        points, fills = self._told
        self._told = (len(self.points), len(self.fills))
        if self.mode == "fill":
            reach = sweep.union(self.fills[fills:])
        else:
            new = self.points[max(points - 1, 0) :]
            reach = sweep.brush(new, self.size, self.layer.scale, self.axes, self.layer.data.shape)
        return None if reach is None else where_label(self.layer, reach, self.label)

    def painted(self) -> bool:
        """Tell whether the whole trail carries the tool's label."""
        trail = self._trail()
        return trail is None or bool(np.all(self.layer.data[trail.box][trail.mask] == self.label))

    def _trail(self) -> Sweep | None:
        return sweep.brush(self.points, self.size, self.layer.scale, self.axes, self.layer.data.shape)


def data_point(layer: Labels, event: Any) -> Point | None:
    """Return where a mouse event points, in data coordinates.

    In 3D this is the first labelled voxel along the line of sight, as for napari's own tools.

    Parameters
    ----------
    layer : napari.layers.Labels
        The layer.
    event : mouse event
        Of a mouse callback.
    """
    if len(event.dims_displayed) == 2:
        return tuple(float(v) for v in layer.world_to_data(event.position))
    return first_hit(layer, event.position, event.view_direction, event.dims_displayed)


def first_hit(layer: Labels, position: Any, toward: Any, displayed: Sequence[int]) -> Point | None:
    """Return the first labelled voxel along a line of sight, in data coordinates, or None.

    Parameters
    ----------
    layer : napari.layers.Labels
        The layer.
    position : sequence of float
        A place on the line, world coordinates.
    toward : ndarray
        Where the camera looks, world coordinates.
    displayed : sequence of int
        The viewer's axes on screen, three.
    """
    before = len(position) - layer.ndim
    start, end = layer.get_ray_intersections(position, toward, [d - before for d in displayed], world=True)
    if start is None or end is None:
        return None
    line = sweep.interpolate(start, end, 4.0)
    voxels = np.clip(np.round(line), 0, np.asarray(layer.data.shape) - 1).astype(int)
    hits = np.flatnonzero(layer.data[tuple(voxels.T)])
    return tuple(float(v) for v in voxels[hits[0]]) if hits.size else None


def where_label(layer: Labels, reach: Sweep, label: int) -> Sweep:
    """Keep the box, and of the mask what carries the label: a tool may have been kept from painting.

    Parameters
    ----------
    layer : napari.layers.Labels
        The layer.
    reach : Sweep
        What the tool passed over.
    label : int
        What it painted.
    """
    return Sweep(reach.box, reach.mask & (layer.data[reach.box] == label))


def empty(reach: Sweep | None) -> Sweep | None:
    """Return the box of a sweep without any voxel: only what changed in it counts.

    Parameters
    ----------
    reach : Sweep or None
        Where something may have changed.
    """
    return None if reach is None else Sweep(reach.box, np.zeros_like(reach.mask))


def nothing(layer: Labels) -> Sweep:
    """Return a sweep over no voxel: the stroke missed the image or was taken back.

    Parameters
    ----------
    layer : napari.layers.Labels
        The layer.
    """
    box = tuple(slice(0, 1) for _ in range(layer.ndim))
    return Sweep(box, np.zeros((1,) * layer.ndim, bool))
