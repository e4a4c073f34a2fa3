"""What segments an image: the built-in model, Otsu's threshold, the U-Net of the BioImage Model Zoo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from models_parts.images import Case
from napari_unet.inference.channels import LUMINANCE
from napari_unet.inference.options import PredictOptions
from napari_unet.inference.predictor import Predictor

Labels = npt.NDArray[np.integer]
Mask = npt.NDArray[np.bool_]
Contender = Callable[[Case], Labels]

SMALLEST = 20  # pixels, as the built-in model's default
APART = 5  # pixels between two seeds
DIVISOR = 32  # of what the U-Net takes


def ours(predictor: Predictor, options: PredictOptions) -> Contender:
    """Return the built-in model with some options."""
    one = predictor.with_options(options)
    return lambda case: one.segment(case.image, axes=case.axes)


def otsu(case: Case) -> Labels:
    """Threshold by Otsu (1979) after a slight blur, bright or dark objects by which is rarer, and part by distance."""
    image = ndimage.gaussian_filter(gray(case), 1.0)
    mask = image > threshold_otsu(image)
    return parted(~mask if mask.mean() > 0.5 else mask)


class ZooUNet:
    """The U-Net "UNet 2D Nuclei Broad": one channel of fluorescence, zero mean and unit variance, foreground.

    Parameters
    ----------
    folder : Path
        With ``weights.pt``, TorchScript.
    """

    def __init__(self, folder: Path) -> None:
        self.network = torch.jit.load(str(folder / "weights.pt"), map_location="cpu").eval()

    def foreground(self, case: Case) -> Mask:
        """Return where the probability is at least a half."""
        image = gray(case)
        image = (image - image.mean()) / (image.std() + 1e-6)
        pads = [(0, -n % DIVISOR) for n in image.shape]
        padded = np.pad(image, pads, mode="symmetric").astype(np.float32)
        with torch.inference_mode():
            logits = self.network(torch.from_numpy(padded)[None, None])
        found: Mask = logits[0, 0, : image.shape[0], : image.shape[1]].numpy() >= 0
        return found

    def components(self, case: Case) -> Labels:
        """Return what is connected, numbered."""
        return without_specks(ndimage.label(self.foreground(case), np.ones((3, 3)))[0])

    def watershed(self, case: Case) -> Labels:
        """Part what is connected by distance."""
        return parted(self.foreground(case))


def gray(case: Case) -> npt.NDArray[np.float32]:
    """Return one channel: that of a gray image, the luminance of a colour image."""
    image = case.image.astype(np.float32)
    return image if image.ndim == 2 else image @ np.asarray(LUMINANCE, np.float32)


def parted(mask: Mask) -> Labels:
    """Part touching objects by a watershed on their smoothed distance to the background."""
    filled = ndimage.binary_fill_holes(mask)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(filled), 1.0)
    peaks = peak_local_max(distance, min_distance=APART, labels=ndimage.label(filled)[0], exclude_border=False)
    seeds = np.zeros(mask.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return without_specks(watershed(-distance, seeds, mask=filled))


def without_specks(labels: Labels) -> Labels:
    """Drop the objects of fewer than `SMALLEST` pixels."""
    kept = np.bincount(labels.ravel()) >= SMALLEST
    kept[0] = False
    return np.where(kept[labels], labels, 0)
