"""The one owner of state: a session holds images, labels, models and history, and tells what changes."""

from __future__ import annotations

from napari_unet.session.core import SessionSettings
from napari_unet.session.session import Session

__all__ = ["Session", "SessionSettings"]
