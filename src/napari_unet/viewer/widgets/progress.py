"""The section that answers "am I done?": a plain sentence, and the scores over the minutes spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPalette, QPen
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from napari_unet.learning.verdict import Point, rolling
from napari_unet.viewer.widgets.parts import Section, sentence_label

if TYPE_CHECKING:
    from napari_unet.viewer.link import ViewerLink

# Two colours for each theme that the colour-blind tell apart; the shapes of the points differ, too.
DARK, LIGHT = ("#e69f00", "#56b4e9"), ("#b35900", "#0069a8")
HEIGHT, LEFT, BOTTOM, TOP = 96, 24, 16, 14


class ProgressSection(Section):
    """How far the work is.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__("Done?")
        self.toggle.setToolTip("Am I done? Collapse or expand")
        self.session = link.session
        self.numbers = QLabel()
        self.numbers.setToolTip(
            "Your active minutes, without pauses over 20 s, and the accuracy of this model over random regions"
        )
        self.header.addWidget(self.numbers, 1)
        self.curve = ScoreCurve()
        self.body.addWidget(self.curve)
        self.verdict = sentence_label()
        self.body.addWidget(self.verdict)
        self.refresh()

    def refresh(self) -> None:
        """Show the numbers of now."""
        session = self.session
        accuracy, minutes = session.accuracy(), session.effort_minutes
        measured = "" if accuracy is None else f" · accuracy {accuracy.mean:.2f} (n={accuracy.n})"
        self.numbers.setText(f"{minutes:.0f} min{measured}")
        audits = [(one.minutes, one.score) for one in session.audits if one.score is not None]
        corrected = [(one.minutes, one.score) for one in session.corrected if not one.accepted]
        accepted = [(one.minutes, one.score) for one in session.corrected if one.accepted]
        self.curve.show_points(audits, corrected, accepted)
        self.curve.setVisible(bool(audits or corrected or accepted))
        self.verdict.setText(session.verdict().sentence)


class ScoreCurve(QWidget):
    """Scores over minutes: random regions, regions before correction, and regions accepted as predicted."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "● random regions, labelled without seeing the prediction: accuracy\n"
            "□ regions before you corrected them: where you correct, not accuracy\n"
            "+ regions that you accepted as predicted: they flatter, and count for nothing\n"
            "Lines: means over the last eight"
        )
        self._audits: Sequence[Point] = []
        self._corrected: Sequence[Point] = []
        self._accepted: Sequence[Point] = []

    def show_points(self, audits: Sequence[Point], corrected: Sequence[Point], accepted: Sequence[Point]) -> None:
        """Draw (minutes, score) of the three kinds of region."""
        if (self._audits, self._corrected, self._accepted) != (audits, corrected, accepted):
            self._audits, self._corrected, self._accepted = audits, corrected, accepted
            self.update()

    def sizeHint(self) -> QSize:
        """Return a small size: the panel is narrow."""
        return QSize(200, HEIGHT)

    def paintEvent(self, event: Any) -> None:
        """Draw the axes, the points and the rolling means."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().color(QPalette.ColorRole.WindowText)
        random, before = (QColor(name) for name in (DARK if text.lightnessF() > 0.5 else LIGHT))
        font = painter.font()
        font.setPointSizeF(7.5)
        painter.setFont(font)
        area = QRectF(LEFT, TOP, max(self.width() - LEFT - 6, 1), max(self.height() - TOP - BOTTOM, 1))
        points = [*self._audits, *self._corrected, *self._accepted]
        longest = max([minutes for minutes, _ in points], default=0) or 1.0

        def place(point: Point) -> QPointF:
            return QPointF(area.left() + area.width() * point[0] / longest, area.bottom() - area.height() * point[1])

        self._axes(painter, area, text, longest)
        self._legend(painter, area, random, before)
        faint = QColor(text)
        faint.setAlphaF(0.6)
        painter.setPen(QPen(faint, 1))
        for point in self._accepted:
            at = place(point)
            painter.drawLine(at - QPointF(3, 0), at + QPointF(3, 0))
            painter.drawLine(at - QPointF(0, 3), at + QPointF(0, 3))
        for series, color, round_ in ((self._corrected, before, False), (self._audits, random, True)):
            painter.setPen(QPen(color, 1.8))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPolyline([place(point) for point in rolling(series)])
            painter.setPen(QPen(color, 1.2))
            painter.setBrush(color if round_ else Qt.BrushStyle.NoBrush)
            for point in series:
                _mark(painter, place(point), round_)
        painter.end()

    def _axes(self, painter: QPainter, area: QRectF, text: QColor, longest: float) -> None:
        grid = QColor(text)
        grid.setAlphaF(0.25)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for score in (0.0, 0.5, 1.0):
            y = area.bottom() - area.height() * score
            painter.setPen(QPen(grid, 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(text)
            painter.drawText(QRectF(0, y - 7, LEFT - 4, 14), right, f"{score:g}")
        below = QRectF(area.left(), area.bottom() + 2, area.width(), BOTTOM - 2)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, "0")
        painter.drawText(below, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop, f"{longest:.0f} min")

    def _legend(self, painter: QPainter, area: QRectF, random: QColor, before: QColor) -> None:
        x = area.left()
        for shown, color, round_, name in (
            (self._audits, random, True, "random regions"),
            (self._corrected, before, False, "before correction"),
        ):
            if shown:
                painter.setPen(QPen(color, 1.2))
                painter.setBrush(color if round_ else Qt.BrushStyle.NoBrush)
                _mark(painter, QPointF(x + 3, 6), round_)
                painter.drawText(QPointF(x + 9, 9), name)
                x += 18 + painter.fontMetrics().horizontalAdvance(name)


def _mark(painter: QPainter, at: QPointF, is_round: bool) -> None:
    if is_round:
        painter.drawEllipse(at, 2.6, 2.6)
    else:
        painter.drawRect(QRectF(at.x() - 2.5, at.y() - 2.5, 5, 5))
