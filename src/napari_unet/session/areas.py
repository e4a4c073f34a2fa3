"""Work areas: the parts of a large image in which labels can be corrected."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import UserError
from napari_unet.image.boxes import Box, clip, extent, inside, overlap, whole
from napari_unet.image.cropping import crop_source
from napari_unet.image.source import ImageSource
from napari_unet.inference.tiles.windowing import Window
from napari_unet.jobs import JobRunner
from napari_unet.learning.edits import State
from napari_unet.learning.truth import Truth
from napari_unet.project.folder import WorkFolder
from napari_unet.session.describing import area_from_json, says_something
from napari_unet.session.large import area_box
from napari_unet.session.pyramid_export import PyramidExport
from napari_unet.session.state import Area, ImageState, LabelState


class Areas(PyramidExport):
    """Work areas of large images; each is an image of the session with labels in memory.

    ::

        large image   |-----------------------------|   labels: a pyramid on the disk, only shown
        work areas         |----|      |=====|          labels: in memory, corrected, known voxels teach
                           earlier     current          what changes in them is written into the pyramid

    A work area is segmented through its parent, so that its border has real neighbours, and its
    objects share the ids of the parent. Earlier areas stay and teach.
    """

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner, folder)
        self._current_areas: dict[str, str] = {}  # large image to its work area
        self.events.labels_changed.connect(self._write_back)

    # ---- which ---------------------------------------------------------------------------------

    def areas(self, image_id: str) -> list[str]:
        """Return the ids of all work areas of a large image, oldest first."""
        return [
            area_id
            for area_id, image in self.images.items()
            if image.area is not None and image.area.parent == image_id
        ]

    def area_of(self, image_id: str) -> str | None:
        """Return the work area of a large image, as the id of an image of its own; None if it has none."""
        area_id = self._current_areas.get(image_id)
        return area_id if area_id in self.images else None

    def set_area(self, image_id: str, t: int, view: Box) -> str:
        """Make the view of a large image its work area.

        Where an earlier area holds all of the view, that one is taken up again. What is known in earlier
        areas goes along where the new one lies over them.

        Parameters
        ----------
        image_id : str
            A large image.
        t : int
            Time point.
        view : tuple of slice
            (z, y, x); if it is too large, its middle is taken.

        Returns
        -------
        str
            Id of the work area.

        Raises
        ------
        UserError
            If the image is not large or not in view, no model is chosen, a stroke is under way, or other settings
            are being applied, so that a new area would begin with labels that may yet be taken back.
        """
        image = self.image(image_id)
        if not image.large:
            raise UserError("This image needs no work area.", "Paint anywhere in its labels.")
        self.need_model()
        for other in self.worked_on(image_id):
            self.need_lifted(other.labels)
        seen = self.in_image(image_id, view)
        if seen is None:
            raise UserError("Nothing of the image is in view.", "Move it into view first.")
        box = area_box(seen, image.source.shape[1:])
        found = next((one for one in reversed(self.areas(image_id)) if self._holds(one, t, box)), None)
        if found is None:
            self.need_settled(image_id)
        if found != self.area_of(image_id):
            self.leave_area(image_id)
        if found is None:
            found = self._add_area(image, t, box)
        self._current_areas[image_id] = found
        self.ensure_labels(found)
        self._gather(found)
        self.events.images_changed.emit()
        self.events.area_changed.emit(image_id)
        return found

    def enter_area(self, area_id: str) -> None:
        """Take up an earlier work area; nothing happens for an image that is none.

        Raises
        ------
        UserError
            If a stroke is under way.
        """
        area = self.image(area_id).area
        if area is not None and self._current_areas.get(area.parent) != area_id:
            for other in self.worked_on(area.parent):
                self.need_lifted(other.labels)
            self._current_areas[area.parent] = area_id
            self._gather(area_id)
            self.events.area_changed.emit(area.parent)

    def leave_area(self, image_id: str) -> None:
        """Have no work area; what is known stays and teaches."""
        if self._current_areas.pop(image_id, None) is not None:
            self.events.area_changed.emit(image_id)

    def _holds(self, area_id: str, t: int, box: Box) -> bool:
        area = self.images[area_id].area
        return area is not None and area.t == t and overlap(area.box, box) == box

    def _add_area(self, image: ImageState, t: int, box: Box) -> str:
        source = crop_source(image.source, t, box)
        area_id = f"{source.name} area-{next(self._numbers)}"
        area = Area(image.image_id, t, box)
        self.images[area_id] = ImageState(area_id, source, statistics=image.statistics, area=area)
        self._kept[area_id] = source.data  # the file of the large image is kept, not that of its parts
        return area_id

    # ---- labels --------------------------------------------------------------------------------

    def fresh_labels(
        self, image: ImageState, array: npt.NDArray[Any], axes: str, instances: bool, rim_z: int
    ) -> LabelState:
        """Return new labels; those of a work area begin with what the pyramid holds there."""
        labels = super().fresh_labels(image, array, axes, instances, rim_z)
        area = image.area
        if area is None:
            return labels
        truth = labels.truth
        truth.ids = self.ids_of(area.parent, self.key(self.need_model()))
        pyramid = self.pyramid(area.parent)
        if pyramid is not None:
            truth.set_prediction(0, whole(truth.shape), pyramid.read(area.t, area.box))
            labels.origin = self.pyramid_origin(area.parent)
        for other in self.worked_on(area.parent):
            self._hand_over(other.area, other.labels.truth, area, truth)
        return labels

    def _gather(self, area_id: str) -> None:
        """Move what is known in other areas where an area lies over them into it, since it is taken up again."""
        area, labels = self.images[area_id].area, self.labels(area_id)
        if area is None or labels is None:
            return
        for other in self.worked_on(area.parent):
            if other.image_id != area_id:
                self._hand_over(other.area, other.labels.truth, area, labels.truth)

    def _hand_over(self, old: Area, before: Truth, new: Area, after: Truth) -> None:
        """Move what is known where two areas overlap, so that it is known, and corrected, in one place."""
        common = overlap(old.box, new.box) if old.t == new.t else None
        if common is None:
            return
        there, here = inside(common, old.box), inside(common, new.box)
        known = before.known[0][there].copy()
        if known.any():
            after.restore(0, here, State(before.labels[0][there].copy(), known, before.changed[0][there].copy()))
            nothing = np.zeros(extent(there), bool)
            before.restore(0, there, State(before.labels[0][there].copy(), nothing, nothing))

    def _write_back(self, image_id: str, t: int, box: Box) -> None:
        """Write what changed in a work area into the pyramid; what the current or a later one holds wins."""
        image = self.images.get(image_id)
        labels = None if image is None or image.area is None else self.labels(image_id)
        if image is None or image.area is None or labels is None:
            return
        area, shape = image.area, labels.truth.shape
        box = clip(box, shape)
        values = labels.truth.labels[0][box].copy()
        at = _moved(box, area.box)
        later, current = False, self.area_of(area.parent)
        for other in sorted(self.worked_on(area.parent), key=lambda one: one.image_id == current):
            common = overlap(other.area.box, at) if later and other.area.t == area.t else None
            if common is not None:
                values[inside(common, at)] = other.labels.truth.labels[0][inside(common, other.area.box)]
            later = later or other.image_id == image_id
        self.put_labels(area.parent, self.ensure_pyramid(area.parent), area.t, at, values)

    # ---- segmenting ----------------------------------------------------------------------------

    def seen_by_model(self, image_id: str) -> tuple[ImageSource, Window | None]:
        """Return the image that a model reads: of a work area the large image, and the window in it."""
        area = self.image(image_id).area
        if area is None:
            return super().seen_by_model(image_id)
        return self.lazy_source(area.parent), Window(area.t, area.box)

    def look_at(self, image_id: str, t: int, view: Box) -> None:
        """Tell that the user looks elsewhere; a work area is segmented in the places of its large image."""
        segmented = self.last_view[0] if self.last_view is not None else ""
        area = self.images[segmented].area if segmented in self.images else None
        super().look_at(segmented if area is not None and area.parent == image_id else image_id, t, view)

    # ---- coming and going ----------------------------------------------------------------------

    def replace_image(self, image_id: str, source: ImageSource) -> None:
        """Take over a changed image, and its parts with it.

        Raises
        ------
        UserError
            If the shape changed: what is known belongs to the old one.
        """
        image = self.image(image_id)
        if image.large and source.shape != image.source.shape and (self.areas(image_id) or self.pyramid(image_id)):
            raise UserError(
                f"The image {source.name!r} changed its shape from {image.source.shape} to {source.shape}.",
                "It is taken as a new image; the labels stay with the old one.",
            )
        super().replace_image(image_id, source)
        for area_id in self.areas(image_id):
            part = self.images[area_id]
            if part.area is not None:
                part.source = crop_source(source, part.area.t, part.area.box)
                self._kept[area_id] = part.source.data

    def remove_image(self, image_id: str) -> None:
        """Forget an image, and its work areas with it; what was corrected stays in the project."""
        for area_id in self.areas(image_id):
            super().remove_image(area_id)
        super().remove_image(image_id)
        self._current_areas.pop(image_id, None)
        for place in [place for place in self._pyramids if place[0] == image_id]:
            self._pyramid_writer.finish()
            del self._pyramids[place]

    def _load_image(self, entry: dict[str, Any], folder: WorkFolder, problems: list[UserError]) -> None:
        if entry.get("area") is None:
            super()._load_image(entry, folder, problems)
            return
        area = area_from_json(entry["area"])
        if area.parent in self.images:
            self._take_area(entry, area)
        else:
            self._gone[str(entry["id"])] = entry

    def _take_image(self, entry: dict[str, Any], source: ImageSource) -> None:
        super()._take_image(entry, source)
        image_id = str(entry["id"])
        self.images[image_id].large = bool(entry.get("large", False))
        for other in tuple(self._gone.values()):
            area = area_from_json(other["area"]) if other.get("area") is not None else None
            if area is not None and area.parent == image_id:
                self._take_area(other, area)

    def _take_area(self, entry: dict[str, Any], area: Area) -> None:
        """Take a work area of the project into the session, with its truths."""
        parent, image_id = self.images[area.parent], str(entry["id"])
        super()._take_image(entry, crop_source(parent.source, area.t, area.box))
        image = self.images[image_id]
        image.area, image.statistics = area, parent.statistics
        for key, labels in image.labels.items():
            ids = self.ids_of(area.parent, key)
            ids.see(labels.truth.last_id)
            labels.truth.ids = ids
        self._current_areas[area.parent] = image_id
        # The program may have ended before the last strokes were in the pyramid.
        self._write_back(image_id, 0, whole(extent(area.box)))

    def _leave(self) -> None:
        super()._leave()
        self._current_areas.clear()

    def _describe_images(self) -> list[dict[str, Any]]:
        """Return all images; a large one is kept for what its work areas say."""
        entries = super()._describe_images()
        parents = {e["area"]["parent"] for e in entries if e.get("area") is not None and says_something(e)}
        return [{**entry, "areas_known": True} if entry["id"] in parents else entry for entry in entries]


def _moved(box: Box, outer: Box) -> Box:
    """Return a box of an area in the coordinates of the large image."""
    z, y, x = (slice(a.start + b.start, a.stop + b.start) for a, b in zip(box, outer, strict=True))
    return z, y, x
