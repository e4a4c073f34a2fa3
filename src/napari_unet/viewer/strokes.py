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

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_unet.viewer import sweep
from napari_unet.viewer.drags import Drag, Point, data_point, empty, nothing, where_label
from napari_unet.viewer.sweep import Sweep

if TYPE_CHECKING:
    from napari.layers import Labels

_LEFT, _RIGHT = 1, 2
_BRUSHES = ("paint", "erase")
_MAX_VERTICES = 1000
SO_FAR_INTERVAL = 1000  # ms between two reports of a stroke under way


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
    so_far : callable, optional
        Called about once a second during a long stroke with the `Sweep` of what was added since.
    """

    def __init__(
        self,
        layer: Labels,
        painted_axes: Callable[[], tuple[int, ...]],
        begin: Callable[[], None],
        end: Callable[[Sweep | None], None],
        so_far: Callable[[Sweep], None] = lambda swept: None,
    ) -> None:
        self.layer = layer
        self._so_far = so_far
        self._timer = QTimer()
        self._timer.timeout.connect(self._tell_so_far)
        self._painted_axes, self._begin, self._end = painted_axes, begin, end
        self._drag: Drag | None = None
        self._encircle: Drag | None = None
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
        self._timer.stop()
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
                self._encircle = Drag(layer, self._painted_axes(), point)
                self._start()
        elif layer.mode in (*_BRUSHES, "fill") and layer.cursor != "circle_frozen":
            self._drag = Drag(layer, self._painted_axes(), point)
            self._start()
            return self._dragging(layer, event)
        return None

    def _start(self) -> None:
        self._begin()
        self._timer.start(SO_FAR_INTERVAL)

    def _tell_so_far(self) -> None:
        """Report what a long stroke added; stop asking once it has ended."""
        stroke = self._drag or self._encircle
        if stroke is None:
            self._timer.stop()
            return
        added = stroke.recent()
        if added is not None:
            self._so_far(added)

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
        self._end(drag.sweep() or nothing(self.layer))

    def _finish_encircle(self, closed: bool = False) -> None:
        stroke, self._encircle = self._encircle, None
        if stroke is not None:
            self._end(stroke.sweep(closed=closed) or nothing(self.layer))

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
                    return sweep.union((inside, empty(outline)))
        if not certain:
            return None
        self._vertices = []
        return where_label(self.layer, outline, label)
