"""Sending regions of a Labels layer to the screen, without the cost of a full refresh."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QTimer

from napari_unet.viewer.sweep import Box

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Labels

PIECE = 512  # edge of what is sent at once
BUDGET = 0.02  # seconds of sending between two pictures
INTERVAL = 100  # ms between two pictures; without a graphics card each takes tens of milliseconds
REFRESH_INTERVAL = 500  # ms between two refreshes of a layer that cannot be refreshed in part


class RegionQueue:
    """Regions of one layer that wait to be sent to the screen.

    The first is sent at once. Those that follow within `INTERVAL` go together, so that a hundred tiles do
    not make a hundred pictures; and they go in pieces, so that no picture is late.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer is shown.
    layer : napari.layers.Labels
        The layer.
    """

    def __init__(self, viewer: Viewer, layer: Labels) -> None:
        self.viewer, self.layer = viewer, layer
        self._waiting: dict[tuple[tuple[int, int], ...], Box] = {}
        self._timer = QTimer()
        self._timer.timeout.connect(self._send)
        self._late = QTimer()
        self._late.setSingleShot(True)
        self._late.timeout.connect(self._refresh)

    def add(self, key: Box) -> None:
        """Send a region, now or soon; nothing if it is not on screen: napari reads it when it is.

        Parameters
        ----------
        key : tuple of slice
            The region, one slice with explicit bounds per axis of the layer.
        """
        if not self.layer.visible or self._late.isActive():
            return
        here = _on_screen(self.viewer, self.layer, key)
        if here is None:
            return
        for piece in _pieces(key):
            self._waiting[tuple((part.start, part.stop) for part in piece)] = piece
        if not self._timer.isActive():
            self._send()
            self._timer.start(INTERVAL)

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._timer.stop()
        self._late.stop()

    def _send(self) -> None:
        if not self._waiting:
            self._timer.stop()
        end = time.perf_counter() + BUDGET
        while self._waiting and time.perf_counter() < end:
            piece = self._waiting.pop(next(iter(self._waiting)))
            if not show_region(self.viewer, self.layer, piece):
                self._waiting.clear()
                self._late.start(REFRESH_INTERVAL)

    def _refresh(self) -> None:
        self.layer.refresh(extent=False, highlight=False)


def _pieces(key: Box) -> Iterator[Box]:
    """Cut a region into pieces along its last two axes."""
    *rest, rows, columns = key
    for row in range(rows.start, rows.stop, PIECE):
        for column in range(columns.start, columns.stop, PIECE):
            yield (
                *rest,
                slice(row, min(row + PIECE, rows.stop)),
                slice(column, min(column + PIECE, columns.stop)),
            )


def _on_screen(viewer: Viewer, layer: Labels, key: Box) -> tuple[list[int], npt.NDArray[np.int_]] | None:
    """Return the displayed axes of the layer and the voxel shown, or None if the region is in another plane."""
    before = viewer.dims.ndim - layer.ndim
    displayed = [axis - before for axis in viewer.dims.order[-viewer.dims.ndisplay :]]
    here = np.round(np.asarray(layer.world_to_data(viewer.dims.point))).astype(int)
    hidden = [axis for axis in range(layer.ndim) if axis not in displayed]
    return (displayed, here) if all(key[axis].start <= here[axis] < key[axis].stop for axis in hidden) else None


def show_region(viewer: Viewer, layer: Labels, key: Box) -> bool:
    """Send one region of a layer's data to the screen.

    ``layer.refresh()`` maps and uploads the whole slice: 4 ms for 4096² 16-bit labels, but 65 ms for
    32-bit ones. The layer's ``labels_update`` event uploads only a region.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer is shown.
    layer : napari.layers.Labels
        The layer; the region was written into its data.
    key : tuple of slice
        The region, one slice per axis of the layer.

    Returns
    -------
    bool
        False if the layer cannot be refreshed in part and needs ``refresh()``.
    """
    data = layer.data
    shown_here = _on_screen(viewer, layer, key)
    if shown_here is None:
        return True
    displayed, here = shown_here
    thick = any(a or b for a, b in zip(viewer.dims.margin_left, viewer.dims.margin_right, strict=True))
    if min(displayed) < 0 or layer.contour or thick or not isinstance(data, np.ndarray):
        return False
    part = tuple(key[axis] if axis in displayed else int(here[axis]) for axis in range(layer.ndim))
    shown = tuple(key[axis] for axis in displayed)
    values = data[part].transpose([sorted(displayed).index(axis) for axis in displayed])
    if data.dtype.itemsize > 2:
        texture = _texture(layer, values, shown)
        if texture is None:
            return False
        values = texture
    layer.events.labels_update(data=values, offset=[part.start for part in shown])
    return True


def show_blank(layer: Labels) -> None:
    """Make a layer visible that holds nothing but zeros.

    To map 4096² zeros of 32 bits takes napari up to 0.4 s of the window's thread; here they are known.

    Parameters
    ----------
    layer : napari.layers.Labels
        The layer, not visible yet.
    """
    dtype = layer.data.dtype
    mapped = _mapped(layer, np.zeros(1, dtype)) if dtype.itemsize > 2 else None
    if mapped is None:
        layer.visible = True
        return

    def zeros(raw: npt.NDArray[Any], data_slice: Box | None = None) -> npt.NDArray[Any]:
        return np.zeros((raw if data_slice is None else raw[data_slice]).shape, mapped.dtype)

    # Should napari call its own function by another name one day, it maps the zeros as ever.
    layer._raw_to_displayed = zeros
    try:
        layer.visible = True
    finally:
        del layer._raw_to_displayed


def _texture(layer: Labels, values: npt.NDArray[Any], shown: Box) -> npt.NDArray[Any] | None:
    """Map wide labels to what the graphics card gets, and keep napari's copy of it current.

    napari has no public way to do this for a region: labels of up to 16 bits are shown as they are,
    wider ones through a mapped copy of the slice. This and `show_blank` are the only private access of
    the plugin; where it fails, the caller falls back to a full refresh.
    """
    mapped = _mapped(layer, values)
    try:
        view = layer._slice.image.view
    except AttributeError:
        return None
    if mapped is None:
        return None
    if view.ndim != values.ndim or any(part.stop > n for part, n in zip(shown, view.shape, strict=True)):
        return None
    view[shown] = mapped
    return mapped


def _mapped(layer: Labels, values: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """Return labels as napari gives them to the graphics card; None if this napari does it otherwise."""
    try:
        return np.asarray(layer.colormap._data_to_texture(values))
    except AttributeError:
        return None
