"""Commands of correction: strokes, accept, delete, join, split, undo."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from napari_unet.errors import ConfirmationNeeded, UserError
from napari_unet.image.boxes import Box, whole
from napari_unet.learning.edits import Edit
from napari_unet.learning.truth import Point
from napari_unet.session.core import SessionCore
from napari_unet.session.history import Step
from napari_unet.session.state import LabelState
from napari_unet.session.steps import LabelStep

ASK_ABOVE = 50  # objects that one click may make known without being asked


class Correcting(SessionCore):
    """What the user does to labels by hand."""

    def begin_stroke(self, image_id: str) -> None:
        """Tell that a tool has touched down: program writes wait until `end_stroke`."""
        labels = self.labels(image_id)
        if labels is None:
            return
        # The model, and with it the current labels, may change before the tool is lifted.
        self._strokes[image_id] = labels
        labels.stroking = True
        self.warm("train")

    def end_stroke(
        self, image_id: str, t: int, box: Box, swept: npt.NDArray[np.bool_] | None, title: str = "paint"
    ) -> bool:
        """Take over what a tool painted into the labels array.

        Parameters
        ----------
        image_id : str
            Which image.
        t : int
            Time point.
        box : tuple of slice
            (z, y, x), holds all that was painted or swept.
        swept : ndarray of bool, of the box's shape, or None
            Voxels the tool passed over; also where the value stayed they are known.
        title : str
            Name of the tool, for the history.

        Returns
        -------
        bool
            Whether anything became known or changed.
        """
        labels = self._strokes.pop(image_id, None) or self._need_labels(image_id)
        labels.stroking = False
        return self.record(title, image_id, labels, labels.truth.record_edit(t, box, swept))

    def abort_stroke(self, image_id: str) -> None:
        """Tell that a tool was lifted without a trace."""
        labels = self._strokes.pop(image_id, None)
        if labels is not None:
            labels.stroking = False

    def accept_object(self, image_id: str, t: int, point: Point) -> bool:
        """Make the object under a voxel known as it is."""
        return self._edit("accept object", image_id, lambda labels: labels.truth.accept_object(t, point))

    def accept_box(
        self,
        image_id: str,
        t: int,
        box: Box,
        title: str = "accept view",
        *,
        mask: npt.NDArray[np.bool_] | None = None,
        confirmed: bool = False,
    ) -> bool:
        """Make a box known as it is, background included.

        Parameters
        ----------
        image_id : str
            Which image.
        t : int
            Time point.
        box : tuple of slice
            (z, y, x); it may be the view, a region or a whole slice.
        title : str
            For the history.
        mask : ndarray of bool, of the box's shape, optional
            Which voxels of the box are meant; all of them by default.
        confirmed : bool
            Accept more than `ASK_ABOVE` objects too.

        Returns
        -------
        bool
            Whether anything became known.

        Raises
        ------
        ConfirmationNeeded
            If more than `ASK_ABOVE` objects would become known by one click: nobody looks at so many.
        """
        count = 0 if confirmed else self.objects_in(image_id, t, box, mask)
        if count > ASK_ABOVE:
            where = title.removeprefix("accept ")
            raise ConfirmationNeeded(
                f"Accept {count} objects in this {where}?", "Everything in it becomes known as it is.", count
            )
        return self._edit(title, image_id, lambda labels: labels.truth.accept(t, box, mask))

    def accept_slice(self, image_id: str, t: int, z: int, *, confirmed: bool = False) -> bool:
        """Make one plane known as it is; see `accept_box`."""
        _, y, x = whole(self._need_labels(image_id).truth.shape)
        return self.accept_box(image_id, t, (slice(z, z + 1), y, x), "accept slice", confirmed=confirmed)

    def accept_region(
        self,
        image_id: str,
        t: int,
        box: Box,
        mask: npt.NDArray[np.bool_] | None = None,
        *,
        confirmed: bool = False,
    ) -> bool:
        """Make a region that the user drew known as it is; see `accept_box`."""
        return self.accept_box(image_id, t, box, "accept region", mask=mask, confirmed=confirmed)

    def objects_in(self, image_id: str, t: int, box: Box, mask: npt.NDArray[np.bool_] | None = None) -> int:
        """Return how many objects in a box (or the voxels of `mask` in it) are not wholly known yet; 0 for classes."""
        labels = self._need_labels(image_id)
        return labels.truth.n_open(t, box, mask) if labels.truth.instances else 0

    def delete_object(self, image_id: str, t: int, point: Point) -> bool:
        """Turn the object under a voxel into known background."""
        return self._edit("delete", image_id, lambda labels: labels.truth.delete_object(t, point))

    def join_objects(self, image_id: str, t: int, points: tuple[Point, ...]) -> bool:
        """Give the objects under several voxels the id of the first."""
        return self._edit("join", image_id, lambda labels: labels.truth.join(t, points))

    def split_object(self, image_id: str, t: int, first: Point, second: Point) -> bool:
        """Split the object that holds both voxels."""
        scale = self.image(image_id).source.scale or (1.0, 1.0, 1.0)
        return self._edit("split", image_id, lambda labels: labels.truth.split(t, first, second, scale))

    def split_along(
        self,
        image_id: str,
        t: int,
        path: npt.ArrayLike,
        direction: tuple[float, float, float] = (1.0, 0.0, 0.0),
        point: Point | None = None,
    ) -> bool:
        """Split an object along a drawn line.

        Parameters
        ----------
        image_id : str
            Which image.
        t : int
            Time point.
        path : array-like of (z, y, x)
            Corners of the line, in voxels.
        direction : tuple of float
            (z, y, x) along which the user looked, in voxels; the cut goes through the depth of the object.
        point : tuple of int, optional
            A voxel of the object; by default the object that most of the line runs over.
        """
        scale = self.image(image_id).source.scale or (1.0, 1.0, 1.0)
        return self._edit("split", image_id, lambda labels: labels.truth.split_along(t, path, direction, scale, point))

    def new_object_id(self, image_id: str) -> int:
        """Return a label that was never used in this image, to paint a new object with.

        Raises
        ------
        UserError
            If the labels are classes: their values have fixed meanings.
        """
        truth = self._need_labels(image_id).truth
        if not truth.instances:
            raise UserError("The labels are classes, so there are no new objects.", "Choose a class to paint with.")
        return truth.next_id()

    def known_counts(self, image_id: str) -> tuple[int, int]:
        """Return the number of known voxels and of known regions."""
        labels = self.labels(image_id)
        return (0, 0) if labels is None else (labels.truth.n_known, labels.truth.n_regions)

    def known_mask(self, image_id: str) -> npt.NDArray[np.bool_] | None:
        """Return what is known, (T, Z, Y, X); not to be written."""
        labels = self.labels(image_id)
        return None if labels is None else labels.truth.known

    def undo(self) -> str | None:
        """Take the newest step back and return its title."""
        self._need_quiet(self.history.newest)
        step = self.history.undo()
        self.events.history_changed.emit()
        return None if step is None else step.title

    def redo(self) -> str | None:
        """Do the step that was undone last again and return its title."""
        self._need_quiet(self.history.newest_undone)
        step = self.history.redo()
        self.events.history_changed.emit()
        return None if step is None else step.title

    def _need_quiet(self, step: Step | None) -> None:
        """Raise a `UserError` if this step cannot be moved over now."""
        for image in self.images.values():
            for labels in image.labels.values():
                self.need_lifted(labels)
        if step is not None and step is self.preview:
            raise UserError("The last training round waits for your decision.", "Click Keep or Discard first.")
        # A prediction that is coming in would be mixed with the one that comes back.
        if "segment" in self.jobs and not (isinstance(step, LabelStep) and isinstance(step.change, Edit)):
            raise UserError("A segmentation is under way.", "Stop it first.")

    def _need_labels(self, image_id: str) -> LabelState:
        labels = self.labels(image_id)
        if labels is None:
            raise UserError("The image has no labels yet.", "Click Segment first.")
        return labels

    def _edit(self, title: str, image_id: str, edit: Callable[[LabelState], Edit | None]) -> bool:
        labels = self._need_labels(image_id)
        self.need_lifted(labels)
        self.warm("train")
        return self.record(title, image_id, labels, edit(labels))
