"""Tells the session that the user looks around: moving through an image is work, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari

    from napari_unet.session import Session


class Activity:
    """Follows the camera and the sliders of a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    session : Session
        Whose active minutes are counted.
    """

    def __init__(self, viewer: napari.Viewer, session: Session) -> None:
        self._session = session
        self._signals = (
            viewer.scene.camera.events.center,
            viewer.scene.camera.events.zoom,
            viewer.dims.events.current_step,
        )
        for signal in self._signals:
            signal.connect(self._acted)

    def close(self) -> None:
        """Stop following."""
        for signal in self._signals:
            signal.disconnect(self._acted)

    def _acted(self, event: Any = None) -> None:
        self._session.acted()
