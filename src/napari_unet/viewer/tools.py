"""Correction tools on the canvas: on the object under the pointer, or on what is drawn next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_unet.errors import UserError
from napari_unet.viewer.pointing import Voxel, drawn_line, drawn_region, pointed, voxel_at
from napari_unet.viewer.results import ResultLayer
from napari_unet.viewer.sketch import Drawing, Place

if TYPE_CHECKING:
    from napari_unet.viewer.link import ViewerLink


class CanvasTools:
    """What napari lacks: accept, delete, join, split, regions and new objects.

    Parameters
    ----------
    link : ViewerLink
        What the tools act on.

    Attributes
    ----------
    hint : str
        What the tool that was begun waits for; empty if none was.
    """

    hinted = Signal(str)

    def __init__(self, link: ViewerLink) -> None:
        self.link, self.viewer = link, link.viewer
        self.hint = ""
        self.drawing = Drawing(self.viewer)
        self._first: tuple[str, str, int, Voxel] | None = None  # tool, image and place of the first of two

    def accept(self) -> None:
        """Accept the object under the pointer."""
        self._at_pointer(lambda image_id, t, point: self.link.session.accept_object(image_id, t, point))

    def accept_clicked(self) -> None:
        """Accept the object that is clicked next."""

        def clicked(places: list[Place]) -> None:
            def accept() -> None:
                image_id, result = self._need_result()
                self.cancel()
                self.link.session.accept_object(image_id, *voxel_at(self.viewer, result, places[0]))

            self._run_or_cancel(accept)

        def command() -> None:
            image_id, _ = self._need_result()
            key = self.link.keys.key("accept")
            self._wait(("object", image_id, 0, (0, 0, 0)), f"Click the object (or point at it and press {key}).")
            self.drawing.start("line", clicked)

        self.cancel()
        self.link.run(command)

    def delete(self) -> None:
        """Delete the object under the pointer."""
        self._at_pointer(lambda image_id, t, point: self.link.session.delete_object(image_id, t, point))

    def join(self) -> None:
        """Join the object under the pointer with the one pointed at before."""

        def pressed(image_id: str, t: int, point: Voxel) -> None:
            first = self._take_first("join", image_id, t)
            if first is not None:
                self.link.session.join_objects(image_id, t, (first, point))
                return
            labels = self.link.session.labels(image_id)
            if labels is None or labels.truth.labels[t][point] == 0:
                raise UserError("There is no object at this place.", "Point at an object.")
            self._wait(
                ("join", image_id, t, point), f"Point at the other object and press {self.link.keys.key('join')}."
            )

        self._at_pointer(pressed)

    def split(self) -> None:
        """Split the object under the pointer: along the line drawn next, or between two places."""

        def pressed(image_id: str, t: int, point: Voxel) -> None:
            first = self._take_first("split", image_id, t)
            if first is not None:
                self._split_between(image_id, t, first, point)
                return
            key = self.link.keys.key("split")
            self._wait(
                ("split", image_id, t, point),
                f"Drag a line across the object; or click one half, then the other ({key} does as well). Esc: cancel.",
            )
            self.drawing.start("line", self._split_drawn)

        self._at_pointer(pressed, anywhere=True)

    def accept_region(self) -> None:
        """Accept the rectangle that is drawn next."""

        def command() -> None:
            image_id, _ = self._need_result()
            if self.viewer.dims.ndisplay != 2:
                raise UserError(
                    "A region is drawn on one plane; the view shows three dimensions.", "Switch to the 2D view."
                )
            self._wait(("region", image_id, 0, (0, 0, 0)), "Drag a rectangle over what is right. Esc: cancel.")
            self.drawing.start("box", self._region_drawn)

        self.cancel()
        self.link.run(command)

    def new_object(self) -> None:
        """Choose a label that was never used, and the brush."""

        def command() -> None:
            image_id, result = self._need_result()
            problem = self.link.painting_problem()
            if problem:
                raise UserError(problem)
            label = self.link.session.new_object_id(image_id)
            self.viewer.layers.selection.active = result.layer
            result.layer.selected_label = label
            if result.layer.mode not in ("paint", "polygon"):
                result.layer.mode = "paint"

        self.link.run(command)

    def cancel(self) -> None:
        """Forget the tool that was begun."""
        self._first = None
        self.drawing.stop()
        self._tell("")

    def end_other(self, name: str) -> None:
        """Forget the tool that was begun, unless it is the one of this name.

        Parameters
        ----------
        name : str
            Of an action.
        """
        if self._first is not None and self._first[0] != name:
            self.cancel()

    # ---- inside --------------------------------------------------------------------------------

    def _split_drawn(self, places: list[Place]) -> None:
        def command() -> None:
            image_id, result = self._need_result()
            if len(places) > 1:
                self.cancel()
                line = drawn_line(self.viewer, result, places)
                self.link.session.split_along(image_id, line.t, line.path, line.direction, line.point)
                return
            t, point = voxel_at(self.viewer, result, places[0])
            first = self._take_first("click", image_id, t)
            if first is not None:
                self._split_between(image_id, t, first, point)
                return
            self._wait(("click", image_id, t, point), "Now click the other half of the object. Esc: cancel.")
            self.drawing.start("line", self._split_drawn)

        self._run_or_cancel(command)

    def _split_between(self, image_id: str, t: int, first: Voxel, second: Voxel) -> None:
        """Split the object that holds both voxels; the line between them cuts where they lie beside it."""
        labels = self.link.session.labels(image_id)
        values = [0, 0] if labels is None else [int(labels.truth.labels[t][point]) for point in (first, second)]
        if values[0] == values[1] != 0 or self.viewer.dims.ndisplay == 3:
            self.link.session.split_object(image_id, t, first, second)
            return
        _, result = self._need_result()
        letters = {result.axes[axis] for axis in result.displayed_axes() if axis >= 0}
        z, y, x = (float(letter not in letters) for letter in "ZYX")
        self.link.session.split_along(image_id, t, (first, second), (z, y, x))

    def _region_drawn(self, places: list[Place]) -> None:
        def command() -> None:
            image_id, result = self._need_result()
            self.cancel()
            if len(places) > 1:
                self.link.accepting.region(image_id, *drawn_region(self.viewer, result, places))

        self._run_or_cancel(command)

    def _wait(self, first: tuple[str, str, int, Voxel], hint: str) -> None:
        """Remember the first half of a tool, until its second half or Escape."""
        self._first = first
        self._tell(hint)

    def _take_first(self, tool: str, image_id: str, t: int) -> Voxel | None:
        """Return where a tool was begun on this image and time point, and forget it."""
        first = self._first
        if first is None or first[:3] != (tool, image_id, t):
            return None
        self.cancel()
        return first[3]

    def _tell(self, hint: str) -> None:
        if hint != self.hint:
            self.hint = hint
            self.hinted.emit(hint)

    def _need_result(self) -> tuple[str, ResultLayer]:
        image_id = self.link.image.need()
        result = self.link.result()
        if result is None:
            raise UserError("The image has no labels yet.", "Click Segment first.")
        return image_id, result

    def _at_pointer(self, command: Callable[[str, int, Voxel], Any], anywhere: bool = False) -> None:
        """Run a command on the voxel under the pointer; `anywhere` lets it lie beside the image."""

        def run() -> None:
            image_id, result = self._need_result()
            try:
                t, point = pointed(self.viewer, result)
            except UserError:
                if not anywhere:
                    raise
                t, point = -1, (-1, -1, -1)
            command(image_id, t, point)

        self._run_or_cancel(run)

    def _run_or_cancel(self, command: Callable[[], None]) -> None:
        """Run a command; after an error no tool is left begun."""

        def run() -> None:
            try:
                command()
            except UserError:
                self.cancel()
                raise

        self.link.run(run)
