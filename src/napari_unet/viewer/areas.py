"""The work area of a large image on screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.errors import UserError

if TYPE_CHECKING:
    from napari_unet.viewer.link import ViewerLink


class WorkAreas:
    """Makes the view the work area, and keeps only the current one on screen.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        self.link, self.session = link, link.session
        self.session.events.area_changed.connect(self._on_changed)

    def close(self) -> None:
        """Stop following."""
        self.session.events.area_changed.disconnect(self._on_changed)

    @property
    def current(self) -> str | None:
        """Id of the work area of the current image, if it has one."""
        base = self.link.image.base_id
        return None if base is None else self.session.area_of(base)

    def set_from_view(self) -> None:
        """Make the view of a large image its work area, in which labels are corrected, and choose its layer."""

        def command() -> None:
            image_id = self.link.image.need_base()
            t, view = self.link.image.base_view()
            if view is None:
                raise UserError("The image is not on screen.", "Move it into view first.")
            self.show(self.session.set_area(image_id, t, view))

        self.link.run(command)

    def leave(self) -> None:
        """Have no work area; what is known in it stays and teaches."""
        base = self.link.image.base_id
        if base is not None:
            self.link.run(lambda: self.session.leave_area(base))

    def show(self, area_id: str) -> None:
        """Show the labels of a work area, ready to be painted in."""
        self.link.results.expect(area_id)
        result = self.link.results.ensure(area_id)
        if result is not None:
            self.link.viewer.layers.selection.active = result.layer

    def _on_changed(self, image_id: str) -> None:
        current = self.session.area_of(image_id)
        for area_id in self.session.areas(image_id):
            if area_id != current:
                self.link.results.drop(area_id)
        if current is not None:
            self.link.results.ensure(current)
        self.link.show_known(self.link.overlay is not None)
        self.link.changed.emit()
