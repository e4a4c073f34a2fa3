"""Records what napari's correction tools pass over, through public mouse callbacks only.

Voxels that a tool passed over are known even where it painted what was there already; napari keeps
no trace of that. The payload of its ``paint`` event is private: here the event says no more than
that something changed.

::

    press ── begin ── move: collect points ── release ── end(sweep)      paint, erase, fill
    click … click ── paint event or double-click ── begin, end(sweep)    polygon
    right click ── begin ── move: collect ── paint event ── end(sweep)   encircle and fill
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_unet.viewer import sweep
from napari_unet.viewer.sweep import Sweep

if TYPE_CHECKING:
    from napari.layers import Labels

Point = tuple[float, ...]
_LEFT, _RIGHT = 1, 2
_BRUSHES = ("paint", "erase")
_MAX_VERTICES = 1000


class StrokeRecorder:
    """Watches one Labels layer.

    Parameters
    ----------
    layer : napari.layers.Labels
        The layer; its data is a numpy array.
    painted_axes : callable
        Returns the axes of the layer that its tools paint across now: two or three.
    begin : callable
        Called when a stroke starts; program writes wait from here on.
    end : callable
        Called with the `Sweep` when it ends, or with None when the layer changed at a place that
        cannot be told (a script wrote through the layer's methods).
    """

    def __init__(
        self,
        layer: Labels,
        painted_axes: Callable[[], tuple[int, ...]],
        begin: Callable[[], None],
        end: Callable[[Sweep | None], None],
    ) -> None:
        self.layer = layer
        self._painted_axes, self._begin, self._end = painted_axes, begin, end
        self._drag: _Drag | None = None
        self._encircle: _Drag | None = None
        self._vertices: list[Point] = []
        self._pointer: Point | None = None
        self._reported = False  # the paint event of a drag follows its release
        self._changed = False  # napari said so, but has not written yet
        # First in the list: a fill must be measured before napari carries it out.
        layer.mouse_drag_callbacks.insert(0, self._on_press)
        layer.mouse_move_callbacks.insert(0, self._on_move)
        layer.mouse_double_click_callbacks.insert(0, self._on_double_click)
        layer.events.paint.connect(self._on_paint)
        layer.events.set_data.connect(self._on_set_data)

    @property
    def active(self) -> bool:
        """Whether a stroke is under way."""
        return self._drag is not None or self._encircle is not None or self._changed

    def close(self) -> None:
        """End a stroke that is under way and stop watching."""
        for callbacks, own in (
            (self.layer.mouse_drag_callbacks, self._on_press),
            (self.layer.mouse_move_callbacks, self._on_move),
            (self.layer.mouse_double_click_callbacks, self._on_double_click),
        ):
            if own in callbacks:
                callbacks.remove(own)
        self.layer.events.paint.disconnect(self._on_paint)
        self.layer.events.set_data.disconnect(self._on_set_data)
        self._finish_drag()
        self._finish_encircle()
        self._after_change()

    # ---- mouse ---------------------------------------------------------------------------------

    def _on_press(self, layer: Labels, event: Any) -> Iterator[None] | None:
        """Start a drag, add a corner to a polygon, or start to encircle."""
        self._finish_drag()  # a second button ends the first one's stroke without a release
        point = data_point(layer, event)
        if point is None or self._encircle is not None:
            return None
        if layer.mode == "polygon":
            self._on_corner(point, event.button)
        elif layer.mode == "paint" and event.button == _RIGHT:
            if layer.n_edit_dimensions == 2 and len(event.dims_displayed) == 2:
                self._encircle = _Drag(layer, self._painted_axes(), point)
                self._begin()
        elif layer.mode in (*_BRUSHES, "fill") and layer.cursor != "circle_frozen":
            self._drag = _Drag(layer, self._painted_axes(), point)
            self._begin()
            return self._dragging(layer, event)
        return None

    def _dragging(self, layer: Labels, event: Any) -> Iterator[None]:
        drag = self._drag
        yield
        while event.type == "mouse_move":
            point = data_point(layer, event)
            if point is not None and drag is not None:
                drag.to(point)
            yield
        if drag is self._drag:
            self._finish_drag()

    def _on_move(self, layer: Labels, event: Any) -> None:
        self._pointer = data_point(layer, event)
        if self._encircle is not None and self._pointer is not None:
            self._encircle.to(self._pointer)

    def _on_double_click(self, layer: Labels, event: Any) -> None:
        if layer.mode == "polygon" and self._vertices:
            # napari completes the polygon after this; where it changed nothing, no event tells.
            QTimer.singleShot(0, self._confirm_polygon)

    def _on_corner(self, point: Point, button: int) -> None:
        if button == _LEFT:
            self._vertices = [*self._vertices[-_MAX_VERTICES:], point]
        elif button == _RIGHT and self._vertices:
            self._vertices.pop()

    # ---- ends ----------------------------------------------------------------------------------

    def _finish_drag(self) -> None:
        drag, self._drag = self._drag, None
        if drag is None:
            return
        self._reported = True
        QTimer.singleShot(0, self._forget_report)
        self._end(drag.sweep() or _nothing(self.layer))

    def _finish_encircle(self, closed: bool = False) -> None:
        stroke, self._encircle = self._encircle, None
        if stroke is not None:
            self._end(stroke.sweep(closed=closed) or _nothing(self.layer))

    def _forget_report(self) -> None:
        self._reported = False

    def _on_paint(self, event: Any = None) -> None:
        """Something changed: end the tool that is under way, or report an unknown change."""
        if self._drag is not None or self._reported:
            return
        if self._encircle is not None:
            self._finish_encircle(closed=True)
        elif not self._changed:
            # napari tells before it writes; a polygon or a script's change is there a moment later.
            self._changed = True
            self._begin()
            QTimer.singleShot(0, self._after_change)

    def _after_change(self) -> None:
        if self._changed:
            self._changed = False
            self._end(self._polygon(certain=True))

    def _on_set_data(self, event: Any = None) -> None:
        """End an encircling stroke that napari aborted: its trail is gone from the layer."""
        if self._encircle is not None and not self._encircle.painted():
            self._finish_encircle()

    def _confirm_polygon(self) -> None:
        inside = None if self._changed else self._polygon(certain=False)
        if inside is not None:
            self._begin()
            self._end(inside)

    def _polygon(self, certain: bool) -> Sweep | None:
        """Return the polygon that was completed, or None if there was none.

        Escape empties napari's polygon without a public sign. The corners that count are therefore
        the longest run, up to the last click or the pointer, whose inside carries the label.
        """
        axes, data = self._painted_axes(), self.layer.data
        label = int(self.layer.selected_label)
        # Enter closes the polygon at the pointer, a double-click at the last corner.
        ends = [[*self._vertices, *([self._pointer] if self._pointer else [])], self._vertices]
        outline = sweep.polygon(ends[0], axes, data.shape)
        if outline is None:
            return None
        for first in range(len(self._vertices)):
            for corners in ends:
                inside = sweep.polygon(corners[first:], axes, data.shape)
                if inside is not None and np.all(data[inside.box][inside.mask] == label):
                    self._vertices = []
                    return sweep.union((inside, _empty(outline)))
        if not certain:
            return None
        self._vertices = []
        return _where(self.layer, outline, label)


class _Drag:
    """The path of one drag, and what the tool covers along it."""

    def __init__(self, layer: Labels, axes: tuple[int, ...], point: Point) -> None:
        self.layer, self.axes, self.mode = layer, axes, layer.mode
        self.label = int(layer.colormap.background_value if self.mode == "erase" else layer.selected_label)
        self.size = float(layer.brush_size)
        self.path: list[Point] = []
        self.points: list[Point] = []
        self.fills: list[Sweep | None] = []
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
        return None if reach is None else _where(self.layer, reach, self.label)

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
    before = len(event.position) - layer.ndim
    displayed = [d - before for d in event.dims_displayed]
    start, end = layer.get_ray_intersections(event.position, event.view_direction, displayed, world=True)
    if start is None or end is None:
        return None
    line = sweep.interpolate(start, end, 4.0)
    voxels = np.clip(np.round(line), 0, np.asarray(layer.data.shape) - 1).astype(int)
    hits = np.flatnonzero(layer.data[tuple(voxels.T)])
    return tuple(float(v) for v in voxels[hits[0]]) if hits.size else None


def _where(layer: Labels, reach: Sweep, label: int) -> Sweep:
    """Keep the box, and of the mask what carries the label: a tool may have been kept from painting."""
    return Sweep(reach.box, reach.mask & (layer.data[reach.box] == label))


def _empty(reach: Sweep | None) -> Sweep | None:
    return None if reach is None else Sweep(reach.box, np.zeros_like(reach.mask))


def _nothing(layer: Labels) -> Sweep:
    """Return a sweep over no voxel: the stroke missed the image or was taken back."""
    box = tuple(slice(0, 1) for _ in range(layer.ndim))
    return Sweep(box, np.zeros((1,) * layer.ndim, bool))
