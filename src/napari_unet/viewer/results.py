"""The Labels layer of a result: where it lies, how a region of it is shown, and whose undo it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.axes import canonical_view
from napari_unet.viewer.lookup import bare_viewer
from napari_unet.viewer.showing import RegionQueue, show_blank
from napari_unet.viewer.sweep import Box, Sweep

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Labels

Place = tuple[int, tuple[slice, slice, slice]]


class ResultLayer:
    """One Labels layer that shows, and paints into, the labels array of a session.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer is shown.
    layer : napari.layers.Labels
        See `make_layer`; its data shares memory with the session's array.
    axes : str
        Axes of the layer's data; C where the image has its channels in the middle (length 1).
    """

    def __init__(self, viewer: Viewer, layer: Labels, axes: str) -> None:
        self.viewer, self.layer, self.axes = viewer, layer, axes
        self.writable = True
        self._screen = RegionQueue(bare_viewer(viewer), layer)

    @property
    def alive(self) -> bool:
        """Whether the layer is still in the viewer."""
        return any(layer is self.layer for layer in bare_viewer(self.viewer).layers)

    def holds(self, array: npt.NDArray[Any]) -> bool:
        """Tell whether the layer still shows an array: nobody gave it other data."""
        return shares(self.layer.data, array)

    def close(self) -> None:
        """Stop what is scheduled."""
        self._screen.clear()

    # ---- places --------------------------------------------------------------------------------

    def key(self, t: int, box: Sequence[slice]) -> Box:
        """Return the slices of the layer's data for a (z, y, x) box of a time point."""
        spans = {"T": slice(t, t + 1), "C": slice(0, 1), **dict(zip("ZYX", box, strict=True))}
        return tuple(spans[letter] for letter in self.axes)

    def places(self, swept: Sweep) -> list[tuple[Place, npt.NDArray[np.bool_]]]:
        """Return what was swept as ((t, box), mask of (Z, Y, X)), one per time point."""
        spans = dict(zip(self.axes, swept.box, strict=True))
        mask = swept.mask
        if "C" in self.axes:
            mask = mask.take(0, self.axes.index("C"))
        times = spans.get("T", slice(0, 1))
        box = (spans.get("Z", slice(0, 1)), spans["Y"], spans["X"])
        canonical = canonical_view(mask, self.axes.replace("C", ""))
        return [((t, box), canonical[t - times.start]) for t in range(times.start, times.stop)]

    def point(self, world: Sequence[float]) -> tuple[int, tuple[int, int, int]] | None:
        """Return the voxel (t, (z, y, x)) at a place in the world, or None outside the image."""
        voxel = np.round(np.asarray(self.layer.world_to_data(world))).astype(int)
        if np.any(voxel < 0) or np.any(voxel >= self.layer.data.shape):
            return None
        at = dict(zip(self.axes, (int(v) for v in voxel), strict=True))
        return at.get("T", 0), (at.get("Z", 0), at["Y"], at["X"])

    def painted_axes(self) -> tuple[int, ...]:
        """Return the axes that napari's tools paint across now: the last ones of the viewer's order."""
        return self._order()[-self.layer.n_edit_dimensions :]

    def displayed_axes(self) -> tuple[int, ...]:
        """Return the axes of the layer on screen, in the order of the screen; -1 for one it lacks."""
        order = self.viewer.dims.order[-self.viewer.dims.ndisplay :]
        before = self.viewer.dims.ndim - self.layer.ndim
        return tuple(axis - before if axis >= before else -1 for axis in order)

    def most_dimensions(self) -> int:
        """Return over how many axes a tool may paint without leaving space; 0 while none may.

        ::

            order T Z Y X → 3      order Z T Y X → 2      order Z Y X T → 0
        """
        spatial = 0
        for axis in reversed(self._order()):
            if self.axes[axis] not in "ZYX":
                break
            spatial += 1
        return spatial if spatial >= self.viewer.dims.ndisplay else 0

    def _order(self) -> tuple[int, ...]:
        before = self.viewer.dims.ndim - self.layer.ndim
        return tuple(axis - before for axis in self.viewer.dims.order if axis >= before)

    # ---- showing -------------------------------------------------------------------------------

    def show(self, t: int, box: Sequence[slice]) -> None:
        """Show what was written into a box of the labels array; nothing where it is not on screen."""
        if self.alive:
            self._screen.add(self.key(t, box))

    def appear(self, blank: bool) -> None:
        """Make a new layer visible; its picture is made now, once.

        Parameters
        ----------
        blank : bool
            Its labels are nothing but zeros.
        """
        if blank:
            show_blank(self.layer)
        else:
            self.layer.visible = True

    # ---- history and clamp ---------------------------------------------------------------------

    def forget_strokes(self) -> None:
        """Empty napari's own undo stack, so that it can never bring old values back.

        The public way is to make the layer uneditable for a moment; tool and mode stay.
        """
        if not self.layer.editable:
            return
        mode = self.layer.mode
        self.layer.editable = False
        self.layer.editable = True
        self.layer.mode = mode

    def clamp(self, wanted: int) -> bool:
        """Keep the tools within space; return whether painting is possible in this view.

        Parameters
        ----------
        wanted : int
            Axes to paint across, as the model has: 2 or 3.
        """
        most = self.most_dimensions() if self.writable else 0
        if most < 2:
            self.layer.editable = False
            return False
        if not self.layer.editable:
            self.layer.editable = True
        if self.layer.n_edit_dimensions != min(wanted, most):
            self.layer.n_edit_dimensions = min(wanted, most)
        return True


def shares(data: Any, array: npt.NDArray[Any]) -> bool:
    """Tell whether a layer's data is a labels array, or a view of it.

    Parameters
    ----------
    data : array-like
        Of a layer.
    array : ndarray
        Of a session.
    """
    return isinstance(data, np.ndarray) and np.may_share_memory(data, array)
