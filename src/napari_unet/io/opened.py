"""What a file says about the image in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_unet.image.axes import infer_axes, parse_axes
from napari_unet.image.source import ImageSource


@dataclass(frozen=True)
class OpenedImage:
    """An image file before its axes are settled.

    Parameters
    ----------
    data : array-like
        The values, in memory or lazy.
    letters : tuple of str
        One of T, C, Z, Y, X per dimension; empty where the file does not say.
    path : Path
        The file.
    scale : tuple or None
        Voxel size (z, y, x) in µm; z is None when the file gives none. None when unknown.
    rgb : bool
        C is colour.
    provenance : dict
        What our own files say about their origin; empty for others.
    is_labels : bool
        It is a label image that this package wrote.
    coarser : tuple of array-like
        Further levels of resolution, each coarser than the one before; `data` is the finest.
    """

    data: Any
    letters: tuple[str, ...]
    path: Path
    scale: tuple[float | None, float, float] | None = None
    rgb: bool = False
    provenance: dict[str, Any] = field(default_factory=dict)
    is_labels: bool = False
    coarser: tuple[Any, ...] = ()

    @property
    def levels(self) -> tuple[Any, ...]:
        """All levels of resolution, the finest first."""
        return (self.data, *self.coarser)

    @property
    def name(self) -> str:
        """The file's name without its suffixes."""
        stem = self.path.name
        for suffix in (".zarr", ".tiff", ".tif", ".png", ".jpeg", ".jpg", ".ome"):
            if stem.lower().endswith(suffix):
                stem = stem[: -len(suffix)]
        return stem or self.path.name

    def axes(self, axes: str | None = None) -> str:
        """Return the axes: those given, else those of the file, else what is clear from the shape.

        Raises
        ------
        AxesError
            If they do not fit or are unclear.
        """
        return infer_axes(self.data.shape, self.letters) if axes is None else parse_axes(axes, self.data.shape)

    def full_scale(self, axes: str) -> tuple[float, float, float] | None:
        """Return the voxel size (z, y, x) in µm, or None if a number that matters is unknown."""
        if self.scale is None:
            return None
        z, y, x = self.scale
        planes = self.data.shape[axes.index("Z")] if "Z" in axes else 1
        if z is None and planes > 1:
            return None
        return (1.0 if z is None else z, y, x)

    def source(self, axes: str | None = None) -> ImageSource:
        """Return the image with its axes settled; see `axes`."""
        letters = self.axes(axes)
        scale = self.full_scale(letters)
        return ImageSource(
            data=self.data,
            axes=letters,
            name=self.name,
            scale=scale,
            scale_origin="unknown" if scale is None else "file",
            # Colours are not where the user says that they are something else.
            rgb=self.rgb and "C" in letters and self.data.shape[letters.index("C")] in (3, 4),
            path=str(self.path),
        )
