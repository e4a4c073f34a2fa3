"""Pieces that several sections of the panel are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.viewer.widgets.icons import IconButton

TITLE_WIDTH = 66


class Section(QWidget):
    """A titled part of the panel: the main control beside the title, the rest below, collapsible.

    Parameters
    ----------
    title : str
        One word.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self.toggle = QToolButton()
        self.toggle.setText(title)
        self.toggle.setCheckable(True)
        self.toggle.setChecked(True)
        self.toggle.setAutoRaise(True)
        self.toggle.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.toggle.setArrowType(Qt.ArrowType.DownArrow)
        self.toggle.setFixedWidth(TITLE_WIDTH + 16)
        self.toggle.setStyleSheet("QToolButton { border: none; font-weight: 600; background: transparent; }")
        self.toggle.setToolTip(f"Collapse or expand “{title}”")
        self.header = QHBoxLayout()
        self.header.setSpacing(4)
        self.header.addWidget(self.toggle)
        self.content = QWidget()
        self.body = QVBoxLayout(self.content)
        self.body.setContentsMargins(20, 0, 0, 0)
        self.body.setSpacing(3)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 2, 0, 2)
        outer.setSpacing(2)
        outer.addLayout(self.header)
        outer.addWidget(self.content)
        self.toggle.toggled.connect(self._expand)

    def _expand(self, expanded: bool) -> None:
        self.toggle.setArrowType(Qt.ArrowType.DownArrow if expanded else Qt.ArrowType.RightArrow)
        self.content.setVisible(expanded)

    def row(self, *widgets: QWidget, stretch: bool = False) -> QHBoxLayout:
        """Add widgets side by side to the body and return their layout."""
        layout = QHBoxLayout()
        layout.setSpacing(4)
        for widget in widgets:
            layout.addWidget(widget)
        if stretch:
            layout.addStretch(1)
        self.body.addLayout(layout)
        return layout


class JobBar(QWidget):
    """A progress bar with the time left, and a button that cancels."""

    cancelled = Signal()

    def __init__(self, tip: str) -> None:
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.bar.setFixedHeight(18)
        self.stop = IconButton("cross", tip)
        self.stop.clicked.connect(self.cancelled)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.bar, 1)
        layout.addWidget(self.stop)

    def show_progress(self, done: int, total: int, text: str, seconds_left: float | None, stopping: bool) -> None:
        """Show how far a job is.

        Parameters
        ----------
        done, total : int
            Steps; a total of 0 shows that something happens.
        text : str
            What happens.
        seconds_left : float or None
            Time left, if it can be told.
        stopping : bool
            The job was cancelled and has not ended yet.
        """
        self.bar.setRange(0, max(total, 0))
        self.bar.setValue(min(done, total))
        left = "" if seconds_left is None else minutes(seconds_left)
        self.bar.setFormat("stopping…" if stopping else left or text)
        self.bar.setToolTip(f"{text} {done} of {total}" if total else text)
        self.stop.setEnabled(not stopping)


def sentence_label(text: str = "", dim: bool = False) -> QLabel:
    """Return a label for plain text that wraps; names of files and layers are never read as markup.

    Parameters
    ----------
    text : str
        What it says.
    dim : bool
        Less prominent.
    """
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    if dim:
        label.setStyleSheet("font-size: 8pt;")
    return label


def lay_out_question(widget: QWidget, sentence: QLabel, *buttons: QWidget, margins: tuple[int, int] = (0, 0)) -> None:
    """Lay out a widget as a sentence above a row of buttons.

    Parameters
    ----------
    widget : QWidget
        Without a layout yet.
    sentence : QLabel
        What is said or asked.
    buttons : QWidget
        The answers, from left to right.
    margins : tuple of int
        At the sides, above and below.
    """
    row = QHBoxLayout()
    row.setSpacing(4)
    for button in buttons:
        row.addWidget(button)
    row.addStretch(1)
    layout = QVBoxLayout(widget)
    aside, above = margins
    layout.setContentsMargins(aside, above, aside, above)
    layout.setSpacing(3)
    layout.addWidget(sentence)
    layout.addLayout(row)


class SplitButton(QWidget):
    """A button with a second one beside it that opens a menu of variants.

    Parameters
    ----------
    text : str
        On the main button.
    clicked : callable
        What the main button does.
    variants : sequence of (str, callable)
        Entries of the menu.
    """

    def __init__(
        self, text: str, clicked: Callable[[], object], variants: Sequence[tuple[str, Callable[[], object]]]
    ) -> None:
        super().__init__()
        self.button = QPushButton(text)
        self.button.clicked.connect(lambda: clicked())
        self.more = IconButton("down", "More ways")
        self.more.setFixedWidth(20)
        menu = QMenu(self.more)
        for name, action in variants:
            menu.addAction(name, action)
        self.more.setMenu(menu)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(1)
        layout.addWidget(self.button)
        layout.addWidget(self.more)


def enable(button: QWidget, problem: str, tip: str) -> None:
    """Enable a button, or disable it and say in its tooltip what is missing.

    Parameters
    ----------
    button : QWidget
        The button.
    problem : str
        What is missing; empty if nothing is.
    tip : str
        What the button does.
    """
    button.setEnabled(not problem)
    button.setToolTip(problem or tip)


def minutes(seconds: float) -> str:
    """Return a time as minutes and seconds.

    Parameters
    ----------
    seconds : float
        Not negative.

    Examples
    --------
    >>> minutes(68.2)
    '1:08'
    """
    whole = round(max(seconds, 0))
    return f"{whole // 60}:{whole % 60:02d}"
