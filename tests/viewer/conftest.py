"""A real napari window, a session whose jobs run inline, and a mouse."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMainWindow, QWidget

from napari_unet.jobs import JobRunner
from napari_unet.project.folder import WorkFolder
from napari_unet.session.session import Session
from napari_unet.viewer.lookup import bare_viewer, use_session
from napari_unet.viewer.widgets.panel import UNetPanel

BUTTONS = {"left": Qt.MouseButton.LeftButton, "right": Qt.MouseButton.RightButton}


def pump(seconds: float = 0.05) -> None:
    """Let Qt work for a while."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.002)


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Let Qt work until something is true."""
    end = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > end:
            raise TimeoutError("It did not come true in time.")
        pump(0.02)


class Screen:
    """The user: moves the mouse, presses keys, clicks buttons, and waits.

    Places are world coordinates (y, x) of a 2D view. All events are real Qt events.

    Parameters
    ----------
    viewer : napari.Viewer
        With a visible window.
    """

    def __init__(self, viewer: Any) -> None:
        self.viewer = bare_viewer(viewer)

    # Found anew each time: napari's fixture looks for anything that keeps a window alive.
    @property
    def window(self) -> QMainWindow:
        """The viewer's window."""
        return next(
            top
            for top in QApplication.topLevelWidgets()
            if isinstance(top, QMainWindow) and top.windowTitle() == self.viewer.title
        )

    @property
    def canvas(self) -> QWidget:
        """The widget that shows the picture."""
        return next(w for w in self.window.findChildren(QWidget) if type(w).__name__ == "CanvasBackendDesktop")

    pump = staticmethod(pump)
    wait_until = staticmethod(wait_until)

    def push(self, button: QWidget) -> None:
        """Click a button of the panel."""
        assert button.isEnabled(), button.toolTip()
        QTest.mouseClick(button, BUTTONS["left"])
        pump(0.02)

    def picture(self, name: str) -> None:
        """Save the window, if NAPARI_UNET_SCREENSHOTS names a folder for pictures."""
        folder = os.environ.get("NAPARI_UNET_SCREENSHOTS")
        if folder:
            pump(0.4)
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.window.grab().save(str(Path(folder) / f"{name}.png"))

    def at(self, place: Sequence[float]) -> QPoint:
        """Return the pixel of the canvas at a place."""
        camera = self.viewer.scene.camera
        (cy, cx), zoom = camera.center[-2:], camera.zoom
        x = (place[1] - cx) * zoom + self.canvas.width() / 2
        y = (place[0] - cy) * zoom + self.canvas.height() / 2
        return QPoint(round(x), round(y))

    def move(self, place: Sequence[float]) -> None:
        """Move the pointer; napari looks at it every 5 ms."""
        QTest.mouseMove(self.canvas, self.at(place))
        pump(0.02)

    def drag(self, *places: Sequence[float], button: str = "left") -> None:
        """Press at the first place, move along the others, release at the last."""
        self.move(places[0])
        QTest.mousePress(self.canvas, BUTTONS[button], Qt.KeyboardModifier.NoModifier, self.at(places[0]))
        pump(0.02)
        for place in places[1:]:
            self.move(place)
        QTest.mouseRelease(self.canvas, BUTTONS[button], Qt.KeyboardModifier.NoModifier, self.at(places[-1]))
        pump(0.03)

    def click(self, place: Sequence[float], button: str = "left") -> None:
        """Press and release."""
        self.drag(place, button=button)

    def double_click(self, place: Sequence[float]) -> None:
        """Click twice."""
        self.move(place)
        QTest.mouseDClick(self.canvas, BUTTONS["left"], Qt.KeyboardModifier.NoModifier, self.at(place))
        pump(0.05)

    def key(self, key: Any, *modifiers: Any) -> None:
        """Press a key on the canvas."""
        held = Qt.KeyboardModifier.NoModifier
        for modifier in modifiers:
            held |= modifier
        QTest.keyClick(self.canvas, key, held)
        pump(0.03)


@pytest.fixture
def work_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep models and scores out of the user's folder."""
    monkeypatch.setenv("NAPARI_UNET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def visible_viewer(make_napari_viewer_proxy: Any, qtbot: Any) -> Any:
    """Return a viewer with a window on the (virtual) screen."""
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1100, 700)
    pump(0.2)
    return viewer


@pytest.fixture
def screen(visible_viewer: Any) -> Screen:
    """Return the user in front of the viewer."""
    return Screen(visible_viewer)


@pytest.fixture
def inline_session(visible_viewer: Any, tmp_path: Path) -> Session:
    """Return the viewer's session, whose jobs run to their end inside the call."""
    session = Session(JobRunner("inline"), WorkFolder.create(tmp_path / "work"))
    use_session(visible_viewer, session)
    return session


@pytest.fixture
def panel(visible_viewer: Any, inline_session: Session) -> Any:
    """Return the panel, docked in the viewer."""
    panel = UNetPanel(visible_viewer)
    visible_viewer.window.add_dock_widget(panel, name="U-Net")
    pump(0.1)
    yield panel
    panel.dispose()


@pytest.fixture
def nuclei() -> tuple[np.ndarray, np.ndarray]:
    """Return a small generated picture of nuclei and its truth."""
    from napari_unet.image.synthetic import nuclei_2d

    image, labels = nuclei_2d((160, 200), seed=3)
    return image, labels
