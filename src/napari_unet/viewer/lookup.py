"""The one place that knows which session belongs to which viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ReferenceType, WeakKeyDictionary, finalize

from napari_unet.session.session import Session

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Layer

    ChannelChoice = WeakKeyDictionary[Image, tuple[ReferenceType[Image], ...]]

_sessions: WeakKeyDictionary[Viewer, Session] = WeakKeyDictionary()
_image_ids: WeakKeyDictionary[Session, WeakKeyDictionary[Layer, str]] = WeakKeyDictionary()
_channels: WeakKeyDictionary[Session, ChannelChoice] = WeakKeyDictionary()


def session_of(viewer: Viewer) -> Session:
    """Return the session of a viewer, made when first asked for.

    It outlives the panel: closing and opening the panel again loses nothing.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer, or the proxy of it that napari hands to plugins.
    """
    viewer = bare_viewer(viewer)
    session = _sessions.get(viewer)
    if session is None:
        session = _sessions[viewer] = Session()
        finalize(viewer, session.close)
    return session


def use_session(viewer: Viewer, session: Session) -> None:
    """Give a viewer a session that was made elsewhere, for example in a script.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer; it must not have a session yet.
    session : Session
        Its session from now on.
    """
    viewer = bare_viewer(viewer)
    if viewer in _sessions:
        raise ValueError("This viewer has a session already.")
    _sessions[viewer] = session
    finalize(viewer, session.close)


def image_ids(session: Session) -> WeakKeyDictionary[Layer, str]:
    """Return which image of a session each layer is; like the session, this outlives the panel.

    Parameters
    ----------
    session : Session
        A session.
    """
    return _image_ids.setdefault(session, WeakKeyDictionary())


def channel_layers(session: Session) -> ChannelChoice:
    """Return which further layers are channels of an image layer; this outlives the panel too.

    Parameters
    ----------
    session : Session
        A session.
    """
    return _channels.setdefault(session, WeakKeyDictionary())


def bare_viewer(viewer: Viewer) -> Viewer:
    """Return the viewer behind the proxy that plugins get; layers are compared by identity.

    Parameters
    ----------
    viewer : napari.Viewer
        A viewer or a proxy of one.
    """
    bare: Viewer = getattr(viewer, "__wrapped__", viewer)
    return bare
