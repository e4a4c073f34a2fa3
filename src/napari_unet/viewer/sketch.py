"""One thing drawn on the canvas after a key: a line or a rectangle; no layer is made for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QPointF, QRectF, Qt, QTimer
from qtpy.QtGui import QColor, QPainter, QPainterPath, QPen
from qtpy.QtWidgets import QApplication, QWidget

if TYPE_CHECKING:
    from napari import Viewer

Kind = Literal["line", "box"]

CLICK = 4.0  # canvas pixels; who moves less has clicked
DARK, LIGHT = QColor("#101010"), QColor("#fafafa")


@dataclass(frozen=True, eq=False)
class Place:
    """Where the pointer was.

    Parameters
    ----------
    world : tuple of float
        World coordinates.
    toward : ndarray or None
        Direction in which the camera looks, world coordinates; None in 2D.
    pixel : tuple of float
        (x, y) on the canvas.
    """

    world: tuple[float, ...]
    toward: npt.NDArray[np.float64] | None
    pixel: tuple[float, float]


class Drawing:
    """The next press on the canvas belongs to us: no tool paints, and the picture does not move.

    ::

        start ── press ── move … ── release ── done(places)
                   └ a Sketch over the canvas shows what is drawn

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer itself.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self._kind: Kind = "line"
        self._done: Callable[[list[Place]], None] | None = None
        self._sketch: Sketch | None = None

    @property
    def active(self) -> bool:
        """Whether a drag is awaited or under way."""
        return self._done is not None

    def start(self, kind: Kind, done: Callable[[list[Place]], None]) -> None:
        """Await one drag.

        Parameters
        ----------
        kind : {"line", "box"}
            What is shown while the pointer moves.
        done : callable
            Gets the places of the drag; a single one for a click.
        """
        self.stop()
        self._kind, self._done = kind, done
        self.viewer.mouse_drag_callbacks.insert(0, self._on_press)

    def stop(self) -> None:
        """Await nothing any more."""
        if self._on_press in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._on_press)
        self._done = None
        self._wipe()

    def _on_press(self, viewer: Viewer, event: Any) -> Iterator[None] | None:
        if self._done is None or event.button != 1:
            return None
        _mute(viewer)
        return self._follow(event, self._done)

    def _follow(self, event: Any, done: Callable[[list[Place]], None]) -> Iterator[None]:
        event.handled = True
        places = [_place(event)]
        self._sketch = _sketch_over(event, self._kind)
        yield
        while event.type == "mouse_move":
            event.handled = True
            places.append(_place(event))
            if self._sketch is not None:
                self._sketch.to(places[-1].pixel)
            yield
        event.handled = True
        if self._done is done:  # it may have been cancelled while the button was down
            self.stop()
            pixels = np.asarray([place.pixel for place in places])
            moved = np.abs(pixels - pixels[0]).max() > CLICK
            done(places if moved else places[:1])

    def _wipe(self) -> None:
        sketch, self._sketch = self._sketch, None
        if sketch is not None:
            sketch.hide()
            sketch.setParent(None)
            sketch.deleteLater()


class Sketch(QWidget):
    """What is being drawn, over the canvas: legible on any picture, invisible to the mouse.

    Parameters
    ----------
    canvas : QWidget
        What it lies over.
    kind : {"line", "box"}
        What is drawn.
    start : tuple of float
        (x, y) on the canvas.
    """

    def __init__(self, canvas: QWidget, kind: Kind, start: tuple[float, float]) -> None:
        super().__init__(canvas)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self._kind, self._points = kind, [QPointF(*start)]
        self.setGeometry(canvas.rect())
        self.show()

    def to(self, pixel: tuple[float, float]) -> None:
        """Draw on to a place."""
        self._points.append(QPointF(*pixel))
        self.update()

    def paintEvent(self, event: Any) -> None:
        """Draw a light line within a dark one."""
        path = QPainterPath()
        if self._kind == "box":
            path.addRect(QRectF(self._points[0], self._points[-1]).normalized())
        else:
            path.moveTo(self._points[0])
            for point in self._points[1:]:
                path.lineTo(point)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for color, width in ((DARK, 3.5), (LIGHT, 1.5)):
            painter.setPen(QPen(color, width))
            painter.drawPath(path)
        painter.end()


def _place(event: Any) -> Place:
    toward = None
    if len(event.dims_displayed) == 3 and event.view_direction is not None:
        toward = np.asarray(event.view_direction, float)
    return Place(tuple(float(v) for v in event.position), toward, (float(event.pos[0]), float(event.pos[1])))


def _sketch_over(event: Any, kind: Kind) -> Sketch | None:
    """Return a sketch over the widget under the mouse, which is the canvas; None if it cannot be told."""
    native = event.native
    canvas = None if native is None else QApplication.widgetAt(native.globalPosition().toPoint())
    return None if canvas is None else Sketch(canvas, kind, (float(event.pos[0]), float(event.pos[1])))


def _mute(viewer: Viewer) -> None:
    """Keep the selected layer's tool out of the press that is being handled; afterwards it works as before."""
    layer = viewer.layers.selection.active
    if layer is None:
        return
    tools = layer.mouse_drag_callbacks
    waiting = tools[:]
    tools.clear()

    def give_back() -> None:
        # A mode chosen meanwhile has added its own.
        tools[:] = [*waiting, *(tool for tool in tools if tool not in waiting)]

    QTimer.singleShot(0, give_back)
