"""The two images of the demo, with the truth that each is scored against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.color import rgb2hed
from skimage.data import immunohistochemistry
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from napari_unet.image.source import ImageSource
from napari_unet.image.synthetic import PIXEL_UM, nuclei_2d

SIZE = 512
NUCLEI = {"radius": 14.0, "density": 0.25, "photons": 60.0}
DEBRIS = {"radius": 4.0, "density": 0.04, "photons": 100.0, "touching": 0.0}
FINE, COARSE = 2.0, 16.0  # σ in pixels: finer than a nucleus, coarser than a nucleus
APART, SMALLEST = 5, 50  # pixels between the middles of two nuclei, pixels of a nucleus
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class DemoImage:
    """An image to segment and what it is scored against.

    Parameters
    ----------
    source : ImageSource
        The image, YX or YXC.
    truth : ndarray of int32, (Y, X)
        Objects.
    exact : bool
        Whether the truth is exact, or rough.
    recipe : str
        Where image and truth come from.
    """

    source: ImageSource
    truth: Labels
    exact: bool
    recipe: str


def demo_images(seed: int, size: int = SIZE) -> tuple[DemoImage, DemoImage]:
    """Return the generated and the real image, each cropped to at most `size` pixels a side."""
    return generated_nuclei(seed, size), tissue(size)


def generated_nuclei(seed: int, size: int = SIZE) -> DemoImage:
    """Return generated nuclei among smaller, bright debris that is not to be segmented."""
    nuclei, labels = nuclei_2d((size, size), seed, **NUCLEI)
    debris, _ = nuclei_2d((size, size), seed + 1000, **DEBRIS)
    image = nuclei + (debris - np.minimum(debris, int(np.median(debris))))
    source = ImageSource.from_array(image, "YX", (1.0, PIXEL_UM, PIXEL_UM), name="generated-nuclei")
    recipe = f"generated fluorescence nuclei among bright debris, seed {seed}; the nuclei's outlines are known exactly"
    return DemoImage(source, labels.astype(np.int32), True, recipe)


def tissue(size: int = SIZE) -> DemoImage:
    """Return scikit-image's photograph of stained colon tissue, with a rough truth."""
    image = np.ascontiguousarray(immunohistochemistry()[:size, :size])
    source = ImageSource.from_array(image, "YXC", name="tissue", rgb=True)
    recipe = (
        "skimage.data.immunohistochemistry(), colon tissue with haematoxylin and DAB. Rough truth by classical means: "
        "haematoxylin by colour deconvolution (Ruifrok and Johnston 2001), "
        f"Gaussian σ {FINE:g} px minus σ {COARSE:g} px, Otsu's threshold, opening, "
        f"watershed of the distance transform (maxima at least {APART} px apart), objects of at least {SMALLEST} px"
    )
    return DemoImage(source, rough_nuclei(image), False, recipe)


def rough_nuclei(image: npt.NDArray[Any]) -> Labels:
    """Find stained nuclei by classical means.

    Parameters
    ----------
    image : ndarray of uint8, (Y, X, 3)
        Tissue stained with haematoxylin and DAB, in bright field.

    Returns
    -------
    ndarray of int32, (Y, X)
        Objects; about right, not exact.
    """
    stain = rgb2hed(image)[..., 0]
    contrast = ndimage.gaussian_filter(stain, FINE) - ndimage.gaussian_filter(stain, COARSE)
    mask = ndimage.binary_opening(contrast > threshold_otsu(contrast), iterations=2)
    mask = ndimage.binary_fill_holes(mask)
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1.0)
    peaks = peak_local_max(depth, min_distance=APART, labels=mask.astype(np.int32), exclude_border=False)
    seeds = np.zeros(mask.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    objects = watershed(-depth, seeds, mask=mask)
    sizes = np.bincount(objects.ravel())
    objects[sizes[objects] < SMALLEST] = 0
    return np.asarray(objects, np.int32)
