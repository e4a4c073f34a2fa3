"""The one owner of state: a session holds images, labels, models and history, and tells what changes."""

from __future__ import annotations

from napari_unet.session.session import Session
from napari_unet.session.settings import SessionSettings

__all__ = ["Session", "SessionSettings"]
