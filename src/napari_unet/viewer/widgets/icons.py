"""Buttons whose symbols are drawn, in the colour of the theme: fonts lack half of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QPainter, QPainterPath, QPalette, QPen
from qtpy.QtWidgets import QPushButton

SIZE = 24  # pixels; the symbols are drawn on a grid of 16


class IconButton(QPushButton):
    """A square button with a drawn symbol.

    Parameters
    ----------
    symbol : str
        A key of `SYMBOLS`.
    tip : str
        What it does; also its name for screen readers.
    clicked : callable, optional
        Called without arguments.
    checkable : bool
        It stays pressed.
    """

    def __init__(
        self, symbol: str, tip: str, clicked: Callable[[], object] | None = None, checkable: bool = False
    ) -> None:
        super().__init__()
        self._draw = SYMBOLS[symbol]
        self.setFixedSize(SIZE + 2, SIZE)
        self.setStyleSheet("QPushButton { padding: 0px; } QPushButton::menu-indicator { image: none; }")
        self.setToolTip(tip)
        self.setAccessibleName(tip)
        self.setCheckable(checkable)
        if clicked is not None:
            self.clicked.connect(lambda: clicked())

    def paintEvent(self, event: Any) -> None:
        """Draw the button, then its symbol."""
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        group = QPalette.ColorGroup.Normal if self.isEnabled() else QPalette.ColorGroup.Disabled
        color = self.palette().color(group, QPalette.ColorRole.ButtonText)
        if not self.isEnabled():
            color.setAlphaF(0.35)
        pen = QPen(color, 1.5)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        painter.translate((self.width() - 16) / 2, (self.height() - 16) / 2)
        self._draw(painter)
        painter.end()


def _lines(painter: QPainter, *points: tuple[float, float]) -> None:
    painter.drawPolyline([QPointF(x, y) for x, y in points])


def _dot(painter: QPainter, x: float, y: float, radius: float) -> None:
    painter.save()
    painter.setBrush(painter.pen().color())
    painter.setPen(Qt.PenStyle.NoPen)
    painter.drawEllipse(QPointF(x, y), radius, radius)
    painter.restore()


def _plus(painter: QPainter) -> None:
    _lines(painter, (8, 3), (8, 13))
    _lines(painter, (3, 8), (13, 8))


def _minus(painter: QPainter) -> None:
    _lines(painter, (3, 8), (13, 8))


def _cross(painter: QPainter) -> None:
    _lines(painter, (4, 4), (12, 12))
    _lines(painter, (12, 4), (4, 12))


def _down(painter: QPainter) -> None:
    _lines(painter, (4, 6.5), (8, 10.5), (12, 6.5))


def _info(painter: QPainter) -> None:
    painter.drawEllipse(QPointF(8, 8), 6.5, 6.5)
    _lines(painter, (8, 7.5), (8, 11.5))
    _dot(painter, 8, 4.9, 1)


def _back(painter: QPainter) -> None:
    path = QPainterPath(QPointF(4, 13))
    path.lineTo(9, 13)
    path.arcTo(QRectF(5.5, 5.5, 7.5, 7.5), -90, 180)
    path.lineTo(3, 5.5)
    painter.drawPath(path)
    _lines(painter, (6, 2.5), (3, 5.5), (6, 8.5))


def _pin(painter: QPainter) -> None:
    _lines(painter, (5, 2.5), (11, 2.5))
    _lines(painter, (6, 2.5), (6, 7), (3.5, 9.5), (12.5, 9.5), (10, 7), (10, 2.5))
    _lines(painter, (8, 9.5), (8, 14))


def _eye(painter: QPainter) -> None:
    path = QPainterPath(QPointF(1, 8))
    path.quadTo(8, 0.5, 15, 8)
    path.quadTo(8, 15.5, 1, 8)
    painter.drawPath(path)
    _dot(painter, 8, 8, 2.3)


def _keys(painter: QPainter) -> None:
    painter.drawRoundedRect(QRectF(1, 4, 14, 9), 1.5, 1.5)
    for x in (4, 6.7, 9.3, 12):
        _dot(painter, x, 7, 0.8)
    _lines(painter, (5, 10.3), (11, 10.3))


def _channels(painter: QPainter) -> None:
    for x, y in ((6, 6.2), (10, 6.2), (8, 9.8)):
        painter.drawEllipse(QPointF(x, y), 4, 4)


def _ruler(painter: QPainter) -> None:
    _lines(painter, (1.5, 10.5), (14.5, 10.5))
    _lines(painter, (1.5, 7.5), (1.5, 13.5))
    _lines(painter, (14.5, 7.5), (14.5, 13.5))
    _lines(painter, (5.8, 9), (5.8, 10.5))
    _lines(painter, (10.2, 9), (10.2, 10.5))


def _color(painter: QPainter) -> None:
    painter.drawEllipse(QPointF(8, 8), 6, 6)
    path = QPainterPath(QPointF(8, 2))
    path.arcTo(QRectF(2, 2, 12, 12), 90, 180)
    path.closeSubpath()
    painter.fillPath(path, painter.pen().color())


SYMBOLS: dict[str, Callable[[QPainter], None]] = {
    "plus": _plus,
    "minus": _minus,
    "cross": _cross,
    "down": _down,
    "info": _info,
    "back": _back,
    "pin": _pin,
    "eye": _eye,
    "keys": _keys,
    "channels": _channels,
    "ruler": _ruler,
    "color": _color,
}
