"""Sample images: a real one that scikit-image carries, and generated nuclei with exact truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.data import immunohistochemistry as load_immunohistochemistry

from napari_unet.image import synthetic

LayerData = tuple[Any, dict[str, Any], str]


def immunohistochemistry() -> list[LayerData]:
    """Return a bright-field RGB image of colon tissue, stained for FHL2 and nuclei (no truth)."""
    return [(load_immunohistochemistry(), {"name": "immunohistochemistry", "axis_labels": ("y", "x")}, "image")]


def nuclei_2d() -> list[LayerData]:
    """Return generated 2D nuclei and their exact truth."""
    return _with_truth("nuclei 2D", synthetic.nuclei_2d(), "YX")


def nuclei_3d() -> list[LayerData]:
    """Return a generated stack of nuclei and its exact truth; planes lie farther apart than pixels."""
    return _with_truth("nuclei 3D", synthetic.nuclei_3d(), "ZYX")


def nuclei_time() -> list[LayerData]:
    """Return a generated time series of 2D nuclei and its exact truth."""
    return _with_truth("nuclei 2D+t", synthetic.nuclei_time(), "TYX")


def _with_truth(
    name: str, generated: tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]], axes: str
) -> list[LayerData]:
    pixel = synthetic.PIXEL_UM
    sizes = {"Z": pixel * synthetic.Z_SPACING, "Y": pixel, "X": pixel}
    place = {
        "scale": tuple(sizes.get(letter, 1.0) for letter in axes),
        "units": tuple("µm" if letter in sizes else "pixel" for letter in axes),
        "axis_labels": tuple(axes.lower()),
    }
    image, truth = generated
    return [(image, {"name": name, **place}, "image"), (truth, {"name": f"{name} truth", **place}, "labels")]
