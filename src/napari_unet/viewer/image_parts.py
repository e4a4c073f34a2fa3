"""The parts of large images: which level a model sees, which work area is corrected, what of it is on screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.errors import AxesError, UserError
from napari_unet.image.boxes import Box, inside, overlap
from napari_unet.image.source import ImageSource
from napari_unet.viewer.layers import level_of, level_sizes, remember_level, remembered
from napari_unet.viewer.levels import Place, choose_level
from napari_unet.viewer.onscreen import plane_of, view_of

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Layer

    from napari_unet.session.session import Session


class InParts:
    """What `ImageChoice` knows about images that are corrected in work areas, and about levels."""

    viewer: Viewer
    session: Session
    layer: Image | None
    source: ImageSource | None
    problem: UserError | None

    if TYPE_CHECKING:  # what `ImageChoice` itself knows

        def id_of(self, layer: Layer) -> str | None:
            """Return the id of a layer in the session, if it has one."""
            ...

        def read(self) -> None:
            """Find out again what the current layer means."""
            ...

        def update(self, layer: Image) -> None:
            """Find out again what a layer means and tell the session."""
            ...

    @property
    def image_id(self) -> str | None:
        """Id of what is worked on in the session, if a command needed it before: of a large image its work area."""
        base = self.base_id
        return base if base is None else self.session.area_of(base) or base

    @property
    def base_id(self) -> str | None:
        """Id of the current image in the session, if a command needed it before, whether it has a work area or not."""
        return None if self.layer is None else self.id_of(self.layer)

    @property
    def is_large(self) -> bool:
        """Whether the current image is corrected in work areas."""
        base = self.base_id
        if base is not None:
            return self.session.images[base].large
        return self.source is not None and self.source.levels > 1

    def place_of(self, image_id: str) -> Place:
        """Return where an image of the session lies in its layer."""
        image = self.session.images[image_id]
        if image.area is None:
            return Place(image.source.level)
        parent = self.session.images[image.area.parent]
        return Place(parent.source.level, image.area.t, image.area.box)

    # ---- what is on screen ---------------------------------------------------------------------

    def view(self) -> tuple[int, Box | None]:
        """Return the time point and the (z, y, x) box on screen of what is worked on; None if it is off screen."""
        t, box = self.base_view()
        return (t, None) if box is None else self._in_area(t, box)

    def base_view(self) -> tuple[int, Box | None]:
        """Return the time point and the (z, y, x) box on screen in the current image, beyond its work area too."""
        if self.layer is None or self.source is None:
            return 0, None
        return view_of(self.viewer, self.layer, self.source)

    def _in_area(self, t: int, box: Box) -> tuple[int, Box | None]:
        """Return what a work area has of a box of its image; the box itself where there is none."""
        image = None if self.image_id is None else self.session.images[self.image_id]
        if image is None or image.area is None:
            return t, box
        common = overlap(box, image.area.box) if t == image.area.t else None
        return 0, None if common is None else inside(common, image.area.box)

    def plane(self) -> tuple[int, Box]:
        """Return the time point and the (z, y, x) box of the plane that is shown.

        Raises
        ------
        UserError
            If the image is not on screen, or not as one plane of space.
        """
        if self.layer is None or self.source is None:
            raise UserError("The image is not on screen.", "Move it into view first.")
        t, plane = self._in_area(*plane_of(self.viewer, self.layer, self.source))
        if plane is None:
            raise UserError("The work area is not on screen.", "Move it into view first.")
        return t, plane

    # ---- levels ----------------------------------------------------------------------------------

    def settle_level(self) -> None:
        """Choose the level of a multiscale layer by the model's voxel size, as long as it has no labels."""
        layer = self.layer
        if layer is None or not layer.multiscale or self.base_id is not None:
            return
        if remembered(layer).get("level_by_user") or isinstance(self.problem, AxesError):
            return
        model = self.session.model
        level, _ = choose_level(level_sizes(layer), None if model is None else model.header)
        if level != level_of(layer):
            remember_level(layer, level, by_user=False)
            self.read()

    def answer_level(self, level: int) -> None:
        """Take the user's choice of a level; labels of another one stay with it, as those of another image."""
        if self.layer is not None and level != level_of(self.layer):
            remember_level(self.layer, level, by_user=True)
            self.update(self.layer)
