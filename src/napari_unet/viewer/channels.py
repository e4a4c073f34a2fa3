"""Separate layers as the channels of one image: which they are, whatever they are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING
from weakref import ref

from napari_unet.image.source import ImageSource
from napari_unet.viewer.layers import is_usable
from napari_unet.viewer.lookup import bare_viewer, channel_layers

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Layer

    from napari_unet.session.session import Session


class ChannelLayers:
    """The further channels of image layers; they are remembered as objects, not by name.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer itself.
    session : Session
        As long as it lives, the choice is remembered.
    """

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer = viewer
        self._chosen = channel_layers(session)

    def of(self, layer: Image) -> list[Image]:
        """Return the layers that are the channels of one image, the layer itself first."""
        chosen = [reference() for reference in self._chosen.get(layer, ())]
        return [layer, *(other for other in chosen if other is not None and other in self.viewer.layers)]

    def choose(self, layer: Image, others: Sequence[Image]) -> None:
        """Take further layers as channels of a layer, in this order."""
        self._chosen[layer] = tuple(ref(bare_viewer(other)) for other in others)

    def users(self, layer: Layer) -> list[Image]:
        """Return the image layers that a layer is a part of, itself included."""
        return [other for other in self.viewer.layers if is_usable(other) and layer in self.of(other)]

    def drop(self, layer: Layer) -> list[Image]:
        """Forget a layer that was removed, and return those that it was a channel of."""
        users = []
        self._chosen.pop(layer, None)
        for other, chosen in tuple(self._chosen.items()):
            kept = tuple(reference for reference in chosen if reference() not in (layer, None))
            if len(kept) < len(chosen):
                self._chosen[other] = kept
                users.append(other)
        return [other for other in users if other in self.viewer.layers]


def same_source(first: ImageSource, second: ImageSource) -> bool:
    """Tell whether two sources describe the same voxels; what they are called does not matter.

    Parameters
    ----------
    first, second : ImageSource
        Of one layer or of several as channels.
    """
    parts, others = (getattr(source.data, "sources", None) for source in (first, second))
    if parts is None or others is None:
        same = first.data is second.data
    else:
        same = len(parts) == len(others) and all(map(same_source, parts, others))
    names = [field.name for field in fields(ImageSource) if field.name not in ("data", "name")]
    return same and all(getattr(first, name) == getattr(second, name) for name in names)
