"""What is known, drawn over the image: a helper layer that nobody can edit and nothing keeps."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_unet.image.boxes import whole
from napari_unet.viewer.layers import METADATA_KEY
from napari_unet.viewer.making import add_quietly
from napari_unet.viewer.results import Place, ResultLayer

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unet.learning.truth import Truth
    from napari_unet.model.header import ClassInfo

DARK, LIGHT = 1, 2
FIRST_CLASS = 3  # value of the background; class k is FIRST_CLASS + k
OBJECT_COLOR = "#009e73"
PERIOD = 8  # pixels between two stripes
BLOCK = 512  # edge of what is drawn at once, so that a frame is never late


class KnownOverlay:
    """Stripes over every known voxel, each in the colour of its class between a dark and a light line.

    ::

        ░ dark · colour · colour · light · clear · clear · clear · clear      along y + x

    A dark line beside a light one can be read on any image.

    Parameters
    ----------
    viewer : napari.Viewer
        Where it is shown.
    result : ResultLayer
        The labels over which it lies.
    truth : Truth
        What is known.
    classes : sequence of ClassInfo or None
        Colours of the classes; None for objects.
    """

    def __init__(self, viewer: Viewer, result: ResultLayer, truth: Truth, classes: Sequence[ClassInfo] | None) -> None:
        self.viewer, self.result, self.truth, self.classes = viewer, result, truth, classes
        self._todo: deque[Place] = deque()
        base = result.layer
        self.layer = Labels(
            np.zeros(base.data.shape, np.uint8),
            name="known",
            scale=base.scale,
            translate=base.translate,
            rotate=base.rotate,
            shear=base.shear if len(base.shear) else None,
            affine=base.affine,
            units=base.units,
            axis_labels=base.axis_labels,
            colormap=_colormap(classes),
            opacity=0.9,
            metadata={METADATA_KEY: {"helper": True}},
        )
        self.layer.editable = False
        self._shown = ResultLayer(viewer, self.layer, result.axes)
        add_quietly(viewer, self.layer)
        for t in range(truth.labels.shape[0]):
            box = truth.known_box(t)
            if box is not None:
                self.update(t, box)

    @property
    def alive(self) -> bool:
        """Whether the user has not removed the layer."""
        return self._shown.alive

    def update(self, t: int, box: Sequence[slice]) -> None:
        """Draw a box again, in pieces, when `work` is called."""
        z, y, x = box
        for plane in range(z.start, z.stop):
            for row in range(y.start, y.stop, BLOCK):
                for column in range(x.start, x.stop, BLOCK):
                    part = (
                        slice(plane, plane + 1),
                        slice(row, min(row + BLOCK, y.stop)),
                        slice(column, min(column + BLOCK, x.stop)),
                    )
                    self._todo.append((t, part))

    def update_all(self) -> None:
        """Draw everything again."""
        self._todo.clear()
        for t in range(self.truth.labels.shape[0]):
            self.update(t, whole(self.truth.shape))

    def work(self, seconds: float) -> None:
        """Draw what waits, for about so long."""
        end = time.perf_counter() + seconds
        while self._todo and time.perf_counter() < end:
            t, box = self._todo.popleft()
            key = self.result.key(t, box)
            drawn = self._drawn(t, box)
            spans = dict(zip("ZYX", drawn.shape, strict=True))
            shape = [spans.get(letter, 1) for letter in self.result.axes]
            order = ["ZYX".index(letter) for letter in self.result.axes if letter in "ZYX"]
            rest = tuple(i for i in range(3) if i not in order)
            self.layer.data[key] = drawn.transpose((*rest, *order)).reshape(shape)
            self._shown.show(t, box)

    def close(self) -> None:
        """Remove the layer."""
        self._shown.close()
        self._todo.clear()
        if self.alive:
            self._shown.viewer.layers.remove(self.layer)

    def _drawn(self, t: int, box: Sequence[slice]) -> npt.NDArray[np.uint8]:
        """Return the values of the helper layer for a (z, y, x) box."""
        z, y, x = box
        known, labels = self.truth.known[t][z, y, x], self.truth.labels[t][z, y, x]
        index = np.minimum(labels, 1 if self.classes is None else len(self.classes) - 1)
        values = (index + FIRST_CLASS).astype(np.uint8)
        phase = (np.arange(y.start, y.stop)[:, None] + np.arange(x.start, x.stop)) % PERIOD
        drawn = np.zeros(known.shape, np.uint8)
        drawn[:, phase == 0] = DARK
        drawn[:, phase == 3] = LIGHT
        body = (phase == 1) | (phase == 2)
        drawn[:, body] = values[:, body]
        drawn[~known] = 0
        return drawn


def _colormap(classes: Sequence[ClassInfo] | None) -> DirectLabelColormap:
    names = ["#808080", OBJECT_COLOR] if classes is None else [info.color for info in classes]
    colors: dict[int | None, Any] = {None: "transparent", 0: "transparent", DARK: "#101010", LIGHT: "#fafafa"}
    colors.update({FIRST_CLASS + index: color for index, color in enumerate(names)})
    return DirectLabelColormap(color_dict=colors)
