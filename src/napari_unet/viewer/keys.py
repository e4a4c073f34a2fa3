"""Keys on the canvas: they act on the object under the pointer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_unet.errors import UserError

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_unet.viewer.link import ViewerLink

# Key, what it does; in the order of the panel's list.
KEYS = (
    ("A", "Accept the object under the pointer"),
    ("Shift-A", "Accept the view"),
    ("D", "Delete the object under the pointer"),
    ("J", "Join: point at one object, J, point at another, J"),
    ("S", "Split: point into one half, S, point into the other, S"),
    ("K", "Show what is known"),
    ("Control-Z", "Undo"),
    ("Control-Shift-Z", "Redo"),
)
_UNDO_KEYS = ("Control-Z", "Control-Shift-Z", "Control-Y")


class CanvasKeys:
    """Binds the keys while the panel is open.

    Parameters
    ----------
    link : ViewerLink
        What the keys act on.
    """

    def __init__(self, link: ViewerLink) -> None:
        self.link = link
        self._first: tuple[str, str, int, tuple[int, int, int]] | None = None
        actions: dict[str, Callable[[], None]] = {
            "A": self.accept,
            "Shift-A": link.accept_view,
            "D": self.delete,
            "J": self.join,
            "S": self.split,
            "K": link.toggle_known,
            "Control-Z": link.undo,
            "Control-Shift-Z": link.redo,
        }
        for key, action in actions.items():
            link.viewer.bind_key(key, _ignoring_argument(action), overwrite=True)

    def close(self) -> None:
        """Take the keys back from the viewer."""
        for key, _ in KEYS:
            self.link.viewer.bind_key(key, None)

    def bind_layer(self, layer: Labels) -> None:
        """Replace napari's own undo on a result layer: the session's is the only one."""
        for key, action in zip(_UNDO_KEYS, (self.link.undo, self.link.redo, self.link.redo), strict=True):
            layer.bind_key(key, _ignoring_argument(action), overwrite=True)

    def release_layer(self, layer: Labels) -> None:
        """Give a layer its own undo back."""
        for key in _UNDO_KEYS:
            layer.bind_key(key, None)

    # ---- actions -------------------------------------------------------------------------------

    def accept(self) -> None:
        """Accept the object under the pointer."""
        self._at_pointer(lambda image_id, t, point: self.link.session.accept_object(image_id, t, point))

    def delete(self) -> None:
        """Delete the object under the pointer."""
        self._at_pointer(lambda image_id, t, point: self.link.session.delete_object(image_id, t, point))

    def join(self) -> None:
        """Join the object under the pointer with the one pointed at before."""
        self._with_first("join", "Now point at the other object and press J again.", self._join)

    def split(self) -> None:
        """Split the object under the pointer between here and the place pointed at before."""
        self._with_first("split", "Now point into the other half of the object and press S again.", self._split)

    def _join(self, image_id: str, t: int, first: tuple[int, ...], second: tuple[int, ...]) -> None:
        self.link.session.join_objects(image_id, t, (first, second))  # type: ignore[arg-type]

    def _split(self, image_id: str, t: int, first: tuple[int, ...], second: tuple[int, ...]) -> None:
        self.link.session.split_object(image_id, t, first, second)  # type: ignore[arg-type]

    def _at_pointer(self, command: Callable[[str, int, tuple[int, int, int]], Any]) -> None:
        def run() -> None:
            image_id = self.link.image.need()
            result = self.link.result()
            if result is None:
                raise UserError("The image has no labels yet.", "Click Segment first.")
            place = result.point(self.link.viewer.cursor.position)
            if place is None:
                raise UserError("The pointer is outside the image.", "Point at an object.")
            command(image_id, *place)

        self.link.run(run)

    def _with_first(
        self, name: str, hint: str, command: Callable[[str, int, tuple[int, ...], tuple[int, ...]], None]
    ) -> None:
        """Remember the first place; run the command with it and the second."""

        def pressed(image_id: str, t: int, point: tuple[int, int, int]) -> None:
            first, self._first = self._first, None
            if first is not None and first[:3] == (name, image_id, t):
                command(image_id, t, first[3], point)
                return
            labels = self.link.session.labels(image_id)
            if labels is None or labels.truth.labels[t][point] == 0:
                raise UserError("There is no object at this place.", "Point at an object.")
            self._first = (name, image_id, t, point)
            self.link.session.events.message.emit("info", hint, "")

        self._at_pointer(pressed)


def _ignoring_argument(action: Callable[[], None]) -> Callable[[Any], None]:
    """Return a key callback: napari passes the viewer or the layer."""

    def pressed(target: Any) -> None:
        action()

    return pressed
