"""Opening an earlier project in a viewer: its images and results become layers again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_unet.errors import UserError
from napari_unet.image.source import ImageSource
from napari_unet.io.images import open_image
from napari_unet.viewer.layers import METADATA_KEY, remember_level, remembered, source_of_layers
from napari_unet.viewer.lookup import image_ids
from napari_unet.viewer.making import add_quietly
from napari_unet.viewer.reader import for_napari

if TYPE_CHECKING:
    from napari_unet.viewer.link import ViewerLink


class Projects:
    """Puts the project of a session on the screen.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        self.link, self.viewer, self.session = link, link.viewer, link.session
        self._ids = image_ids(link.session)

    def open(self, path: str | Path) -> None:
        """Open a project in place of what the session holds; image layers that are there already are used.

        Parameters
        ----------
        path : path
            Its folder.

        Raises
        ------
        UserError
            See `Session.open_project`; then nothing changes.
        """
        before = dict(self._ids)
        # An image of the project may have the id that a layer's image had before.
        self._ids.clear()
        try:
            self.session.open_project(path)
        except UserError:
            self._ids.update(before)
            raise
        self.link.results.clear()
        self.link.pyramids.clear()
        for image_id in tuple(self.session.images):
            self._show(image_id)
        self.link.image.follow()
        self.link.changed.emit()

    def relink(self, image_id: str, path: str | Path) -> None:
        """Point to where a missing image is now, and show it; see `Session.relink_image`."""
        self.session.relink_image(image_id, path)
        self._show(image_id)
        self.link.changed.emit()

    def _show(self, image_id: str) -> None:
        """Give an image of the session its layer, and its labels theirs; a work area has that of its image."""
        if self.session.image(image_id).area is not None:
            self.link.results.ensure(image_id)
            return
        source = self.session.image(image_id).source
        layer = self._layer_at(source) or self._add(source)
        self._ids[layer] = image_id
        remembered(layer)["channels"] = source.channels
        shown = source_of_layers([layer], source.channels)
        if shown.shape == source.shape:
            # Layer and session hold the same array, so that a change of the layer is noticed.
            self.session.replace_image(image_id, shown)
        if self.link.image.layer is None or layer is self.viewer.layers.selection.active:
            self.link.image.choose(layer)
        self.link.results.ensure(image_id)
        self.link.pyramids.ensure(image_id)

    def _layer_at(self, source: ImageSource) -> Image | None:
        """Return a layer of the same file and shape that belongs to no image yet."""
        for layer in self.link.image.usable:
            try:
                other = source_of_layers([layer])
            except UserError:
                continue
            same_file = other.path and source.path and os.path.realpath(other.path) == os.path.realpath(source.path)
            if same_file and layer.multiscale and source.levels == other.levels:
                remember_level(layer, source.level, by_user=True)
                other = source_of_layers([layer])
            if same_file and layer not in self._ids and other.data.shape == source.data.shape:
                return layer
        return None

    def _add(self, source: ImageSource) -> Image:
        """Add a layer; what was asked about the image once is not asked again."""
        data, axes = for_napari(source.data), source.axes
        many = source.levels > 1 and source.path is not None and not source.rgb
        if many:
            data = [for_napari(level) for level in open_image(str(source.path)).levels]
        if source.rgb and axes[-1] != "C":
            data = np.moveaxis(np.asarray(data), axes.index("C"), -1)
            axes = f"{axes.replace('C', '')}C"
        shown = axes[:-1] if source.rgb else axes
        answers = {"axes": axes, "path": source.path, "channels": source.channels, "file_read": True}
        finest = _finest(source.scale_um, source.axes, data, source.level) if many else source.scale_um
        if many:
            answers |= {"level": source.level, "level_by_user": True}
        sizes = dict(zip("ZYX", finest or (), strict=False))
        if finest is not None:
            answers |= {"voxel_size": finest, "voxel_size_origin": source.scale_origin}
        in_layer = bool(sizes) and source.scale_origin == "layer"
        layer = Image(
            data,
            name=source.name,
            multiscale=many,
            rgb=source.rgb,
            scale=[sizes.get(letter, 1.0) for letter in shown] if in_layer else None,
            units=["µm" if letter in sizes else "pixel" for letter in shown] if in_layer else None,
            axis_labels=[letter.lower() for letter in shown],
            metadata={METADATA_KEY: answers},
        )
        add_quietly(self.viewer, layer)
        return layer


def _finest(
    size: tuple[float, float, float] | None, axes: str, levels: Sequence[Any], level: int
) -> tuple[float, float, float] | None:
    """Return the voxel size (z, y, x) of the finest level, from that of another one."""
    if size is None:
        return None
    wider = {letter: a / b for letter, a, b in zip(axes, levels[0].shape, levels[level].shape, strict=True)}
    z, y, x = (number / wider.get(letter, 1.0) for letter, number in zip("ZYX", size, strict=True))
    return z, y, x
