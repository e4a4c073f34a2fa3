"""What the user looks at while a segmentation runs: it goes on there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_unet.viewer.images import ImageChoice

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unet.session.session import Session

DELAY = 120  # ms after the first movement: a drag is many


class Looking:
    """Follows camera and sliders, and tells a running segmentation.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer itself.
    session : Session
        Whose segmentation goes where the user looks.
    image : ImageChoice
        Knows what of the image is on screen.
    """

    def __init__(self, viewer: Viewer, session: Session, image: ImageChoice) -> None:
        self.viewer, self.session, self.image = viewer, session, image
        self._told: object = None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._tell)
        camera, dims = viewer.scene.camera, viewer.dims
        self._events = (camera.events.center, camera.events.zoom, dims.events.current_step, dims.events.order)
        for event in self._events:
            event.connect(self._moved)
        session.events.job_changed.connect(self._on_job)

    def close(self) -> None:
        """Stop following."""
        self._timer.stop()
        for event in self._events:
            event.disconnect(self._moved)
        self.session.events.job_changed.disconnect(self._on_job)

    def _on_job(self, name: str) -> None:
        """Forget what was told: the next segmentation has not heard it."""
        if name == "segment" and "segment" not in self.session.jobs:
            self._told = None

    def _moved(self, event: Any = None) -> None:
        if "segment" in self.session.jobs and not self._timer.isActive():
            self._timer.start(DELAY)

    def _tell(self) -> None:
        image_id = self.image.base_id
        if image_id is None or "segment" not in self.session.jobs:
            return
        t, view = self.image.base_view()
        if view is not None and self._told != (image_id, t, view):
            self._told = (image_id, t, view)
            self.session.look_at(image_id, t, view)
