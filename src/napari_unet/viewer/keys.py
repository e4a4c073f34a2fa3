"""Keys on the canvas: which does what, while the panel is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_unet.errors import UserError
from napari_unet.viewer.keymap import ACTIONS, Action, default_keys, load_keys, save_keys, shown

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_unet.viewer.link import ViewerLink

_OTHER_REDO = "Control-Y"
_CANCEL = "Escape"


class CanvasKeys:
    """Binds the keys while the panel is open.

    Parameters
    ----------
    link : ViewerLink
        What the keys act on.

    Attributes
    ----------
    keys : dict of str to str
        The key of each action, as in the user's file.
    """

    changed = Signal()

    def __init__(self, link: ViewerLink) -> None:
        self.link, self.viewer, self.tools = link, link.viewer, link.tools
        self._layers: list[Labels] = []
        self._bound: list[str] = []
        self._actions: dict[str, Callable[[], None]] = {
            "accept": self.tools.accept,
            "accept_view": link.accept_view,
            "accept_region": self.tools.accept_region,
            "delete": self.tools.delete,
            "join": self.tools.join,
            "split": self.tools.split,
            "new_object": self.tools.new_object,
            "known": link.toggle_known,
            "undo": link.undo,
            "redo": link.redo,
        }
        if hasattr(link, "next_region"):
            self._actions["next"] = link.next_region
        self.keys = default_keys()
        try:
            self.keys = load_keys()
        except UserError as error:
            sentence = str(error)  # told once the panel listens
            QTimer.singleShot(0, lambda: link.session.events.message.emit("error", sentence, ""))
        self._bind()
        self.tools.hinted.connect(self._on_hint)

    def _bind(self) -> None:
        self._bound = [self.keys[name] for name in self._actions]
        for target in (self.viewer, *self._layers):
            self._bind_to(target)

    def _bind_to(self, target: Any) -> None:
        for name, action in self._actions.items():
            target.bind_key(self.keys[name], _ignoring_argument(self._ending(name, action)), overwrite=True)

    def _unbind(self, target: Any) -> None:
        for key in self._bound:
            target.bind_key(key, None)

    def _ending(self, name: str, action: Callable[[], None]) -> Callable[[], None]:
        """Return an action that ends a tool begun before, unless it is its second half."""

        def run() -> None:
            if name != "known":
                self.tools.end_other(name)
            action()

        return run

    def _on_hint(self, hint: str) -> None:
        """Let Escape end a tool that was begun; otherwise it is napari's."""
        for target in (self.viewer, *self._layers):
            action = _ignoring_argument(self.tools.cancel) if hint else None
            target.bind_key(_CANCEL, action, overwrite=True)

    def close(self) -> None:
        """Take the keys back from the viewer."""
        self.tools.cancel()
        self.tools.hinted.disconnect(self._on_hint)
        self._unbind(self.viewer)
        for layer in tuple(self._layers):
            self.release_layer(layer)

    def bind_layer(self, layer: Labels) -> None:
        """Let the keys win over napari's own on a result layer; the session's undo is the only one."""
        self._layers.append(layer)
        self._bind_to(layer)
        layer.bind_key(_OTHER_REDO, _ignoring_argument(self.link.redo), overwrite=True)

    def release_layer(self, layer: Labels) -> None:
        """Give a layer its own keys back."""
        if layer in self._layers:
            self._layers.remove(layer)
            self._unbind(layer)
            layer.bind_key(_OTHER_REDO, None)

    def choose(self, keys: Mapping[str, str]) -> None:
        """Take other keys from now on and keep them for the next time.

        Parameters
        ----------
        keys : mapping of str to str
            The key of every action.
        """
        save_keys(keys)
        self.tools.cancel()
        for target in (self.viewer, *self._layers):
            self._unbind(target)
        self.keys = dict(keys)
        self._bind()
        self.changed.emit()

    def key(self, name: str) -> str:
        """Return the key of an action as the panel writes it."""
        return shown(self.keys[name])

    @property
    def offered(self) -> tuple[Action, ...]:
        """The actions that have a key in this panel, in the order of the list."""
        return tuple(action for action in ACTIONS if action.name in self._actions)


def _ignoring_argument(action: Callable[[], None]) -> Callable[[Any], None]:
    """Return a key callback: napari passes the viewer or the layer."""

    def pressed(target: Any) -> None:
        action()

    return pressed
