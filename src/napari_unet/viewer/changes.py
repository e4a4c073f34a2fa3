"""What changed between two versions, drawn over the image: a helper layer that nobody can edit and nothing keeps."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.utils.colormaps import DirectLabelColormap

from napari_unet.image.axes import canonical_view, label_axes
from napari_unet.learning.changes import CHANGED, GAINED, LOST
from napari_unet.viewer.layers import axes_of
from napari_unet.viewer.levels import Place
from napari_unet.viewer.making import add_quietly, make_layer

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image

    from napari_unet.session.comparing import Comparison

# Okabe and Ito's green and yellow, and a magenta: told apart with every kind of colour vision, and by the pattern.
COLORS = {GAINED: "#00b080", LOST: "#e03fd8", CHANGED: "#f0e442"}
MEANINGS = {GAINED: "new", LOST: "gone", CHANGED: "changed"}
EDGE = 4  # value of the dark line around each patch, and of the stripes in what is gone
EDGE_COLOR = "#101010"
PERIOD = 6  # pixels between two stripes


class ChangesOverlay:
    """Patches where two versions differ: green is new, magenta with stripes is gone, yellow has changed.

    Parameters
    ----------
    viewer : napari.Viewer
        Where it is shown.
    image : napari.layers.Image
        The layer over which it lies.
    axes : str
        Axes of the session's image.
    shape : tuple of int
        (T, Z, Y, X) of the session's image.
    comparison : Comparison
        What changed, and where.
    place : Place, optional
        Where the session's image lies in the layer.
    """

    def __init__(
        self,
        viewer: Viewer,
        image: Image,
        axes: str,
        shape: tuple[int, ...],
        comparison: Comparison,
        place: Place | None = None,
    ) -> None:
        self.viewer, self.comparison = viewer, comparison
        names = label_axes(axes)
        lengths = dict(zip("TZYX", shape, strict=True))
        data = np.zeros([lengths[letter] for letter in names], np.uint8)
        canonical_view(data, names)[comparison.t][comparison.box] = drawn(comparison.changes)
        self.layer, _ = make_layer(image, axes_of(image), data, None, "what changed", {"helper": True}, place=place)
        self.layer.colormap = _colormap()
        self.layer.opacity = 0.8
        self.layer.editable = False
        add_quietly(viewer, self.layer)

    @property
    def alive(self) -> bool:
        """Whether the user has not removed the layer."""
        return any(layer is self.layer for layer in self.viewer.layers)

    def close(self) -> None:
        """Remove the layer; selection, tool and mode stay."""
        if self.alive:
            layers = self.viewer.layers
            selected, active = set(layers.selection) - {self.layer}, layers.selection.active
            with suppress(ValueError):
                layers.remove(self.layer)
            if active is not self.layer:
                layers.selection.clear()
                layers.selection.update(selected)
                layers.selection.active = active


def drawn(changes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the values of the helper layer: each patch with a dark edge, what is gone with stripes.

    ::

        new ▓▓▓▓▓▓      gone ▓▓░▓▓░      changed ▓▓▓▓▓▓   (another colour)

    Parameters
    ----------
    changes : ndarray of uint8, (Z, Y, X)
        See `napari_unet.learning.changes`.
    """
    found = changes.copy()
    rows, columns = np.indices(changes.shape[1:], sparse=True)
    found[(changes == LOST) & ((rows + columns) % PERIOD == 0)] = EDGE
    edge = np.zeros(changes.shape, bool)
    for axis in (1, 2):
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        differ = changes[tuple(ahead)] != changes[tuple(behind)]
        edge[tuple(ahead)] |= differ
        edge[tuple(behind)] |= differ
    # The edge lies inside the patch; a patch of one or two pixels keeps its colour.
    wide = _wide(changes > 0)
    found[edge & wide] = EDGE
    return found


def _wide(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the pixels that lie in a square of 4 × 4 pixels of the mask."""
    from scipy import ndimage

    square: npt.NDArray[np.bool_] = ndimage.binary_opening(mask, np.ones((1, 4, 4), bool))
    return square


def _colormap() -> DirectLabelColormap:
    colors: dict[int | None, Any] = {None: "transparent", 0: "transparent", EDGE: EDGE_COLOR, **COLORS}
    return DirectLabelColormap(color_dict=colors)
